// An answer of a given shape, parsed by the SDK: by chat and by the responses API.
import OpenAI from "openai";

const client = new OpenAI();
const properties = { title: { type: "string" }, minutes: { type: "integer" } };
const schema = { type: "object", properties, required: ["title", "minutes"], additionalProperties: false };

const { choices } = await client.chat.completions.parse({
  model: "gpt-4o-mini",
  messages: [{ role: "user", content: "A recipe, please" }],
  response_format: { type: "json_schema", json_schema: { name: "recipe", strict: true, schema } },
});
const response = await client.responses.parse({
  model: "gpt-4o-mini",
  input: "A recipe, please",
  text: { format: { type: "json_schema", name: "recipe", strict: true, schema } },
});
console.log(
  JSON.stringify({
    chat: JSON.parse(choices[0].message.content),
    response: JSON.parse(response.output_text),
  }),
);
