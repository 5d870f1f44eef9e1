// ---- Tour: a path of cameras, one second apart ------------------------------------------------------------------

const tour = { stops: info.tour, time: 0, playing: false };

/** The pose at a time: places along Catmull-Rom curves, angles evenly. */
function tourPose(time) {
  const last = tour.stops.length - 1, index = clamp(Math.floor(time), 0, Math.max(last - 1, 0)), t = clamp(time - index, 0, 1);
  const [p, a, b, n] = [-1, 0, 1, 2].map(step => tour.stops[clamp(index + step, 0, last)]);
  const curve = axis => {
    const [p0, p1, p2, p3] = [p, a, b, n].map(stop => stop.at[axis]);
    return p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)));
  };
  const yaw = a.yaw + (nearAngle(b.yaw, a.yaw) - a.yaw) * t;
  return { at: [0, 1, 2].map(curve), yaw, pitch: a.pitch + (b.pitch - a.pitch) * t };
}

function showTour(time) {
  tour.time = clamp(time, 0, tour.stops.length - 1);
  me.flying = true;
  Object.assign(me, tourPose(tour.time));
  document.getElementById("progress").value = tour.time / Math.max(tour.stops.length - 1, 1);
  movesChanged();
  redraw();
}

function playTour(on) {
  if (!tour.stops.length) return say("This scene has no tour.");
  if (on && tour.time >= tour.stops.length - 1) tour.time = 0;
  tour.playing = on;
  const button = document.getElementById("play");
  button.setAttribute("aria-pressed", on);
  button.textContent = on ? "Pause" : "Play";
}

/** The tour's next moment; any step of one's own ends it. */
function advanceTour(wish, seconds) {
  if (!tour.playing) return;
  if (wish.along || wish.aside || wish.rise) return playTour(false);
  showTour(tour.time + seconds);
  if (tour.time >= tour.stops.length - 1) playTour(false);
}
