/** The studio: which part is shown follows from the address, so that a reload changes nothing. */
import { element, follow, over, request, send, upload } from "./api.js";
import { openMatte, saveMatte } from "./matte.js";
import { drawRuns } from "./runs.js";
import { openRun, setUp } from "./results.js";
import { isScene, loadChoices, requestOf } from "./setup.js";

const STAGES = { "": "Preparing the photo", load: "Reading the model", sample: "Sampling views", reconstruct: "Reconstructing", posterior: "Comparing the hypotheses", write: "Writing the report" };
let photo = null, stop = () => {}, jobAtWork = null;

function tell(error) {
  element("message").textContent = error ? error.message : "";
  element("message").hidden = !error;
}

function only(id) {
  for (const each of ["start", "prepare", "working", "results"]) element(each).hidden = each !== id;
}

const placeNow = () => decodeURIComponent(location.hash.slice(1));
function show(place) {
  if (placeNow() === place) return open();
  location.hash = place;
}

async function open() {
  stop();
  tell(null);
  for (const dialog of document.querySelectorAll("dialog[open]:not(#key-dialog)")) dialog.close();
  const [kind, id] = placeNow().split(/\/(.*)/);
  try {
    if (kind === "photo") await openPhoto(id);
    else if (kind === "job") openJob(id);
    else if (kind === "run") { await openRun(id); only("results"); }
    else only("start");
    await drawRuns(placeNow(), show);
  } catch (error) {
    only("start");
    tell(error);
  }
}

// Photo and matte

/** Upload photos and show the first one; the others wait beside it. */
async function add(files) {
  tell(null);
  const added = [];
  try {
    for (const file of files) added.push(await upload(file));
  } catch (error) {
    if (!added.length) return tell(error);
    setTimeout(() => tell(error), 500);
  }
  sessionStorage.setItem("photos", JSON.stringify(added.map(({ id, name }) => ({ id, name }))));
  show(`photo/${added[0].id}`);
}

/** Buttons of the photos that were dropped together. */
function drawSiblings() {
  const all = JSON.parse(sessionStorage.getItem("photos") ?? "[]");
  const own = all.length > 1 && all.some(each => each.id === photo.id) ? all : [];
  element("siblings").hidden = !own.length;
  element("siblings").replaceChildren(...own.map(each => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: each.name, onclick: () => show(`photo/${each.id}`) });
    button.setAttribute("aria-current", each.id === photo.id);
    return button;
  }));
}

async function openPhoto(id) {
  photo = await request(`/api/photos/${encodeURIComponent(id)}`);
  drawSiblings();
  await Promise.all([openMatte(photo), loadChoices()]);
  only("prepare");
}

element("photo").onchange = event => event.target.files.length && add([...event.target.files]);
const drop = element("drop");
for (const name of ["dragover", "dragenter"]) document.addEventListener(name, event => { event.preventDefault(); drop.classList.add("over"); });
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => drop.classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  if (event.dataTransfer.files.length) add([...event.dataTransfer.files]);
});
document.addEventListener("paste", event => event.clipboardData.files.length && add([...event.clipboardData.files]));
element("new").onclick = () => { element("photo").value = ""; show(""); };

element("settings").onsubmit = async event => {
  event.preventDefault();
  try {
    if (!isScene()) await saveMatte();
    const job = await send("/api/jobs", requestOf(photo));
    show(`job/${job.id}`);
  } catch (error) {
    tell(error);
  }
};

// A job at work

function openJob(id) {
  element("previews").replaceChildren();
  only("working");
  stop = follow(encodeURIComponent(id), job => {
    jobAtWork = job;
    if (job.state === "done") return show(`run/${job.run}`);
    drawJob(job);
    if (!over(job)) return;
    element("progress").hidden = element("cancel").hidden = true;
    drawRuns(placeNow(), show).catch(tell);
  });
}

function drawJob(job) {
  const queued = job.state === "queued";
  const waiting = job.ahead ? `Waiting: ${job.ahead} before this one.` : "Waiting for the model.";
  const words = { queued: waiting, failed: `It failed. ${job.error}`, cancelled: "Cancelled." };
  element("stage").textContent = words[job.state] ?? `${STAGES[job.stage] ?? job.stage} …`;
  element("cancel").hidden = element("progress").hidden = over(job);
  if (queued || job.total < 2) element("progress").removeAttribute("value");
  else element("progress").value = job.done / job.total;
  const pictures = element("previews");
  job.previews.forEach((drawn, chunk) => {
    const url = `/api/jobs/${job.id}/previews/${chunk}?drawn=${drawn}`;
    while (pictures.children.length <= chunk)
      pictures.append(Object.assign(new Image(), { alt: `Views of hypotheses while they are denoised, part ${pictures.children.length + 1}` }));
    if (pictures.children[chunk].getAttribute("src") !== url) pictures.children[chunk].src = url;
  });
}

element("cancel").onclick = () => request(`/api/jobs/${jobAtWork.id}/cancel`, { method: "POST" }).catch(tell);

// The server

async function describe() {
  const info = await request("/api/info"), [worker] = info.workers;
  const words = { starting: "the model is being read", ready: "ready", working: "at work", broken: worker.error };
  const about = worker.backbone ? `${worker.backbone} (${worker.license}) on ${worker.device}, ` : "";
  element("worker").textContent = `${about}${words[worker.state]}`;
  document.querySelector("[name=num_hypotheses]").max = info.limits.max_hypotheses;
  if (worker.state === "starting") setTimeout(() => describe().catch(tell), 2000);
  return info;
}

for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
try {
  const info = await describe();
  setUp(job => show(`job/${job.id}`), tell, info.formats);
  window.onhashchange = open;
  await open();
} catch (error) {
  tell(error);
}
document.body.dataset.ready = "";
