// A mesh as GLB, the binary form of glTF 2.0: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
// One mesh of squares, two triangles each; the shape stands on the ground, one unit wide, y is up.
const FLOAT = 5126;
const UNSIGNED_INT = 5125;

// The bytes of the file for the faces of a grid of `size` voxels (voxels.js).
export function glb(faces, size) {
  const positions = new Float32Array(faces.length * 12);
  const normals = new Float32Array(faces.length * 12);
  const indices = new Uint32Array(faces.length * 6);
  faces.forEach(({ at, side }, face) => {
    side.corners.forEach((corner, i) => {
      const start = 12 * face + 3 * i;
      normals.set(side.normal, start);
      positions.set([
        (at[0] + corner[0]) / size - 0.5, (at[1] + corner[1]) / size, (at[2] + corner[2]) / size - 0.5,
      ], start);
    });
    indices.set([0, 1, 2, 0, 2, 3].map((corner) => 4 * face + corner), 6 * face);
  });
  const arrays = [positions, normals, indices];
  let offset = 0;
  const bufferViews = arrays.map((array, i) => {
    const view = { buffer: 0, byteOffset: offset, byteLength: array.byteLength, target: i < 2 ? 34962 : 34963 };
    offset += array.byteLength;
    return view;
  });
  const bounds = [0, 1, 2].map((axis) => positions.filter((_, i) => i % 3 === axis));
  const vertices = { componentType: FLOAT, count: faces.length * 4, type: "VEC3" };
  const document = {
    asset: { version: "2.0", generator: "ganzoo" },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [{ primitives: [{ attributes: { POSITION: 0, NORMAL: 1 }, indices: 2, material: 0 }] }],
    materials: [{ pbrMetallicRoughness: { baseColorFactor: [0.85, 0.48, 0.19, 1], metallicFactor: 0, roughnessFactor: 0.8 } }],
    accessors: [
      { bufferView: 0, ...vertices, min: bounds.map((part) => part.reduce((a, b) => Math.min(a, b))), max: bounds.map((part) => part.reduce((a, b) => Math.max(a, b))) },
      { bufferView: 1, ...vertices },
      { bufferView: 2, componentType: UNSIGNED_INT, count: indices.length, type: "SCALAR" },
    ],
    bufferViews,
    buffers: [{ byteLength: offset }],
  };
  const text = new TextEncoder().encode(JSON.stringify(document));
  const json = new Uint8Array(Math.ceil(text.length / 4) * 4).fill(0x20); // chunks end on four bytes, JSON with spaces
  json.set(text);
  const file = new Uint8Array(12 + 8 + json.length + 8 + offset);
  const view = new DataView(file.buffer);
  [0x46546c67, 2, file.length, json.length, 0x4e4f534a].forEach((word, i) => view.setUint32(4 * i, word, true));
  file.set(json, 20);
  view.setUint32(20 + json.length, offset, true);
  view.setUint32(24 + json.length, 0x004e4942, true);
  arrays.forEach((array, i) => {
    file.set(new Uint8Array(array.buffer), 28 + json.length + bufferViews[i].byteOffset);
  });
  return file;
}
