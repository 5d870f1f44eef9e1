// ---- Shaders ----------------------------------------------------------------------------------------------------

/** Shared by all: the three ways to color a surface, and fog along the line of sight. */
const COMMON = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
uniform vec3 eye;
uniform int paint;               // 0 as photographed, 1 by origin, 2 by uncertainty
uniform vec3 origins[3];         // colors of: the photo shows it, implied, guessed
uniform sampler2D ramp;          // colors from certain to guessed
uniform sampler3D fogCells;      // 1 where nothing is known
uniform vec3 fogLow, fogSize, fogColor;
uniform float fogDensity;        // per world unit; 0 without fog

vec3 painted(vec3 color, float origin, float uncertainty) {
  float grey = dot(color, vec3(.3, .6, .1));
  vec3 tint = paint == 1 ? origins[int(origin + .5)] : texture(ramp, vec2(mix(.02, .98, uncertainty), .5)).rgb;
  // The photo's light stays visible under the tint, so that shapes can still be read.
  return paint == 0 ? color : mix(tint, vec3(grey), .15) * (.55 + .6 * grey);
}

/** Share of light from 'point' that fog lets through: Beer's law over even steps within the fog's box. */
float clearness(vec3 point, float shift) {
  if (fogDensity == 0.) return 1.;
  vec3 way = point - eye, safe = mix(way, vec3(1e-6), lessThan(abs(way), vec3(1e-6)));
  vec3 a = (fogLow - eye) / safe, b = (fogLow + fogSize - eye) / safe;
  vec3 first = min(a, b), last = max(a, b);
  float enter = max(max(max(first.x, first.y), first.z), 0.);
  float leave = min(min(min(last.x, last.y), last.z), 1.);
  if (enter >= leave) return 1.;
  const int STEPS = 20;
  float unknown = 0.;
  for (int i = 0; i < STEPS; i++) {
    float t = mix(enter, leave, (float(i) + shift) / float(STEPS));
    unknown += texture(fogCells, ((eye + way * t - fogLow) / fogSize).zyx).r;
  }
  return exp(-fogDensity * length(way) * (leave - enter) * unknown / float(STEPS));
}
`;

/** Shift of the steps from pixel to pixel, for fragment shaders: it hides them (Jimenez 2014). */
const DITHER = `
float dither() { return fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(.06711056, .00583715)))); }
`;

const MESH_VERTEX = COMMON + `
uniform mat4 camera;
uniform vec3 low, size;
in vec3 position;
in vec4 color;                   // red, green, blue, uncertainty
in float origin;
in vec2 uv;
out vec3 world, tone;
out vec2 place;
out float doubt;
flat out float kind;
void main() {
  world = low + position * size;
  tone = color.rgb; doubt = color.a; kind = origin; place = uv;
  gl_Position = camera * vec4(world, 1.);
}`;

const MESH_FRAGMENT = COMMON + DITHER + `
uniform sampler2D image;
uniform bvec3 layers;
in vec3 world, tone;
in vec2 place;
in float doubt;
flat in float kind;
out vec4 result;
void main() {
  if (!layers[int(kind + .5)]) discard;
  vec3 shown = painted(tone * texture(image, place).rgb, kind, doubt);
  result = vec4(mix(fogColor, shown, clearness(world, dither())), 1.);
}`;

const BACK_VERTEX = `#version 300 es
out vec2 at;
void main() {                    // one triangle over the whole picture
  at = vec2(gl_VertexID == 1 ? 3. : -1., gl_VertexID == 2 ? 3. : -1.);
  gl_Position = vec4(at, 1., 1.);
}`;

const BACK_FRAGMENT = COMMON + DITHER + `
uniform vec3 right, up, ahead;
uniform sampler2D sky;
uniform bool hasSky;
in vec2 at;
out vec4 result;
void main() {
  vec3 way = normalize(ahead + at.x * right + at.y * up);
  vec2 place = vec2(atan(way.x, -way.z) / 6.2831853 + .5, .5 - asin(clamp(way.y, -1., 1.)) / 3.1415927);
  vec4 seen = textureLod(sky, place, 0.);
  // Where no view shows sky, nothing is known of what lies behind.
  float known = hasSky ? (fogDensity == 0. ? 1. : seen.a) : 0.;
  vec3 behind = mix(fogColor * (1. + .05 * way.y), seen.rgb, known);
  result = vec4(mix(fogColor, behind, clearness(eye + way * 1e3, dither())), 1.);
}`;

/** Splats as instanced squares, projected as by Zwicker et al. (2001). */
const SPLAT_VERTEX = COMMON + `
precision highp usampler2D;
uniform mat4 view, projection;
uniform vec3 low, size;
uniform vec2 focal, screen, logScale;
uniform bvec3 layers;
uniform usampler2D records, scales;
in uint index;
out vec2 offset;
out vec4 shown;

vec4 byte4(uint word) { return vec4(word & 255u, (word >> 8) & 255u, (word >> 16) & 255u, word >> 24); }

mat3 turned(uint word) {
  ivec4 whole = ivec4(int(word << 24), int(word << 16), int(word << 8), int(word)) >> 24;   // with their signs
  vec4 q = normalize(vec4(whole));                                                            // w, x, y, z
  vec3 v = q.yzw;
  mat3 cross = mat3(0., v.z, -v.y, -v.z, 0., v.x, v.y, -v.x, 0.);
  return mat3(1.) + 2. * (q.x * cross + cross * cross);
}

void main() {
  ivec2 place = ivec2(int(index & 2047u), int(index >> 11));
  uvec4 record = texelFetch(records, place, 0);
  vec4 high = byte4(record.y), color = byte4(record.z) / 255.;
  vec3 center = low + size * vec3(record.x & 65535u, record.x >> 16, record.y & 65535u) / 65535.;
  vec4 seen = view * vec4(center, 1.);
  gl_Position = vec4(0., 0., 2., 1.);           // outside the picture unless it is placed below
  if (!layers[int(high.w)] || seen.z > -.02) return;
  vec3 scale = exp(mix(vec3(logScale.x), vec3(logScale.y), byte4(texelFetch(scales, place, 0).r).xyz / 255.));
  mat3 axes = mat3(view) * turned(record.w) * mat3(scale.x, 0., 0., 0., scale.y, 0., 0., 0., scale.z);
  float near = 1. / seen.z;
  mat3x2 slope = mat3x2(-focal.x * near, 0., 0., -focal.y * near, focal.x * seen.x * near * near, focal.y * seen.y * near * near);
  mat3x2 spread = slope * axes;
  mat2 form = spread * transpose(spread);       // covariance in pixels
  float a = form[0][0] + .3, b = form[0][1], d = form[1][1] + .3;
  float middle = .5 * (a + d), apart = length(vec2(.5 * (a - d), b));
  vec2 axis = abs(b) > 1e-6 ? normalize(vec2(b, middle + apart - a)) : a >= d ? vec2(1., 0.) : vec2(0., 1.);
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2. - 1.;
  offset = corner * 2.8;
  vec2 longest = axis * sqrt(middle + apart), shortest = vec2(-axis.y, axis.x) * sqrt(max(middle - apart, .1));
  vec4 clip = projection * seen;
  vec2 pixels = min(length(longest), 512.) * normalize(longest) * offset.x + shortest * offset.y;
  gl_Position = clip + vec4(2. * pixels / screen * clip.w, 0., 0.);
  float clear = clearness(center, .5);
  shown = vec4(mix(fogColor, painted(color.rgb, high.w, color.a), clear), high.z / 255.);
}`;

const SPLAT_FRAGMENT = `#version 300 es
precision highp float;
in vec2 offset;
in vec4 shown;
out vec4 result;
void main() {
  float alpha = shown.a * exp(-.5 * dot(offset, offset));
  if (alpha < 1. / 255.) discard;
  result = vec4(shown.rgb * alpha, alpha);
}`;
