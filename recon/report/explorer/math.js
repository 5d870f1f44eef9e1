// ---- Matrices and directions: columns one after the other, as WebGL takes them ----------------------------------

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Unit vectors of a pose: yaw to the right of -Z, pitch upwards. */
function directions(yaw, pitch) {
  const sy = Math.sin(yaw), cy = Math.cos(yaw), sp = Math.sin(pitch), cp = Math.cos(pitch);
  return { right: [cy, 0, sy], up: [-sy * sp, cp, cy * sp], ahead: [sy * cp, sp, -cy * cp] };
}

function viewMatrix(eye, { right, up, ahead }) {
  const along = axis => -(axis[0] * eye[0] + axis[1] * eye[1] + axis[2] * eye[2]);
  const back = ahead.map(x => -x);
  return new Float32Array([
    right[0], up[0], back[0], 0, right[1], up[1], back[1], 0, right[2], up[2], back[2], 0,
    along(right), along(up), along(back), 1,
  ]);
}

function projectionMatrix(tangent, aspect, near, far) {
  const depth = near - far;
  return new Float32Array([
    1 / (tangent * aspect), 0, 0, 0, 0, 1 / tangent, 0, 0,
    0, 0, (far + near) / depth, -1, 0, 0, 2 * far * near / depth, 0,
  ]);
}

function product(a, b) {
  const result = new Float32Array(16);
  for (let column = 0; column < 4; column++)
    for (let row = 0; row < 4; row++)
      for (let k = 0; k < 4; k++) result[4 * column + row] += a[4 * k + row] * b[4 * column + k];
  return result;
}

/** Half the field of view, as a tangent: the photo's height, or more where the window is narrow. */
function tangentOf(fov, aspect) {
  const photo = Math.tan(fov / 2);
  const wide = aspect < 1 ? Math.min(Math.max(photo, 0.5 / aspect), Math.max(photo, 1)) : photo;
  return clamp(wide, 0.3, 1.2);
}

/** The equal angle nearest to `from`, so that turns take the short way round. */
const nearAngle = (angle, from) => angle + 2 * Math.PI * Math.round((from - angle) / (2 * Math.PI));
