/** A finished run: its hypotheses to keep or reject, and what is made from them next. */
import { element, fileOf, request, send } from "./api.js";
import { comparable, openComparison } from "./compare.js";
import { openNextView, openSecond, setUpEvidence } from "./evidence.js";
import { openExport, setUpExport } from "./export.js";
import { openPainting, setUpPainting } from "./paint.js";
import { preset } from "./setup.js";

const VIEWS = 4;
let run = null, judged = new Map(), started = () => {}, failed = () => {};

/** `onJob` is called with each new job, `onError` with each error. */
export function setUp(onJob, onError, formats) {
  started = onJob;
  failed = onError;
  setUpExport(formats);
  setUpPainting(derive);
  setUpEvidence(derive);
}

export async function openRun(name) {
  const [own, jobs] = await Promise.all([request(`/api/runs/${encodeURIComponent(name)}`), request("/api/jobs")]);
  run = own;
  const notes = jobs.find(job => job.run === name)?.notes ?? [];
  judged = new Map();
  const many = run.hypotheses;
  element("results-title").textContent = many ? `${many} hypotheses of ${run.photo ?? run.name}` : run.photo ?? run.name;
  element("facts").textContent = [...notes, facts()].join(" ");
  element("cards").replaceChildren(...Array.from({ length: many }, (_, k) => card(k)));
  for (const id of ["more", "second", "next", "export"]) element(id).hidden = !many;
  element("compare-open").hidden = !comparable(run);
  const page = run.page && fileOf(run.name, run.page), scenes = run.page === "explorer.html";
  element("report").hidden = element("open").hidden = !page;
  if (page) {
    element("report").src = element("open").href = page;
    element("report").title = scenes ? "Explorer of the scenes" : "Report of the run: objects in 3D, uncertainty, sections, next photo";
    element("open").textContent = scenes ? "Open the explorer alone" : "Open the report alone";
  }
  listFiles();
  count();
}

function facts() {
  const summary = run.summary, notes = summary.warnings ?? [];
  if (!run.complete) return "This run was interrupted: the command that began it goes on with it.";
  if (run.verb === "scene") return [`${summary.num_hypotheses} scene${summary.num_hypotheses > 1 ? "s" : ""} to walk through.`, summary.calibration?.statement, ...notes].filter(Boolean).join(" ");
  if (!summary.ambiguity) return "";
  const modes = summary.modes.length;
  return `${modes} mode${modes > 1 ? "s" : ""}, ambiguity ${Math.round(summary.ambiguity.value * 100)} %. ` +
    [summary.calibration?.statement, ...notes].filter(Boolean).join(" ");
}

function listFiles() {
  const names = run.complete ? ["manifest.json", ...run.files] : [];
  element("files").hidden = !names.length;
  element("files-title").textContent = `All ${names.length} files of this run`;
  element("file-list").replaceChildren(...names.map(name => {
    const item = document.createElement("li"), link = document.createElement("a");
    Object.assign(link, { href: fileOf(run.name, name), download: name.split("/").at(-1), textContent: name });
    item.append(link);
    return item;
  }));
}

const viewsOf = k => {
  const folder = `views/${String(k).padStart(3, "0")}/images/`;
  return run.files.filter(each => each.startsWith(folder)).sort();
};

function card(k) {
  const item = document.createElement("li"), title = document.createElement("h3"), strip = document.createElement("div");
  item.className = "card";
  title.textContent = `Hypothesis ${k}`;
  title.id = `hypothesis-${k}`;
  strip.className = "strip";
  const views = viewsOf(k);
  for (const [place, name] of views.slice(0, VIEWS).entries())
    strip.append(Object.assign(new Image(), { src: fileOf(run.name, name), alt: `View ${place} of hypothesis ${k}`, loading: "lazy" }));
  const choices = document.createElement("div");
  choices.className = "choices";
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-labelledby", title.id);
  for (const [word, verdict] of [["Keep", "kept"], ["Reject", "rejected"]]) {
    const button = labelled(word, `${word} hypothesis ${k}`, () => judge(item, k, verdict));
    button.setAttribute("aria-pressed", "false");
    button.dataset.verdict = verdict;
    choices.append(button);
  }
  if (views.length) choices.append(labelled("Paint over …", `Paint over a view of hypothesis ${k}`, () => openPainting(run, k, views).catch(failed)));
  item.append(title, strip, choices);
  return item;
}

function labelled(word, label, act) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: word, onclick: act });
  button.setAttribute("aria-label", label);
  return button;
}

function judge(item, k, verdict) {
  if (judged.get(k) === verdict) judged.delete(k);
  else judged.set(k, verdict);
  item.className = `card ${judged.get(k) ?? ""}`;
  for (const button of item.querySelectorAll("[data-verdict]"))
    button.setAttribute("aria-pressed", judged.get(k) === button.dataset.verdict);
  count();
}

const chosen = verdict => [...judged].filter(([, own]) => own === verdict).map(([k]) => k);

function count() {
  const [kept, rejected] = [chosen("kept").length, chosen("rejected").length];
  element("more").disabled = kept + rejected === 0;
  element("more").textContent = kept ? `More like the ${kept} kept` : rejected ? `More without the ${rejected} rejected` : "More like the kept ones";
}

/** Ask for a job that makes a new run of this one. */
async function derive(body) {
  started(await send("/api/jobs", { run: run.name, preset: preset(), ...body }));
}

element("more").onclick = () => {
  const [keep, reject] = [chosen("kept"), chosen("rejected")];
  derive({ kind: "feedback", keep, reject, num_hypotheses: Math.max(run.hypotheses, keep.length + 1) }).catch(failed);
};
element("second").onclick = () => openSecond();
element("next").onclick = () => openNextView(run);
element("export").onclick = () => openExport(run);
element("compare-open").onclick = () => openComparison(run).catch(failed);
