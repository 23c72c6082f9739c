// The pieces that the views are made of: labelled controls, and a queue that lets only the latest wish run.

export function element(tag, properties = {}, ...children) {
  const { class: name, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  if (name) made.className = name;
  made.append(...children.filter(Boolean));
  return made;
}

let count = 0;

// A labelled slider, with a number field next to it where `exact` lets any whole number in. `.value` is the number.
export function slider({ label, min, max, step = 1, value, exact = false, hint, show = String, onInput }) {
  const id = `field-${++count}`;
  const range = element("input", { type: "range", id, min, max, step, value });
  const field = exact
    ? element("input", { type: "number", min, step, value, ariaLabel: `${label}, as a number` })
    : element("output", { htmlFor: id, textContent: show(value) });
  const node = element("div", { class: "field" },
    element("label", { htmlFor: id, textContent: label }),
    element("div", { class: "row" }, range, field),
    hint && element("p", { class: "hint", textContent: hint }));
  const made = {
    node,
    value,
    // Moves the slider without telling.
    set(next) {
      made.value = next;
      range.value = next;
      if (exact) field.value = next;
      else field.textContent = show(next);
    },
  };
  const changed = (source) => {
    const next = source.valueAsNumber;
    if (!source.validity.valid || Number.isNaN(next)) return; // half typed
    made.set(next);
    onInput(next);
  };
  if (exact && exact !== true) field.max = exact;
  range.addEventListener("input", () => changed(range));
  if (exact) field.addEventListener("input", () => changed(field));
  return made;
}

export function button(text, onClick, properties = {}) {
  const made = element("button", { type: "button", textContent: text, ...properties });
  made.addEventListener("click", onClick);
  return made;
}

// One of a few, as radio buttons: options are [value, text].
export function choice({ label, options, value, onInput }) {
  const name = `choice-${++count}`;
  const made = { value };
  const radios = options.map(([option, text]) => {
    const radio = element("input", { type: "radio", name, value: option, checked: option === value });
    radio.addEventListener("change", () => onInput((made.value = option)));
    return element("label", {}, radio, text);
  });
  made.node = element("fieldset", { class: "field" },
    element("legend", { textContent: label }), element("div", { class: "choices" }, ...radios));
  return made;
}

// One of many, as a menu: options are texts, and the value is the place of one.
export function menu({ label, options, value = 0, onInput }) {
  const id = `field-${++count}`;
  const made = { value };
  const select = element("select", { id }, ...options.map((text, i) => element("option", { value: i, textContent: text })));
  select.value = value;
  select.addEventListener("change", () => onInput((made.value = Number(select.value))));
  made.node = element("div", { class: "field" }, element("label", { htmlFor: id, textContent: label }), select);
  return made;
}

// A function that runs `work`, one call after the other. Of the wishes that come meanwhile only the last one runs.
export function latest(work, page) {
  let running = false;
  let again = false;
  return async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    page.busy(true);
    try {
      do {
        again = false;
        await work();
      } while (again);
      page.say("");
    } catch (error) {
      page.fail(error);
    } finally {
      running = false;
      page.busy(false);
    }
  };
}
