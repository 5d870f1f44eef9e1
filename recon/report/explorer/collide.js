// ---- Collision: an upright capsule against voxels ---------------------------------------------------------------

/** Voxels of a hypothesis; what lies outside their box is empty. */
function voxels({ origin, cell, shape }, bits) {
  const [nx, ny, nz] = shape;
  function solid(i, j, k) {
    if (i < 0 || j < 0 || k < 0 || i >= nx || j >= ny || k >= nz) return false;
    const index = (i * ny + j) * nz + k;
    return (bits[index >> 3] >> (index & 7) & 1) === 1;
  }
  return { origin, cell, shape, solid };
}

/** Numbers of the cells from low to high along an axis. */
const cellRange = ({ origin, cell }, axis, low, high) =>
  [Math.floor((low - origin[axis]) / cell), Math.floor((high - origin[axis]) / cell)];

/**
 * Deepest contact of a capsule whose axis stands at (x, z) from `bottom` to `top`: {depth, push: [x, z]}, or null.
 * The nearest point of a cell to an upright axis follows from each coordinate by itself, so this is exact.
 */
function contact(grid, x, z, bottom, top, radius) {
  const [i0, i1] = cellRange(grid, 0, x - radius, x + radius), [k0, k1] = cellRange(grid, 2, z - radius, z + radius);
  const [j0, j1] = cellRange(grid, 1, bottom - radius, top + radius);
  const gap = (value, axis, index) => {
    const low = grid.origin[axis] + index * grid.cell;
    return value - clamp(value, low, low + grid.cell);
  };
  let deepest = null;
  for (let i = i0; i <= i1; i++) for (let k = k0; k <= k1; k++) {
    const dx = gap(x, 0, i), dz = gap(z, 2, k), flat = dx * dx + dz * dz;
    if (flat >= radius * radius) continue;
    for (let j = j0; j <= j1; j++) {
      if (!grid.solid(i, j, k)) continue;
      const low = grid.origin[1] + j * grid.cell;
      const dy = Math.max(low - top, bottom - low - grid.cell, 0);
      const reach = radius * radius - dy * dy;
      if (flat >= reach) continue;
      const depth = Math.sqrt(reach) - Math.sqrt(flat);
      if (!deepest || depth > deepest.depth) deepest = { depth, push: flat > 0 ? [dx, dz].map(d => d / Math.sqrt(flat)) : null };
    }
  }
  return deepest;
}

/** The capsule of a body whose feet stand at height `feet`; its legs, up to the height of a step, touch no walls. */
function capsule(body, feet) {
  const bottom = feet + body.step + body.radius;
  return { bottom, top: Math.max(bottom, feet + body.height - body.radius) };
}

function stands(grid, body, x, feet, z) {
  const { bottom, top } = capsule(body, feet);
  return !contact(grid, x, z, bottom, top, body.radius);
}

/** The place pushed out of walls sideways, or null where that fails. */
function pushedOut(grid, body, x, feet, z) {
  const { bottom, top } = capsule(body, feet);
  for (let round = 0; round < 6; round++) {
    const hit = contact(grid, x, z, bottom, top, body.radius);
    if (!hit) return [x, z];
    if (!hit.push) return null;
    x += hit.push[0] * (hit.depth + 1e-4);
    z += hit.push[1] * (hit.depth + 1e-4);
  }
  return null;
}

/** Height of the floor under a body: the highest solid top under its soles up to `reach`; -Infinity over nothing. */
function floorUnder(grid, body, x, z, reach) {
  const sole = 0.7 * body.radius, [i0, i1] = cellRange(grid, 0, x - sole, x + sole);
  const [k0, k1] = cellRange(grid, 2, z - sole, z + sole);
  const start = Math.min(Math.floor((reach - grid.origin[1]) / grid.cell + 1e-6) - 1, grid.shape[1] - 1);
  let best = -1;
  for (let i = i0; i <= i1; i++) for (let k = k0; k <= k1; k++)
    for (let j = start; j > best; j--) if (grid.solid(i, j, k)) { best = j; break; }
  return best < 0 ? -Infinity : grid.origin[1] + (best + 1) * grid.cell;
}
