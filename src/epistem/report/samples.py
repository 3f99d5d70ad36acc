"""Groups of images side by side: a table by specimen, plots and tests between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epistem.core import Quantity
from epistem.report.document import Block, Cell, Column, Fact, Figure, Notice, Section, Table, Text
from epistem.report.figures import GroupValues, compare_groups, cumulative_sizes
from epistem.report.sections import interval_of, mean_size, without_pixel_twins
from epistem.report.words import percent

MOST_LINES = 8  # more cumulative curves than this cannot be told apart


@dataclass(frozen=True, eq=False)
class GroupSummary:
    """One specimen, or any other group of images.

    Attributes:
        name: how a person calls it.
        n_images: images in it, those without objects counted too.
        n_objects: objects in all of them.
        quantities: what they amount to, by name, in the order they are shown.
        values: sizes of the objects, one array (n,) for each image, in the unit that the section's label names.
    """

    name: str
    n_images: int
    n_objects: int
    quantities: Mapping[str, Quantity]
    values: Sequence[NDArray[np.float64]] = field(default=())


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
    groups: Sequence[GroupSummary], comparisons: Sequence[Comparison] = (), *, label: str = "Diameter [nm]"
) -> Section:
    """The groups in one table, their sizes in two plots, and the tests between them.

    Args:
        groups: in the order they are shown.
        comparisons: pairs that were compared.
        label: what `GroupSummary.values` are, with unit.
    """
    blocks: list[Block] = []
    alone = [group.name for group in groups if group.n_images == 1]
    if alone:
        text = (
            f"One image only of {', '.join(alone)}: how much images of it differ is unknown, and no interval says it."
        )
        blocks.append(Notice(level="warning", text=text))
    blocks.append(_group_table(groups))
    blocks.extend(_plots(groups, label))
    if comparisons:
        blocks.append(_comparison_table(comparisons))
        notes = list(dict.fromkeys(c.note for c in comparisons if c.note))
        if notes:
            blocks.append(Text(text="\n\n".join(notes), role="list"))
    return Section(title="Samples", id="samples", blocks=tuple(blocks))


def quantity_columns(rows: Sequence[Mapping[str, Fact]]) -> tuple[list[str], list[Column]]:
    """Columns for the facts of many rows: those that any row knows, without px where nm is there too."""
    first: dict[str, Fact] = {}
    for row in rows:
        for name, fact in row.items():
            if fact.value is not None:
                first.setdefault(name, fact)
    names = without_pixel_twins(first)
    return names, [Column(label=first[n].label, unit=first[n].unit, missing="not measured here") for n in names]


def _group_table(groups: Sequence[GroupSummary]) -> Table:
    facts = [{name: Fact.of(quantity) for name, quantity in group.quantities.items()} for group in groups]
    names, columns = quantity_columns(facts)
    # These two stand first in any case.
    keep = [i for i, name in enumerate(names) if name not in ("count", "n_images", "n_objects")]
    head = (Column(label="Group", kind="text", align="left"), Column(label="Images"), Column(label="Objects"))
    rows: list[tuple[Cell, ...]] = [
        (group.name, group.n_images, group.n_objects, *(row.get(names[i]) for i in keep))
        for group, row in zip(groups, facts, strict=True)
    ]
    coverages = sorted({f.coverage for row in facts for f in row.values() if f.coverage is not None})
    note = f"In brackets: {' or '.join(percent(c) for c in coverages)} intervals." if coverages else ""
    return Table(columns=(*head, *(columns[i] for i in keep)), rows=tuple(rows), note=note)


def _plots(groups: Sequence[GroupSummary], label: str) -> list[Figure]:
    drawn = {group.name: GroupValues(group.values, interval_of(mean_size(group.quantities))) for group in groups}
    if not any(len(group.pooled()) for group in drawn.values()):
        return []
    names = ", ".join(drawn)
    has_mean = any(group.mean for group in drawn.values())
    caption = "Box: quartiles and median of all objects; whiskers: 5th to 95th percentile. Dots: mean of each image."
    caption += " Diamond: mean with its interval." if has_mean else ""
    alt = f"{label} compared between {names}"
    figures = [Figure.of(compare_groups(drawn, label=label), title="Sizes by group", alt=alt, caption=caption)]
    if len(drawn) <= MOST_LINES:
        picture = cumulative_sizes(drawn, label=label)
        alt = f"Cumulative distribution of {label} for {names}"
        figures.append(Figure.of(picture, alt=alt, caption="Share of the objects that are no larger than a size."))
    return figures


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    columns = (
        Column(label="From", kind="text", align="left"),
        Column(label="To", kind="text", align="left"),
        Column(label="Quantity", kind="text", align="left"),
        Column(label="Difference", note="second minus first"),
        Column(label="p", kind="p_value", missing="no test could be made"),
    )
    rows = tuple((c.a, c.b, c.quantity, Fact.of(c.difference), c.p_value) for c in comparisons)
    return Table(title="Differences between groups", columns=columns, rows=rows)
