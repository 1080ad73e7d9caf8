// The SDK's own loop: the model calls a function, the SDK runs it, the model answers with what came out.
import OpenAI from "openai";

const client = new OpenAI();
const calls = [];
const getWeather = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    parse: JSON.parse,
    function: ({ city }) => (calls.push(city), `sleet in ${city}`),
  },
};
const asked = {
  model: "gpt-4o-mini",
  messages: [{ role: "user", content: "What is the weather like?" }],
  tools: [getWeather],
};

const whole = await client.chat.completions.runTools(asked).finalContent();
const streamed = await client.chat.completions.runTools({ ...asked, stream: true }).finalContent();
console.log(JSON.stringify({ calls, whole, streamed }));
