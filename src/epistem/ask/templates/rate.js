"use strict";
const page = JSON.parse(document.getElementById("page").textContent);
const $ = (id) => document.getElementById(id);
const HEAD = "answered,pair,rater,assessment,value,seconds";
let rater = "", answers = [], at = 0, said = {}, since = null, spent = 0;

// Keeping: what was rated stays in this browser, by page and rater.
const place = () => "epistem-answers:" + page.id + ":" + rater;
function keep() {
  try { localStorage.setItem(place(), JSON.stringify(answers)); } catch { $("unkept").hidden = false; }
}
function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(place()));
    return Array.isArray(found) && found.length === page.order.length ? found : null;
  } catch { $("unkept").hidden = false; return null; }
}

// Time counts while the answer is on the screen and the page is in front.
function pause() { if (since !== null) spent += performance.now() - since; since = null; }
document.addEventListener("visibilitychange", () => {
  if (document.hidden) pause(); else if (!$("rating").hidden) since = performance.now();
});

const item = () => page.items[page.order[at]];
function show() {
  const done = at >= page.order.length;
  pause();
  spent = 0;
  $("done").hidden = !done;
  $("rating").hidden = done;
  const rated = answers.filter((one) => one !== null).length;
  $("bar").value = rated;
  $("progress").textContent = rated + " of " + page.order.length + " rated" + (done ? "" : ", this is number " + (at + 1));
  if (done) return;
  said = { ...(answers[at]?.said ?? {}) };
  for (const name of ["question", "benchmark", "candidate"]) $(name).textContent = item()[name];
  $("picture").hidden = item().picture === null;
  if (item().picture !== null) $("picture").src = item().picture;
  for (const box of document.querySelectorAll(".ask")) box.hidden = !item().asked.includes(box.dataset.kind);
  mark();
  window.scrollTo(0, 0);
  since = document.hidden ? null : performance.now();
}

function mark() {
  for (const kind of ["quality", "features"]) {
    const value = said[kind];
    // In the middle, so that neither end is nearer.
    $(kind).value = value || (kind === "quality" ? 50 : 2.5);
    $(kind + "-said").textContent = value || "–";
  }
  for (const button of document.querySelectorAll("[data-open]"))
    button.setAttribute("aria-pressed", String(said[button.dataset.open] === ""));
  for (const button of document.querySelectorAll("[data-verdict]"))
    button.setAttribute("aria-pressed", String(said.defect === button.dataset.verdict));
  $("next").disabled = !item().asked.every((kind) => kind in said);
}
function say(kind, value) { said[kind] = value; mark(); }

function onward() {
  if ($("next").disabled) return;
  pause();
  const before = answers[at] === null ? 0 : Number(answers[at].seconds);
  answers[at] = { said, seconds: (before + spent / 1000).toFixed(2) };
  keep();
  at = at + 1 < page.order.length && answers[at + 1] !== null ? at + 1 : first();
  show();
}
function first() { return answers.includes(null) ? answers.indexOf(null) : page.order.length; }
function back() { if (at > 0) { at -= 1; show(); } }

function csv() {
  const cell = (text) => (/[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);
  const rows = page.order.flatMap((which, i) => {
    const one = answers[i], what = page.items[which];
    if (one === null) return [];
    return what.asked.map((kind) => [what.answered, what.pair, rater, kind, one.said[kind], one.seconds]);
  });
  return [HEAD, ...rows.map((row) => row.map(cell).join(","))].join("\n") + "\n";
}
function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = ("ratings_" + page.title + "_" + rater).replace(/[^\p{L}\p{N}_.-]+/gu, "_") + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  rater = $("rater").value.trim();
  if (!rater) return;
  answers = kept() ?? page.order.map(() => null);
  keep();
  at = first();
  $("start").hidden = true;
  $("save").hidden = false;
  show();
});
for (const kind of ["quality", "features"]) {
  $(kind).addEventListener("input", () => say(kind, $(kind).value));
  // A click on the middle is an answer too.
  $(kind).addEventListener("change", () => say(kind, $(kind).value));
  $(kind).addEventListener("click", () => say(kind, $(kind).value));
}
for (const button of document.querySelectorAll("[data-open]"))
  button.addEventListener("click", () => say(button.dataset.open, ""));
for (const button of document.querySelectorAll("[data-verdict]"))
  button.addEventListener("click", () => say("defect", button.dataset.verdict));
$("next").addEventListener("click", onward);
for (const id of ["back", "back-done"]) $(id).addEventListener("click", back);
for (const id of ["save", "save-done"]) $(id).addEventListener("click", save);
