/** Painting over a sampled view: colors, or what is object and what is not; then new hypotheses with that view held. */
import { element, fileOf, request } from "./api.js";
import { brushOn, canvas, copy, line, outline, picture, png, toggle } from "./brush.js";

const MOST_UNDONE = 12;
const MODES = { paint: "paint-color", erase: "paint-erase", pipette: "paint-pipette" };

const view = element("paint");
let run = null, hypothesis = 0, sheet = null, history = [], mode = "paint", views = [], send = () => {};

const brush = brushOn(view, {
  ready: () => sheet !== null,
  size: () => element("paint-size"),
  draw,
  start(place) {
    if (mode === "pipette") return pipette(place);
    remember();
    stroke(place, place);
  },
  stroke(from, to) { if (mode === "pipette") draw(to); else stroke(from, to); },
  end() {},
  press(place) { this.start(place); }
});

/** `onBody` is called with the request of a job. */
export function setUpPainting(onBody) { send = onBody; }

export async function openPainting(shown, index, names) {
  [run, hypothesis, views] = [shown, index, names];
  element("paint-title").textContent = `Paint over a view of hypothesis ${index}`;
  element("paint-view").replaceChildren(...names.map((name, place) => new Option(`View ${place}`, place)));
  element("paint-error").textContent = "";
  element("paint-dialog").showModal();
  await load();
}

async function load() {
  const image = await picture(fileOf(run.name, views[element("paint-view").value]));
  sheet = canvas(image.naturalWidth, image.naturalHeight);
  sheet.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
  view.width = sheet.width * 4;
  view.height = sheet.height * 4;
  history = [];
  brush.forget();
  draw();
}

function draw(cursor = null) {
  const context = view.getContext("2d");
  context.clearRect(0, 0, view.width, view.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet, 0, 0, view.width, view.height);
  if (cursor) outline(view, path => path.arc(cursor.x, cursor.y, mode === "pipette" ? 6 : brush.radius(), 0, 2 * Math.PI));
}

function remember() {
  history.push(copy(sheet));
  if (history.length > MOST_UNDONE) history.shift();
}

function stroke(from, to) {
  const context = sheet.getContext("2d"), small = ({ x, y }) => ({ x: x / 4, y: y / 4 });
  context.globalCompositeOperation = mode === "erase" ? "destination-out" : "source-over";
  context.strokeStyle = element("paint-value").value;
  line(context, small(from), small(to), brush.radius() / 4);
  draw(to);
}

function pipette({ x, y }) {
  const [red, green, blue, alpha] = sheet.getContext("2d").getImageData(Math.floor(x / 4), Math.floor(y / 4), 1, 1).data;
  if (alpha < 128) return;
  element("paint-value").value = "#" + [red, green, blue].map(value => value.toString(16).padStart(2, "0")).join("");
  choose("paint");
}

function choose(name) {
  mode = name;
  toggle(Object.values(MODES).map(element), element(MODES[name]));
}
for (const [name, id] of Object.entries(MODES)) element(id).onclick = () => choose(name);
element("paint-view").onchange = () => load().catch(tell);
element("paint-undo").onclick = () => {
  if (history.length) sheet = history.pop();
  draw();
};

function tell(error) { element("paint-error").textContent = error.message; }

element("paint-form").onsubmit = async event => {
  event.preventDefault();
  if (!history.length) return tell(new Error("The view is as it was sampled: paint over it first."));
  try {
    const headers = { "Content-Type": "image/png" };
    const place = `/api/runs/${encodeURIComponent(run.name)}/paintings`;
    const { id } = await request(place, { method: "POST", headers, body: await png(sheet) });
    await send({ kind: "edit", hypothesis, view: Number(element("paint-view").value), picture: id, resample: !element("paint-weigh").checked });
    element("paint-dialog").close();
  } catch (error) {
    tell(error);
  }
};
