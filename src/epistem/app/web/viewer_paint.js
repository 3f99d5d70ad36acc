// What is drawn on the viewer's canvas: the picture, outlines with a dark rim, the scale bar.

export const SHADE = [12, 16, 22];
// By line and not by colour, which is the score [CSS px].
export const LINES = {
  found: { width: 1.6, dash: [], cap: "butt" },
  confirmed: { width: 3.6, dash: [], cap: "butt" },
  added: { width: 2.2, dash: [8, 4], cap: "butt" },
  deleted: { width: 2.4, dash: [0.1, 5], cap: "round" },
};
// From here on outlines are not drawn anew at each step of a move.
const MANY_CORNERS = 10000;
export const STATES = Object.keys(LINES);
export const css = ([r, g, b], alpha = 1) => `rgba(${r}, ${g}, ${b}, ${alpha})`;

// Blue at 0, yellow at 1, white where it is not known; the ramp is that of the reports.
export function scoreColour(score, ramp) {
  if (score === null || score === undefined) return css([255, 255, 255]);
  const at = Math.min(Math.max(score, 0), 1) * (ramp.length - 1);
  const low = Math.min(Math.floor(at), ramp.length - 2);
  return css(ramp[low].map((value, i) => Math.round(value + (at - low) * (ramp[low + 1][i] - value))));
}

// The longest round length (1, 2 or 5 times a power of ten) that fits, as on the overlays of the reports.
export function scaleBar(longest_nm) {
  const power = 10 ** Math.floor(Math.log10(longest_nm));
  const nm = Math.max(...[1, 2, 5].map((s) => s * power).filter((v) => v <= longest_nm * (1 + 1e-9)));
  const [unit, length] = [["mm", 1e6], ["µm", 1e3], ["nm", 1]].find(([, l]) => nm >= l * (1 - 1e-9)) ?? ["nm", 1];
  return { text: `${Number((nm / length).toPrecision(10))} ${unit}`, nm };
}

export function paint(ctx, scene) {
  if (!ctx.canvas.width || !ctx.canvas.height) return; // in a tab that is not shown
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.fillStyle = css(SHADE);
  ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  if (!scene.shape) return;
  const { x, y, scale } = scene.view;
  ctx.setTransform(scene.dpr * scale, 0, 0, scene.dpr * scale, scene.dpr * x, scene.dpr * y);
  if (scene.picture) paintPicture(ctx, scene);
  ctx.lineJoin = "round";
  paintLayer(ctx, scene);
  const chosen = scene.shown.find((object) => object.id === scene.chosen);
  if (chosen) paintChosen(ctx, chosen, scale);
  for (const ring of scene.drafts) paintDraft(ctx, ring, scene);
  ctx.setTransform(scene.dpr, 0, 0, scene.dpr, 0, 0);
  if (scene.nm_per_px) paintScaleBar(ctx, scene);
}

function paintPicture(ctx, { picture, shape, aspect, view }) {
  // Beyond twice its size a pixel is shown as the square it is.
  ctx.imageSmoothingEnabled = (view.scale * shape[1]) / picture.width <= 2;
  ctx.imageSmoothingQuality = "medium";
  ctx.drawImage(picture, 0, 0, shape[1], shape[0] * aspect);
}

// The outlines are a layer of their own, drawn anew when they or the view changed. Where they are many, a moving
// hand moves the layer as a picture, which is crisp again when the hand rests.
function paintLayer(ctx, scene) {
  const { dpr, shown, view } = scene;
  const layer = (scene.layer ??= { canvas: document.createElement("canvas") });
  const { width, height } = ctx.canvas;
  const same = layer.shown === shown && layer.canvas.width === width && layer.canvas.height === height;
  const placed = same && ["x", "y", "scale"].every((name) => layer.view[name] === view[name]);
  const moving = same && scene.corners > MANY_CORNERS && performance.now() < scene.restsAt;
  if (!placed && !moving) {
    Object.assign(layer, { shown, view: { ...view } });
    Object.assign(layer.canvas, { width, height });
    const own = layer.canvas.getContext("2d");
    own.lineJoin = "round";
    own.setTransform(ctx.getTransform());
    paintOutlines(own, shown.filter((object) => inSight(object.box, scene)), view.scale);
  }
  ctx.save();
  const by = view.scale / layer.view.scale;
  ctx.setTransform(by, 0, 0, by, dpr * (view.x - by * layer.view.x), dpr * (view.y - by * layer.view.y));
  ctx.imageSmoothingEnabled = by !== 1;
  ctx.drawImage(layer.canvas, 0, 0);
  ctx.restore();
}

function inSight([left, top, right, bottom], { view, width, height }) {
  const { x, y, scale } = view;
  const [across, down] = [[left, right].map((v) => v * scale + x), [top, bottom].map((v) => v * scale + y)];
  return across[1] > -4 && across[0] < width + 4 && down[1] > -4 && down[0] < height + 4;
}

function paintOutlines(ctx, objects, scale) {
  for (const rim of [true, false]) {
    ctx.strokeStyle = css(SHADE, 0.55);
    for (const state of STATES) {
      const line = LINES[state];
      ctx.lineWidth = (line.width + (rim ? 2 : 0)) / scale;
      ctx.setLineDash(line.dash.map((length) => length / scale));
      ctx.lineCap = line.cap;
      for (const object of objects) {
        if (object.state !== state) continue;
        if (!rim) ctx.strokeStyle = object.colour;
        ctx.stroke(object.path);
      }
    }
  }
  ctx.setLineDash([]);
}

function paintChosen(ctx, object, scale) {
  for (const [width, colour] of [[8, css(SHADE, 0.7)], [6, css([255, 255, 255])], [2.5, css(SHADE)]]) {
    ctx.lineWidth = width / scale;
    ctx.strokeStyle = colour;
    ctx.stroke(object.path);
  }
  paintOutlines(ctx, [object], scale);
}

function paintDraft(ctx, ring, { aspect, view }) {
  ctx.beginPath();
  for (let i = 0; i + 1 < ring.length; i += 2) ctx.lineTo(ring[i], ring[i + 1] * aspect);
  ctx.closePath();
  ctx.setLineDash(LINES.added.dash.map((length) => length / view.scale));
  for (const [width, colour] of [[4.2, css(SHADE, 0.7)], [2.2, css([255, 255, 255])]]) {
    ctx.lineWidth = width / view.scale;
    ctx.strokeStyle = colour;
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

function paintScaleBar(ctx, { nm_per_px, view, width, height }) {
  const { text, nm } = scaleBar((nm_per_px / view.scale) * Math.min(width * 0.3, 220));
  const length = (nm * view.scale) / nm_per_px;
  ctx.font = "600 14px system-ui, sans-serif";
  const wide = Math.max(length, ctx.measureText(text).width) + 20;
  const left = width - wide - 10;
  const top = height - 52;
  ctx.fillStyle = css(SHADE, 0.75);
  ctx.beginPath();
  ctx.roundRect(left, top, wide, 42, 5);
  ctx.fill();
  ctx.fillStyle = "white";
  ctx.textAlign = "center";
  ctx.fillText(text, left + wide / 2, top + 19);
  ctx.fillRect(Math.round(left + (wide - length) / 2), top + 28, Math.round(length), 5);
}
