// Which part of the image is on the screen: {x, y, scale}, screen = image × scale + offset [CSS px].
// Image rows are stretched by the aspect of the pixels before, so that one scale serves both axes.

const CLOSEST = 64;

export function fitted({ shape, aspect, width, height }) {
  const scale = Math.min(width / shape[1], height / (shape[0] * aspect));
  return { scale, x: (width - shape[1] * scale) / 2, y: (height - shape[0] * aspect * scale) / 2 };
}

// Larger by `factor` with the point [px] where it was.
export function zoomed(scene, factor, [px, py]) {
  const fit = fitted(scene).scale;
  const old = scene.view;
  const scale = Math.min(Math.max(old.scale * factor, Math.min(fit, 1) / 2), Math.max(CLOSEST, fit));
  const by = scale / old.scale;
  return inside(scene, { scale, x: px - (px - old.x) * by, y: py - (py - old.y) * by });
}

export function moved(scene, dx, dy) {
  return inside(scene, { ...scene.view, x: scene.view.x + dx, y: scene.view.y + dy });
}

// A box [left, top, right, bottom] in the middle, and at least `smallest` large [CSS px]; as it was if well in sight.
export function showing(scene, [left, top, right, bottom], smallest) {
  const { x, y, scale } = scene.view;
  const size = Math.max(right - left, bottom - top) * scale;
  const middle = [((left + right) / 2) * scale + x, ((top + bottom) / 2) * scale + y];
  const insight = middle[0] > 40 && middle[1] > 40 && middle[0] < scene.width - 40 && middle[1] < scene.height - 40;
  if (insight && size >= smallest / 2) return scene.view;
  const closer = Math.max(1, smallest / Math.max(size, 1e-9)) * scale;
  const next = size >= smallest / 2 ? scale : Math.min(closer, CLOSEST);
  return inside(scene, {
    scale: next,
    x: scene.width / 2 - ((left + right) / 2) * next,
    y: scene.height / 2 - ((top + bottom) / 2) * next,
  });
}

// The image never leaves the middle of the screen.
function inside({ shape, aspect, width, height }, { scale, x, y }) {
  const clamp = (offset, middle, length) => Math.min(Math.max(offset, middle - length), middle);
  return {
    scale,
    x: clamp(x, width / 2, shape[1] * scale),
    y: clamp(y, height / 2, shape[0] * aspect * scale),
  };
}

export const toImage = ({ view, aspect }, [px, py]) => [
  (px - view.x) / view.scale,
  (py - view.y) / view.scale / aspect,
];
