"""The report of one field of atomic columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epistem.app.atoms_use import COVERAGE, Field, context_values, counts, uncertain
from epistem.report.columns import entropy_histogram
from epistem.report.compose import methods_section, provenance_section
from epistem.report.document import (
    Block,
    Column,
    Fact,
    Facts,
    Figure,
    Link,
    Links,
    Notice,
    Report,
    Section,
    Table,
    Text,
    plain,
)
from epistem.report.figures import shrunk
from epistem.report.words import counted, number, percent, sentence

NAMES = {
    "host": ("Host", ""), "dopants": ("Dopants that may be there", ""), "beam_keV": ("Beam energy", "keV"),
    "semiangle_mrad": ("Convergence semi-angle", "mrad"), "detectors": ("Detectors, inner to outer angle", "mrad"),
    "pixel_A": ("Pixel size", "Å"), "dose_e_per_A2": ("Dose", "e⁻ Å⁻²"),
}  # fmt: skip
LIMITS = (
    "The classifier learned from simulated annular dark-field images only: 1H monolayers of MoS2, MoSe2, MoTe2, WS2, "
    "WSe2 and WTe2, sixteen dopants on the metal site, missing atoms, 60 to 200 keV. Adatoms, antisites, second "
    "layers, edges and dirt were not among them, and it answers there as well: look at the overlay.",
    "Elements that are neighbours in the periodic table look nearly alike. Which dopant it is can only be told where "
    "those that may be there lie far enough apart for the dose.",
    "Probabilities are calibrated on simulated fields. They hold on your images as far as these are like those.",
)


def field_report(field: Field, pictures: Sequence[bytes]) -> Report:
    """The report.

    Args:
        field: from `classify_field`.
        pictures: PNG overlay of each image.
    """
    from epistem.app.analyze import versions

    record = plain(field.provenance.as_dict())
    text = headline(field)
    return Report(
        kind="Atomic columns",
        title=field.name,
        subtitle=text,
        provenance=record | {"versions": plain(versions()), "noun": "column"},
        sections=(
            Section(title=field.name, id="image", blocks=tuple(_blocks(field, pictures, text))),
            methods_section(methods(field)),
            provenance_section(record, versions()),
        ),
    )


def headline(field: Field) -> str:
    """One line: how many, what, how sure."""
    found = field.found
    n = sentence(counted(len(found), "column"))
    if not found.known:
        return f"{n}, none of them classified: this is no image of a kind that was simulated."
    rows = sorted(counts(found), key=lambda one: -one.called)
    told = ", ".join(f"{number(one.called)} {one.label}" for one in rows if one.called)
    unsure, nameless = int(uncertain(found).sum()), int((found.labels == "unknown").sum())
    told = ", ".join([*([told] if told else []), *([f"{number(nameless)} unknown"] if nameless else [])])
    return f"{n}: {told}. Mean entropy {number(float(found.entropy_bits.mean()))} bit; {number(unsure)} uncertain."


def methods(field: Field) -> str:
    """Sentences that another laboratory could repeat the work from."""
    found, record = field.found, field.provenance
    how = "one image" if len(field.images) == 1 else "the images of two detectors that recorded at once"
    lines = [
        f"Atomic columns were found in {how} as sites of one honeycomb lattice, fitted to the phases of its spatial "
        "frequencies, and described by Zernike moments (n ≤ 10) of a patch of side √3·a round each, in units of the "
        "host's own contrast.",
        f"A network (epistem {record.version}, weights {record.weights}) that was trained on simulated images only "
        "gave the posterior of each column's role and element from this contrast and from composition, beam, "
        "detectors, pixel size and dose, as far as they were known.",
        "All columns of one sub-lattice were taken as the metal's; shares of the roles were estimated from the image "
        "by expectation maximisation (Saerens et al., Neural Comput. 14, 21, 2002).",
        "Entropy is that of the posterior over roles with their element, in bits. A column is called uncertain where "
        f"its conformal set ({percent(_coverage(field))} coverage on simulated columns, every role as often) holds "
        "more than one role, or none.",
    ]
    if found.known:
        lines.append(
            f"Intervals of shares are binomial (Wilson, {percent(COVERAGE)}) and hold chance alone: not what the "
            "classifier gets wrong."
        )
    return " ".join(lines)


def _coverage(field: Field) -> float:
    return float(field.provenance.settings["coverage_of_sets"])


def _blocks(field: Field, pictures: Sequence[bytes], text: str) -> list[Block]:
    found = field.found
    blocks: list[Block] = [Text(text=text, role="headline")]
    blocks += [
        Notice(level="info" if note.startswith("Detector angles unknown") else "warning", text=note)
        for note in field.notes
    ]
    if found.known:
        blocks += [_cards(field), _labels(field)]
    for image, picture in zip(field.images, pictures, strict=True):
        marked = "circles are dopants, squares missing atoms, white diamonds uncertain columns, dots host metal"
        caption = f"{image.name}: {marked}." if found.known else f"{image.name}: columns that were found."
        blocks.append(
            Figure.of(
                shrunk(picture, side_px=2000, kilobytes=900),
                alt=f"{image.name} with its columns marked",
                caption=caption,
            )
        )
    if found.known:
        blocks.append(_entropy(field))
        blocks += _what_if(field)
    blocks.append(_context(field))
    blocks.append(Text(title="What this rests on", text="\n\n".join(LIMITS), role="list"))
    names = ["columns.csv", "columns.parquet", "classification.json", "overlay.png"]
    names += [f"overlay_{i + 1}.png" for i in range(1, len(pictures))]
    return [*blocks, Links(title="Files", links=tuple(Link.to_file(name, name) for name in names))]


def _cards(field: Field) -> Facts:
    found = field.found
    facts = [Fact(name="count", label="Columns", value=len(found), note="whose whole surroundings lie in the image")]
    host = found.context.crystal
    for one in counts(found):
        plain_host = host is not None and one.label in (host.metal, f"{host.chalcogen}2")
        if one.called and not plain_host and one.share is not None:
            ends = {"low": 100 * one.share.low, "high": 100 * one.share.high, "coverage": COVERAGE}
            facts.append(
                Fact(
                    name=one.label,
                    label=one.label,
                    value=100 * one.share.value,
                    unit="%",
                    note=f"{one.called} of {one.sites} sites",
                    **ends,
                )
            )
    facts.append(
        Fact(
            name="entropy", label="Mean entropy", value=float(found.entropy_bits.mean()), unit="bit", note="0 is sure"
        )
    )
    facts.append(Fact(name="uncertain", label="Uncertain columns", value=int(uncertain(found).sum())))
    return Facts(facts=tuple(facts))


def _labels(field: Field) -> Table:
    columns = (
        Column(label="Column", kind="text", align="left"),
        Column(label="Called", note="columns whose likeliest label it is"),
        Column(label="Expected", note="sum of its posterior over all columns", decimals=1),
        Column(label="Of", note="sites of the same sub-lattice"),
        Column(label="Share", unit="%", note=f"of these sites, with its {percent(COVERAGE)} binomial interval"),
    )  # fmt: skip
    rows: list[Any] = []
    for one in counts(field.found):
        share = None
        if one.share is not None:
            share = Fact(
                value=100 * one.share.value, low=100 * one.share.low, high=100 * one.share.high, coverage=COVERAGE
            )
        rows.append((one.label, one.called, one.expected, one.sites, share))
    note = "Where called and expected differ by much, single calls are doubtful: the expected number counts better."
    return Table(title="How many of each", columns=columns, rows=tuple(rows), note=note)


def _entropy(field: Field) -> Figure:
    bits = field.found.entropy_bits
    sure = float(np.mean(bits < 0.1)) if len(bits) else 0.0
    caption = f"{percent(sure)} of the columns have less than 0.1 bit. Low entropy says sure, not right."
    return Figure.of(
        entropy_histogram(bits), title="How sure", alt="Histogram of the posterior's entropy", caption=caption
    )


def _what_if(field: Field) -> list[Block]:
    if field.other is None:
        return []
    columns = (
        Column(label="Told", kind="text", align="left"),
        Column(
            label="Called otherwise",
            unit="%",
            note="columns with another label than in this report",
            missing="see the last column",
        ),
        Column(label="Mean entropy", unit="bit", decimals=3, missing="see the last column"),
        Column(label="", kind="text", align="left"),
    )
    found = field.found
    rows: list[Any] = [("as in this report", 0.0, float(found.entropy_bits.mean()) if len(found) else None, "")]
    rows += [
        (one.told, None if one.changed is None else 100 * one.changed, one.entropy_bits, one.refused)
        for one in field.other
    ]
    note = (
        "The same image classified again, with less known and with wrong values: how much the answer hangs on them."
    )
    return [Table(title="What if the metadata are wrong?", columns=columns, rows=tuple(rows), note=note)]


def _context(field: Field) -> Table:
    columns = (
        Column(label="", kind="text", align="left"), Column(label="Used", kind="text", align="left"),
        Column(label="From", kind="text", align="left"),
    )  # fmt: skip
    used, origin, rows = context_values(field.found), field.told.origin, []
    for key, (words, unit) in NAMES.items():
        value = used[key]
        who = origin.get(key, "")
        if key == "detectors":
            told = field.told.context.rings
            value = " and ".join("unknown" if ring is None else f"{ring[0]:.0f}–{ring[1]:.0f}" for ring in value)
            if any(ring is None for ring in told) and value != "unknown":
                who = "inferred from the host's contrast" if not who else f"{who}; the rest from the host's contrast"
            unit = "" if "–" not in value else unit
        elif key == "dopants":
            value = "any that was simulated" if value is None else ", ".join(value) or "none"
        elif isinstance(value, float):
            value = number(value)
        elif value is None:
            value = "unknown"
        if value == "unknown" and origin.get(key):
            who = f"{origin[key]}, not used"
        rows.append((words, f"{value} {unit}".strip() if value != "unknown" else value, who))
    return Table(title="What the classifier was told", columns=columns, rows=tuple(rows))
