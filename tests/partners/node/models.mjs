// What there is to choose from, and a word about one of them; a judgement that names no model.
import OpenAI from "openai";

const client = new OpenAI();
const names = [];
for await (const model of client.models.list()) names.push(model.id);
const one = await client.models.retrieve("gpt-6-luna");
const { results } = await client.moderations.create({ input: ["violence", "garden"] });

console.log(JSON.stringify({ names, one: one.id, flagged: results.map((result) => result.flagged) }));
