// The responses API: whole, as numbered events, and by the helper.
import OpenAI from "openai";

const client = new OpenAI();
const asked = { model: "gpt-4.1-mini", input: "Hello there" };
const whole = await client.responses.create(asked);

const events = [];
for await (const event of await client.responses.create({ ...asked, stream: true })) events.push(event);

const helper = client.responses.stream(asked);
const final = await helper.finalResponse();

console.log(
  JSON.stringify({
    whole: whole.output_text,
    usage: whole.usage.total_tokens,
    numbers: events.map((event) => event.sequence_number),
    deltas: events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join(""),
    last: events.at(-1).type,
    final: final.output_text,
  }),
);
