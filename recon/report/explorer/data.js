// ---- Data: everything lies in this file, as base64 of gzipped arrays --------------------------------------------

const info = JSON.parse(document.getElementById("scenes").textContent);
const ARRAYS = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array,
};

function bytesOf(base64) {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The buffer of hypothesis k. Its text leaves the page, which then needs half the memory. */
async function unpacked(k) {
  const element = document.getElementById("scene-" + k);
  const stream = new Blob([bytesOf(element.textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  element.textContent = "";
  return new Response(stream).arrayBuffer();
}

/** Hypothesis k with its arrays, such as `arrays["mesh.position"]`. */
async function loaded(k) {
  const header = info.hypotheses[k], buffer = await unpacked(k), arrays = {};
  for (const [name, part] of Object.entries(header.sections))
    arrays[name] = new ARRAYS[part.type](buffer, part.offset, part.length);
  const image = async name => arrays[name] ? decoded(arrays[name]) : null;
  const [texture, sky] = await Promise.all([image("mesh.texture"), image("sky")]);
  return { header, arrays, texture, sky };
}

/** A picture with its colors as they are stored, whatever its alpha. */
const decoded = bytes =>
  createImageBitmap(new Blob([bytes], { type: "image/webp" }), { premultiplyAlpha: "none", colorSpaceConversion: "none" });

/** Whole numbers from the differences in which they are stored. */
function summed(differences) {
  const values = new Uint32Array(differences.length);
  for (let i = 0, sum = 0; i < values.length; i++) values[i] = sum += differences[i];
  return values;
}
