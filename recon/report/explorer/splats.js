// ---- Splats: their records as textures, their order from a worker -----------------------------------------------

const RECORD_ROW = 2048;

/** Records lie byte by byte over all splats: 16 bytes go to one texture, the 4 of the scale to another. */
function uploadedSplats({ count, size }, planes) {
  const rows = Math.ceil(count / RECORD_ROW);
  const records = new Uint8Array(16 * rows * RECORD_ROW), scales = new Uint8Array(4 * rows * RECORD_ROW);
  for (let i = 0; i < count; i++) {
    for (let b = 0; b < 16; b++) records[16 * i + b] = planes[b * count + i];
    for (let b = 0; b < 4; b++) scales[4 * i + b] = planes[(16 + b) * count + i];
  }
  const words = bytes => new Uint32Array(bytes.buffer);
  const vertices = gl.createVertexArray();
  gl.bindVertexArray(vertices);
  const order = buffer(new Uint32Array(count));
  gl.enableVertexAttribArray(0);
  gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);
  gl.vertexAttribDivisor(0, 1);
  gl.bindVertexArray(null);
  const whole = (format, kind, data) =>
    texture(gl.TEXTURE_2D, [format, RECORD_ROW, rows, 0, kind, gl.UNSIGNED_INT, words(data)], gl.NEAREST);
  return {
    vertices, count,
    records: whole(gl.RGBA32UI, gl.RGBA_INTEGER, records), scales: whole(gl.R32UI, gl.RED_INTEGER, scales),
    sorter: sorter(positionsOf(records, count), size, order),
  };
}

function positionsOf(records, count) {
  const whole = new Uint16Array(records.buffer), positions = new Uint16Array(3 * count);
  for (let i = 0; i < count; i++) for (let axis = 0; axis < 3; axis++) positions[3 * i + axis] = whole[8 * i + axis];
  return positions;
}

/** Indices from far to near along a direction: counting sort by depth in 65,536 steps. Runs in the worker, too. */
function orderByDepth(positions, direction) {
  const count = positions.length / 3, depths = new Float32Array(count), STEPS = 65536;
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < count; i++) {
    const depth = positions[3 * i] * direction[0] + positions[3 * i + 1] * direction[1] + positions[3 * i + 2] * direction[2];
    depths[i] = depth;
    if (depth < low) low = depth;
    if (depth > high) high = depth;
  }
  const factor = (STEPS - 1) / Math.max(high - low, 1e-9), starts = new Uint32Array(STEPS + 1);
  const step = i => (high - depths[i]) * factor | 0;
  for (let i = 0; i < count; i++) starts[step(i) + 1]++;
  for (let i = 0; i < STEPS; i++) starts[i + 1] += starts[i];
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[starts[step(i)]++] = i;
  return order;
}

/** Keeps the order of splats up to date as the view turns. Moving along does not change it. */
function sorter(positions, size, target) {
  const state = { sorted: false, ask }, worker = sortingWorker(positions);
  let busy = false, last = null;
  const take = order => {
    gl.bindBuffer(gl.ARRAY_BUFFER, target);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, order);
    state.sorted = true;
    busy = false;
    redraw();
  };
  if (worker) worker.onmessage = event => take(event.data);
  function ask(ahead) {
    const turned = !last || ahead[0] * last[0] + ahead[1] * last[1] + ahead[2] * last[2] < 0.9995;
    if (busy || !turned) return;
    busy = true;
    last = ahead;
    const direction = ahead.map((x, axis) => x * size[axis]);
    if (worker) worker.postMessage(direction);
    else take(orderByDepth(positions, direction));
  }
  return state;
}

/** A worker from this page's own text, or null where the browser allows none. */
function sortingWorker(positions) {
  const source = orderByDepth.toString() + `
    let positions = null;
    onmessage = event => {
      if (!positions) { positions = event.data; return; }
      const order = orderByDepth(positions, event.data);
      postMessage(order, [order.buffer]);
    };`;
  try {
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    worker.postMessage(positions);
    return worker;
  } catch (error) {
    return null;
  }
}
