"""From core types to what one image's section shows: headline, warnings, numbers, pictures, objects, trust."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Calibration, Instances, Interval, Micrograph, Quantity, Reliability
from epistem.report.document import (
    Block,
    Cell,
    Column,
    ColumnKind,
    Fact,
    Facts,
    Figure,
    Link,
    Links,
    Notice,
    Section,
    Table,
    Text,
)
from epistem.report.figures import score_histogram, shrunk, signal_strips, size_histogram
from epistem.report.methods_text import HOLDS
from epistem.report.words import (
    counted,
    decimals_for,
    label_and_unit,
    number,
    percent,
    plural,
    sentence,
    span,
    with_interval,
)

SIZES = ("equivalent_diameter_nm", "equivalent_diameter_px")
CUT = ("touches_edge", "touches_invalid")
NAMES = {
    "intensity_mean": "Mean grey value",
    "touches_edge": "Cut by border",
    "touches_invalid": "Touches what is masked",
    "feret_max": "Feret, largest",
    "feret_min": "Feret, smallest",
    "beam_keV": "Beam energy",
    "dose_e_per_A2": "Dose",
}
LISTED = ("equivalent_diameter", "area", "feret_max", "feret_min", "circularity", "intensity_mean", "touches_edge")
# What a reader looks for first, each by the best name that is known.
MAIN = (
    ("count",),
    ("verdict",),
    ("f1",),
    ("mean_diameter_nm", "mean_diameter_px"),
    ("median_diameter_nm", "median_diameter_px"),
    ("density_per_um2", "density_per_1e6_px"),
    ("area_fraction_percent",),
    ("swelling_percent",),
)
NO_PIXEL_SIZE = "No pixel size: lengths are in pixels. Give it with --pixel-size to have them in nm."
FIRST = 6
UNTOLD = "How many were missed or are false is not known: look at the overlay before using the numbers."
OBJECT_ROWS = 200


def image_section(
    micrograph: Micrograph,
    measured: Instances,
    quantities: Mapping[str, Quantity],
    overlay: bytes,
    *,
    reliability: Reliability | None = None,
    exports: Sequence[tuple[str, str | PurePath]] = (),
    id: str = "image",
) -> Section:
    """What was found in one image, how sure, and what to look at first.

    Args:
        micrograph: the image as read.
        measured: its objects with measurements as columns; `equivalent_diameter_nm` or `_px` are their sizes.
        quantities: what they amount to, by name, in the order they are shown.
        overlay: PNG, JPEG or WebP of the image with the outlines; made smaller if it is large.
        reliability: how far to trust it; None if nothing can be said.
        exports: label and path, relative to the page, of each file beside it.
        id: the section's anchor.
    """
    cards, *further = _numbers(measured, quantities)
    blocks: list[Block] = [
        Text(text=headline(measured, quantities, reliability), role="headline"),
        *_notices(micrograph),
        cards,
        *_trust(reliability),
        _overlay(micrograph, measured, overlay),
        *_histograms(measured),
        *_signals(reliability),
        *further,
        _about_image(micrograph),
        *_objects(measured, has_file=any(str(path).endswith(".csv") for _, path in exports)),
    ]
    if exports:
        blocks.append(Links(title="Files", links=tuple(Link.to_file(label, path) for label, path in exports)))
    return Section(title=micrograph.name, id=id, blocks=tuple(blocks))


def noun_of(classes: Sequence[str]) -> str:
    """What a report calls one of these objects."""
    return classes[0] if len(classes) == 1 else "object"


def headline(measured: Instances, quantities: Mapping[str, Quantity], reliability: Reliability | None) -> str:
    """One line: how many, how large, how sure, what to do."""
    text = sentence(counted(len(measured), noun_of(measured.classes)))
    size = mean_size(quantities)
    if len(measured) and size is not None:
        text += f", mean {with_interval(size)}"
    text += "."
    if reliability is not None and reliability.f1 is not None:
        f1 = reliability.f1
        text += f" Expected F1 {number(f1.value, width=f1.high - f1.low)} ({span(f1.low, f1.high, f1.coverage)})."
    if reliability is not None and reliability.verdict is not None:
        # The first reason of an accepted image is its expected F1, which is said already.
        reason = f": {reliability.reasons[0]}" if reliability.reasons and reliability.verdict != "accept" else "."
        text += f" {reliability.verdict.capitalize()}{reason}"
    return text


def mean_size(quantities: Mapping[str, Quantity]) -> Quantity | None:
    """The mean diameter, in nm where that is known."""
    means = [q for q in quantities.values() if "mean" in q.name and "diameter" in q.name and q.value is not None]
    return min(means, key=lambda q: q.unit != "nm", default=None)


def interval_of(quantity: Quantity | None) -> Interval | None:
    """The quantity's interval, if it has one with a coverage."""
    if quantity is None or quantity.value is None or quantity.low is None or quantity.high is None:
        return None
    return Interval(quantity.low, quantity.value, quantity.high, quantity.coverage) if quantity.coverage else None


def main_names(known: Collection[str]) -> list[str]:
    """The quantities that stand first: of each kind the best that is known; the first six if none is of these."""
    best = [next((name for name in names if name in known), None) for names in MAIN]
    return [name for name in best if name is not None] or list(known)[:FIRST]


def without_pixel_twins(names: Iterable[str]) -> list[str]:
    """The names, without those in px that are there in nm too."""
    kept = list(names)
    return [n for n in kept if not (n.endswith("_px") and {f"{n[:-3]}_nm", f"{n[:-3]}_nm2"} & set(kept))]


def _notices(micrograph: Micrograph) -> list[Notice]:
    notices = [Notice(level="warning", text=warning) for warning in micrograph.warnings]
    if micrograph.calibration is None:
        notices.append(Notice(level="warning", text=NO_PIXEL_SIZE))
    masked = 1 - micrograph.valid_fraction
    if masked:
        text = (
            f"{percent(masked)} of the pixels are no image (data strip, scale bar, not a number) and were left out."
        )
        notices.append(Notice(level="info", text=text))
    return notices


def _numbers(measured: Instances, quantities: Mapping[str, Quantity]) -> list[Facts]:
    facts = [Fact.of(quantity) for quantity in quantities.values()]
    if "count" not in quantities:
        noun = plural(noun_of(measured.classes))
        facts.insert(0, Fact(name="count", label=noun.capitalize(), value=len(measured)))
    known = {fact.name: fact for fact in facts if fact.value is not None}
    cards = [known[name] for name in main_names(known)]
    rest = [f for f in facts if f not in cards and f.name in without_pixel_twins([*known, f.name])]
    blocks = [Facts(facts=tuple(cards))]
    if rest:
        blocks.append(Facts(title="Further numbers", facts=tuple(rest), style="list"))
    return blocks


def _overlay(micrograph: Micrograph, measured: Instances, overlay: bytes) -> Figure:
    found = counted(len(measured), noun_of(measured.classes))
    return Figure.of(
        shrunk(overlay, side_px=1600, kilobytes=400),
        alt=f"{micrograph.name} with the outlines of {found}",
        caption=f"{micrograph.name}: outlines of {found}." if len(measured) else f"{micrograph.name}: {found} found.",
    )


def sizes_of(measured: Instances) -> tuple[NDArray[np.float64], str]:
    """Diameters of the objects that are there whole, not cut by border or mask, and their unit: nm where known."""
    for name in SIZES:
        sizes = np.asarray(measured.columns.get(name, []), float)
        if np.isfinite(sizes).any():
            cut = np.any([np.zeros(len(sizes)), *(measured.columns[c] for c in CUT if c in measured.columns)], axis=0)
            return sizes[~cut & np.isfinite(sizes)], label_and_unit(name)[1]
    return np.empty(0), "px"


def _histograms(measured: Instances) -> list[Figure]:
    figures = []
    sizes, unit = sizes_of(measured)
    noun = plural(noun_of(measured.classes))
    if len(sizes):
        cut = len(measured) - len(sizes)
        caption = f"Area-equivalent diameters of {counted(len(sizes), noun_of(measured.classes))}"
        caption += (
            f"; {number(cut)} cut by the border or by what is masked, or without a size, are left out."
            if cut
            else "."
        )
        alt = f"Histogram of diameters in {unit}, from {number(sizes.min())} to {number(sizes.max())}"
        picture = size_histogram(sizes, unit=unit, noun=noun)
        figures.append(Figure.of(picture, title="Sizes", alt=alt, caption=caption))
    if np.isfinite(measured.score).any():
        picture = score_histogram(measured.score)
        caption = (
            "Scores of the detector: higher is surer. They rank the objects; what share of them is true on images"
            " like this is not known."
        )
        figures.append(Figure.of(picture, title="Scores", alt="Histogram of detection scores", caption=caption))
    return figures


def _trust(reliability: Reliability | None) -> list[Block]:
    title = "How far to trust this"
    if reliability is None:
        return [Text(title=title, text=f"{UNTOLD}\n\n{HOLDS}", role="list")]
    named = {"f1": "Expected F1", "precision": "Expected precision", "recall": "Expected recall"}
    facts = []
    for name, label in named.items():
        interval = getattr(reliability, name)
        if interval is not None:
            ends = {"low": interval.low, "high": interval.high, "coverage": interval.coverage}
            facts.append(Fact(name=name, label=label, value=interval.value, **ends))
    if reliability.typicality is not None:
        note = f"share of the reference images that are less typical ({reliability.reference or 'not named'})"
        share = percent(reliability.typicality)
        facts.append(Fact(name="typicality", label="Typicality", value=share, note=note))
    if reliability.verdict is not None:
        facts.append(Fact(name="verdict", label="Verdict", value=reliability.verdict))
    lines = [*reliability.reasons]
    if reliability.reference and facts:
        lines.append(f"These numbers hold for {reliability.reference}.")
    if not facts and not lines:
        lines = [UNTOLD]
    lines.append(HOLDS)
    blocks: list[Block] = [Facts(title=title, facts=tuple(facts))] if facts else []
    if lines:
        blocks.append(Text(title="" if facts else title, text="\n\n".join(lines), role="list"))
    return blocks


def _signals(reliability: Reliability | None) -> list[Figure]:
    """Where the image lies among those the forecast was learnt from."""
    if reliability is None or not reliability.shown:
        return []
    caption = (
        "Grey: from 5 to 95 % of the reference images; the line is their middle. A round mark is this image; an "
        "orange cross lies outside all of them."
    )
    alt = f"{len(reliability.shown)} signals of this image among those of the reference images"
    picture = signal_strips(reliability.shown)
    return [Figure.of(picture, title="Is this image like the reference?", alt=alt, caption=caption)]


def _about_image(micrograph: Micrograph) -> Facts:
    rows, cols = micrograph.shape
    facts = [*_scale(micrograph.calibration, micrograph.shape)]
    kind = {"u": "unsigned integer", "i": "integer", "f": "floating point", "b": "on/off"}[
        micrograph.pixels.dtype.kind
    ]
    bits = f"{8 * micrograph.pixels.dtype.itemsize}-bit {kind}"
    facts.append(Fact(label="Image", value=f"{rows} × {cols} px, {bits}", note="rows × columns, as recorded"))
    facts.extend(_context_fact(name, value) for name, value in micrograph.context.known().items())
    facts.append(Fact(name="image_id", label="Image id", value=micrograph.id, note="hash of the pixels"))
    return Facts(title="Scale and recording", facts=tuple(facts), style="list")


def _scale(calibration: Calibration | None, shape: tuple[int, int]) -> list[Fact]:
    if calibration is None:
        why = "neither the file nor the user gave one that can be relied on"
        return [Fact(name="pixel_size", label="Pixel size", value=None, note=why)]
    row, col = calibration.row_nm, calibration.col_nm
    size = f"{row:.4g} nm" if calibration.is_square else f"{row:.4g} × {col:.4g} nm (row × column)"
    error = calibration.relative_error
    if error is not None:
        size += f", ± {percent(error)} (one standard deviation)"
    field = " × ".join(number(n * step) for n, step in zip(shape, (row, col), strict=True))
    return [
        Fact(name="pixel_size", label="Pixel size", value=size, note=calibration.detail),
        Fact(name="pixel_size_source", label="Pixel size from", value=calibration.source),
        Fact(label="Field of view", value=f"{field} nm", note="height × width"),
    ]


def _context_fact(name: str, value: Any) -> Fact:
    label, unit = label_and_unit(name)
    shown = value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return Fact(label=NAMES.get(name, label), value=shown, unit=unit)


def _objects(measured: Instances, *, has_file: bool) -> list[Table]:
    """The largest objects, by size."""
    if not len(measured):
        return []
    size = next((n for n in SIZES if np.isfinite(np.asarray(measured.columns.get(n, []), float)).any()), None)
    key = np.nan_to_num(np.asarray(measured.columns[size], float), nan=-1) if size else -np.arange(len(measured))
    order = np.argsort(-key, kind="stable")[:OBJECT_ROWS]
    chosen = measured[order]
    columns, values = _object_columns(chosen)
    rows = tuple((i + 1, *row) for i, row in zip(order.tolist(), zip(*values, strict=True), strict=True))
    n, noun = len(measured), plural(noun_of(measured.classes))
    note = f"The {number(len(rows))} largest of {number(n)} {noun}" if len(rows) < n else ""
    where = "all of them, with every column, are in the CSV file" if has_file else ""
    note = "; ".join(part for part in (note, where) if part)
    first = Column(label="No.", note="as in the label image")
    return [
        Table(
            title=noun.capitalize(),
            columns=(first, *columns),
            rows=rows,
            note=sentence(note),
            folded=True,
        )
    ]


def _object_columns(chosen: Instances) -> tuple[list[Column], list[list[Cell]]]:
    columns = [Column(label=name, unit="px", note="middle of the object", decimals=0) for name in ("Row", "Column")]
    values: list[list[Cell]] = [*chosen.centres.T.tolist()]
    if len(chosen.classes) > 1:
        columns.append(Column(label="Class", kind="text", align="left"))
        values.append([chosen.classes[label] for label in chosen.label])
    if np.isfinite(chosen.score).any():
        columns.append(Column(label="Score", missing="this detector gives none", note="higher is surer", decimals=2))
        values.append(_cells(chosen.score))
    for name in without_pixel_twins(chosen.columns):
        base = next((base for base in LISTED if name.startswith(base)), None)
        if base is not None:
            label, unit = label_and_unit(name)
            kind: ColumnKind = "text" if chosen.columns[name].dtype.kind == "b" else "number"
            how: Any = {"missing": "cannot be measured on this object", "decimals": _decimals(chosen.columns[name])}
            columns.append(Column(label=NAMES.get(base, label), unit=unit, kind=kind, **how))
            values.append(_cells(chosen.columns[name]))
    return columns, values


def _decimals(column: NDArray[Any]) -> int | None:
    """Decimals that suit the column's middle value; None where it holds no decimals or nothing at all."""
    known = column[np.isfinite(column)] if column.dtype.kind == "f" else np.empty(0)
    return decimals_for(float(np.median(np.abs(known)))) if len(known) else None


def _cells(column: NDArray[Any]) -> list[Cell]:
    if column.dtype.kind == "b":
        return ["yes" if flag else "" for flag in column]
    return [None if isinstance(v, float) and not np.isfinite(v) else v for v in column.tolist()]
