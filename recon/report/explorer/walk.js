// ---- Motion: on foot with gravity, or flying --------------------------------------------------------------------

const METRE = 1 / info.metres, GRAVITY = 9.81 * METRE;
const SPEED = { walk: 1.5 * METRE, fly: 2.2 * METRE, run: 2.2 };
const body = { ...info.body, eyes: 0.93 * info.body.height };
/** Where the visitor is. `feet` is meant on foot; the eyes follow it softly. */
const me = { at: [0, 0, 0], yaw: 0, pitch: 0, feet: 0, fall: 0, flying: false };
let grid = null;

/** Back to the photo's place: on foot where a floor is known below it, else in the air. */
function startAgain() {
  const { at, yaw, pitch } = info.start;
  Object.assign(me, { at: [...at], yaw, pitch, fall: 0 });
  const place = standingPlace(at, 2);
  if (!place) return fly("No floor is known below the photo: flying. Press F to walk.");
  me.flying = false;
  [me.at[0], me.feet, me.at[2]] = place;
  // Eyes stay at the camera's height where that is a person's; so the first picture is the photo.
  body.eyes = clamp(at[1] - me.feet, 0.45 * body.height, 0.97 * body.height);
  movesChanged();
  redraw();
}

/** The nearest place to stand, looked for in growing circles around a point at eye level; null where there is none. */
function standingPlace([x, y, z], rings = 12) {
  for (let ring = 0; ring < rings; ring++)
    for (let spoke = 0; spoke < (ring ? 12 : 1); spoke++) {
      const angle = spoke * Math.PI / 6, away = 0.2 * METRE * ring;
      const u = x + away * Math.sin(angle), v = z - away * Math.cos(angle);
      const floor = floorUnder(grid, body, u, v, y - 0.2 * METRE);
      if (floor > -Infinity && y - floor < 6 * METRE && stands(grid, body, u, floor, v)) return [u, floor, v];
    }
  return null;
}

function fly(reason) {
  me.flying = true;
  me.fall = 0;
  if (reason) say(reason);
  movesChanged();
  redraw();
}

/** From the air to the floor below, if there is one. */
function land() {
  const place = standingPlace(me.at);
  if (!place) return say("There is no known floor below: still flying.");
  me.flying = false;
  [me.at[0], me.feet, me.at[2]] = place;
  me.fall = 0;
  movesChanged();
  redraw();
}

/** After a change of hypothesis: the same place, unless a wall stands there now. */
function settle() {
  if (me.flying) return;
  const place = standingPlace([me.at[0], Math.max(me.at[1], me.feet + 0.5 * body.height), me.at[2]]);
  if (!place) return fly("In this hypothesis there is no room to stand here: flying.");
  [me.at[0], me.feet, me.at[2]] = place;
}

/** One step of `seconds` with wishes {along, aside, rise} in -1 to 1. Returns whether anything moved. */
function move(wish, seconds, running) {
  const before = [...me.at, me.feet].join();
  const speed = (me.flying ? SPEED.fly : SPEED.walk) * (running ? SPEED.run : 1) * seconds;
  const { right, ahead } = directions(me.yaw, me.flying ? me.pitch : 0);
  const way = [0, 1, 2].map(axis => (ahead[axis] * wish.along + right[axis] * wish.aside) * speed);
  if (me.flying) {
    way[1] += wish.rise * speed;
    me.at = me.at.map((value, axis) => value + way[axis]);
  } else {
    walk(way[0], way[2]);
    sink(seconds);
    const goal = me.feet + body.eyes, softly = 1 - Math.exp(-12 * seconds);
    me.at[1] = Math.abs(goal - me.at[1]) < 1e-3 * METRE ? goal : me.at[1] + (goal - me.at[1]) * softly;
  }
  return before !== [...me.at, me.feet].join();
}

/** Walk by (dx, dz) in steps too short to pass through anything. */
function walk(dx, dz) {
  const steps = Math.ceil(Math.hypot(dx, dz) / Math.min(grid.cell, body.radius / 2));
  for (let i = 0; i < steps; i++) {
    const u = dx / steps, v = dz / steps;
    // Along walls and edges one slides: the step as a whole, else along one axis.
    if (!stepTo(me.at[0] + u, me.at[2] + v) && !stepTo(me.at[0] + u, me.at[2]) && !stepTo(me.at[0], me.at[2] + v)) return;
  }
}

/** Stand at (x, z), pushed out of walls and up by at most a step; false where one cannot. */
function stepTo(x, z) {
  const free = pushedOut(grid, body, x, me.feet, z);
  if (!free) return false;
  const floor = floorUnder(grid, body, ...free, me.feet + body.step);
  if (floor === -Infinity) {
    if (floorUnder(grid, body, me.at[0], me.at[2], me.feet + body.step) > -Infinity)
      say("Nothing is known of the ground beyond. Press F to fly.");
    return false;
  }
  if (floor > me.feet && !stands(grid, body, free[0], floor, free[1])) return false;
  [me.at[0], me.at[2]] = free;
  if (floor > me.feet) me.feet = floor;
  return true;
}

/** Gravity: never below the floor. */
function sink(seconds) {
  const floor = floorUnder(grid, body, me.at[0], me.at[2], me.feet + body.step);
  if (floor === -Infinity) return;
  me.fall = me.feet > floor ? me.fall + GRAVITY * seconds : 0;
  me.feet = Math.max(floor, me.feet - me.fall * seconds);
}

function turn(right, up) {
  me.yaw += right;
  me.pitch = clamp(me.pitch + up, -1.55, 1.55);
  redraw();
}
