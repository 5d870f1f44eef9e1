/** Two objects side by side by one camera, cut by one plane. WebGL 2. */

const VERTEX = `#version 300 es
layout(location = 0) in vec3 position; layout(location = 1) in vec3 normal; layout(location = 2) in vec2 uv;
layout(location = 3) in vec3 color; layout(location = 4) in float uncertainty;
uniform mat4 camera; uniform vec3 eye;
out vec3 place; out vec3 towards; out vec3 outwards; out vec2 at; out vec3 tint; out float guessed;
void main() {
  place = position; towards = eye - position; outwards = normal; at = uv; tint = color; guessed = uncertainty;
  gl_Position = camera * vec4(position, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec3 place; in vec3 towards; in vec3 outwards; in vec2 at; in vec3 tint; in float guessed;
uniform sampler2D image; uniform bool textured; uniform bool heat; uniform float top; uniform vec4 plane;
out vec4 shown;
vec3 ramp(float x) {
  vec3 steps[5] = vec3[5](vec3(.13, .35, .62), vec3(.48, .72, .82), vec3(.97, .94, .78), vec3(.95, .57, .27), vec3(.66, .07, .13));
  float k = clamp(x, 0.0, 1.0) * 4.0;
  return mix(steps[int(min(k, 3.0))], steps[int(min(k, 3.0)) + 1], k - min(floor(k), 3.0));
}
void main() {
  if (dot(place, plane.xyz) > plane.w) discard;
  if (!gl_FrontFacing) { shown = vec4(.78, .33, .44, 1.0); return; }
  vec3 base = heat ? ramp(guessed / top) : textured ? texture(image, at).rgb : pow(tint, vec3(1.0 / 2.2));
  float facing = abs(dot(normalize(outwards), normalize(towards)));
  shown = vec4(base * (.62 + .38 * facing), 1.0);
}`;

const FOV = 40 * Math.PI / 180, NEAR = .05, FAR = 20;

export class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: true, alpha: true, preserveDrawingBuffer: true });
    if (!this.gl) throw new Error("This browser shows no 3D: it lacks WebGL 2.");
    this.program = program(this.gl);
    this.objects = [null, null];
    this.azimuth = 30;
    this.elevation = 15;
    this.distance = 1.7;
    this.heat = false;
    this.plane = [1, 0, 0, 9];
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  set(slot, mesh) {
    this.objects[slot] = mesh && upload(this.gl, mesh);
    this.draw();
  }

  turn(right, up) {
    this.azimuth = (this.azimuth - right + 540) % 360 - 180;
    this.elevation = Math.min(Math.max(this.elevation + up, -89), 89);
    this.draw();
  }

  zoom(factor) {
    this.distance = Math.min(Math.max(this.distance * factor, .6), 6);
    this.draw();
  }

  /** Whether the two stand beside each other, rather than one above the other. */
  get beside() { return this.canvas.clientWidth >= this.canvas.clientHeight; }

  draw() {
    const { gl, canvas } = this, scale = Math.min(devicePixelRatio || 1, 2);
    [canvas.width, canvas.height] = [canvas.clientWidth * scale, canvas.clientHeight * scale].map(Math.round);
    if (!canvas.width || !canvas.height) return;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    const [width, height] = this.beside ? [canvas.width / 2, canvas.height] : [canvas.width, canvas.height / 2];
    for (const [slot, object] of this.objects.entries()) {
      if (!object) continue;
      const [x, y] = this.beside ? [slot * width, 0] : [0, (1 - slot) * height];
      gl.viewport(x, y, width, height);
      this.drawObject(object, width / height);
    }
  }

  drawObject(object, aspect) {
    const { gl } = this, place = name => gl.getUniformLocation(this.program, name), [camera, eye] = this.camera(aspect);
    gl.useProgram(this.program);
    gl.uniformMatrix4fv(place("camera"), false, camera);
    gl.uniform3fv(place("eye"), eye);
    gl.uniform4fv(place("plane"), this.plane);
    gl.uniform1i(place("textured"), object.texture ? 1 : 0);
    gl.uniform1i(place("heat"), this.heat && object.hasUncertainty ? 1 : 0);
    gl.uniform1f(place("top"), object.top);
    gl.bindTexture(gl.TEXTURE_2D, object.texture);
    gl.bindVertexArray(object.array);
    gl.drawElements(gl.TRIANGLES, object.count, gl.UNSIGNED_INT, 0);
  }

  /** Matrix of the camera, by columns, and its position: azimuth 0 stands on +Z and grows towards +X. */
  camera(aspect) {
    const [a, e] = [this.azimuth, this.elevation].map(angle => angle * Math.PI / 180);
    const back = [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)];
    const right = [Math.cos(a), 0, -Math.sin(a)], up = cross(back, right);
    const far = this.distance / Math.min(1, aspect), eye = back.map(value => value * far);
    const f = 1 / Math.tan(FOV / 2), depth = [(FAR + NEAR) / (NEAR - FAR), 2 * FAR * NEAR / (NEAR - FAR)];
    const column = k => [right[k] * f / aspect, up[k] * f, back[k] * depth[0], -back[k]];
    return [[...column(0), ...column(1), ...column(2), 0, 0, -far * depth[0] + depth[1], far], eye];
  }
}

const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

function program(gl) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  return made;
}

function upload(gl, mesh) {
  const array = gl.createVertexArray(), count = mesh.indices.length;
  gl.bindVertexArray(array);
  const given = [[mesh.positions, 3], [mesh.normals, 3], [mesh.uv, 2], [mesh.colors, 3], [mesh.uncertainty, 1]];
  for (const [place, [values, parts]] of given.entries()) {
    if (!values) { gl.disableVertexAttribArray(place); gl.vertexAttrib3f(place, .5, .5, .5); continue; }
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, parts, gl.FLOAT, false, 0, 0);
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.indices, gl.STATIC_DRAW);
  return { array, count, texture: mesh.image && texture(gl, mesh.image), hasUncertainty: !!mesh.uncertainty, top: mesh.top || 1 };
}

function texture(gl, image) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  return made;
}
