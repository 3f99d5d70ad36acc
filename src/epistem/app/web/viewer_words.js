// What the viewer says of itself: below the picture and to a screen reader.

export const KEYS = [
  ["N / P", "next or previous object, lowest score first"],
  ["Enter", "confirm the selected object"],
  ["Delete", "delete the selected object"],
  ["A", "add at the centre; arrows move, Shift + arrows shape, + − size, Enter keeps"],
  ["+ / −", "zoom"],
  ["0", "whole image"],
  ["Arrows", "move the image"],
  ["Esc", "leave what you are doing"],
];

const HINTS = {
  look: "Click an object for its numbers. Press ? for the keys.",
  add: "Drag from corner to corner of the object; hold Shift to draw its outline by hand.",
  delete: "Click an object to delete it.",
  confirm: "Click an object to confirm it.",
  region: "Draw around a region; hold Shift for a rectangle.",
};
const UNITS = { nm2: "nm²", px2: "px²", nm: "nm", px: "px", um: "µm", A: "Å", deg: "°", percent: "%" };

export function counted(counts) {
  const corrected = ["confirmed", "added", "deleted"].filter((state) => counts[state]);
  const words = corrected.map((state) => `${counts[state]} ${state}`);
  const shown = counts.shown === counts.total ? `${counts.total}` : `${counts.shown} of ${counts.total}`;
  return [`${shown} ${counts.total === 1 ? "object" : "objects"} shown`, ...words].join(", ");
}

export function hint(mode) {
  return HINTS[mode];
}

export function told(object, place, count) {
  const score = object.score === null ? "no score" : `score ${object.score.toFixed(2)}`;
  const state = object.state === "found" ? [] : [object.state];
  const place_words = place === null ? "below the threshold" : `${place} of ${count}`;
  return [`Object ${place_words}: ${object.label}`, score, ...state, ...measured(object.about)].join(", ");
}

// {"diameter_nm": 5.2345} is "diameter 5.23 nm".
function measured(about) {
  return Object.entries(about ?? {}).map(([key, value]) => {
    const unit = key.split("_").at(-1);
    const name = unit in UNITS ? key.slice(0, -unit.length - 1) : key;
    const number = typeof value === "number" ? Number(value.toPrecision(3)) : (value ?? "not known");
    return `${name.replaceAll("_", " ")} ${number}${unit in UNITS && value !== null ? ` ${UNITS[unit]}` : ""}`;
  });
}

export function drafted([left, top, right, bottom]) {
  const [wide, tall] = [right - left, bottom - top].map((length) => Number(length.toPrecision(3)));
  const at = `column ${Math.round((left + right) / 2)}, row ${Math.round((top + bottom) / 2)}`;
  const keys = "Arrows move it, Shift + arrows shape it, + − size it, Enter keeps it.";
  return `New outline at ${at}, ${wide} × ${tall} px. ${keys}`;
}
