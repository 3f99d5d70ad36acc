"""Groups of images side by side: a table by specimen or dose, plots and tests between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epistem.core import Quantity
from epistem.report.document import Block, Cell, Column, Fact, Figure, Notice, Section, Table, Text
from epistem.report.figures import GroupValues, against_number, compare_groups, cumulative_sizes
from epistem.report.methods_text import NOT_IN_INTERVALS
from epistem.report.sections import interval_of, mean_size, without_pixel_twins
from epistem.report.words import counted, label_and_unit, percent, sentence

MOST_LINES = 8  # more cumulative curves than this cannot be told apart
DRAWN = ("mean_diameter_nm", "density_per_um2", "swelling_percent")  # against the number that the groups stand at


@dataclass(frozen=True, eq=False)
class GroupSummary:
    """One specimen, or any other group of images.

    Attributes:
        name: how a person calls it.
        n_images: images in it, those without objects counted too; the images of one series are one.
        n_objects: objects in all of them.
        quantities: what they amount to, by name, in the order they are shown.
        values: sizes of the objects, one array (n,) for each image, in the unit that the section's label names.
        at: the number that makes the group, such as a dose; None where it is a name.
        shared: what else all its images have in common, by column: a dose, a foil thickness.
    """

    name: str
    n_images: int
    n_objects: int
    quantities: Mapping[str, Quantity]
    values: Sequence[NDArray[np.float64]] = field(default=())
    at: float | None = None
    shared: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """One quantity in two groups.

    Attributes:
        a, b: names of the groups.
        quantity: what is compared, in words.
        difference: b − a with its interval.
        p_value: of the test that `note` names, or None where none could be made.
        note: the test, and what it takes as independent.
    """

    a: str
    b: str
    quantity: str
    difference: Quantity
    p_value: float | None = None
    note: str = ""


def samples_section(
    groups: Sequence[GroupSummary],
    comparisons: Sequence[Comparison] = (),
    *,
    by: str = "specimen",
    label: str = "Diameter [nm]",
    left_out: int = 0,
) -> Section:
    """The groups in one table, their sizes in two plots, what depends on their number, and the tests between them.

    Args:
        groups: in the order they are shown.
        comparisons: pairs that were compared.
        by: the column that makes the groups: `specimen`, `dose_dpa`.
        label: what `GroupSummary.values` are, with unit.
        left_out: images in no group.
    """
    blocks: list[Block] = []
    alone = [group.name for group in groups if group.n_images == 1]
    if alone:
        text = (
            f"One image only of {', '.join(alone)}: how much images of it differ is unknown, and no interval says it."
        )
        blocks.append(Notice(level="warning", text=text))
    if left_out:
        text = f"{counted(left_out, 'image')} without a {label_and_unit(by)[0].lower()} in samples.csv: in no group."
        blocks.append(Notice(level="warning", text=sentence(text)))
    blocks.append(_group_table(groups, by))
    blocks.extend(_plots(groups, label))
    blocks.extend(_dependence(groups, by))
    if comparisons:
        blocks.append(_comparison_table(comparisons))
        notes = list(dict.fromkeys(c.note for c in comparisons if c.note))
        if notes:
            blocks.append(Text(text="\n\n".join(notes), role="list"))
    title = "Samples" if by == "specimen" else f"Samples by {label_and_unit(by)[0].lower()}"
    return Section(title=title, id="samples", blocks=tuple(blocks))


def quantity_columns(rows: Sequence[Mapping[str, Fact]]) -> tuple[list[str], list[Column]]:
    """Columns for the facts of many rows: those that any row knows, without px where nm is there too."""
    first: dict[str, Fact] = {}
    for row in rows:
        for name, fact in row.items():
            if fact.value is not None:
                first.setdefault(name, fact)
    names = without_pixel_twins(first)
    return names, [Column(label=first[n].label, unit=first[n].unit, missing="not measured here") for n in names]


def _group_table(groups: Sequence[GroupSummary], by: str) -> Table:
    facts = [{name: Fact.of(quantity) for name, quantity in group.quantities.items()} for group in groups]
    names, columns = quantity_columns(facts)
    # These two stand first in any case.
    keep = [i for i, name in enumerate(names) if name not in ("count", "n_images", "n_objects")]
    shared = list(dict.fromkeys(name for group in groups for name in group.shared))
    head = [_first_column(groups, by), *(_shared_column(groups, name) for name in shared)]
    head += [Column(label="Images"), Column(label="Objects")]
    rows: list[tuple[Cell, ...]] = []
    for group, row in zip(groups, facts, strict=True):
        first = (group.name if group.at is None else group.at, *(group.shared.get(name) for name in shared))
        rows.append((*first, group.n_images, group.n_objects, *(row.get(names[i]) for i in keep)))
    coverages = sorted({f.coverage for row in facts for f in row.values() if f.coverage is not None})
    held = " or ".join(percent(c) for c in coverages)
    note = f"In brackets: {held} intervals, from how images differ; not in them: {NOT_IN_INTERVALS}." if held else ""
    return Table(columns=(*head, *(columns[i] for i in keep)), rows=tuple(rows), note=note)


def _first_column(groups: Sequence[GroupSummary], by: str) -> Column:
    label, unit = label_and_unit(by)
    if all(group.at is None for group in groups):
        return Column(label=label, kind="text", align="left")
    return Column(label=label, unit=unit, align="left", decimals=_decimals([g.at for g in groups]))


def _shared_column(groups: Sequence[GroupSummary], name: str) -> Column:
    label, unit = label_and_unit(name)
    text = any(isinstance(group.shared.get(name), str) for group in groups)
    missing = "not the same in all its images, or not known"
    if text:
        return Column(label=label, unit=unit, kind="text", align="left", missing=missing)
    decimals = _decimals([group.shared.get(name) for group in groups])
    return Column(label=label, unit=unit, missing=missing, decimals=decimals)


def _decimals(values: Sequence[str | float | None]) -> int | None:
    """As many as a person wrote: a dose is not rounded, and 5 is not 5.00."""
    written = [f"{value:.12g}" for value in values if isinstance(value, float)]
    return None if any("e" in text for text in written) else max(len(text.partition(".")[2]) for text in written)


def _plots(groups: Sequence[GroupSummary], label: str) -> list[Figure]:
    drawn = {group.name: GroupValues(group.values, interval_of(mean_size(group.quantities))) for group in groups}
    if not any(len(group.pooled()) for group in drawn.values()):
        return []
    names = ", ".join(drawn)
    has_mean = any(group.mean for group in drawn.values())
    caption = "Box: quartiles and median of all objects; whiskers: 5th to 95th percentile; n: those with a size, seen"
    caption += " whole. Dots: mean of each image."
    caption += " Diamond: mean with its interval." if has_mean else ""
    alt = f"{label} compared between {names}"
    figures = [Figure.of(compare_groups(drawn, label=label), title="Sizes by group", alt=alt, caption=caption)]
    if len(drawn) <= MOST_LINES:
        picture = cumulative_sizes(drawn, label=label)
        alt = f"Cumulative distribution of {label} for {names}"
        figures.append(Figure.of(picture, alt=alt, caption="Share of the objects that are no larger than a size."))
    return figures


def _dependence(groups: Sequence[GroupSummary], by: str) -> list[Figure]:
    """Means against the number that makes the groups, where there is one and two groups of it."""
    at = [group.at for group in groups if group.at is not None]
    rows = [[group.quantities[name] for group in groups if name in group.quantities] for name in DRAWN]
    drawn = [row for row in rows if len(row) == len(groups) and any(q.value is not None for q in row)]
    if len(at) < max(2, len(groups)) or not drawn:
        return []
    words, unit = label_and_unit(by)
    what = ", ".join(row[0].label.lower() for row in drawn)
    caption = "Means of the images of each group; bars: intervals as in the table, none where one image is all."
    picture = against_number(at, drawn, label=f"{words} [{unit}]" if unit else words)
    alt = f"{sentence(what)} against {words.lower()}"
    return [Figure.of(picture, title=f"Against {words.lower()}", alt=alt, caption=caption)]


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    columns = (
        Column(label="From", kind="text", align="left"),
        Column(label="To", kind="text", align="left"),
        Column(label="Quantity", kind="text", align="left"),
        Column(label="Difference", note="second minus first"),
        Column(
            label="p",
            kind="p_value",
            missing="no test could be made",
            note="corrected after Holm where several pairs are tested",
        ),
    )
    rows = tuple((c.a, c.b, c.quantity, Fact.of(c.difference), c.p_value) for c in comparisons)
    held = sorted({c.difference.coverage for c in comparisons if c.difference.coverage is not None})
    note = f"In brackets: {' or '.join(map(percent, held))} intervals." if held else ""
    return Table(title="Differences between groups", columns=columns, rows=rows, note=note)
