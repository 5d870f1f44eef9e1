// ---- The visit: one hypothesis at a time, drawn only when something changes -------------------------------------

const places = info.hypotheses.map(() => null);
let current = -1, wanted = 0, dirty = true, before = 0, sharpness = 1, slow = 0;

function redraw() { dirty = true; }

/** A hypothesis ready to draw; it is unpacked at its first visit. */
function placeOf(k) {
  if (!places[k])
    places[k] = loaded(k).then(data => ({ ...uploaded(data), grid: voxels(data.header.collider, data.arrays.solid) }));
  return places[k];
}

/** Go on in hypothesis k, at the same place. */
async function choose(k) {
  if (k < 0 || k >= places.length) return;
  wanted = k;
  press("hypotheses", place => place === k);
  const place = await placeOf(k);
  if (wanted !== k || current === k) return;
  const first = current < 0;
  current = k;
  shownPlace = place;
  grid = place.grid;
  if (first) startAgain(); else settle();
  movesChanged();
  if (!first) say(`Hypothesis ${info.hypotheses[k].name}`);
  redraw();
}
let shownPlace = null;

/** The canvas in the window's pixels; on slow machines fewer of them while something moves. */
function fit(moving) {
  const scale = Math.min(devicePixelRatio || 1, 2) * (moving ? sharpness : 1);
  const width = Math.max(1, Math.round(canvas.clientWidth * scale)), height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width === width && canvas.height === height) return;
  canvas.width = width;
  canvas.height = height;
  redraw();
}

function adapt(seconds, moving) {
  if (!moving) { slow = 0; return; }
  slow = 0.8 * slow + 0.2 * (seconds > 0.045 ? 1 : 0);
  if (slow > 0.5 && sharpness > 0.4) { sharpness = Math.max(0.4, sharpness * 0.7); slow = 0; }
}

function frame(now) {
  requestAnimationFrame(frame);
  const elapsed = (now - before) / 1000, seconds = Math.min(elapsed, 0.25);
  before = now;
  if (!shownPlace || document.hidden) return;
  const wish = wishes();
  pollGamepad(wish, seconds);
  const turning = (held.has("ArrowRight") ? 1 : 0) - (held.has("ArrowLeft") ? 1 : 0);
  if (turning) turn(turning * TURN_SPEED * seconds, 0);
  advanceTour(wish, seconds);
  if (tour.playing || move(wish, seconds, wish.running)) redraw();
  const moving = dirty && (turning !== 0 || drags.size > 0 || tour.playing || wish.along !== 0 || wish.aside !== 0);
  adapt(elapsed, moving);
  fit(moving);
  if (!dirty) return;
  dirty = moving && sharpness < 1;       // one more picture afterwards, at full sharpness
  draw(shownPlace, me);
  get("where").textContent = whereText();
}

function failed(text) {
  get("poster-text").textContent = text;
  for (const id of ["view", "bar", "panel", "head", "photo"]) get(id).hidden = true;
  get("poster").hidden = false;
  document.body.dataset.failed = "true";
}

async function begin() {
  if (!gl) return failed("This browser shows no 3D (WebGL 2 is missing or switched off). The scene's other files can still be opened.");
  if (!window.DecompressionStream) return failed("This browser is too old to unpack the scene: any browser since 2023 can.");
  prepare();
  layOut();
  listen();
  new ResizeObserver(() => redraw()).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  canvas.addEventListener("webglcontextlost", () => failed("The graphics card stopped drawing: load this page again."));
  await choose(0);
  requestAnimationFrame(now => { before = now; frame(now); });
  requestAnimationFrame(() => requestAnimationFrame(() => { get("poster").hidden = true; document.body.dataset.ready = "true"; }));
}

/** For scripts: the visitor's state, and jumps to a place. */
window.explorer = {
  state: () => ({ ...me, at: [...me.at], hypothesis: current, ...shown, layers: [...shown.layers], playing: tour.playing }),
  jump: pose => { Object.assign(me, pose); if (!me.flying) settle(); redraw(); },
};

begin().catch(error => { failed("The scene cannot be shown: " + error.message); throw error; });
