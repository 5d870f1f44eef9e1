/** Reading of the GLB files of a run: one mesh, its texture, and its uncertainty. */

const KINDS = { 5121: Uint8Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
const PARTS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };

export async function loadGlb(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error("The object cannot be read: load the page again.");
  const bytes = await answer.arrayBuffer(), header = new DataView(bytes);
  if (header.getUint32(0, true) !== 0x46546c67) throw new Error("The object is no GLB file.");
  const length = header.getUint32(12, true);
  const json = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 20, length)));
  return mesh(json, bytes, 28 + length);
}

async function mesh(json, bytes, start) {
  const [primitive] = json.meshes[0].primitives, own = primitive.attributes;
  const read = index => index === undefined ? null : values(json, bytes, start, index);
  const scene = json.scenes?.[0]?.extras, node = json.nodes?.[0]?.extras;
  return {
    positions: read(own.POSITION), normals: read(own.NORMAL), uv: read(own.TEXCOORD_0), colors: read(own.COLOR_0),
    uncertainty: read(own._UNCERTAINTY), top: (scene?.uncertainty_range ?? node?.uncertainty_range ?? [0, 1])[1],
    indices: new Uint32Array(read(primitive.indices)), image: await texture(json, bytes, start, primitive)
  };
}

function values(json, bytes, start, index) {
  const accessor = json.accessors[index], view = json.bufferViews[accessor.bufferView];
  const Kind = KINDS[accessor.componentType], parts = PARTS[accessor.type], size = Kind.BYTES_PER_ELEMENT;
  const stride = (view.byteStride ?? parts * size) / size, offset = start + (view.byteOffset ?? 0) + (accessor.byteOffset ?? 0);
  const whole = new Kind(bytes.slice(offset, offset + ((accessor.count - 1) * stride + parts) * size));
  if (stride === parts) return whole;
  const tight = new Kind(accessor.count * parts);
  for (let k = 0; k < accessor.count; k++) tight.set(whole.subarray(k * stride, k * stride + parts), k * parts);
  return tight;
}

async function texture(json, bytes, start, primitive) {
  const index = json.materials?.[primitive.material]?.pbrMetallicRoughness?.baseColorTexture?.index;
  if (index === undefined) return null;
  const image = json.images[json.textures[index].source], view = json.bufferViews[image.bufferView];
  const offset = start + (view.byteOffset ?? 0);
  return createImageBitmap(new Blob([bytes.slice(offset, offset + view.byteLength)], { type: image.mimeType }));
}
