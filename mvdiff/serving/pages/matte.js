/** The matte over the photo, to be picked by a click or a box, and corrected with a brush: opaque in `mask` is object. */
import { element, finished, request, send } from "./api.js";
import { brushOn, canvas, copy, line, outline, picture, png, toggle } from "./brush.js";

const TINT = "rgba(190, 30, 80, .62)";
const MOST_UNDONE = 12;
const MODES = { add: "brush-add", remove: "brush-remove", point: "pick-point", box: "pick-box" };

const view = element("matte");
let record, photo, found, mask, overlay, history, changed, mode = "add", corner = null, picking = false;

const brush = brushOn(view, {
  ready: () => photo && !picking,
  size: () => element("brush-size"),
  draw,
  start(place) {
    if (mode === "box") corner = place;
    else if (mode !== "point") { remember(); paint(place, place); }
  },
  stroke(from, to) {
    if (mode === "box" || mode === "point") draw(to);
    else paint(from, to);
  },
  end(place) {
    if (mode === "point") pick({ point: [place.x, place.y] });
    if (mode === "box") boxed(place);
  },
  press(place) {
    if (mode === "point") pick({ point: [place.x, place.y] });
    else if (mode === "box" && corner === null) { corner = place; draw(place); }
    else if (mode === "box") boxed(place);
    else { remember(); paint(place, place); }
  }
});
export async function openMatte(shown) {
  record = shown;
  const [own, gray] = await Promise.all([picture(`/api/photos/${record.id}/picture`), picture(`/api/photos/${record.id}/matte`)]);
  photo = own;
  view.width = record.width;
  view.height = record.height;
  history = [];
  take(gray);
  brush.forget();
  choose("add");
}

/** Make the server's matte the one that is shown. */
function take(gray) {
  found = canvas(record.width, record.height);
  const context = found.getContext("2d", { willReadFrequently: true });
  context.drawImage(gray, 0, 0);
  const values = context.getImageData(0, 0, found.width, found.height);
  for (let k = 0; k < values.data.length; k += 4) {
    values.data[k + 3] = values.data[k];
    values.data[k] = values.data[k + 1] = values.data[k + 2] = 255;
  }
  context.putImageData(values, 0, 0);
  mask = copy(found);
  overlay = canvas(found.width, found.height);
  changed = false;
  tellHow();
  draw();
}

function tellHow() {
  element("matte-note").textContent = [`Found by: ${record.matte.method}.`, ...record.matte.warnings].join(" ");
}

function draw(cursor = null) {
  const over = overlay.getContext("2d"), context = view.getContext("2d");
  over.globalCompositeOperation = "copy";
  over.fillStyle = TINT;
  over.fillRect(0, 0, overlay.width, overlay.height);
  over.globalCompositeOperation = "destination-out";
  over.drawImage(mask, 0, 0);
  context.clearRect(0, 0, view.width, view.height);
  context.drawImage(photo, 0, 0, view.width, view.height);
  context.drawImage(overlay, 0, 0);
  if (!cursor) return;
  if (mode === "box" && corner) outline(view, path => path.rect(corner.x, corner.y, cursor.x - corner.x, cursor.y - corner.y));
  else if (mode === "point" || mode === "box") cross(cursor);
  else outline(view, path => path.arc(cursor.x, cursor.y, brush.radius(), 0, 2 * Math.PI));
}

function cross({ x, y }) {
  const arm = Math.max(view.width, view.height) / 40;
  outline(view, path => { path.moveTo(x - arm, y); path.lineTo(x + arm, y); path.moveTo(x, y - arm); path.lineTo(x, y + arm); });
}

function remember() {
  history.push(copy(mask));
  if (history.length > MOST_UNDONE) history.shift();
}

function paint(from, to) {
  const context = mask.getContext("2d");
  context.globalCompositeOperation = mode === "add" ? "source-over" : "destination-out";
  context.strokeStyle = "#fff";
  line(context, from, to, brush.radius());
  changed = true;
  draw(to);
}

function boxed(place) {
  const box = [corner.x, corner.y, place.x, place.y];
  corner = null;
  if (Math.abs(box[0] - box[2]) < 2 || Math.abs(box[1] - box[3]) < 2) return draw(place);
  pick({ box });
}

/** Let the server find the object at a place. */
async function pick(place) {
  picking = true;
  element("matte-note").textContent = "Looking for the object at this place …";
  try {
    const job = await finished((await send("/api/jobs", { kind: "select", photo: record.id, ...place })).id);
    if (job.state !== "done") throw new Error(job.error ?? "It was cancelled.");
    record = await request(`/api/photos/${record.id}`);
    const gray = await picture(`/api/photos/${record.id}/matte?picked=${job.id}`);
    remember();
    take(gray);
  } catch (error) {
    element("matte-note").textContent = error.message;
  }
  picking = false;
}

function choose(name) {
  mode = name;
  corner = null;
  toggle(Object.values(MODES).map(element), element(MODES[name]));
}
for (const [name, id] of Object.entries(MODES)) element(id).onclick = () => choose(name);
element("reset").onclick = () => {
  history = [];
  mask = copy(found);
  changed = false;
  draw();
};
element("undo").onclick = () => {
  if (!history.length) return;
  mask = history.pop();
  changed = true;
  draw();
};

/** Send the matte, where it was painted over. */
export async function saveMatte() {
  if (!changed) return;
  const gray = canvas(mask.width, mask.height), context = gray.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, gray.width, gray.height);
  context.drawImage(mask, 0, 0);
  const headers = { "Content-Type": "image/png" };
  await request(`/api/photos/${record.id}/matte`, { method: "PUT", headers, body: await png(gray) });
  changed = false;
}
