// Sound both ways: a file goes up as a form, speech comes down as bytes.
import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const sound = new Uint8Array(40_000).fill(7);
const file = () => toFile(sound, "Gespräch.wav", { type: "audio/wav" });

const transcript = await client.audio.transcriptions.create({
  model: "whisper-1",
  file: await file(),
  response_format: "verbose_json",
});
const events = [];
const stream = await client.audio.transcriptions.create({
  model: "gpt-4o-transcribe",
  file: await file(),
  stream: true,
});
for await (const event of stream) events.push(event);
const speech = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "The river is quiet." });

console.log(
  JSON.stringify({
    text: transcript.text,
    duration: transcript.duration,
    deltas: events.map((event) => event.delta ?? "").join(""),
    done: events.at(-1).text,
    type: speech.headers.get("content-type"),
    bytes: (await speech.arrayBuffer()).byteLength,
  }),
);
