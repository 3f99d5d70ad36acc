// What each key does in the viewer. Tab is left alone: it leaves the canvas.

const STEP = 60; // CSS px that an arrow moves the image
const NUDGE = 4; // CSS px that an arrow moves a new outline
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function onKey(viewer, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const placed = viewer.scene.draft?.placed;
  if (event.key in ARROWS) arrow(viewer, placed, ARROWS[event.key], event.shiftKey);
  else if (["+", "="].includes(event.key)) size(viewer, placed, 1.1, 1.25);
  else if (["-", "_"].includes(event.key)) size(viewer, placed, 1 / 1.1, 1 / 1.25);
  else if (event.key in PLAIN) PLAIN[event.key](viewer, placed);
  else if (event.key.toLowerCase() in PLAIN) PLAIN[event.key.toLowerCase()](viewer, placed);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

const PLAIN = {
  0: (viewer) => viewer.fit(),
  n: (viewer) => viewer.step(1),
  p: (viewer) => viewer.step(-1),
  a: (viewer) => viewer.place(),
  "?": (viewer) => (viewer.help = !viewer.help),
  Enter: (viewer, placed) => {
    if (placed) viewer.keep(viewer.scene.draft.ring);
    else if (viewer.chosen !== null) viewer.edit("confirm", viewer.chosen);
  },
  Delete: remove,
  Backspace: remove,
  Escape: leave,
};

function remove(viewer, placed) {
  if (placed) viewer.forget();
  else if (viewer.chosen !== null) viewer.edit("delete", viewer.chosen);
}

// One thing at a time, the last begun first.
function leave(viewer) {
  if (viewer.help) viewer.help = false;
  else if (viewer.scene.draft || viewer.gesture) viewer.forget();
  else if (viewer.chosen !== null) viewer.choose(null);
  else viewer.$emit("leave", {});
}

function arrow(viewer, placed, [dx, dy], shape) {
  if (!placed) return viewer.pan(-dx * STEP, -dy * STEP);
  const { view, aspect } = viewer.scene;
  const [x, y] = [(dx * NUDGE) / view.scale, (dy * NUDGE) / view.scale / aspect];
  const { wide, tall } = placed;
  viewer.shapeDraft(
    shape
      ? { ...placed, wide: Math.max(wide + x, 1), tall: Math.max(tall - y, 1) }
      : { ...placed, x: placed.x + x, y: placed.y + y },
  );
}

function size(viewer, placed, outline, view) {
  if (!placed) return viewer.zoom(view);
  viewer.shapeDraft({ ...placed, wide: placed.wide * outline, tall: placed.tall * outline });
}
