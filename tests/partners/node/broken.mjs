// A stream that breaks throws, after what had come; it never just ends. Argument: `chat` or `responses`.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const streams = {
  chat: () =>
    client.chat.completions.create({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: "Hello there" }],
      stream: true,
    }),
  responses: () => client.responses.create({ model: "gpt-4.1-mini", input: "Hello there", stream: true }),
};

const events = [];
let thrown = null;
try {
  for await (const event of await streams[process.argv[2]]()) events.push(event.type ?? "chunk");
} catch (error) {
  thrown = [error.constructor.name, error.code ?? null, error.message];
}
console.log(JSON.stringify({ events, thrown }));
