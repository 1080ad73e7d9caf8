// One answer as it is made: bare chunks, then the helper's events and its final words.
import OpenAI from "openai";

const client = new OpenAI();
const asked = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello there" }] };

const chunks = [];
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) chunks.push(chunk);

const told = [];
const helper = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
helper.on("content", (delta) => told.push(delta));
const final = await helper.finalChatCompletion();

console.log(
  JSON.stringify({
    chunks: chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""),
    usageInChunks: chunks.some((chunk) => "usage" in chunk),
    finish: chunks.at(-1).choices[0].finish_reason,
    told: told.join(""),
    final: final.choices[0].message.content,
    usage: final.usage.completion_tokens,
  }),
);
