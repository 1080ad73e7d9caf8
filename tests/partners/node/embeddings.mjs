// Vectors: packed on the way by default, and as floats.
import OpenAI from "openai";

const client = new OpenAI();
const asked = { model: "text-embedding-3-small", input: ["river", "stone"], dimensions: 4 };
const packed = await client.embeddings.create(asked);
const floats = await client.embeddings.create({ ...asked, encoding_format: "float" });

console.log(
  JSON.stringify({
    packed: packed.data.map((one) => one.embedding),
    floats: floats.data.map((one) => one.embedding),
  }),
);
