// Mouse, pen and fingers on the viewer: click, drag, draw, pinch.

import { ellipse, extent, freehand, objectAt, rectangle } from "viewer_shapes";
import { toImage } from "viewer_view";

// A drag shorter than SHAKE is a click, an object within REACH is hit [CSS px]; fingers shake more than mice.
const SHAKE = { mouse: 3, pen: 4, touch: 8 };
const REACH = { mouse: 4, pen: 8, touch: 14 };

export function onDown(viewer, event) {
  if (!viewer.scene.view) return;
  const canvas = viewer.$refs.canvas;
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const from = viewer.at(event);
  viewer.pointers.set(event.pointerId, from);
  if (viewer.pointers.size > 1) {
    viewer.forget();
    viewer.gesture = { kind: "pinch" };
    return;
  }
  const draws = ["add", "region"].includes(viewer.mode) && event.button === 0;
  // Objects are ellipses and regions free-hand; Shift is the other way.
  const free = (viewer.mode === "add") === event.shiftKey;
  viewer.gesture = { kind: draws ? "draw" : "pan", from, path: [from], far: 0, button: event.button, free };
}

export function onMove(viewer, event) {
  const { gesture } = viewer;
  const last = viewer.pointers.get(event.pointerId);
  if (!last || !gesture) return;
  const now = viewer.at(event);
  viewer.pointers.set(event.pointerId, now);
  if (gesture.kind === "pinch") return pinch(viewer, event.pointerId, last, now);
  if (gesture.kind === "draw") return sketch(viewer, now);
  const before = gesture.far;
  gesture.far = Math.max(before, Math.hypot(now[0] - gesture.from[0], now[1] - gesture.from[1]));
  if (gesture.far < SHAKE[event.pointerType]) return;
  const start = before < SHAKE[event.pointerType] ? gesture.from : last;
  viewer.pan(now[0] - start[0], now[1] - start[1]);
}

export function onUp(viewer, event) {
  const { gesture } = viewer;
  viewer.pointers.delete(event.pointerId);
  if (!gesture || gesture.kind === "pinch") {
    if (!viewer.pointers.size) viewer.gesture = null;
    return;
  }
  viewer.gesture = null;
  const shake = SHAKE[event.pointerType];
  if (gesture.kind === "draw") finish(viewer, shake);
  else if (gesture.far < shake && gesture.button === 0) click(viewer, viewer.at(event), REACH[event.pointerType]);
}

function pinch(viewer, id, last, now) {
  const other = [...viewer.pointers].find(([key]) => key !== id)?.[1];
  if (!other) return;
  const apart = (p) => Math.max(Math.hypot(p[0] - other[0], p[1] - other[1]), 1);
  viewer.pan((now[0] - last[0]) / 2, (now[1] - last[1]) / 2);
  viewer.zoom(apart(now) / apart(last), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
}

function sketch(viewer, now) {
  const { scene, mode, gesture } = viewer;
  const [x, y] = gesture.path.at(-1);
  if (Math.hypot(now[0] - x, now[1] - y) < 1) return;
  gesture.path.push(now);
  const path = gesture.path.map((p) => toImage(scene, p));
  const closed = mode === "region" ? rectangle : ellipse;
  const { shape } = scene;
  scene.draft = {
    ring: gesture.free ? freehand(path, viewer.mostPoints, shape) : closed(path[0], path.at(-1), shape),
  };
  viewer.draw();
}

// Kept if it is neither a slip nor a line, in the image.
function finish(viewer, shake) {
  const { draft, view, aspect } = viewer.scene;
  const ring = draft?.ring ?? [];
  const [left, top, right, bottom] = extent(ring);
  const large = (right - left) * view.scale >= shake && (bottom - top) * view.scale * aspect >= shake;
  if (ring.length >= 6 && large) viewer.keep(ring);
  else viewer.forget();
}

function click(viewer, point, reach) {
  const { scene, mode } = viewer;
  const [x, y] = toImage(scene, point);
  const object = objectAt(scene.shown, x, y * scene.aspect, reach / scene.view.scale);
  if (!["delete", "confirm"].includes(mode)) viewer.choose(object?.id ?? null);
  else if (object) viewer.edit(mode, object.id);
}
