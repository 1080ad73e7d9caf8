// Every refusal is an error of its own class, with code and request id.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const stranger = new OpenAI({ maxRetries: 0, apiKey: "x" });
const hello = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello there" }] };
const simulate = (fault) => client.chat.completions.create({ ...hello, metadata: { simulate: fault } });

const attempts = {
  badRequest: () => client.chat.completions.create({ ...hello, n: -1 }),
  authentication: () => stranger.chat.completions.create(hello),
  model: () => client.chat.completions.create({ ...hello, model: "gpt-0" }),
  endpoint: () => client.files.list(),
  notFound: () => client.models.retrieve("gpt-0"),
  rateLimit: () => simulate("429:5"),
  upstream: () => simulate("401"),
  brokenOff: () => simulate("cut_body"),
};

const errors = {};
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
    errors[name] = null;
  } catch (error) {
    errors[name] = [error.constructor.name, error.status, error.code, /^req_/.test(error.requestID)];
  }
}
console.log(JSON.stringify(errors));
