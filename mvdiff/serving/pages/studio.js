/** The studio: which part is shown follows from the address, so that a reload changes nothing. */
import { element, follow, over, request, send, upload } from "./api.js";
import { openMatte, saveMatte } from "./matte.js";
import { drawRuns } from "./runs.js";
import { openRun, setUp } from "./results.js";

const STAGES = { "": "Preparing the photo", sample: "Sampling views", reconstruct: "Reconstructing", posterior: "Comparing the hypotheses", write: "Writing the report" };
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

async function add(file) {
  tell(null);
  try {
    const record = await upload(file);
    show(`photo/${record.id}`);
  } catch (error) {
    tell(error);
  }
}

async function openPhoto(id) {
  photo = await request(`/api/photos/${encodeURIComponent(id)}`);
  await openMatte(photo);
  element("matte-note").textContent = [`Found by: ${photo.matte.method}.`, ...photo.matte.warnings].join(" ");
  only("prepare");
}

element("photo").onchange = event => event.target.files.length && add(event.target.files[0]);
const drop = element("drop");
for (const name of ["dragover", "dragenter"]) document.addEventListener(name, event => { event.preventDefault(); drop.classList.add("over"); });
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => drop.classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  if (event.dataTransfer.files.length) add(event.dataTransfer.files[0]);
});
document.addEventListener("paste", event => event.clipboardData.files.length && add(event.clipboardData.files[0]));
element("new").onclick = () => { element("photo").value = ""; show(""); };

element("settings").onsubmit = async event => {
  event.preventDefault();
  const values = Object.fromEntries(new FormData(event.target)), body = { kind: "generate", photo: photo.id };
  for (const [name, value] of Object.entries(values)) body[name] = name === "preset" ? value : value === "" ? null : Number(value);
  try {
    await saveMatte(photo);
    const job = await send("/api/jobs", body);
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
  const each = info.seconds_per_hypothesis;
  element("expected").textContent = each ? `About ${Math.ceil(each)} s each on this machine.` : "";
  document.querySelector("[name=num_hypotheses]").max = info.limits.max_hypotheses;
  if (worker.state === "starting") setTimeout(() => describe().catch(tell), 2000);
  return info;
}

try {
  const info = await describe();
  setUp(job => show(`job/${job.id}`), tell, info.formats);
  window.onhashchange = open;
  await open();
} catch (error) {
  tell(error);
}
document.body.dataset.ready = "";
