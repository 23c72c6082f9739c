// Models that make a picture of a picture: draw or upload at the left, the result at the right.
import { button, choice, element, latest, slider } from "./parts.js";
import { Pad } from "./pad.js";
import { downloadPng, show } from "./picture.js";
import { emoji, face } from "./sketches.js";

const INK = ["#000000"];
const PAINT = ["#000000", "#ffc83d", "#e8413c", "#2f7de1", "#3aa655", "#8d5524"];
const NAMES = { "#000000": "Black", "#ffc83d": "Yellow", "#e8413c": "Red", "#2f7de1": "Blue", "#3aa655": "Green", "#8d5524": "Brown" };

export function imageView({ model, backend, page }) {
  const side = model.image_size || 256;
  const twoWays = "b2a" in model.signatures;
  const ages = "age" in model.signatures.serving_default.inputs;
  const state = { direction: "a2b", seed: 0, ...(ages ? { age: 40 } : {}) };
  const output = element("canvas", { class: "output", width: side, height: side, role: "img", ariaLabel: "Result" });
  const draw = latest(async () => {
    show(output, await backend.translate(model, pad.picture(), state));
  }, page);
  // pix2pix reads lines; what goes both ways reads coloured pictures.
  const photos = ages || model.crops; // of which it reads a square; no seed changes them
  const coloured = twoWays || photos;
  const pad = new Pad(side, { sketch: coloured ? emoji : face, width: coloured ? 3 : 0.7, onDraw: draw });
  const set = (name) => (value) => { state[name] = value; draw(); };
  const last = backend.seedCount(model) - 1;

  const stage = [
    element("div", { class: "pair" },
      element("figure", {}, element("figcaption", { textContent: ages ? "Upload a face" : photos ? "Upload a picture" : twoWays ? "Paint or upload" : "Draw or upload" }), pad.canvas),
      element("span", { class: "arrow", textContent: "→", ariaHidden: "true" }),
      element("figure", {}, element("figcaption", { textContent: "Result" }), output)),
    tools(pad, coloured ? PAINT : INK, page),
  ];
  const controls = [
    twoWays && choice({ label: "Direction", options: [["a2b", "A to B"], ["b2a", "B to A"]], value: "a2b", onInput: set("direction") }).node,
    ages && slider({ label: "Age in years", min: 0, max: 100, value: state.age, exact: true, onInput: set("age") }).node,
    !coloured && slider({
      label: "Seed", min: 0, max: Math.min(last, 99), value: 0, exact: backend.seedLimit ? last : true, onInput: set("seed"),
      hint: "Another seed drops out other units: a slightly different answer.",
    }).node,
    element("p", { class: "hint", textContent: `The model sees the ${photos ? "square in the middle" : "drawing"} at ${side} × ${side} pixels.` }),
    element("div", { class: "buttons" }, button("Save PNG", () => downloadPng(output, model.name), { class: "main" })),
  ];
  draw();
  return { stage, controls };
}

function tools(pad, colours, page) {
  const pens = colours.map((colour) => {
    const pen = button("", () => choose(pen, colour, 1), { class: "swatch", ariaLabel: `${NAMES[colour]} pen` });
    pen.style.setProperty("--colour", colour);
    return pen;
  });
  const rubber = button("Eraser", () => choose(rubber, "#ffffff", 6));
  const width = element("input", { type: "range", min: 0.7, max: 8.7, step: 0.1, value: pad.width, ariaLabel: "Width of the pen" });
  width.addEventListener("input", () => { pad.width = width.valueAsNumber; });
  const file = element("input", { type: "file", accept: "image/*", ariaLabel: "Upload a picture" });
  file.addEventListener("change", async () => {
    try {
      if (file.files[0]) await pad.load(file.files[0]);
    } catch {
      page.fail(new Error(`${file.files[0].name} is not a picture that this browser reads. PNG and JPEG are.`));
    }
    file.value = "";
  });
  function choose(chosen, colour, widen) {
    Object.assign(pad, { colour, widen });
    for (const tool of [...pens, rubber]) tool.ariaPressed = String(tool === chosen);
  }
  choose(pens[0], colours[0], 1);
  return element("div", { class: "tools", role: "toolbar", ariaLabel: "Drawing" },
    ...pens, rubber, width,
    element("div", { class: "actions" },
      button("Undo", () => pad.undo()), button("Clear", () => pad.clear()), element("label", { class: "button" }, "Upload", file)));
}
