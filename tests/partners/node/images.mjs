// Pictures: made, made in stages, and edited, for which several files go up at once.
import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const asked = { model: "gpt-image-1", prompt: "a quiet harbour" };
const picture = (name) => toFile(new Uint8Array(500), name, { type: "image/png" });

const made = await client.images.generate(asked);
const stages = [];
const stream = await client.images.generate({ ...asked, stream: true, partial_images: 2 });
for await (const event of stream) stages.push(event.type);
const edited = await client.images.edit({ ...asked, image: [await picture("a.png"), await picture("b.png")] });

console.log(
  JSON.stringify({
    made: made.data[0].b64_json.slice(0, 5),
    stages,
    seen: edited.usage.input_tokens_details.image_tokens,
  }),
);
