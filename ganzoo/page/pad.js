// A sheet to draw on with mouse, pen or finger. It is finer than the picture that the model sees, by whole factors.
import { newCanvas } from "./picture.js";

const STEPS = 20; // that can be undone

export class Pad {
  constructor(side, { sketch, width, onDraw }) {
    this.side = side;
    this.factor = Math.max(1, Math.round(512 / side));
    this.canvas = newCanvas(side * this.factor);
    this.canvas.className = "pad";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.ariaLabel = "Drawing. Draw with the mouse or a finger; Control Z takes the last stroke back.";
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.onDraw = onDraw;
    this.unit = this.canvas.width / 64; // widths are in 64ths of the sheet
    Object.assign(this, { colour: "#000000", width, widen: 1, past: [] });
    this.fill();
    this.context.save();
    this.context.scale(this.unit, this.unit);
    sketch(this.context);
    this.context.restore();
    this.listen();
  }

  // The drawing as the model sees it: each pixel the mean of its square. An uploaded picture of this very size is itself.
  picture() {
    const { side, factor } = this;
    const { data } = this.context.getImageData(0, 0, side * factor, side * factor);
    const canvas = newCanvas(side);
    const context = canvas.getContext("2d");
    const small = context.createImageData(side, side);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        for (let channel = 0; channel < 3; channel++) {
          let sum = 0;
          for (let v = 0; v < factor; v++) {
            for (let u = 0; u < factor; u++) sum += data[4 * ((y * factor + v) * side * factor + x * factor + u) + channel];
          }
          small.data[4 * (y * side + x) + channel] = Math.round(sum / factor ** 2);
        }
        small.data[4 * (y * side + x) + 3] = 255;
      }
    }
    context.putImageData(small, 0, 0);
    return canvas;
  }

  fill() {
    this.context.fillStyle = "#ffffff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  remember() {
    this.past.push(this.context.getImageData(0, 0, this.canvas.width, this.canvas.height));
    if (this.past.length > STEPS) this.past.shift();
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.context.putImageData(before, 0, 0);
    this.onDraw();
  }

  clear() {
    this.remember();
    this.fill();
    this.onDraw();
  }

  // Puts a picture file on the sheet, whole and on white. Raises what the browser does for a file that is none.
  async load(file) {
    const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const { width } = this.canvas;
    const scale = width / Math.max(image.width, image.height);
    const [w, h] = [image.width * scale, image.height * scale];
    this.remember();
    this.fill();
    this.context.imageSmoothingEnabled = image.width !== this.side || image.height !== this.side;
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(image, (width - w) / 2, (width - h) / 2, w, h);
    this.onDraw();
  }

  listen() {
    const { canvas, context } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const scale = canvas.width / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    const stroke = (event) => {
      Object.assign(context, { strokeStyle: this.colour, lineWidth: this.width * this.widen * this.unit, lineCap: "round", lineJoin: "round" });
      context.beginPath();
      context.moveTo(...this.last);
      this.last = place(event);
      context.lineTo(this.last[0] + 0.01, this.last[1]); // a line of no length is not drawn
      context.stroke();
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.remember();
      this.last = place(event);
      stroke(event); // a tap is a dot
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      for (const part of event.getCoalescedEvents?.() || [event]) stroke(part);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (this.last) this.onDraw();
        this.last = null;
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
