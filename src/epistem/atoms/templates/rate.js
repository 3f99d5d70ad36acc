"use strict";
const page = JSON.parse(document.getElementById("page").textContent);
const $ = (id) => document.getElementById(id);
const HEAD = "image_id,x,y,rater,label,confidence,seconds";
const SURE = { a: "1", s: "2", d: "3" };
let rater = "", answers = [], at = 0, label = null, sure = null, since = null, spent = 0;

// Keeping: what was rated stays in this browser, by page and rater.
const place = () => "epistem-rate:" + page.id + ":" + rater;
function keep() {
  try { localStorage.setItem(place(), JSON.stringify(answers)); } catch { $("unkept").hidden = false; }
}
function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(place()));
    return Array.isArray(found) && found.length === page.order.length ? found : null;
  } catch { $("unkept").hidden = false; return null; }
}

// Time counts while the column is on the screen and the page is in front.
function pause() { if (since !== null) spent += performance.now() - since; since = null; }
document.addEventListener("visibilitychange", () => {
  if (document.hidden) pause(); else if (!$("rating").hidden) since = performance.now();
});

// Linear interpolation once shows the pixels' squares; doubling again and again rounds them to a smooth surface.
const TIMES = 8;
function enlarged(picture) {
  let held = picture;
  for (let times = 2; times <= TIMES; times *= 2) {
    const next = document.createElement("canvas");
    next.width = picture.width * times;
    next.height = picture.height * times;
    const pen = next.getContext("2d");
    pen.imageSmoothingQuality = "low";
    pen.drawImage(held, 0, 0, next.width, next.height);
    held = next;
  }
  return held;
}
// Drawing: the part of an enlarged picture round the column, `side` Å wide.
function draw(canvas, picture, at, side) {
  const pen = canvas.getContext("2d"), width = (TIMES * side) / page.pixel_A, centre = at.map((one) => TIMES * one);
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, centre[0] - width / 2, centre[1] - width / 2, width, width, 0, 0, canvas.width, canvas.height);
  return pen;
}
function close(canvas, picture, centre) {
  const pen = draw(canvas, picture, centre, page.patch_A), end = canvas.width, middle = end / 2, tick = end / 16;
  pen.strokeStyle = "#ffb000";
  pen.lineWidth = 3;
  pen.beginPath();
  for (const [x0, y0, x1, y1] of [[middle, 0, middle, tick], [middle, end - tick, middle, end], [0, middle, tick, middle],
    [end - tick, middle, end, middle]]) { pen.moveTo(x0, y0); pen.lineTo(x1, y1); }
  pen.stroke();
}
function wide(canvas, picture, centre) {
  const pen = draw(canvas, picture, centre, page.surroundings_A), end = canvas.width;
  const frame = (end * page.patch_A) / page.surroundings_A, nm = (end * 10) / page.surroundings_A;
  pen.strokeStyle = "#ffb000";
  pen.lineWidth = 3;
  pen.strokeRect((end - frame) / 2, (end - frame) / 2, frame, frame);
  pen.fillStyle = "#000c";
  pen.fillRect(14, end - 66, nm + 20, 56);
  pen.fillStyle = "#fff";
  pen.fillRect(24, end - 24, nm, 6);
  pen.font = "26px system-ui, sans-serif";
  pen.fillText("1 nm", 24, end - 34);
  pen.fillStyle = "#000";
}

async function show() {
  const done = at >= page.order.length, mine = at;
  pause();
  spent = 0;
  $("done").hidden = !done;
  $("rating").hidden = done;
  const rated = answers.filter((one) => one !== null).length;
  $("bar").value = rated;
  $("progress").textContent = rated + " of " + page.order.length + " rated" + (done ? "" : ", this is number " + (at + 1));
  if (done) return;
  const item = page.items[page.order[at]], before = answers[at];
  // Going back, what was said stands until one of the two is said anew.
  label = before?.label || null;
  sure = before?.confidence || null;
  mark(before?.label ?? null, sure);
  const pictures = await Promise.all(item.pictures.map(async (source) => {
    const picture = new Image();
    picture.src = source;
    await picture.decode();
    return enlarged(picture);
  }));
  if (mine !== at) return;
  document.querySelectorAll("canvas.close").forEach((canvas, i) => close(canvas, pictures[i], item.centre));
  document.querySelectorAll("canvas.wide").forEach((canvas, i) => wide(canvas, pictures[i], item.centre));
  since = document.hidden ? null : performance.now();
}

function mark(chosen, confident) {
  for (const button of document.querySelectorAll("[data-label]"))
    button.setAttribute("aria-pressed", String(chosen !== null && button.dataset.label === chosen));
  for (const button of document.querySelectorAll("[data-sure]"))
    button.setAttribute("aria-pressed", String(confident !== null && button.dataset.sure === confident));
}

// A column is rated once both are said; "cannot tell" needs no confidence.
function answer(chosen, confident) {
  if ($("rating").hidden || since === null) return;  // nothing to see yet
  label = chosen ?? label;
  sure = confident ?? sure;
  mark(label, sure);
  if (label === null || (label !== "" && sure === null)) return;
  pause();
  const before = answers[at] === null ? 0 : Number(answers[at].seconds);
  answers[at] = { label, confidence: label === "" ? "" : sure, seconds: (before + spent / 1000).toFixed(2) };
  keep();
  at = next();
  show();
}
function next() { return answers.includes(null) ? answers.indexOf(null) : page.order.length; }
function back() { if (at > 0) { at -= 1; show(); } }
function forward() { if (at < page.order.length && answers[at] !== null) { at += 1; show(); } }

function csv() {
  const cell = (text) => (/[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);
  const rows = page.order.flatMap((which, i) => {
    const one = answers[i], item = page.items[which];
    return one === null ? [] : [[page.image_id, item.x, item.y, rater, one.label, one.confidence, one.seconds]];
  });
  return [HEAD, ...rows.map((row) => row.map(cell).join(","))].join("\n") + "\n";
}
function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = ("ratings_" + page.image_id + "_" + rater).replace(/[^\p{L}\p{N}_.-]+/gu, "_") + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  rater = $("rater").value.trim();
  if (!rater) return;
  answers = kept() ?? page.order.map(() => null);
  keep();
  at = next();
  $("start").hidden = true;
  $("save").hidden = false;
  document.activeElement.blur();
  show();
});
$("choices").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { button.blur(); answer(button.dataset.label, null); }
});
$("sure").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { button.blur(); answer(null, button.dataset.sure); }
});
for (const id of ["back", "back-done"]) $(id).addEventListener("click", back);
for (const id of ["save", "save-done"]) $(id).addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if (!$("start").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const number = /^[0-9]$/.test(event.key) ? Number(event.key) : null;
  if (event.key === "ArrowLeft" || event.key === "Backspace") { event.preventDefault(); back(); }
  else if (event.key === "ArrowRight") forward();
  else if (number === 0) answer("", null);
  else if (number !== null && number <= page.choices.length) answer(page.choices[number - 1].label, null);
  else if (event.key.toLowerCase() in SURE) answer(null, SURE[event.key.toLowerCase()]);
});
