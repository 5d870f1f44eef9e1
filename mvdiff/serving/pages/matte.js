/** The matte over the photo, to be corrected with a brush: white and opaque in `mask` is object. */
import { element, request } from "./api.js";

const TINT = "rgba(190, 30, 80, .62)";
const MOST_UNDONE = 12;

const view = element("matte");
let photo, found, mask, overlay, history, changed, adding = true, cursor = null, last = null;

const canvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
const copy = source => {
  const made = canvas(source.width, source.height);
  made.getContext("2d").drawImage(source, 0, 0);
  return made;
};

function picture(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("The picture cannot be shown: load the page again."));
    image.src = url;
  });
}

export async function openMatte(record) {
  const place = `/api/photos/${record.id}`;
  const [own, gray] = await Promise.all([picture(`${place}/picture`), picture(`${place}/matte`)]);
  photo = own;
  view.width = record.width;
  view.height = record.height;
  found = canvas(record.width, record.height);
  const context = found.getContext("2d");
  context.drawImage(gray, 0, 0);
  const values = context.getImageData(0, 0, found.width, found.height);
  for (let k = 0; k < values.data.length; k += 4) values.data[k + 3] = values.data[k];
  for (let k = 0; k < values.data.length; k++) if (k % 4 < 3) values.data[k] = 255;
  context.putImageData(values, 0, 0);
  reset();
}

function reset() {
  mask = copy(found);
  overlay = canvas(found.width, found.height);
  history = [];
  changed = false;
  cursor = { x: view.width / 2, y: view.height / 2 };
  draw();
}

function draw(withCursor = document.activeElement === view) {
  const over = overlay.getContext("2d"), context = view.getContext("2d");
  over.globalCompositeOperation = "copy";
  over.fillStyle = TINT;
  over.fillRect(0, 0, overlay.width, overlay.height);
  over.globalCompositeOperation = "destination-out";
  over.drawImage(mask, 0, 0);
  context.clearRect(0, 0, view.width, view.height);
  context.drawImage(photo, 0, 0, view.width, view.height);
  context.drawImage(overlay, 0, 0);
  if (!withCursor) return;
  for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
    context.beginPath();
    context.arc(cursor.x, cursor.y, radius(), 0, 2 * Math.PI);
    context.lineWidth = width * view.width / Math.max(1, view.clientWidth);
    context.strokeStyle = color;
    context.stroke();
  }
}

const radius = () => Math.max(1, element("brush-size").value / 200 * Math.max(view.width, view.height));

function remember() {
  history.push(copy(mask));
  if (history.length > MOST_UNDONE) history.shift();
}

function paint(from, to) {
  const context = mask.getContext("2d");
  context.globalCompositeOperation = adding ? "source-over" : "destination-out";
  context.strokeStyle = "#fff";
  context.lineCap = "round";
  context.lineWidth = 2 * radius();
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
  changed = true;
  draw();
}

function place(event) {
  const box = view.getBoundingClientRect();
  const scale = view.width / view.clientWidth;
  return { x: (event.clientX - box.left - view.clientLeft) * scale, y: (event.clientY - box.top - view.clientTop) * scale };
}

view.addEventListener("pointerdown", event => {
  view.setPointerCapture(event.pointerId);
  remember();
  last = cursor = place(event);
  paint(last, last);
});
view.addEventListener("pointermove", event => {
  if (!photo) return;
  cursor = place(event);
  if (last === null) return draw(true);
  paint(last, cursor);
  last = cursor;
});
for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, () => { last = null; });
view.addEventListener("pointerleave", () => photo && draw(false));
view.addEventListener("focus", () => photo && draw());
view.addEventListener("blur", () => photo && draw(false));
view.addEventListener("keydown", event => {
  const step = radius(), moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  const size = element("brush-size");
  if (moves[event.key]) {
    cursor = { x: cursor.x + moves[event.key][0], y: cursor.y + moves[event.key][1] };
    draw();
  } else if (event.key === " ") {
    remember();
    paint(cursor, cursor);
  } else if (event.key === "+" || event.key === "-") {
    size.value = Number(size.value) + (event.key === "+" ? 1 : -1);
    draw();
  } else return;
  event.preventDefault();
});

function choose(add) {
  adding = add;
  element("brush-add").setAttribute("aria-pressed", add);
  element("brush-remove").setAttribute("aria-pressed", !add);
}
element("brush-add").onclick = () => choose(true);
element("brush-remove").onclick = () => choose(false);
element("reset").onclick = reset;
element("undo").onclick = () => {
  if (!history.length) return;
  mask = history.pop();
  draw();
};

/** Send the matte, where it was painted over. */
export async function saveMatte(record) {
  if (!changed) return;
  const gray = canvas(mask.width, mask.height), context = gray.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, gray.width, gray.height);
  context.drawImage(mask, 0, 0);
  const body = await new Promise(resolve => gray.toBlob(resolve, "image/png"));
  await request(`/api/photos/${record.id}/matte`, { method: "PUT", headers: { "Content-Type": "image/png" }, body });
  changed = false;
}
