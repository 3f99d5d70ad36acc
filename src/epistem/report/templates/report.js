"use strict";
document.documentElement.classList.add("js");

// Sorting: a button in each heading; empty cells stay last both ways.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  table.querySelectorAll("th").forEach((head, at) => {
    if (head.dataset.kind === "picture" || !head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = Array.from(body.rows, (row) => [row.cells[at].dataset.key, row]);
      const numeric = rows.every(([key]) => key === "" || !Number.isNaN(Number(key)));
      const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
      rows.sort(([a], [b]) => (a === "") - (b === "") || (a === "" ? 0 : (up ? 1 : -1) * compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// Zooming: a picture opens in a dialog that Escape, a click or its button closes.
const zoom = document.getElementById("zoom");
for (const picture of document.querySelectorAll("img.zooms")) {
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  picture.setAttribute("aria-label", picture.alt + "; enlarge");
  const open = () => {
    const large = zoom.querySelector("img");
    large.src = picture.src;
    large.alt = picture.alt;
    zoom.showModal();
  };
  picture.addEventListener("click", open);
  picture.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); }
  });
}
zoom.querySelector("img").addEventListener("click", () => zoom.close());
