// Shapes of voxels as their outer faces, drawn without a graphics card: a few thousand squares, far ones first.

// Of each direction that a face looks: its axis and sign, and the corners of the face in a unit cube, counter-clockwise
// seen from outside.
const SIDES = [
  { normal: [1, 0, 0], corners: [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]] },
  { normal: [-1, 0, 0], corners: [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]] },
  { normal: [0, 1, 0], corners: [[0, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 0]] },
  { normal: [0, -1, 0], corners: [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]] },
  { normal: [0, 0, 1], corners: [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]] },
  { normal: [0, 0, -1], corners: [[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]] },
];
const MATERIAL = [237, 184, 120]; // as ganzoo.media.shapes3d.COLOUR
const LIGHT = unit([-0.45, 0.75, 0.55]); // from the upper left, turns with the camera
const HALF_VIEW = 0.74; // of the grid's side, as there

// [{ at: [x, y, z], side }]: the faces between a voxel of at least the threshold and one below it.
export function facesOf({ size, values }, threshold) {
  const filled = (x, y, z) =>
    x >= 0 && y >= 0 && z >= 0 && x < size && y < size && z < size && values[(x * size + y) * size + z] >= threshold;
  const faces = [];
  for (let x = 0; x < size; x++) {
    for (let y = 0; y < size; y++) {
      for (let z = 0; z < size; z++) {
        if (!filled(x, y, z)) continue;
        for (const side of SIDES) {
          const [a, b, c] = side.normal;
          if (!filled(x + a, y + b, z + c)) faces.push({ at: [x, y, z], side });
        }
      }
    }
  }
  return faces;
}

export function drawFaces(canvas, faces, size, { azimuth, elevation }) {
  const context = canvas.getContext("2d");
  const { right, up, towards } = camera(azimuth, elevation);
  const scale = canvas.width / (2 * HALF_VIEW * size);
  const middle = [size / 2, size / 2, size / 2];
  const across = dot(middle, right);
  const upward = dot(middle, up);
  // In the camera's own directions, so that the lamp stays at its upper left.
  const lamp = right.map((_, i) => LIGHT[0] * right[i] + LIGHT[1] * up[i] + LIGHT[2] * towards[i]);
  const reach = 0.87 * size;
  context.fillStyle = "#fafafa";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.lineWidth = 0.8; // closes the seams between neighbours
  const seen = faces.filter(({ side }) => dot(side.normal, towards) > 0);
  const depths = new Map(seen.map((face) => [face, dot(centre(face), towards)]));
  seen.sort((a, b) => depths.get(a) - depths.get(b));
  for (const face of seen) {
    const near = (depths.get(face) - dot(middle, towards)) / reach; // -1 far to 1 near
    const light = 0.5 + 0.42 * Math.max(0, dot(face.side.normal, lamp)) + 0.09 * near;
    context.fillStyle = context.strokeStyle = `rgb(${MATERIAL.map((part) => Math.round(Math.min(255, part * light * 1.1))).join()})`;
    context.beginPath();
    for (const corner of face.side.corners) {
      const point = corner.map((part, i) => part + face.at[i]);
      context.lineTo(canvas.width / 2 + scale * (dot(point, right) - across), canvas.height / 2 - scale * (dot(point, up) - upward));
    }
    context.closePath();
    context.fill();
    context.stroke();
  }
}

function centre({ at, side }) {
  return at.map((part, i) => part + 0.5 + side.normal[i] / 2);
}

function camera(azimuth, elevation) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  const towards = [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)];
  const right = [Math.cos(a), 0, -Math.sin(a)];
  const up = [
    towards[1] * right[2] - towards[2] * right[1],
    towards[2] * right[0] - towards[0] * right[2],
    towards[0] * right[1] - towards[1] * right[0],
  ];
  return { right, up, towards };
}

function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function unit(vector) {
  return vector.map((part) => part / Math.hypot(...vector));
}
