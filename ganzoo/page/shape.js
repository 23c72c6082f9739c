// Models that make a shape of a seed: turn it, keep it as a picture or as a mesh.
import { glb } from "./glb.js";
import { button, element, latest, slider } from "./parts.js";
import { download, downloadPng } from "./picture.js";
import { drawFaces, facesOf } from "./voxels.js";

export function shapeView({ model, backend, page }) {
  const state = { seed: 0, threshold: 0.5, azimuth: 35, elevation: 25 };
  const last = backend.seedCount(model) - 1;
  const canvas = element("canvas", { class: "output turn", width: 720, height: 720, tabIndex: 0, role: "img" });
  canvas.ariaLabel = "Shape. Drag it, or press the arrow keys, to turn it.";
  let grid = null;
  let faces = null;
  let turning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let frame = 0;

  const paint = () => faces && drawFaces(canvas, faces, grid.size, state);
  const rebuild = () => {
    faces = grid && facesOf(grid, state.threshold);
    paint();
  };
  const load = latest(async () => {
    grid = await backend.voxels(model, state);
    rebuild();
  }, page);
  const turn = (right, up) => {
    turning = false;
    state.azimuth += right;
    state.elevation = Math.max(-85, Math.min(85, state.elevation + up));
    paint();
  };
  let before = 0;
  const spin = (now) => { // until somebody takes hold of it
    if (!turning) return;
    state.azimuth += Math.min(now - before, 100) * 0.02;
    before = now;
    paint();
    frame = requestAnimationFrame(spin);
  };

  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = [event.clientX, event.clientY];
    turn(0, 0);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    turn((held[0] - event.clientX) * 0.5, (event.clientY - held[1]) * 0.5);
    held = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
  const keys = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    turn(...keys[event.key]);
  });

  const setSeed = (value) => { state.seed = value; load(); };
  const seed = slider({ label: "Seed", min: 0, max: last, value: 0, exact: backend.seedLimit ? last : true, onInput: setSeed });
  const threshold = slider({
    label: "Threshold", min: 0.1, max: 0.9, step: 0.05, value: 0.5, show: (value) => value.toFixed(2),
    hint: "Voxels at least this probable are filled.", onInput: (value) => { state.threshold = value; rebuild(); },
  });
  const saveMesh = () => {
    if (!faces?.length) return page.fail(new Error("There is no voxel above the threshold, so there is no mesh."));
    download(new Blob([glb(faces, grid.size)], { type: "model/gltf-binary" }), `${model.name}-${state.seed}.glb`);
  };
  load();
  frame = requestAnimationFrame((now) => { before = now; spin(now); });
  return {
    stage: [canvas, element("p", { class: "hint", textContent: "Drag to turn." })],
    controls: [
      seed.node,
      threshold.node,
      element("div", { class: "buttons" },
        button("Another", () => { const next = Math.floor(Math.random() * (last + 1)); seed.set(next); setSeed(next); }, { class: "main" }),
        button("Save GLB", saveMesh),
        button("Save PNG", () => downloadPng(canvas, `${model.name}-${state.seed}`))),
    ],
    close: () => { turning = false; cancelAnimationFrame(frame); },
  };
}
