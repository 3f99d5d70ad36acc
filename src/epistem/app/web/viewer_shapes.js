// Outlines and where they lie. Rings are [x0, y0, x1, y1, …] in image pixels, corners of pixels at integers.

const ELLIPSE_POINTS = 48;
const touch = document.createElement("canvas").getContext("2d");

// The object with its drawn path, box and score rank; paths are in columns × (rows × aspect), as on the screen.
export function prepared(object, aspect) {
  const path = new Path2D();
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of object.rings) {
    for (let i = 0; i + 1 < ring.length; i += 2) {
      const x = ring[i];
      const y = ring[i + 1] * aspect;
      if (i === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    }
    path.closePath();
  }
  return { ...object, path, box };
}

// The smallest object that contains the point; else the nearest whose box is within `reach` of it.
export function objectAt(objects, x, y, reach) {
  let best = null;
  let bestKey = [Infinity, Infinity];
  for (const object of objects) {
    const [left, top, right, bottom] = object.box;
    if (x < left - reach || x > right + reach || y < top - reach || y > bottom + reach) continue;
    const inside = touch.isPointInPath(object.path, x, y, "evenodd");
    const size = (right - left) * (bottom - top);
    const key = inside ? [0, size] : [1, Math.hypot(x - (left + right) / 2, y - (top + bottom) / 2)];
    if (key[0] < bestKey[0] || (key[0] === bestKey[0] && key[1] < bestKey[1])) {
      best = object;
      bestKey = key;
    }
  }
  return best;
}

// Lowest score first: those are the ones to check. What has no score was drawn by hand and comes last.
export function byScore(objects) {
  return [...objects].sort((a, b) => (a.score ?? 2) - (b.score ?? 2) || a.id - b.id);
}

// Width and height that half of the objects exceed, image pixels × pixels as on the screen; null without objects.
export function medianSize(objects) {
  if (!objects.length) return null;
  const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  return middle(objects.map((o) => Math.sqrt((o.box[2] - o.box[0]) * (o.box[3] - o.box[1]))));
}

export function ellipse([x0, y0], [x1, y1], shape) {
  const ring = [];
  for (let i = 0; i < ELLIPSE_POINTS; i++) {
    const turn = (2 * Math.PI * i) / ELLIPSE_POINTS;
    ring.push((x0 + x1) / 2 + (Math.cos(turn) * Math.abs(x1 - x0)) / 2);
    ring.push((y0 + y1) / 2 + (Math.sin(turn) * Math.abs(y1 - y0)) / 2);
  }
  return inImage(ring, shape);
}

export function rectangle([x0, y0], [x1, y1], shape) {
  return inImage([x0, y0, x1, y0, x1, y1, x0, y1], shape);
}

// A hand-drawn line with at most `most` points.
export function freehand(points, most, shape) {
  const step = Math.ceil(points.length / most);
  return inImage(points.filter((_, i) => i % step === 0).flat(), shape);
}

function inImage(ring, [rows, cols]) {
  return ring.map((v, i) => Math.round(100 * Math.min(Math.max(v, 0), i % 2 ? rows : cols)) / 100);
}

// [left, top, right, bottom] of a ring.
export function extent(ring) {
  const xs = ring.filter((_, i) => i % 2 === 0);
  const ys = ring.filter((_, i) => i % 2);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}
