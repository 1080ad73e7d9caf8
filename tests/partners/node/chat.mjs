// One answer, whole: what apps read from it, and from its head.
import OpenAI from "openai";

const client = new OpenAI();
const asked = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello there" }], n: 2 };
const { data, response, request_id } = await client.chat.completions.create(asked).withResponse();

console.log(
  JSON.stringify({
    said: data.choices.map((choice) => choice.message.content),
    finishes: data.choices.map((choice) => choice.finish_reason),
    usage: data.usage.total_tokens,
    requestIds: [request_id, data._request_id],
    remaining: response.headers.get("x-ratelimit-remaining-requests"),
  }),
);
