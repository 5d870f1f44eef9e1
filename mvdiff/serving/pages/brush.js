/** A brush on a canvas, led by a pointer or by the arrow keys. */

/**
 * `tool` has: start(place), stroke(from, to), end(place), press(place) for the space bar, draw(place or null),
 * ready(), and size(), the range that holds the brush's size. Returns radius(), in pixels of the canvas, and forget().
 */
export function brushOn(view, tool) {
  let cursor = null, last = null;
  const radius = () => Math.max(1, tool.size().value / 200 * Math.max(view.width, view.height));

  function place(event) {
    const box = view.getBoundingClientRect(), scale = view.width / view.clientWidth;
    return { x: (event.clientX - box.left - view.clientLeft) * scale, y: (event.clientY - box.top - view.clientTop) * scale };
  }
  const ready = () => view.width > 0 && tool.ready();
  const center = () => cursor ??= { x: view.width / 2, y: view.height / 2 };

  view.addEventListener("pointerdown", event => {
    if (!ready()) return;
    view.setPointerCapture(event.pointerId);
    last = cursor = place(event);
    tool.start(last);
  });
  view.addEventListener("pointermove", event => {
    if (!ready()) return;
    cursor = place(event);
    if (last === null) return tool.draw(cursor);
    tool.stroke(last, cursor);
    last = cursor;
  });
  view.addEventListener("pointerup", () => {
    if (last !== null) tool.end(last);
    last = null;
  });
  view.addEventListener("pointercancel", () => { last = null; });
  view.addEventListener("pointerleave", () => ready() && tool.draw(null));
  view.addEventListener("focus", () => ready() && tool.draw(center()));
  view.addEventListener("blur", () => ready() && tool.draw(null));
  view.addEventListener("keydown", event => {
    if (!ready()) return;
    const step = radius(), moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const size = tool.size(), within = (value, most) => Math.min(Math.max(value, 0), most);
    if (moves[event.key]) {
      const { x, y } = center(), [right, down] = moves[event.key];
      cursor = { x: within(x + right, view.width - 1), y: within(y + down, view.height - 1) };
      tool.draw(cursor);
    } else if (event.key === " ") tool.press(center());
    else if (event.key === "+" || event.key === "-") {
      size.value = Number(size.value) + (event.key === "+" ? 1 : -1);
      tool.draw(center());
    } else return;
    event.preventDefault();
  });
  return { radius, forget: () => { cursor = last = null; } };
}

export const canvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

export function copy(source) {
  const made = canvas(source.width, source.height);
  made.getContext("2d").drawImage(source, 0, 0);
  return made;
}

export function picture(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("The picture cannot be shown: load the page again."));
    image.src = url;
  });
}

export const png = source => new Promise(resolve => source.toBlob(resolve, "image/png"));

/** A line as wide as the brush. */
export function line(context, from, to, radius) {
  context.lineCap = "round";
  context.lineWidth = 2 * radius;
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
}

/** A shape that is seen on light and dark: `path` draws it. */
export function outline(view, path) {
  const context = view.getContext("2d");
  for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
    context.beginPath();
    path(context);
    context.lineWidth = width * view.width / Math.max(1, view.clientWidth);
    context.strokeStyle = color;
    context.stroke();
  }
}

/** Press one of several buttons; the others are released. */
export function toggle(buttons, pressed) {
  for (const button of buttons) button.setAttribute("aria-pressed", button === pressed);
}
