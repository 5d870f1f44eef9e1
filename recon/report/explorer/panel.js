// ---- Buttons, legend and what is said ---------------------------------------------------------------------------

const get = id => document.getElementById(id);
const ORIGINS = ["photo", "implied", "guessed"];
const PAINTS = ["Photo", "Origin", "Uncertainty"];
let silence = 0;

/** A short message, read out by screen readers, too. */
function say(text) {
  const status = get("status");
  if (status.textContent !== text || status.hidden) status.textContent = text;
  status.hidden = false;
  clearTimeout(silence);
  silence = setTimeout(() => { status.hidden = true; }, 4000);
}

function button(group, text, act, { mark, title } = {}) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  if (title) made.title = title;
  if (mark) { made.className = "mark"; made.style.setProperty("--of", `var(${mark})`); }
  made.onclick = act;
  get(group).append(made);
  return made;
}

/** Marks the pressed ones of a group's buttons. */
const press = (group, isPressed) =>
  [...get(group).children].forEach((each, place) => each.setAttribute("aria-pressed", Boolean(isPressed(place))));

function setPaint(paint) {
  shown.paint = paint;
  press("paints", place => place === paint);
  get("legend").replaceChildren(...legend(paint));
  redraw();
}

function legend(paint) {
  const label = info.uncertainty.label, top = info.uncertainty.top.toPrecision(2);
  if (paint === 0) return ["As the photo and the model color it."];
  if (paint === 1) return ["What the photo shows, what it implies, and what is guessed; colors as in the buttons below."];
  const strip = document.createElement("i"), text = document.createElement("b");
  strip.style.background = `linear-gradient(90deg, ${info.uncertainty.ramp.map(rgb => `rgb(${rgb})`)})`;
  text.textContent = label;
  return ["0", strip, top + " or more", text];
}

function toggleLayer(place) {
  shown.layers[place] = !shown.layers[place];
  press("layers", each => shown.layers[each]);
  redraw();
}

function toggleKind(name) {
  shown[name] = !shown[name];
  kindsChanged();
}

function kindsChanged() {
  const kinds = [...get("kinds").children].map(each => each.dataset.kind);
  press("kinds", place => shown[kinds[place]]);
  redraw();
}

const movesChanged = () => press("moves", place => (place === 1) === me.flying);

function openPanel(open) {
  get("panel").hidden = !open;
  get("options").setAttribute("aria-expanded", open);
}

function layOut() {
  info.hypotheses.forEach(({ name, weight }, k) => {
    const share = weight === null ? "" : ` · ${Math.round(100 * weight)} %`;
    button("hypotheses", name + share, () => choose(k), { title: k < 9 ? `Key ${k + 1}` : "" });
  });
  button("moves", "Walk", () => { if (me.flying) land(); }, { title: "Key F" });
  button("moves", "Fly", () => { if (!me.flying) fly(); }, { title: "Key F" });
  PAINTS.forEach((text, paint) => button("paints", text, () => setPaint(paint), { title: "Key C" }));
  ORIGINS.forEach((text, place) => button("layers", text, () => toggleLayer(place), { mark: "--origin-" + place }));
  const hasSplats = info.hypotheses.some(each => each.splats);
  for (const [kind, text] of [["surface", "surface"], ["splats", "splats"], ["fog", "fog over the unknown"]])
    if (kind !== "splats" || hasSplats) button("kinds", text, () => toggleKind(kind)).dataset.kind = kind;
  get("tour").hidden = !tour.stops.length;
  get("play").onclick = () => playTour(!tour.playing);
  get("progress").oninput = event => { playTour(false); showTour(event.target.value * (tour.stops.length - 1)); };
  get("again").onclick = startAgain;
  get("options").onclick = () => openPanel(get("panel").hidden);
  get("ask").onclick = () => get("help").showModal();
  setPaint(0);
  press("layers", place => shown.layers[place]);
  kindsChanged();
  openPanel(innerWidth > 1000);
}

/** Keys beside those that move. */
const KEYS = {
  KeyF: () => me.flying ? land() : fly(),
  KeyC: () => setPaint((shown.paint + 1) % 3),
  KeyG: () => toggleKind("fog"),
  KeyP: () => playTour(!tour.playing),
  KeyR: () => startAgain(),
  KeyM: () => mouseLook(),
  KeyH: () => get("help").showModal(),
};

/** Where one is, in words. */
function whereText() {
  const way = me.at.map((value, axis) => (value - info.start.at[axis]) * info.metres);
  const degrees = Math.round(nearAngle(me.yaw - info.start.yaw, 0) * 180 / Math.PI);
  const facing = Math.abs(degrees) < 3 ? "looking as the photo does" : `turned ${Math.abs(degrees)}° to the ${degrees > 0 ? "right" : "left"}`;
  return `${Math.hypot(...way).toFixed(1)} m from the photo, ${facing}`;
}
