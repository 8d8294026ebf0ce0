// The network in the browser: fetched with progress, checked against its hash, run by onnxruntime on one thread.

import * as ort from "./vendor/ort.wasm.min.mjs";
import { squash } from "./pixels.js";

const NUMBERS = ["image_size", "threshold", "typicality_threshold", "chest_threshold"]; // of the facts

/** `progress` is called with the share of bytes that have arrived. Fails with a readable Error. */
export async function loadModel(progress) {
  const card = JSON.parse(new TextDecoder().decode(await fetchBytes("model.json", () => {})));
  // Without this, a missing limit would be no error: no picture lies above what is not there.
  const missing = NUMBERS.filter((name) => !Number.isFinite(card.metadata?.[name]));
  if (missing.length) throw new Error(`the facts of the model lack ${missing.join(", ")}`);
  const files = [card.model, card.runtime];
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const got = files.map(() => 0);
  const [weights, runtime] = await Promise.all(
    files.map(({ file }, index) =>
      fetchBytes(file, (bytes) => {
        got[index] = bytes;
        progress(Math.min(got.reduce((sum, share) => sum + share, 0) / total, 1));
      }),
    ),
  );
  if ((await sha256(weights)) !== card.model.sha256)
    throw new Error("the model is not the one that this page was built with");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("vendor/", document.baseURI).href;
  ort.env.wasm.wasmBinary = runtime.buffer;
  const session = await ort.InferenceSession.create(weights, { executionProviders: ["wasm"] });
  const model = { ...card.metadata, session, sha256: card.model.sha256 };
  await run(model, [new Uint8Array(model.image_size ** 2)]); // the first run is slow
  return model;
}

/** The network's answer for a picture; `rejection` says why the picture is rejected, or is "". `activation` is {values,
 * rows, columns}, in logits: positive is evidence for pneumonia. */
export async function screen(model, { grey, width, height }) {
  const pixels = squash(grey, width, height, model.image_size);
  const out = await run(model, [pixels]);
  const [, rows, columns] = out.activation.dims;
  const probability = Math.min(out.p_pneumonia.data[0], 1); // a sum in fp32
  const typicality = out.typicality.data[0];
  return {
    probability,
    calibrated: out.p_calibrated.data[0],
    decision: probability >= model.threshold ? "pneumonia" : "normal",
    rejection: typicality >= model.typicality_threshold ? "" : await why(model, pixels, typicality),
    activation: { values: out.activation.data, rows, columns },
  };
}

function run({ session, image_size: size }, pictures) {
  const levels = Float32Array.from(pictures.flatMap((pixels) => [...pixels]));
  return session.run({ image: new ort.Tensor("float32", levels, [pictures.length, size, size]) });
}

/** Why a picture is rejected: turned, upside down, a negative, no chest film, or one of another kind. The
 * out-of-distribution score that the reason names is minus the graph's typicality. */
async function why(model, pixels, typicality) {
  const last = model.image_size - 1;
  const from = (place) => pixels.map((_, at) => pixels[place(Math.trunc(at / (last + 1)), at % (last + 1))]);
  const place = (row, column) => row * (last + 1) + column;
  const remedies = {
    "not upright: turn it left by 90 degrees": from((row, column) => place(column, last - row)),
    "not upright: turn it right by 90 degrees": from((row, column) => place(last - column, row)),
    "upside down": from((row, column) => place(last - row, last - column)),
    "a negative: black and white are swapped": pixels.map((level) => 255 - level),
  };
  const scores = [...(await run(model, Object.values(remedies))).typicality.data];
  const best = Math.max(...scores);
  if (best >= model.typicality_threshold) return Object.keys(remedies)[scores.indexOf(best)];
  const film = typicality >= model.chest_threshold;
  const what = film ? "a film unlike those that the model learned from" : "not like a frontal chest X-ray";
  const limit = film ? model.typicality_threshold : model.chest_threshold;
  return `${what}: out-of-distribution score ${(-typicality).toFixed(2)} is above ${(-limit).toFixed(2)}`;
}

async function fetchBytes(file, progress) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file}: the server answered ${answer.status}`);
  const parts = [];
  let length = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { value, done } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    progress(length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
