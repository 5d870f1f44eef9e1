/** Export of one object of a run to the formats of other programs. */
import { element, finished, send } from "./api.js";

const PRINTED = ["stl", "3mf"];
let run = null;

/** `formats`: name to what it is. */
export function setUpExport(formats) {
  const options = Object.entries(formats).map(([name, what]) => new Option(`${name.toUpperCase()}: ${what}`, name));
  element("export-format").replaceChildren(...options);
  changed();
}

function changed() {
  element("size-row").hidden = !PRINTED.includes(element("export-format").value);
  element("export-item").options[0] && (element("export-item").options[0].disabled = element("export-format").value === "views");
  if (element("export-format").value === "views" && element("export-item").value === "") element("export-item").value = "0";
  element("export-note").textContent = "";
  element("download").hidden = true;
}
for (const id of ["export-format", "export-item", "size"]) element(id).onchange = changed;

export function openExport(own) {
  run = own;
  const options = [new Option("Median of all hypotheses", "")];
  for (let k = 0; k < run.hypotheses; k++) options.push(new Option(`Hypothesis ${k}`, k));
  element("export-item").replaceChildren(...options);
  changed();
  element("export-dialog").showModal();
}

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
