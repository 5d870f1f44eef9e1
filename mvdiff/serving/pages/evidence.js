/** More photos of the same object: a second one, and where the next one should be taken from. */
import { element, finished, request, send, upload } from "./api.js";

const azimuth = element("azimuth");
let derive = () => {};

/** `onBody` is called with the request of a job. */
export function setUpEvidence(onBody) { derive = onBody; }

// Second photo

const aside = angle => Math.abs(angle) === 180 ? "180°, from behind" : angle === 0 ? "0°, the same side" : `${Math.abs(angle)}° to the ${angle > 0 ? "right" : "left"}`;

function turn() {
  const angle = Number(azimuth.value);
  element("hand").setAttribute("transform", `rotate(${-angle})`);
  element("azimuth-text").textContent = aside(angle);
}
azimuth.oninput = turn;
turn();

function known() {
  const unknown = element("unknown").checked;
  azimuth.disabled = element("tolerance").disabled = unknown;
  element("dial").classList.toggle("idle", unknown);
}
element("unknown").onchange = known;

/** Ask for a second photo; `from` presets the dial. */
export function openSecond(from = null) {
  if (from !== null) {
    azimuth.value = from;
    element("unknown").checked = false;
    turn();
  }
  known();
  element("second-error").textContent = "";
  element("second-dialog").showModal();
}

element("second-form").onsubmit = async event => {
  event.preventDefault();
  const [file] = element("second-photo").files, elevation = element("second-elevation").value;
  try {
    const photo = await upload(file);
    await derive({
      kind: "refine", photo: photo.id, azimuth: element("unknown").checked ? null : Number(azimuth.value),
      azimuth_tolerance: Number(element("tolerance").value), elevation: elevation === "" ? null : Number(elevation),
      resample: !element("second-weigh").checked
    });
    element("second-dialog").close();
  } catch (error) {
    element("second-error").textContent = error.message;
  }
};

// Next photo

export async function openNextView(run) {
  const note = element("next-note");
  showPlan(false);
  element("next-dialog").showModal();
  try {
    let plan = run.next_view;
    if (!plan) {
      note.textContent = "Comparing what each direction would show …";
      const job = await finished((await send("/api/jobs", { kind: "next_view", run: run.name })).id);
      if (job.state !== "done") throw new Error(job.error ?? "It was cancelled.");
      plan = run.next_view = (await request(`/api/runs/${encodeURIComponent(run.name)}`)).next_view;
    }
    draw(plan);
  } catch (error) {
    note.textContent = error.message;
  }
}

function showPlan(shown) {
  element("next-drawing").toggleAttribute("hidden", !shown);  // drawings have no property of that name
  element("next-take").hidden = !shown;
}

function draw(plan) {
  const [best] = plan.views, angle = ((Math.round(best.azimuth) + 540) % 360) - 180, height = Math.round(best.elevation);
  const tilt = height === 0 ? "level with the object" : height > 0 ? `${height}° above it, looking down` : `${-height}° below it, looking up`;
  const text = `Stand ${aside(angle)}, ${tilt}.`;
  element("next-title").textContent = text;
  element("next-above").setAttribute("transform", `rotate(${-angle})`);
  element("next-side").setAttribute("transform", `rotate(${-height})`);
  showPlan(true);
  element("next-drawing").setAttribute("aria-label", `${text} Left: seen from above, with the first photo at the bottom. Right: seen from the side.`);
  element("next-note").textContent = `${plan.entropy_bits.toFixed(2)} bits are open about which hypothesis is true. A photo from there is expected to leave ` +
    `${best.expected_entropy_left_bits.toFixed(2)}, one from a random direction ${plan.expected_entropy_left_bits_random.toFixed(2)}.`;
  element("next-take").onclick = () => { element("next-dialog").close(); openSecond(angle); };
}
