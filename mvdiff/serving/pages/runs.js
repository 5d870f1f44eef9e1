/** The tree of runs: each below the run that it was made from. */
import { element, fileOf, over, request } from "./api.js";

const VERBS = { generate: "from a photo", refine: "with more evidence", feedback: "more of the kept ones", scene: "scenes", views: "views only", reconstruct: "from views" };

function entry(title, note, picture, current, act) {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-current", current);
  const image = document.createElement(picture ? "img" : "span");
  if (picture) Object.assign(image, { src: picture, alt: "", loading: "lazy" });
  else image.className = "blank";
  const text = document.createElement("span"), strong = document.createElement("strong"), small = document.createElement("span");
  strong.textContent = title;
  small.textContent = note;
  text.append(strong, small);
  button.append(image, text);
  button.onclick = act;
  item.append(button);
  return item;
}

const when = seconds => new Date(seconds * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" });

/** Draw the tree; `show` is called with "job/ID" or "run/NAME". */
export async function drawRuns(place, show) {
  const [runs, jobs] = await Promise.all([request("/api/runs"), request("/api/jobs")]);
  const list = element("runs"), working = jobs.filter(job => !over(job) && job.run !== null);
  const busy = new Set(working.map(job => job.run)), known = new Set(runs.map(run => run.name));
  const items = working.map(job =>
    entry(job.run, job.state === "queued" ? "waiting" : "at work", null, place === `job/${job.id}`, () => show(`job/${job.id}`)));
  const below = parent => runs
    .filter(run => !busy.has(run.name) && (parent === null ? !known.has(run.parent) : run.parent === parent))
    .map(run => {
      const note = [VERBS[run.verb] ?? run.verb, run.complete ? when(run.created) : "interrupted"].join(", ");
      const picture = run.thumbnail && fileOf(run.name, run.thumbnail);
      const item = entry(run.photo ?? run.name, note, picture, place === `run/${run.name}`, () => show(`run/${run.name}`));
      item.firstChild.title = run.name;
      const children = below(run.name);
      if (children.length) {
        const group = document.createElement("ul");
        group.append(...children);
        item.append(group);
      }
      return item;
    });
  items.push(...below(null));
  list.replaceChildren(...items);
  element("no-runs").hidden = items.length > 0;
}
