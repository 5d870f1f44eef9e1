/** Requests to the HTTP API. Every error has one sentence. */
export const element = id => document.getElementById(id);

/** Ask for the server's key, once for all requests that wait for it. */
let asking = null;
function askForKey() {
  asking ??= new Promise(resolve => {
    const dialog = element("key-dialog");
    element("key-form").onsubmit = async event => {
      event.preventDefault();
      const body = JSON.stringify({ key: element("key").value });
      const answer = await fetch("/api/login", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      if (!answer.ok) return;
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer: is it still running?");
  }
  if (answer.status === 401) {
    await askForKey();
    return request(path, options);
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.error ?? `The server answered with status ${answer.status}.`);
  }
  return answer.status === 204 ? null : answer.json();
}

export const send = (path, body) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export function upload(file) {
  const form = new FormData();
  form.append("photo", file, file.name || "pasted.png");
  return request("/api/photos", { method: "POST", body: form });
}

/** Call `onChange` with the job now and after each change; returns a function that stops it. */
export function follow(id, onChange) {
  const source = new EventSource(`/api/jobs/${id}/events`);
  source.addEventListener("job", event => {
    const job = JSON.parse(event.data);
    if (over(job)) source.close();
    onChange(job);
  });
  return () => source.close();
}

/** The job when it is over. */
export const finished = id => new Promise(resolve => follow(id, job => over(job) && resolve(job)));

export const over = job => ["done", "failed", "cancelled"].includes(job.state);

export const fileOf = (run, name) => `/runs/${encodeURIComponent(run)}/${name.split("/").map(encodeURIComponent).join("/")}`;
