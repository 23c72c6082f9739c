// The page: which model, what is under way, what went wrong, whose weights they are. Each task has its own view.
import * as backend from "./backend.js";
import { generatorView } from "./generator.js";
import { holeView } from "./hole.js";
import { imageView } from "./image.js";
import { button, element } from "./parts.js";
import { shapeView } from "./shape.js";

const VIEWS = { generator: generatorView, text: generatorView, image: imageView, hole: holeView, shape: shapeView };
const TASKS = { generator: "Pictures from noise", text: "Pictures from a sentence", image: "Picture to picture", hole: "Fills holes of pictures", shape: "Shapes from noise" };
const [main, view, status, nav, about, key] = ["main", "view", "status", "models", "about", "key"].map((id) =>
  document.getElementById(id));
let waiting; // a sentence is shown only for what takes long: it would flicker otherwise
let leave = () => {};

const page = {
  busy(busy) {
    main.setAttribute("aria-busy", busy);
    clearTimeout(waiting);
    if (busy) waiting = setTimeout(() => page.say("Working …"), 500);
  },
  say(sentence) {
    clearTimeout(waiting);
    status.className = "";
    status.textContent = sentence;
  },
  fail(error) {
    console.warn(error);
    clearTimeout(waiting);
    status.className = "wrong";
    status.textContent = error.message;
    key.hidden = !error.needsKey;
  },
};

function open(model) {
  leave();
  for (const tab of nav.children) {
    if (tab.dataset.name === model.name) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
  document.title = `${model.name} · ganzoo`;
  const heading = element("h2", { textContent: model.name }, element("small", { textContent: TASKS[model.task] }));
  const { stage, controls, close } = VIEWS[model.task]({ model, backend, page });
  view.replaceChildren(element("div", { class: "view" },
    element("section", { class: "card stage", ariaLabel: "Result" }, ...stage),
    element("section", { class: "card controls", ariaLabel: "Settings" }, heading, ...controls)));
  about.replaceChildren(...facts(model).map((text) => element("p", { textContent: text })));
  nav.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  leave = close || (() => {});
  history.replaceState(null, "", `#${encodeURIComponent(model.name)}`);
}

function facts(model) {
  const licence = model.licence ? `Weights: ${model.licence}.` : "Weights: their maker has stated no licence.";
  return [
    [model.title, model.model && model.model !== model.name && `(${model.model})`].filter(Boolean).join(" "),
    model.expects && `It expects ${model.expects}.`,
    [licence, model.attribution].filter(Boolean).join(" "),
    model.notice,
  ].filter(Boolean);
}

async function start() {
  page.busy(true);
  try {
    const models = (await backend.models()).filter((model) => VIEWS[model.task]);
    key.hidden = true;
    if (!models.length) throw new Error("This server has no model of ganzoo to show here.");
    nav.hidden = models.length < 2;
    nav.replaceChildren(...models.map((model) => {
      const tab = button(model.name, () => open(model));
      tab.dataset.name = model.name;
      return tab;
    }));
    page.say("");
    const wanted = decodeURIComponent(location.hash.slice(1));
    open(models.find((model) => model.name === wanted) || models[0]);
  } catch (error) {
    page.busy(false);
    page.fail(error);
  }
}

key.addEventListener("submit", (event) => {
  event.preventDefault();
  backend.setKey(document.getElementById("key-field").value);
  start();
});
start();
