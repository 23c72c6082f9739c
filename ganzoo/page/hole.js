// Models that fill holes: paint over a thing in a picture at the left, the filled picture at the right.
import { button, element, latest } from "./parts.js";
import { downloadPng, newCanvas, show } from "./picture.js";
import { scene } from "./sketches.js";

const LARGEST = 1024; // longest side of an uploaded picture, in pixels

export function holeView({ model, backend, page }) {
  const least = model.image_size || 128; // the network sees at least so many pixels a side
  const output = element("canvas", { class: "output", role: "img", ariaLabel: "Filled picture" });
  const sheet = new Sheet(2 * least, () => draw());
  const draw = latest(async () => {
    show(output, sheet.empty() ? sheet.photo : await backend.fill(model, sheet.photo, sheet.mask));
  }, page);
  const width = element("input", { type: "range", min: 4, max: 64, step: 1, value: sheet.width, ariaLabel: "Width of the brush" });
  width.addEventListener("input", () => { sheet.width = width.valueAsNumber; });
  const file = element("input", { type: "file", accept: "image/*", ariaLabel: "Upload a picture" });
  file.addEventListener("change", async () => {
    try {
      if (file.files[0]) await sheet.load(file.files[0], least);
    } catch {
      page.fail(new Error(`${file.files[0].name} is not a picture that this browser reads. PNG and JPEG are.`));
    }
    file.value = "";
  });
  const stage = [
    element("div", { class: "pair" },
      element("figure", {}, element("figcaption", { textContent: "Paint over what is to go" }), sheet.canvas),
      element("span", { class: "arrow", textContent: "→", ariaHidden: "true" }),
      element("figure", {}, element("figcaption", { textContent: "Filled" }), output)),
    element("div", { class: "tools", role: "toolbar", ariaLabel: "Painting" }, width,
      element("div", { class: "actions" },
        button("Undo", () => sheet.undo()), button("Clear", () => sheet.clear()), element("label", { class: "button" }, "Upload", file))),
  ];
  const controls = [
    element("p", { class: "hint", textContent: `Only the painted pixels change. The model sees ${least} × ${least} pixels around the hole; a larger one is filled piece by piece.` }),
    element("div", { class: "buttons" },
      button("Go on from the result", () => sheet.take(output)),
      button("Save PNG", () => downloadPng(output, model.name), { class: "main" })),
  ];
  draw();
  return { stage, controls };
}

// A picture, a mask of the same size (white in the hole), and the canvas that shows both and is painted on.
class Sheet {
  constructor(side, onDraw) {
    this.onDraw = onDraw;
    this.width = 24;
    this.canvas = newCanvas(side);
    this.canvas.className = "pad";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.ariaLabel = "Picture. Paint with the mouse or a finger over what is to be filled; Control Z takes the last stroke back.";
    const drawn = newCanvas(side);
    const context = drawn.getContext("2d");
    context.scale(side / 64, side / 64);
    scene(context);
    this.set(drawn);
    this.listen();
  }

  set(photo) {
    this.photo = photo;
    this.mask = newCanvas(photo.width, photo.height);
    this.past = [];
    Object.assign(this.canvas, { width: photo.width, height: photo.height });
    this.reset();
  }

  reset() {
    const context = this.mask.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#000000";
    context.fillRect(0, 0, this.mask.width, this.mask.height);
    this.show();
  }

  show() {
    const context = this.canvas.getContext("2d");
    context.drawImage(this.photo, 0, 0);
    context.save();
    context.globalCompositeOperation = "lighten"; // the hole in white, all else as it is
    context.drawImage(this.mask, 0, 0);
    context.restore();
  }

  // Whether nothing is painted.
  empty() {
    const { data } = this.mask.getContext("2d").getImageData(0, 0, this.mask.width, this.mask.height);
    for (let i = 0; i < data.length; i += 4) if (data[i] > 127) return false;
    return true;
  }

  remember() {
    this.past.push(this.mask.getContext("2d").getImageData(0, 0, this.mask.width, this.mask.height));
    if (this.past.length > 20) this.past.shift();
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.mask.getContext("2d").putImageData(before, 0, 0);
    this.show();
    this.onDraw();
  }

  clear() {
    this.remember();
    this.reset();
    this.onDraw();
  }

  take(canvas) {
    const copy = newCanvas(canvas.width, canvas.height);
    copy.getContext("2d").drawImage(canvas, 0, 0);
    this.set(copy);
    this.onDraw();
  }

  // A picture file, on white; smaller or larger where the model or the page needs it. Raises what the browser does.
  async load(file, least) {
    const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const sides = [image.width, image.height];
    const scale = Math.max(Math.min(1, LARGEST / Math.max(...sides)), least / Math.min(...sides));
    const photo = newCanvas(...sides.map((side) => Math.max(least, Math.round(side * scale))));
    const context = photo.getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, photo.width, photo.height);
    context.imageSmoothingEnabled = scale !== 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, photo.width, photo.height);
    this.set(photo);
    this.onDraw();
  }

  listen() {
    const { canvas } = this;
    let last = null;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
    };
    const stroke = (event) => {
      const context = this.mask.getContext("2d");
      Object.assign(context, { strokeStyle: "#ffffff", lineWidth: this.width, lineCap: "round", lineJoin: "round" });
      context.beginPath();
      context.moveTo(...last);
      last = place(event);
      context.lineTo(last[0] + 0.01, last[1]); // a line of no length is not drawn
      context.stroke();
      this.show();
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.remember();
      last = place(event);
      stroke(event); // a tap is a dot
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      for (const part of event.getCoalescedEvents?.() || [event]) stroke(part);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (last) this.onDraw();
        last = null;
      });
    }
    canvas.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
        event.preventDefault();
        this.undo();
      }
    });
  }
}
