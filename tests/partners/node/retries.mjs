// What may help is tried again by the SDK itself, after the time that it was told; what cannot help is not.
import OpenAI from "openai";

const statuses = [];
const client = new OpenAI({
  fetch: async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  },
});
const hello = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello there" }] };

await client.chat.completions.create(hello);
const recovered = statuses.splice(0);
await client.chat.completions.create({ ...hello, metadata: { simulate: "401" } }).catch(() => {});
console.log(JSON.stringify({ recovered, hopeless: statuses }));
