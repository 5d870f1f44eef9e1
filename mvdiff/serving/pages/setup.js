/** The form of a new run: what makes it, its settings, and the seconds that it is expected to take. */
import { element, request } from "./api.js";

const form = element("settings");
const PLAIN = { num_inference_steps: 6, guidance_scale: 3, candidates: 2 };
let choices = null;

const field = name => form.elements[name];
const backbone = () => choices.backbones.find(each => each.name === field("backbone").value);

/** Ask the server what it can run, and fill the form. */
export async function loadChoices() {
  const before = choices && field("backbone").value;
  choices = await request("/api/choices");
  const [ready, missing] = [true, false].map(kind => choices.backbones.filter(each => each.available === kind));
  element("backbones").replaceChildren(...ready.map(option));
  element("missing").replaceChildren(...missing.map(option));
  element("missing-part").hidden = !missing.length;
  element("missing-title").textContent = `${missing.length} more, not installed`;
  field("reconstructor").replaceChildren(...choices.reconstructors.map(each =>
    Object.assign(new Option(each.available ? each.title : `${each.title} (not available)`, each.name), { disabled: !each.available })));
  field("backbone").value = before || ready[0].name;
  element("segmenter").textContent = choices.segmenter === "sam2"
    ? "A click or a box is followed by SAM 2."
    : "No segmenter is installed: a click or a box is followed by color and edges alone. The server takes one by --segmenter FOLDER.";
  chosen();
}

function option(each) {
  const label = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
  Object.assign(input, { type: "radio", name: "backbone", value: each.name, disabled: !each.available, required: true });
  const lines = [each.does, `License: ${each.license}.`, each.available ? secondsKnown(each.name) : `Not installed: ${each.install}.`];
  text.append(Object.assign(document.createElement("strong"), { textContent: each.title }),
    ...lines.map(line => Object.assign(document.createElement("span"), { className: "soft", textContent: line })));
  label.className = "option";
  label.append(input, text);
  return label;
}

function secondsKnown(name) {
  const known = choices.seconds[name];
  if (!known) return "Seconds: not known before its first job on this machine.";
  const scene = choices.backbones.find(each => each.name === name).mode === "scene";
  const each = seconds(known, { num_hypotheses: 1, ...defaults(name), preset: scene ? "fast" : "default", stations: 0 });
  return each === null ? "" : `About ${words(each)} for each hypothesis. ${known.source}`;
}

const defaults = name => ({ ...PLAIN, ...choices.backbones.find(each => each.name === name).defaults });

/** Expected seconds of a run; null where a part of it is not known. */
function seconds(known, own) {
  const after = known.per_hypothesis[own.preset];
  if (after === undefined) return null;
  const scene = own.stations !== undefined;
  const steps = scene ? own.num_inference_steps + own.stations * 4 : own.num_inference_steps * own.candidates;
  return own.num_hypotheses * (known.per_step * steps + after);
}

const words = value => value < 90 ? `${Math.max(1, Math.round(value))} s` : `${Math.round(value / 60)} min`;

/** Another backbone was chosen: show its settings, with its own values. */
function chosen() {
  const own = backbone(), scene = own.mode === "scene";
  for (const each of document.querySelectorAll("[data-mode]")) each.hidden = each.dataset.mode !== own.mode;
  const known = defaults(own.name);
  for (const name of Object.keys(PLAIN)) field(name).value = known[name];
  field("num_hypotheses").value = scene ? 2 : 4;
  for (const each of field("preset").options) each.disabled = each.hidden = scene && each.value === "quality";
  field("preset").value = scene ? "fast" : "default";
  element("prepare-title").textContent = scene ? "A photo of a place" : "Is this the object?";
  expect();
}

function expect() {
  const reconstructor = choices.reconstructors.find(each => each.name === field("reconstructor").value);
  element("reconstructor-note").textContent = [reconstructor.does, `License: ${reconstructor.license}.`,
    ...choices.reconstructors.filter(each => !each.available).map(each => `${each.title}: ${each.install}.`)].join(" ");
  const own = values(), name = own.reconstructor && own.reconstructor !== "fusion" ? `${own.backbone}+${own.reconstructor}` : backbone().name;
  const known = choices.seconds[name], total = known ? seconds(known, own) : null;
  element("expected").textContent = total === null
    ? "How long it takes is not known before the first such job on this machine."
    : `About ${words(total)} once it begins. ${known.source}`;
}

function number(name) { return field(name).value === "" ? null : Number(field(name).value); }

function values() {
  const shared = { num_hypotheses: number("num_hypotheses"), seed: number("seed"), num_inference_steps: number("num_inference_steps"), preset: field("preset").value };
  if (backbone().mode === "scene")
    return { kind: "scene", ...shared, stations: number("stations"), fov: number("fov"), camera_height: number("camera_height") };
  return {
    kind: "generate", backbone: backbone().name, reconstructor: field("reconstructor").value, ...shared,
    guidance_scale: number("guidance_scale"), candidates: number("candidates"), elevation: number("elevation")
  };
}

form.addEventListener("change", event => event.target.name === "backbone" ? chosen() : expect());

/** The request of a job with this photo, and whether it needs the matte. */
export const requestOf = photo => ({ ...values(), photo: photo.id });

export const isScene = () => backbone().mode === "scene";
export const preset = () => field("preset").value;
