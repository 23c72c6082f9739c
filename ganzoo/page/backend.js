// What the page asks for, answered by a server over TensorFlow Serving's REST contract. The web export has a backend.js of
// its own with the same functions, which runs the network in the page.
import { canvasOfPng } from "./picture.js";

export const seedCount = () => 1000; // of the slider; the number field takes any
export const seedLimit = false; // the server takes any seed
export const canMorph = false; // the latents of a seed are known to the server only

export function setKey(key) {
  sessionStorage.setItem("ganzoo-key", key);
}

export async function models() {
  return ask("models.json");
}

// Canvases of the pictures of `seeds`. psi, label, text and attributes go in where the signature has them.
export async function pictures(model, { seeds, psi, label, text, attributes }) {
  const inputs = model.signatures.serving_default.inputs;
  const row = {};
  if (inputs.truncation_psi) row.truncation_psi = psi;
  if (inputs.label) row.label = label;
  if (inputs.text) row.text = text;
  if (inputs.attributes) row.attributes = JSON.stringify(attributes);
  const rows = await predict(model, "serving_default", seeds.map((seed) => ({ ...row, seed })));
  return Promise.all(rows.map((answer) => canvasOfPng(answer.b64)));
}

// The canvas that a picture becomes.
export async function translate(model, canvas, { direction, seed, age }) {
  const bytes = canvas.toDataURL("image/png").split(",")[1];
  const signature = direction === "b2a" ? "b2a" : "serving_default";
  const [answer] = await predict(model, signature, [{ image_bytes: { b64: bytes }, ...(age === undefined ? { seed } : { age }) }]);
  return canvasOfPng(answer.b64);
}

// The canvas of a picture whose pixels are filled where the canvas `mask` is white.
export async function fill(model, photo, mask) {
  const [image_bytes, mask_bytes] = [photo, mask].map((canvas) => ({ b64: canvas.toDataURL("image/png").split(",")[1] }));
  const [answer] = await predict(model, "serving_default", [{ image_bytes, mask_bytes }]);
  return canvasOfPng(answer.b64);
}

// { size, values }: probabilities of a cube of voxels, axes x, y (up), z.
export async function voxels(model, { seed }) {
  const [grid] = await predict(model, "voxels", [{ seed }]);
  return { size: grid.length, values: Float32Array.from(grid.flat(3)) };
}

async function predict(model, signature, rows) {
  const path = `v1/models/${encodeURIComponent(model.name)}:predict`;
  const body = JSON.stringify({ signature_name: signature, instances: rows });
  return (await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body })).predictions;
}

async function ask(path, { headers = {}, ...options } = {}) {
  const key = sessionStorage.getItem("ganzoo-key");
  if (key) headers = { ...headers, authorization: `Bearer ${key}` };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  const error = new Error(found.error || `The server answered with status ${answer.status}.`);
  error.needsKey = answer.status === 401;
  throw error;
}

