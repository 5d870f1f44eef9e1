// ---- Drawing: backdrop, surfaces, splats ------------------------------------------------------------------------

const canvas = document.getElementById("view");
const gl = canvas.getContext("webgl2", { antialias: true, alpha: false, powerPreference: "high-performance" });
/** What is shown; the panel changes it. */
const shown = { paint: 0, layers: [true, true, true], surface: true, splats: false, fog: true };
/** Optical depth of fog per metre. */
const FOG = 0.9;
const UNIT = { image: 0, ramp: 1, fog: 2, sky: 3, records: 4, scales: 5 };
let programs = null, plain = null;

function shader(kind, source) {
  const made = gl.createShader(kind);
  gl.shaderSource(made, source);
  gl.compileShader(made);
  if (!gl.getShaderParameter(made, gl.COMPILE_STATUS) && !gl.isContextLost()) throw Error(gl.getShaderInfoLog(made));
  return made;
}

/** A program with the places of its uniforms by name. */
function program(vertex, fragment) {
  const made = gl.createProgram(), at = {};
  gl.attachShader(made, shader(gl.VERTEX_SHADER, vertex));
  gl.attachShader(made, shader(gl.FRAGMENT_SHADER, fragment));
  ["position", "color", "origin", "uv"].forEach((name, place) => gl.bindAttribLocation(made, place, name));
  gl.bindAttribLocation(made, 0, "index");
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) throw Error(gl.getProgramInfoLog(made));
  for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); i++) {
    const name = gl.getActiveUniform(made, i).name.replace("[0]", "");
    at[name] = gl.getUniformLocation(made, name);
  }
  gl.useProgram(made);
  for (const [name, unit] of Object.entries({ ...UNIT, fogCells: UNIT.fog })) if (at[name]) gl.uniform1i(at[name], unit);
  return { made, at };
}

function prepare() {
  programs = {
    back: program(BACK_VERTEX, BACK_FRAGMENT),
    mesh: program(MESH_VERTEX, MESH_FRAGMENT),
    splats: program(SPLAT_VERTEX, SPLAT_FRAGMENT),
  };
  const ramp = new Uint8Array(info.uncertainty.ramp.flat());
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  plain = {
    ramp: texture(gl.TEXTURE_2D, [gl.RGB8, ramp.length / 3, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, ramp]),
    white: texture(gl.TEXTURE_2D, [gl.RGB8, 1, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, new Uint8Array([255, 255, 255])]),
    clear: texture(gl.TEXTURE_3D, [gl.R8, 1, 1, 1, 0, gl.RED, gl.UNSIGNED_BYTE, new Uint8Array([0])]),
    nothing: gl.createVertexArray(),
  };
}

function texture(target, contents, filter = gl.LINEAR) {
  const made = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(target, made);
  if (target === gl.TEXTURE_3D) gl.texImage3D(target, 0, ...contents);
  else gl.texImage2D(target, 0, ...contents);
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R])
    if (side !== gl.TEXTURE_WRAP_R || target === gl.TEXTURE_3D) gl.texParameteri(target, side, gl.CLAMP_TO_EDGE);
  gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, filter);
  gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, filter);
  return made;
}

function pictureTexture(bitmap, sharpened) {
  if (!bitmap) return null;
  const made = texture(gl.TEXTURE_2D, [gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, bitmap]);
  if (sharpened) {
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  }
  return made;
}

function buffer(data, target = gl.ARRAY_BUFFER) {
  const made = gl.createBuffer();
  gl.bindBuffer(target, made);
  gl.bufferData(target, data, gl.STATIC_DRAW);
  return made;
}

function attribute(place, data, width, kind, whole) {
  buffer(data);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, width, kind, whole, 0, 0);
}

/** Everything of a loaded hypothesis that lies on the graphics card. */
function uploaded({ header, arrays, texture: bitmap, sky }) {
  const vertices = gl.createVertexArray(), indices = summed(arrays["mesh.index"]);
  gl.bindVertexArray(vertices);
  attribute(0, arrays["mesh.position"], 3, gl.UNSIGNED_SHORT, true);
  attribute(1, arrays["mesh.color"], 4, gl.UNSIGNED_BYTE, true);
  attribute(2, arrays["mesh.provenance"], 1, gl.UNSIGNED_BYTE, false);
  if (header.mesh.textured) attribute(3, arrays["mesh.uv"], 2, gl.UNSIGNED_SHORT, true);
  buffer(indices, gl.ELEMENT_ARRAY_BUFFER);
  gl.bindVertexArray(null);
  return {
    header, vertices, count: indices.length,
    image: pictureTexture(bitmap, true), sky: pictureTexture(sky, false), fog: fogTexture(header.collider, arrays.fog),
    splats: header.splats ? uploadedSplats(header.splats, arrays.splats) : null,
  };
}

function fogTexture({ fog }, bits) {
  if (!fog) return null;
  const cells = new Uint8Array(fog.shape[0] * fog.shape[1] * fog.shape[2]);
  for (let i = 0; i < cells.length; i++) cells[i] = bits[i >> 3] >> (i & 7) & 1 ? 255 : 0;
  const [x, y, z] = fog.shape;
  return texture(gl.TEXTURE_3D, [gl.R8, z, y, x, 0, gl.RED, gl.UNSIGNED_BYTE, cells]);
}

function rgbOf(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1);
  return [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16) / 255);
}

function bind(unit, target, made) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(target, made);
}

/** Uniforms that all programs share. */
function common({ made, at }, place, eye) {
  const { fog, cell, origin } = { ...place.header.collider };
  gl.useProgram(made);
  gl.uniform3fv(at.eye, eye);
  gl.uniform1i(at.paint, shown.paint);
  gl.uniform3fv(at.origins, [0, 1, 2].flatMap(i => rgbOf("--origin-" + i)));
  gl.uniform3fv(at.fogColor, rgbOf("--fog"));
  gl.uniform3fv(at.fogLow, origin);
  gl.uniform3fv(at.fogSize, (fog ? fog.shape : [1, 1, 1]).map(n => n * (fog ? fog.cell : cell)));
  gl.uniform1f(at.fogDensity, fog && shown.fog ? FOG * info.metres : 0);
  if (at.layers) gl.uniform3iv(at.layers, shown.layers.map(Number));
}

/** One picture of a hypothesis from `pose` {at, yaw, pitch}. */
function draw(place, pose) {
  const aspect = canvas.width / canvas.height, tangent = tangentOf(info.fov, aspect);
  const axes = directions(pose.yaw, pose.pitch), view = viewMatrix(pose.at, axes);
  const near = 0.04 / info.metres, projection = projectionMatrix(tangent, aspect, near, near * 1e5);
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clear(gl.DEPTH_BUFFER_BIT);
  bind(UNIT.ramp, gl.TEXTURE_2D, plain.ramp);
  bind(UNIT.fog, gl.TEXTURE_3D, place.fog || plain.clear);
  drawBack(place, pose.at, axes, tangent, aspect);
  if (shown.surface) drawMesh(place, pose.at, product(projection, view));
  if (shown.splats && place.splats) drawSplats(place, pose.at, axes.ahead, view, projection, tangent, aspect);
}

function drawBack(place, eye, { right, up, ahead }, tangent, aspect) {
  common(programs.back, place, eye);
  const { at } = programs.back;
  bind(UNIT.sky, gl.TEXTURE_2D, place.sky || plain.white);
  gl.uniform1i(at.hasSky, place.sky ? 1 : 0);
  gl.uniform3fv(at.right, right.map(x => x * tangent * aspect));
  gl.uniform3fv(at.up, up.map(x => x * tangent));
  gl.uniform3fv(at.ahead, ahead);
  gl.disable(gl.DEPTH_TEST);
  gl.disable(gl.CULL_FACE);
  gl.bindVertexArray(plain.nothing);
  gl.drawArrays(gl.TRIANGLES, 0, 3);
}

function drawMesh(place, eye, camera) {
  common(programs.mesh, place, eye);
  const { at } = programs.mesh, { low, size } = place.header.mesh;
  bind(UNIT.image, gl.TEXTURE_2D, place.image || plain.white);
  gl.uniformMatrix4fv(at.camera, false, camera);
  gl.uniform3fv(at.low, low);
  gl.uniform3fv(at.size, size);
  gl.enable(gl.DEPTH_TEST);
  // Fronts face the free space: from outside one looks into a room as into a doll's house.
  gl.enable(gl.CULL_FACE);
  // A little farther than it is, so that splats on the surface stand in front of it.
  gl.enable(gl.POLYGON_OFFSET_FILL);
  gl.polygonOffset(2, 8);
  gl.bindVertexArray(place.vertices);
  gl.drawElements(gl.TRIANGLES, place.count, gl.UNSIGNED_INT, 0);
  gl.disable(gl.POLYGON_OFFSET_FILL);
}

function drawSplats(place, eye, ahead, view, projection, tangent, aspect) {
  common(programs.splats, place, eye);
  const { at } = programs.splats, { low, size, log_scale } = place.header.splats, splats = place.splats;
  splats.sorter.ask(ahead);
  bind(UNIT.records, gl.TEXTURE_2D, splats.records);
  bind(UNIT.scales, gl.TEXTURE_2D, splats.scales);
  gl.uniformMatrix4fv(at.view, false, view);
  gl.uniformMatrix4fv(at.projection, false, projection);
  gl.uniform3fv(at.low, low);
  gl.uniform3fv(at.size, size);
  gl.uniform2fv(at.logScale, log_scale);
  gl.uniform2f(at.screen, canvas.width, canvas.height);
  gl.uniform2f(at.focal, canvas.width / (2 * tangent * aspect), canvas.height / (2 * tangent));
  gl.enable(gl.DEPTH_TEST);
  gl.depthMask(false);
  gl.disable(gl.CULL_FACE);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  gl.bindVertexArray(splats.vertices);
  gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, splats.sorter.sorted ? splats.count : 0);
  gl.disable(gl.BLEND);
  gl.depthMask(true);
}
