// Which crops a hole of a picture is filled in, as ganzoo.base.filling does: from the rim inwards.
import { newCanvas } from "./picture.js";

// The canvas whose pixels are filled where `mask` (a canvas) is white. `network` takes two canvases of `size` and gives one;
// `hole`: side of the square in the middle of a crop that it fills at once.
export async function fillHoles(photo, mask, { size, hole, network }) {
  const [width, height] = [photo.width + size, photo.height + size]; // half a crop of mirror image on each side
  const given = pixels(photo);
  const white = pixels(mask);
  const left = new Uint8Array(width * height);
  for (let y = 0; y < photo.height; y++) {
    for (let x = 0; x < photo.width; x++) {
      left[(y + size / 2) * width + x + size / 2] = white[4 * (y * photo.width + x)] > 127 ? 1 : 0;
    }
  }
  means(given, white, photo.width, photo.height);
  const canvas = newCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const padded = context.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 4 * (mirrored(y - size / 2, photo.height) * photo.width + mirrored(x - size / 2, photo.width));
      padded.data.set(given.subarray(from, from + 4), 4 * (y * width + x));
    }
  }
  context.putImageData(padded, 0, 0);
  while (left.includes(1)) {
    const [y, x] = next(left, width, height, size, hole);
    const edge = (size - hole) / 2;
    const crop = cut(canvas, x, y, size);
    const wanted = newCanvas(size);
    const marks = wanted.getContext("2d").createImageData(size, size);
    for (let v = 0; v < size; v++) {
      for (let u = 0; u < size; u++) {
        const inside = v >= edge && v < edge + hole && u >= edge && u < edge + hole;
        const here = inside && left[(y + v) * width + x + u];
        marks.data.set(here ? [255, 255, 255, 255] : [0, 0, 0, 255], 4 * (v * size + u));
        if (here) left[(y + v) * width + x + u] = 0;
      }
    }
    wanted.getContext("2d").putImageData(marks, 0, 0);
    context.drawImage(await network(crop, wanted), x, y);
  }
  // What is not painted stays as it was.
  const result = newCanvas(photo.width, photo.height);
  result.getContext("2d").drawImage(canvas, -size / 2, -size / 2);
  const made = result.getContext("2d").getImageData(0, 0, photo.width, photo.height);
  const before = pixels(photo);
  for (let i = 0; i < white.length; i += 4) if (white[i] <= 127) made.data.set(before.subarray(i, i + 4), i);
  result.getContext("2d").putImageData(made, 0, 0);
  return result;
}

function pixels(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
}

function mirrored(place, side) {
  return place < 0 ? -place - 1 : place >= side ? 2 * side - 1 - place : place;
}

function cut(canvas, x, y, size) {
  const crop = newCanvas(size);
  crop.getContext("2d").drawImage(canvas, -x, -y);
  return crop;
}

// Sets masked pixels to the mean of the known ones in the smallest square of 2, 4, 8, ... pixels that has such.
function means(data, white, width, height) {
  const levels = [{ width, height, sums: new Float64Array(3 * width * height), counts: new Float64Array(width * height) }];
  for (let i = 0; i < width * height; i++) {
    if (white[4 * i] > 127) continue;
    levels[0].counts[i] = 1;
    for (let c = 0; c < 3; c++) levels[0].sums[3 * i + c] = data[4 * i + c];
  }
  while (levels.at(-1).width > 1 || levels.at(-1).height > 1) {
    const fine = levels.at(-1);
    const [w, h] = [Math.ceil(fine.width / 2), Math.ceil(fine.height / 2)];
    const coarse = { width: w, height: h, sums: new Float64Array(3 * w * h), counts: new Float64Array(w * h) };
    for (let i = 0; i < fine.width * fine.height; i++) {
      const j = (Math.floor(i / fine.width) >> 1) * w + ((i % fine.width) >> 1);
      coarse.counts[j] += fine.counts[i];
      for (let c = 0; c < 3; c++) coarse.sums[3 * j + c] += fine.sums[3 * i + c];
    }
    levels.push(coarse);
  }
  for (let i = 0; i < width * height; i++) {
    let [x, y] = [i % width, Math.floor(i / width)];
    const found = levels.find((level, k) => (([x, y] = k ? [x >> 1, y >> 1] : [x, y]), level.counts[y * level.width + x]));
    const j = y * found.width + x;
    for (let c = 0; c < 3; c++) data[4 * i + c] = Math.round(found.sums[3 * j + c] / found.counts[j]);
  }
}

// Row and column of the next crop: of those that fill a quarter of the square (or what is left) the one with least unknown.
function next(left, width, height, size, hole) {
  const sums = new Int32Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y++) {
    for (let x = 0, row = 0; x < width; x++) {
      row += left[y * width + x];
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  const count = (y, x, side) => {
    const at = (v, u) => sums[v * (width + 1) + u];
    return at(y + side, x + side) - at(y, x + side) - at(y + side, x) + at(y, x);
  };
  const edge = (size - hole) / 2;
  let most = 0;
  const each = (visit) => {
    for (let y = 0; y <= height - size; y++) for (let x = 0; x <= width - size; x++) visit(y, x, count(y + edge, x + edge, hole));
  };
  each((y, x, inside) => (most = Math.max(most, inside)));
  const enough = Math.min(most, Math.floor((hole * hole) / 4));
  let best = null;
  each((y, x, inside) => {
    if (inside < enough) return;
    const cost = (count(y, x, size) - inside) * size * size - inside;
    if (!best || cost < best.cost) best = { y, x, cost };
  });
  let [top, bottom, first, last] = [Infinity, -1, Infinity, -1];
  for (let v = best.y + edge; v < best.y + edge + hole; v++) {
    for (let u = best.x + edge; u < best.x + edge + hole; u++) {
      if (!left[v * width + u]) continue;
      [top, bottom, first, last] = [Math.min(top, v), Math.max(bottom, v), Math.min(first, u), Math.max(last, u)];
    }
  }
  const middle = (a, b) => Math.floor((a + b + 1) / 2) - size / 2;
  const within = (place, side) => Math.max(0, Math.min(place, side - size));
  return [within(middle(top, bottom), height), within(middle(first, last), width)];
}
