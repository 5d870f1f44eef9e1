/** Two hypotheses side by side by one camera, with a section through both. */
import { element, fileOf } from "./api.js";
import { loadGlb } from "./glb.js";
import { Viewer } from "./viewer.js";

const view = element("compare");
const AXES = { x: [1, 0, 0], y: [0, 1, 0], z: [0, 0, 1] };
let viewer = null, run = null, shown = [null, null];

const fileName = k => `hypotheses/${String(k).padStart(3, "0")}.glb`;

/** Whether a run has objects that can be shown. */
export const comparable = own => own.hypotheses > 0 && own.files.includes(fileName(0));

export async function openComparison(own) {
  run = own;
  shown = [null, null];
  const names = Array.from({ length: run.hypotheses }, (_, k) => k);
  for (const [slot, id] of ["compare-left", "compare-right"].entries()) {
    element(id).replaceChildren(...names.map(k => new Option(`Hypothesis ${k}`, k)));
    element(id).value = Math.min(slot, run.hypotheses - 1);
  }
  element("compare-dialog").showModal();
  try {
    viewer ??= new Viewer(view);
    await Promise.all([load(0), load(1)]);
  } catch (error) {
    tell(error);
  }
}

async function load(slot) {
  const k = element(slot ? "compare-right" : "compare-left").value;
  shown[slot] = k;
  tell(null);
  viewer.set(slot, null);
  const mesh = await loadGlb(fileOf(run.name, fileName(k)));
  if (shown[slot] !== k) return;
  viewer.set(slot, mesh);
  describe();
}

function describe() {
  const side = angle => angle === 0 ? "the photographed side" : `${Math.abs(Math.round(angle))}° to the ${angle > 0 ? "right" : "left"}`;
  view.setAttribute("aria-label", `Hypotheses ${shown[0]} and ${shown[1]} seen from ${side(viewer.azimuth)}, elevation ` +
    `${Math.round(viewer.elevation)}°. Arrow keys turn both, plus and minus zoom.`);
  view.dataset.azimuth = Math.round(viewer.azimuth);
}

function tell(error) { element("compare-error").textContent = error ? error.message : ""; }

function cut() {
  const axis = element("compare-axis").value, depth = Number(element("compare-depth").value);
  element("compare-depth").disabled = axis === "none";
  viewer.plane = axis === "none" ? [1, 0, 0, 9] : [...AXES[axis], depth];
  viewer.draw();
}
element("compare-axis").onchange = element("compare-depth").oninput = cut;
element("compare-look").onchange = event => { viewer.heat = event.target.value === "uncertainty"; viewer.draw(); };
for (const [slot, id] of ["compare-left", "compare-right"].entries()) element(id).onchange = () => load(slot).catch(tell);

let from = null;
const turn = (right, up) => { viewer.turn(right, up); describe(); };
view.addEventListener("pointerdown", event => { view.setPointerCapture(event.pointerId); from = event; });
view.addEventListener("pointermove", event => {
  if (!from) return;
  turn((event.clientX - from.clientX) / 2, (event.clientY - from.clientY) / 2);
  from = event;
});
for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, () => { from = null; });
view.addEventListener("wheel", event => { event.preventDefault(); viewer.zoom(Math.exp(event.deltaY / 800)); }, { passive: false });
view.addEventListener("keydown", event => {
  const turns = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
  if (turns[event.key]) turn(...turns[event.key]);
  else if (event.key === "+") viewer.zoom(.9);
  else if (event.key === "-") viewer.zoom(1.1);
  else return;
  event.preventDefault();
});
