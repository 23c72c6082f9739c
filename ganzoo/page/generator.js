// Models that make pictures of a seed, and of a sentence or of attributes where the signature has them.
import { button, element, latest, menu, slider } from "./parts.js";
import { downloadPng, newCanvas, show } from "./picture.js";

const ROW = 8; // seeds shown side by side, made in one call

export function generatorView({ model, backend, page }) {
  const inputs = model.signatures.serving_default.inputs;
  const side = model.image_size || 64;
  const state = { seed: 0, psi: 0.7, label: 0, text: "a girl with long pink hair", attributes: {}, to: 1, part: 0 };
  const last = backend.seedCount(model) - 1;
  const large = element("canvas", { class: "output", width: side, height: side, role: "img" });
  const strip = Array.from({ length: ROW }, () => {
    const canvas = newCanvas(side);
    const choose = button("", () => { setSeed(Number(choose.dataset.seed)); draw(); });
    choose.append(canvas);
    return { choose, canvas };
  });
  let made = { key: "", pictures: [] };

  // The row of seeds that the seed stands in; it is made again only when it is another one.
  async function row() {
    const first = Math.floor(state.seed / ROW) * ROW;
    const { psi, label, text, attributes } = state;
    const key = JSON.stringify([first, psi, label, text, attributes]);
    if (made.key !== key) {
      const seeds = Array.from({ length: ROW }, (_, i) => first + i);
      made = { key, pictures: await backend.pictures(model, { seeds, psi, label, text, attributes }) };
      strip.forEach(({ choose, canvas }, i) => {
        choose.dataset.seed = seeds[i];
        choose.ariaLabel = `Seed ${seeds[i]}`;
        show(canvas, made.pictures[i]);
      });
    }
    strip.forEach(({ choose }) => { choose.ariaPressed = String(Number(choose.dataset.seed) === state.seed); });
    return made.pictures[state.seed - first];
  }

  const draw = latest(async () => {
    const { seed, to, part, psi, label, text, attributes } = state;
    const one = await row();
    show(large, part ? await backend.morph(model, { seed, to, part, psi, label, text, attributes }) : one);
    large.ariaLabel = part ? `Between seed ${seed} and seed ${to}` : `Picture of seed ${seed}`;
  }, page);
  const set = (name) => (value) => { state[name] = value; draw(); };
  function setSeed(value) {
    state.seed = value;
    seed.set(value);
  }

  const seed = slider({ label: "Seed", min: 0, max: last, value: 0, exact: backend.seedLimit ? last : true, onInput: set("seed") });
  const controls = [
    inputs.text && sentence(state.text, set("text")),
    seed.node,
    inputs.label && (model.classes?.length
      ? menu({ label: "What", options: model.classes, onInput: set("label") }).node
      : slider({ label: "Label", min: 0, max: 9, value: 0, exact: true, onInput: set("label") }).node),
    inputs.attributes && switches(model.attributes, (asked) => { state.attributes = asked; draw(); }),
    inputs.truncation_psi && slider({
      label: "Truncation", min: -1, max: 1, step: 0.05, value: 0.7, show: (value) => value.toFixed(2), onInput: set("psi"),
      hint: "0 is the average picture, 1 the model as trained.",
    }).node,
    ...(backend.canMorph ? [
      slider({ label: "Morph to seed", min: 0, max: last, value: 1, exact: last, onInput: set("to") }).node,
      slider({ label: "How far", min: 0, max: 1, step: 0.02, value: 0, show: (v) => `${Math.round(v * 100)} %`, onInput: set("part") }).node,
    ] : []),
    element("div", { class: "buttons" },
      button("Another", () => { setSeed(Math.floor(Math.random() * (last + 1))); draw(); }, { class: "main" }),
      button("Save PNG", () => downloadPng(large, [model.name, inputs.label && model.classes?.[state.label], state.seed].filter((part) => part || part === 0).join("-")))),
  ];
  draw();
  return { stage: [large, element("div", { class: "strip", role: "group", ariaLabel: "Seeds" }, ...strip.map((s) => s.choose))], controls };
}

// A menu for each attribute. What is left at "any" is drawn from what the model was trained on.
function switches(attributes, onInput) {
  const asked = {};
  const menus = Object.entries(attributes).map(([name, values]) => menu({
    label: name.replaceAll("_", " "),
    options: ["any", ...values.map((value) => value.replaceAll("_", " "))],
    onInput(place) {
      if (place) asked[name] = values[place - 1];
      else delete asked[name];
      onInput({ ...asked });
    },
  }).node);
  return element("div", { class: "menus", role: "group", ariaLabel: "Attributes" }, ...menus);
}

function sentence(text, onInput) {
  const area = element("textarea", { id: "sentence", rows: 3, value: text });
  area.addEventListener("change", () => onInput(area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      onInput(area.value);
    }
  });
  return element("div", { class: "field" },
    element("label", { htmlFor: "sentence", textContent: "Sentence" }), area,
    element("p", { class: "hint", textContent: "Enter draws it." }));
}
