// Pictures as canvases: from PNG and pixels, and as files to keep.

export function newCanvas(width, height = width) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

export async function canvasOfPng(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  // "none": the pixels as the model made them, whatever the display.
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  const canvas = newCanvas(image.width, image.height);
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
}

// A canvas of floats in [-1, 1], rows of pixels of 1 or 3 channels: rounded as ganzoo.base.rows.to_uint8 does.
export function canvasOfFloats(values, width, height, channels) {
  const canvas = newCanvas(width, height);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = values[pixel * channels + (channels === 1 ? 0 : channel)];
      picture.data[4 * pixel + channel] = Math.round((value + 1) * 127.5); // the array itself clamps to 0..255
    }
    picture.data[4 * pixel + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

// Floats in [-1, 1] of an opaque canvas; 1 channel takes the luma that Pillow does.
export function floatsOfCanvas(canvas, channels) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const values = new Float32Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [red, green, blue] = data.subarray(4 * pixel, 4 * pixel + 3);
    const shown = channels === 1 ? [(red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16] : [red, green, blue];
    shown.forEach((value, channel) => (values[pixel * channels + channel] = value / 127.5 - 1));
  }
  return values;
}

// Shows `picture` in the canvas `shown`, in the picture's own resolution: CSS scales it.
export function show(shown, picture) {
  shown.width = picture.width;
  shown.height = picture.height;
  shown.getContext("2d").drawImage(picture, 0, 0);
}

export function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function downloadPng(canvas, name) {
  canvas.toBlob((blob) => download(blob, `${name}.png`), "image/png");
}
