/** A finished run: its hypotheses to keep or reject, what is made from them next, and export. */
import { element, fileOf, finished, request, send, upload } from "./api.js";

const VIEWS = 4;
let run = null, judged = new Map(), started = () => {}, failed = () => {};

/** `onJob` is called with each new job, `onError` with each error. */
export function setUp(onJob, onError, formats) {
  started = onJob;
  failed = onError;
  element("export-format").replaceChildren(...Object.entries(formats).map(([name, what]) => new Option(`${name.toUpperCase()}: ${what}`, name)));
  sizeShown();
}

export async function openRun(name) {
  run = await request(`/api/runs/${encodeURIComponent(name)}`);
  judged = new Map();
  const many = run.hypotheses;
  element("results-title").textContent = many ? `${many} hypotheses of ${run.photo ?? run.name}` : run.photo ?? run.name;
  element("facts").textContent = facts();
  element("cards").replaceChildren(...Array.from({ length: many }, (_, k) => card(k)));
  for (const id of ["more", "second", "export"]) element(id).hidden = !many;
  const page = run.page && fileOf(run.name, run.page);
  element("report").hidden = element("open").hidden = !page;
  if (page) {
    element("report").src = element("open").href = page;
    element("open").textContent = run.page === "explorer.html" ? "Open the explorer alone" : "Open the report alone";
  }
  count();
}

function facts() {
  const summary = run.summary;
  if (!run.complete) return "This run was interrupted: the command that began it goes on with it.";
  if (!summary.ambiguity) return "";
  const modes = summary.modes.length;
  return `${modes} mode${modes > 1 ? "s" : ""}, ambiguity ${Math.round(summary.ambiguity.value * 100)} %. ` +
    [summary.calibration?.statement, ...summary.warnings].filter(Boolean).join(" ");
}

function card(k) {
  const item = document.createElement("li"), title = document.createElement("h3"), strip = document.createElement("div");
  item.className = "card";
  title.textContent = `Hypothesis ${k}`;
  title.id = `hypothesis-${k}`;
  strip.className = "strip";
  const folder = `views/${String(k).padStart(3, "0")}/images/`;
  for (const [place, name] of run.files.filter(each => each.startsWith(folder)).sort().slice(0, VIEWS).entries())
    strip.append(Object.assign(new Image(), { src: fileOf(run.name, name), alt: `View ${place} of hypothesis ${k}`, loading: "lazy" }));
  const choices = document.createElement("div");
  choices.className = "choices";
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-labelledby", title.id);
  for (const [word, verdict] of [["Keep", "kept"], ["Reject", "rejected"]]) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: word });
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-label", `${word} hypothesis ${k}`);
    button.onclick = () => judge(item, k, verdict);
    button.dataset.verdict = verdict;
    choices.append(button);
  }
  item.append(title, strip, choices);
  return item;
}

function judge(item, k, verdict) {
  if (judged.get(k) === verdict) judged.delete(k);
  else judged.set(k, verdict);
  item.className = `card ${judged.get(k) ?? ""}`;
  for (const button of item.querySelectorAll("button"))
    button.setAttribute("aria-pressed", judged.get(k) === button.dataset.verdict);
  count();
}

const chosen = verdict => [...judged].filter(([, own]) => own === verdict).map(([k]) => k);

function count() {
  const [kept, rejected] = [chosen("kept").length, chosen("rejected").length];
  element("more").disabled = kept + rejected === 0;
  element("more").textContent = kept ? `More like the ${kept} kept` : rejected ? `More without the ${rejected} rejected` : "More like the kept ones";
}

async function ask(body) {
  try {
    started(await send("/api/jobs", body));
  } catch (error) {
    failed(error);
  }
}

const preset = () => document.querySelector("#settings [name=preset]").value;

element("more").onclick = () => {
  const [keep, reject] = [chosen("kept"), chosen("rejected")];
  ask({ kind: "feedback", run: run.name, keep, reject, num_hypotheses: Math.max(run.hypotheses, keep.length + 1), preset: preset() });
};

// Second photo

const azimuth = element("azimuth");
function turn() {
  const angle = Number(azimuth.value);
  element("hand").setAttribute("transform", `rotate(${-angle})`);
  const side = angle > 0 ? " to the right" : angle < 0 ? " to the left" : ", the same side";
  element("azimuth-text").textContent = Math.abs(angle) === 180 ? "180°, from behind" : `${Math.abs(angle)}°${side}`;
}
azimuth.oninput = turn;
turn();
element("second").onclick = () => element("second-dialog").showModal();
element("second-form").onsubmit = async event => {
  event.preventDefault();
  element("second-dialog").close();
  const [file] = element("second-photo").files, elevation = element("second-elevation").value;
  try {
    const photo = await upload(file);
    await ask({
      kind: "refine", run: run.name, photo: photo.id, azimuth: Number(azimuth.value), preset: preset(),
      azimuth_tolerance: Number(element("tolerance").value), elevation: elevation === "" ? null : Number(elevation)
    });
  } catch (error) {
    failed(error);
  }
};

// Export

function sizeShown() {
  element("size-row").hidden = !["stl", "3mf"].includes(element("export-format").value);
}
element("export-format").onchange = sizeShown;
element("export").onclick = () => {
  const options = [new Option("Median of all hypotheses", "")];
  for (let k = 0; k < run.hypotheses; k++) options.push(new Option(`Hypothesis ${k}`, k));
  element("export-item").replaceChildren(...options);
  element("export-note").textContent = "";
  element("download").hidden = true;
  element("export-dialog").showModal();
};
element("export-form").onsubmit = async event => {
  event.preventDefault();
  const note = element("export-note"), link = element("download"), item = element("export-item").value;
  note.textContent = "Writing the file …";
  link.hidden = true;
  try {
    const job = await finished((await send("/api/jobs", {
      kind: "export", run: run.name, hypothesis: item === "" ? null : Number(item),
      format: element("export-format").value, size_mm: Number(element("size").value)
    })).id);
    if (job.state !== "done") throw new Error(job.error ?? "The export was cancelled.");
    note.textContent = job.notes.join(" ") || "The file is ready.";
    link.href = `/api/jobs/${job.id}/files/${encodeURIComponent(job.files[0])}`;
    link.textContent = `Download ${job.files[0]}`;
    link.hidden = false;
    link.focus();
  } catch (error) {
    note.textContent = error.message;
  }
};
for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
