// What the page asks for, answered in the page itself: ONNX networks run by onnxruntime-web, which lies next to them. The
// server's backend.js has the same functions. Noise is not drawn here: it is read from tables that Python wrote, so that a
// seed shows the same picture everywhere.
import { fillHoles } from "./filling.js";
import { canvasOfFloats, floatsOfCanvas } from "./picture.js";
import * as ort from "../runtime/ort.wasm.bundle.min.mjs";

const HOME = new URL("../", import.meta.url);
ort.env.wasm.wasmPaths = { wasm: new URL("runtime/ort-wasm-simd-threaded.wasm", HOME).href };
ort.env.wasm.numThreads = 1; // more would need headers that a plain file server does not send

export const canMorph = true;
export const seedLimit = true; // a seed beyond the table has no latents here
export const seedCount = (model) => model.web.seeds;

const loaded = new Map(); // file -> promise of what is in it

export async function models() {
  const found = await read("models.json");
  return JSON.parse(new TextDecoder().decode(found));
}

export async function pictures(model, { seeds, psi, label, text, attributes }) {
  const rows = await Promise.all(seeds.map((seed) => latents(model, seed)));
  const asked = model.attributes && await Promise.all(seeds.map((seed) => columns(model, seed, attributes)));
  return draw(model, rows, psi, label, text, asked);
}

// The picture that lies a part of the way, 0 to 1, on the great arc between the latents of two seeds, and on the line between
// their attributes.
export async function morph(model, { seed, to, part, psi, label, text, attributes }) {
  const between = arc(await latents(model, seed), await latents(model, to), part);
  let asked;
  if (model.attributes) {
    const ends = await Promise.all([seed, to].map((end) => columns(model, end, attributes)));
    asked = [ends[0].map((value, i) => (1 - part) * value + part * ends[1][i])];
  }
  return (await draw(model, [between], psi, label, text, asked))[0];
}

export async function translate(model, canvas, { direction, seed, age }) {
  const name = model.web.networks[direction] ? direction : "network";
  const { inputs } = model.web.networks[name];
  const feeds = { images: tensor(floatsOfCanvas(canvas, inputs.images.at(-1)), inputs.images) };
  if (inputs.age) feeds.age = tensor(Float32Array.of(age), [1]);
  const masks = Object.entries(inputs).filter(([input]) => input !== "images" && input !== "age");
  if (masks.length) {
    const table = new Uint8Array(await read("masks.bin"));
    let start = (seed * table.length) / model.web.seeds;
    for (const [input, shape] of masks) {
      const length = shape.reduce((a, b) => a * b);
      feeds[input] = tensor(Float32Array.from(table.subarray(start, start + length)), shape);
      start += length;
    }
  }
  return canvases(await run(name, feeds))[0];
}

export async function fill(model, photo, mask) {
  const { images, masks } = model.web.networks.network.inputs;
  const network = async (crop, wanted) => {
    const feeds = { images: tensor(floatsOfCanvas(crop, images.at(-1)), images), masks: tensor(floatsOfCanvas(wanted, 1), masks) };
    return canvases(await run("network", feeds))[0];
  };
  return fillHoles(photo, mask, { size: images[1], hole: model.web.hole, network });
}

export async function voxels(model, { seed }) {
  const output = await run("network", { latents: tensor(await latents(model, seed), [1, model.web.latents]) });
  return { size: output.dims[1], values: output.data };
}

async function draw(model, rows, psi, label, text, asked) {
  const width = model.web.latents;
  const values = new Float32Array(rows.length * width);
  rows.forEach((row, i) => values.set(row, i * width));
  const feeds = { latents: tensor(values, [rows.length, width]) };
  if (model.web.networks.network.inputs.truncation_psi) {
    feeds.truncation_psi = tensor(new Float32Array(rows.length).fill(psi), [rows.length]);
  }
  const weights = model.web.networks.network.inputs.class_weights; // 1 for the class that is asked for
  if (weights) {
    const classes = weights.at(-1);
    const values = new Float32Array(rows.length * classes);
    rows.forEach((_, i) => { values[i * classes + label] = 1; });
    feeds.class_weights = tensor(values, [rows.length, classes]);
  }
  if (asked) {
    const length = asked[0].length;
    const all = new Float32Array(rows.length * length);
    asked.forEach((row, i) => all.set(row, i * length));
    feeds.attributes = tensor(all, [rows.length, length]);
  }
  if (model.web.networks.encode) {
    const { data } = await run("encode", { characters: characters(model, text) });
    const embedding = new Float32Array(rows.length * data.length);
    rows.forEach((_, i) => embedding.set(data, i * data.length));
    feeds.embedding = tensor(embedding, [rows.length, data.length]);
  }
  return canvases(await run("network", feeds));
}

// One-hot characters as `characters` of text_to_image.py makes them: capitals count as small letters, others as nothing.
function characters(model, text) {
  const { alphabet, text_length: length } = model.web;
  if (!text.trim()) throw new Error('The sentence is empty. Say what to draw, such as "a girl with long pink hair".');
  const values = new Float32Array(length * alphabet.length);
  [...text].slice(0, length).forEach((character, i) => {
    const place = alphabet.indexOf(/[A-Z]/.test(character) ? character.toLowerCase() : character);
    if (place >= 0) values[i * alphabet.length + place] = 1;
  });
  return tensor(values, [1, length, alphabet.length]);
}

// The columns of 0 and 1 of a seed: what is asked for stands, the rest is that of the kept row that Python draws for the seed
// (`completed` of ganzoo/base/attributes.py).
async function columns(model, seed, asked) {
  const names = Object.keys(model.attributes);
  const wanted = names.map((name) => (name in asked ? model.attributes[name].indexOf(asked[name]) : -1));
  const kept = new Uint8Array(await read("kept.bin"));
  const agree = Array.from({ length: kept.length / names.length }, (_, row) =>
    wanted.filter((number, i) => number >= 0 && kept[row * names.length + i] === number).length);
  const most = agree.reduce((a, b) => Math.max(a, b));
  const fitting = [...agree.keys()].filter((row) => agree[row] === most);
  const drawn = new DataView(await read("draws.bin")).getInt32(4 * seed, true);
  const row = fitting[drawn % fitting.length];
  return Float32Array.from(names.flatMap((name, i) => {
    const number = wanted[i] >= 0 ? wanted[i] : kept[row * names.length + i];
    const values = model.attributes[name];
    const hot = values.map((_, place) => Number(place === number));
    return values.join() === "no,yes" ? hot.slice(1) : hot;
  }));
}

async function latents(model, seed) {
  const table = new Float32Array(await read("latents.bin"));
  return table.subarray(seed * model.web.latents, (seed + 1) * model.web.latents);
}

function arc(a, b, part) {
  const length = (v) => Math.hypot(...v);
  const [long, other] = [length(a), length(b)];
  const angle = Math.acos(Math.max(-1, Math.min(1, a.reduce((sum, value, i) => sum + value * b[i], 0) / (long * other))));
  if (angle < 1e-4) return a; // one and the same seed
  const [of, to] = [Math.sin((1 - part) * angle), Math.sin(part * angle)].map((sine) => sine / Math.sin(angle));
  // Both directions at their mean length: the arc passes through neither short nor long vectors.
  const size = long + (other - long) * part;
  return a.map((value, i) => ((of * value) / long + (to * b[i]) / other) * size);
}

function tensor(values, shape) {
  return new ort.Tensor("float32", values, shape);
}

function canvases({ data, dims: [count, height, width, channels] }) {
  const size = height * width * channels;
  return Array.from({ length: count }, (_, i) => canvasOfFloats(data.subarray(i * size, (i + 1) * size), width, height, channels));
}

async function run(name, feeds) {
  const file = `${name}.onnx`;
  const session = await once(`session ${file}`, async () =>
    ort.InferenceSession.create(new Uint8Array(await read(file)), { executionProviders: ["wasm"] }));
  return (await session.run(feeds))[session.outputNames[0]];
}

function read(file) {
  return once(file, async () => {
    const answer = await fetch(new URL(file, HOME)).catch(() => null);
    if (!answer?.ok) throw new Error(`${file} cannot be read. Open the folder through a server: python -m http.server`);
    return answer.arrayBuffer();
  });
}

// The promise of `make()`, made once; a failed one is forgotten, so that another try can succeed.
function once(key, make) {
  if (!loaded.has(key)) {
    const promise = make();
    promise.catch(() => loaded.delete(key));
    loaded.set(key, promise);
  }
  return loaded.get(key);
}
