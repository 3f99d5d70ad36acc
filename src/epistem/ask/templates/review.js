"use strict";
const page = JSON.parse(document.getElementById("page").textContent);
const $ = (id) => document.getElementById(id);
let reviewer = "", decided = [], at = 0, asked = null;

// Keeping: what was decided stays in this browser, by page and reviewer.
const place = () => "epistem-review:" + page.id + ":" + reviewer;
function keep() {
  try { localStorage.setItem(place(), JSON.stringify(decided)); } catch { $("unkept").hidden = false; }
}
function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(place()));
    return Array.isArray(found) && found.length === page.items.length ? found : null;
  } catch { $("unkept").hidden = false; return null; }
}

function show() {
  const done = at >= page.items.length, count = decided.filter((one) => one !== null).length;
  ask(null);
  $("done").hidden = !done;
  $("review").hidden = done;
  $("bar").value = count;
  $("progress").textContent = count + " of " + page.items.length + " decided" + (done ? "" : ", this is number " + (at + 1));
  if (done) return;
  const item = page.items[at], before = decided[at];
  $("picture").hidden = item.picture === null;
  $("missing").hidden = item.picture !== null;
  if (item.picture !== null) $("picture").src = item.picture;
  $("name").textContent = item.name;
  $("paper").textContent = item.paper;
  const strip = Object.entries(item.strip).map(([name, value]) => name + " " + value);
  const scale = item.nm_per_px === null ? "scale not known" : item.nm_per_px.toPrecision(4) + " nm per px";
  const from = item.technique_from === null ? "" : " (from: " + item.technique_from + ")";
  $("kind").textContent = [(item.technique ?? "technique not known") + from, scale, ...strip].join(" · ");
  $("part").hidden = $("part-title").hidden = item.caption_panel === null;
  $("part").textContent = item.caption_panel ?? "";
  $("caption").textContent = item.caption;
  $("mentions").replaceChildren(...(item.mentions.length ? item.mentions : ["none"]).map((text) => {
    const one = document.createElement("p");
    one.textContent = text;
    return one;
  }));
  for (const [button, name] of [["accept", "accepted"], ["fix", "fixed"], ["reject", "rejected"]])
    $(button).setAttribute("aria-pressed", String(before !== null && before.decision === name));
}

function ask(what) {
  asked = what;
  $("why").hidden = what === null;
  if (what === null) return;
  const item = page.items[at], before = decided[at];
  $("fields").hidden = what !== "fixed";
  $("fix-technique").value = before?.fix.technique ?? "";
  $("fix-scale").value = before?.fix.nm_per_px ?? "";
  $("fix-material").value = before?.fix.material ?? item.material ?? "";
  $("fix-caption").value = before?.fix.caption_panel ?? before?.fix.caption ?? item.caption_panel ?? item.caption;
  $("reason").value = before?.decision === what ? before.reason : "";
  $("reason").focus();
}

function decide(decision, reason, fix) {
  decided[at] = { id: page.items[at].id, decision, reason, fix };
  keep();
  at = decided.includes(null) ? decided.indexOf(null) : page.items.length;
  show();
}

// Only what was changed is saved, so that nothing unseen overwrites a record.
function fixes() {
  const item = page.items[at], fix = {};
  if ($("fix-technique").value) fix.technique = $("fix-technique").value;
  if (Number($("fix-scale").value) > 0) fix.nm_per_px = Number($("fix-scale").value);
  const material = $("fix-material").value.trim(), text = $("fix-caption").value.trim();
  if (material && material !== item.material) fix.material = material;
  if (text && text !== (item.caption_panel ?? item.caption)) fix[item.caption_panel === null ? "caption" : "caption_panel"] = text;
  return fix;
}

function back() { if (at > 0) { at -= 1; show(); } }
function forward() { if (at < page.items.length && decided[at] !== null) { at += 1; show(); } }
function save() {
  const review = { page: page.id, reviewer, decisions: decided.filter((one) => one !== null) };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(review, null, 1)], { type: "application/json" }));
  link.download = ("review_" + page.id + "_" + reviewer).replace(/[^\p{L}\p{N}_.-]+/gu, "_") + ".json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  reviewer = $("reviewer").value.trim();
  if (!reviewer) return;
  decided = kept() ?? page.items.map(() => null);
  keep();
  at = decided.includes(null) ? decided.indexOf(null) : page.items.length;
  $("start").hidden = true;
  $("save").hidden = false;
  document.activeElement.blur();
  show();
});
$("why").addEventListener("submit", (event) => {
  event.preventDefault();
  const reason = $("reason").value.trim();
  if (reason) decide(asked, reason, asked === "fixed" ? fixes() : {});
});
$("accept").addEventListener("click", () => decide("accepted", "", {}));
$("fix").addEventListener("click", () => ask("fixed"));
$("reject").addEventListener("click", () => ask("rejected"));
$("cancel").addEventListener("click", () => ask(null));
$("back").addEventListener("click", back);
$("back-done").addEventListener("click", back);
$("save").addEventListener("click", save);
$("save-done").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if (!$("start").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { ask(null); return; }
  if (["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName)) return;
  const does = { ArrowLeft: back, ArrowRight: forward };
  if (!$("review").hidden) Object.assign(does, {
    a: () => decide("accepted", "", {}), f: () => ask("fixed"), r: () => ask("rejected"),
  });
  const act = does[event.key];
  if (act) { event.preventDefault(); act(); }
});
