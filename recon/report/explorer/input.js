// ---- Keyboard, mouse, touch, gamepad ----------------------------------------------------------------------------

const held = new Set();
const DIRECTION_KEYS = {
  KeyW: ["along", 1], ArrowUp: ["along", 1], KeyS: ["along", -1], ArrowDown: ["along", -1],
  KeyD: ["aside", 1], KeyA: ["aside", -1], KeyE: ["rise", 1], KeyQ: ["rise", -1],
};
/** Drags by pointer: what they do, and where they began. */
const drags = new Map();
const stick = document.getElementById("stick");
const TURN_SPEED = 1.6, STICK_REACH = 44;
const touched = { along: 0, aside: 0 };

/** Keys belong to the scene unless a control that uses them has the focus. */
function isForScene(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById("help").open) return false;
  const inSlider = event.target instanceof HTMLInputElement;
  return !(inSlider && event.code.startsWith("Arrow"));
}

function keyPressed(event) {
  if (!isForScene(event)) return;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  if (digit) choose(Number(digit[1]) - 1);
  else if (KEYS[event.code] && !event.repeat) KEYS[event.code]();
  else if (event.code in DIRECTION_KEYS || /^Arrow|^Shift/.test(event.code)) {
    held.add(event.code);
    if (event.code.startsWith("Arrow")) event.preventDefault();
  }
}

function wishes() {
  const wish = { along: touched.along, aside: touched.aside, rise: 0, running: held.has("ShiftLeft") || held.has("ShiftRight") };
  for (const code of held) if (DIRECTION_KEYS[code]) wish[DIRECTION_KEYS[code][0]] += DIRECTION_KEYS[code][1];
  return wish;
}

/** Radians for each pixel of a drag: the scene follows the pointer. */
const perPixel = () => 2 * Math.atan(tangentOf(info.fov, canvas.width / canvas.height)) / canvas.clientHeight;

function pointerDown(event) {
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const walks = event.pointerType === "touch" && event.clientX < innerWidth / 2 && ![...drags.values()].some(d => d.walks);
  drags.set(event.pointerId, { walks, x: event.clientX, y: event.clientY });
  if (walks) placeStick(event.clientX, event.clientY, 0, 0);
}

function pointerMove(event) {
  if (document.pointerLockElement === canvas) return turn(event.movementX * 0.0022, -event.movementY * 0.0022);
  const drag = drags.get(event.pointerId);
  if (!drag) return;
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  if (drag.walks) return pushStick(drag, dx, dy);
  const factor = perPixel() * (event.pointerType === "touch" ? 1.6 : 1);
  turn(-dx * factor, dy * factor);
  Object.assign(drag, { x: event.clientX, y: event.clientY });
}

function pointerUp(event) {
  const drag = drags.get(event.pointerId);
  drags.delete(event.pointerId);
  if (!drag || !drag.walks) return;
  stick.hidden = true;
  Object.assign(touched, { along: 0, aside: 0 });
}

function pushStick(drag, dx, dy) {
  const length = Math.max(Math.hypot(dx, dy), STICK_REACH);
  touched.aside = dx / length;
  touched.along = -dy / length;
  placeStick(drag.x, drag.y, touched.aside * STICK_REACH, -touched.along * STICK_REACH);
}

function placeStick(x, y, dx, dy) {
  stick.hidden = false;
  stick.style.left = x + "px";
  stick.style.top = y + "px";
  stick.firstElementChild.style.transform = `translate(${dx}px, ${dy}px)`;
}

const pressedBefore = new Set();
/** Adds the first gamepad's sticks to the wishes; its buttons act once for each press. */
function pollGamepad(wish, seconds) {
  const pad = [...(navigator.getGamepads ? navigator.getGamepads() : [])].find(each => each && each.connected);
  if (!pad) return;
  const axis = i => Math.abs(pad.axes[i] || 0) > 0.15 ? pad.axes[i] : 0;
  const value = i => pad.buttons[i] ? pad.buttons[i].value : 0;
  wish.aside += axis(0);
  wish.along -= axis(1);
  wish.rise += value(7) - value(6);
  if (axis(2) || axis(3)) turn(axis(2) * TURN_SPEED * seconds, -axis(3) * TURN_SPEED * seconds);
  const acts = { 0: KEYS.KeyF, 3: KEYS.KeyC, 4: () => choose(current - 1), 5: () => choose(current + 1), 9: startAgain };
  for (const [button, act] of Object.entries(acts)) {
    if (value(button) > 0.5 && !pressedBefore.has(button)) act();
    if (value(button) > 0.5) pressedBefore.add(button); else pressedBefore.delete(button);
  }
}

function listen() {
  addEventListener("keydown", keyPressed);
  addEventListener("keyup", event => held.delete(event.code));
  addEventListener("blur", () => held.clear());
  canvas.addEventListener("pointerdown", pointerDown);
  canvas.addEventListener("pointermove", pointerMove);
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, pointerUp);
  canvas.addEventListener("dblclick", () => mouseLook());
  canvas.addEventListener("contextmenu", event => event.preventDefault());
}

/** The mouse looks around without dragging until Escape; some browsers refuse, then dragging still works. */
function mouseLook() {
  const asked = canvas.requestPointerLock && canvas.requestPointerLock();
  if (asked && asked.catch) asked.catch(() => say("This browser keeps the pointer: drag to look."));
}
