"""Which pictures on a page are a figure: each caption takes what stands over, under or beside it.

::

    pictures and paths → atoms (what touches) → caption ↔ atoms that no text separates → box with its labels

`rules` looks at captions, pictures and white space; where that is ambiguous the figure is refused with a reason.
`rapid` adds what a trained layout model sees on the rendered page (`layout_model.py`), `auto` asks it only where the
rules refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from epistem.ask.blocks import Block, joined
from epistem.ask.mentions import caption_start
from epistem.ask.pdf import Box, Line, Page, area, overlap, union
from epistem.core.registry import Table

Side = Literal["above", "below", "beside"]

LAYOUTS = Table("layout", {
    "auto": "epistem.ask.layout_model:where_unsure",
    "rules": "epistem.ask.layout_model:never",
    "rapid": "epistem.ask.layout_model:always",
})  # fmt: skip
"""How a page is looked at: (pages, unsure numbers, render) → number → boxes of figures that a model sees."""

_TOUCH_PT = 3.0
_PANEL_GAP_PT = 26.0
_FAR_PT = 90.0
"""A caption stands no farther from its figure."""
_SMALLEST_PT = 24.0
_LABEL_PT = 13.0


class Region(NamedTuple):
    """A figure on a page.

    Attributes:
        box: pictures, drawings and the labels round them.
        atoms: pictures and drawings by themselves.
        caption: what it is called by.
        side: on which side of its caption it stands.
        labels: printed lines inside.
    """

    page: int
    box: Box
    atoms: tuple[Box, ...]
    caption: Block
    side: Side
    labels: tuple[Line, ...]


class Found(NamedTuple):
    """Figures, captions that have none with the reason, and how many pictures have no caption."""

    regions: tuple[Region, ...]
    refused: tuple[tuple[Block, str], ...]
    left_over: int


@dataclass(frozen=True)
class Sheet:
    """A page as layout sees it: atoms, and blocks that stand between things."""

    page: Page
    blocks: tuple[Block, ...]
    atoms: tuple[Box, ...]
    captions: tuple[Block, ...] = field(default=())

    @property
    def walls(self) -> list[Box]:
        """What no figure reaches across: body text and captions."""
        return [block.box for block in self.blocks if block.kind != "small"]


def find_figures(
    pages: Sequence[Page], blocks: Sequence[Block], seen: Callable[[list[int]], dict[int, list[Box]]] | None = None
) -> Found:
    """The figures of a paper.

    Args:
        pages: all pages.
        blocks: all blocks with their kinds.
        seen: asked with the numbers of pages where rules are not sure, and all others with captions as negative
            numbers; gives boxes of figures by page.
    """
    sheets = {page.number: _sheet(page, blocks) for page in pages}
    captions = _chosen(sheets)
    usual = {kind: _usual_side(sheets, captions, kind) for kind in ("caption", "table")}
    placed, refused = _placed(sheets, captions, usual)
    if seen is not None:
        unsure = sorted({block.page for block, _ in refused} | {p.number for p in pages if p.is_scan})
        asked = unsure + [-block.page for block in captions if block.kind == "caption" and block.page not in unsure]
        boxes = seen(sorted(set(asked), key=abs)) if asked else {}
        if boxes:
            sheets |= {at: _with_boxes(sheets[at], found) for at, found in boxes.items()}
            usual = {kind: _usual_side(sheets, captions, kind) for kind in usual}
            placed, refused = _placed(sheets, captions, usual)
    placed, refused = _over_the_leaf(sheets, placed, refused)
    taken = {(region.page, atom) for region in placed for atom in region.atoms}
    over = sum(
        min(atom[2] - atom[0], atom[3] - atom[1]) >= 2 * _SMALLEST_PT and (at, atom) not in taken
        for at, sheet in sheets.items() for atom in sheet.atoms
    )  # fmt: skip
    figures = sorted((r for r in placed if r.caption.kind == "caption"), key=lambda r: (r.page, r.box[1], r.box[0]))
    return Found(tuple(figures), tuple((b, why) for b, why in refused if b.kind == "caption"), over)


def _sheet(page: Page, blocks: Sequence[Block]) -> Sheet:
    own = tuple(block for block in blocks if block.page == page.number)
    whole = 0.8 * page.width * page.height
    boxes = [one.box for one in page.rasters if area(one.box) < whole]
    atoms = tuple(box for box in clusters(boxes + list(page.paths)) if _is_solid(box))
    named = tuple(block for block in own if block.start is not None)
    return Sheet(page, _without_inner_text(own, atoms), atoms, named)


def _without_inner_text(blocks: tuple[Block, ...], atoms: tuple[Box, ...]) -> tuple[Block, ...]:
    """Blocks that stand inside a picture or drawing are its labels, whatever their type."""
    kept = []
    for block in blocks:
        inside = any(area(overlap(block.box, atom)) > 0.9 * area(block.box) for atom in atoms)
        kept.append(block._replace(kind="small") if inside and block.kind == "body" else block)
    return tuple(kept)


def clusters(boxes: Sequence[Box], touch: float = _TOUCH_PT) -> list[Box]:
    """Boxes round all that touch, from top to bottom.

    >>> clusters([(0, 0, 10, 10), (11, 0, 20, 10), (50, 0, 60, 10)])
    [(0, 0, 20, 10), (50, 0, 60, 10)]
    """
    joint: list[Box] = []
    for box in sorted(boxes, key=lambda one: (one[1], one[0])):
        grown = box
        while True:
            near = [one for one in joint if _apart(one, grown) <= touch]
            if not near:
                break
            joint = [one for one in joint if one not in near]
            left, top = min(b[0] for b in (*near, grown)), min(b[1] for b in (*near, grown))
            grown = (left, top, max(b[2] for b in (*near, grown)), max(b[3] for b in (*near, grown)))
        joint.append(grown)
    return sorted(joint, key=lambda one: (one[1], one[0]))


def _apart(one: Box, other: Box) -> float:
    across = max(one[0], other[0]) - min(one[2], other[2])
    down = max(one[1], other[1]) - min(one[3], other[3])
    return max(across, down, 0.0)


def _is_solid(box: Box) -> bool:
    """Neither a rule nor a mark."""
    return min(box[2] - box[0], box[3] - box[1]) >= 6 and max(box[2] - box[0], box[3] - box[1]) >= _SMALLEST_PT


def _chosen(sheets: dict[int, Sheet]) -> list[Block]:
    """One caption for each number: the one that is set off most and has a picture by it."""
    best: dict[tuple[bool, str], tuple[tuple[int, ...], Block]] = {}
    for sheet in sheets.values():
        for block in sheet.captions:
            assert block.start is not None
            near = any(_reach(atom, block, sheet) is not None for atom in sheet.atoms)
            rank = (
                int(near),
                int(bool(block.lines[0].bold)),
                int(block.start.is_marked),
                int(not block.start.reads_on),
            )
            key = (block.start.is_table, block.start.number)
            if key not in best or rank > best[key][0]:
                best[key] = (rank, block)
    return [block for _, block in best.values()]


def _reach(atom: Box, caption: Block, sheet: Sheet) -> tuple[Side, float] | None:
    """On which side of a caption an atom stands and how far, where no text lies between; else None."""
    box = caption.box
    shared = min(atom[2], box[2]) - max(atom[0], box[0])
    level = min(atom[3], box[3]) - max(atom[1], box[1])
    if shared > 0:
        left, right = max(atom[0], box[0]), min(atom[2], box[2])
        if atom[3] <= box[1] + 4:
            side, gap, between = "above", box[1] - atom[3], (left, atom[3], right, box[1])
        elif atom[1] >= box[3] - 4:
            side, gap, between = "below", atom[1] - box[3], (left, box[3], right, atom[1])
        else:
            return None
    elif level > 0.5 * min(atom[3] - atom[1], box[3] - box[1]):
        top, bottom = max(atom[1], box[1]), min(atom[3], box[3])
        gap = max(atom[0] - box[2], box[0] - atom[2])
        side, between = "beside", (min(atom[2], box[2]), top, max(atom[0], box[0]), bottom)
        if gap > _PANEL_GAP_PT:
            return None
    else:
        return None
    if gap > _FAR_PT or _is_walled(between, sheet, caption, sheet.atoms, atom):
        return None
    return side, max(gap, 0.0)  # type: ignore[return-value]


def _is_walled(between: Box, sheet: Sheet, caption: Block | None, atoms: Sequence[Box], own: Box) -> bool:
    grown = (between[0] + 0.5, between[1] + 0.5, between[2] - 0.5, between[3] - 0.5)
    own_box = caption.box if caption else None
    if any(_meet(grown, wall) for wall in sheet.walls if wall != own_box):
        return True
    # Behind another picture: it takes that one first, and this one by what lies between them.
    return any(_meet(grown, atom) for atom in atoms if atom != own and not _within(own, atom))


def _meet(one: Box, other: Box) -> bool:
    shared = overlap(one, other)
    return shared[2] > shared[0] and shared[3] > shared[1]


def _within(inner: Box, outer: Box) -> bool:
    return area(overlap(inner, outer)) > 0.95 * area(inner)


def _usual_side(sheets: dict[int, Sheet], captions: Sequence[Block], kind: str) -> Side | None:
    """Where pictures stand in this paper, told from captions that have a picture on one side only."""
    votes: Counter[Side] = Counter()
    for block in captions:
        if block.kind == kind:
            sides = {reach[0] for reach in _reaches(sheets[block.page], block).values() if reach[0] != "beside"}
            votes.update(sides if len(sides) == 1 else ())
    if kind == "table" and not votes:
        return "below"
    first = votes.most_common(2)
    if not first or (len(first) == 2 and first[0][1] == first[1][1]):
        return None
    return first[0][0]


def _reaches(sheet: Sheet, caption: Block) -> dict[Box, tuple[Side, float]]:
    found = {atom: _reach(atom, caption, sheet) for atom in sheet.atoms}
    return {atom: reach for atom, reach in found.items() if reach is not None}


def _placed(
    sheets: dict[int, Sheet], captions: Sequence[Block], usual: dict[str, Side | None]
) -> tuple[list[Region], list[tuple[Block, str]]]:
    placed: list[Region] = []
    refused: list[tuple[Block, str]] = []
    for number, sheet in sheets.items():
        own = [block for block in captions if block.page == number]
        seeds: dict[int, tuple[Side, list[Box]] | str] = {
            at: _seeds(sheet, block, usual[block.kind]) for at, block in enumerate(own)
        }
        _settle(seeds, own)
        claimed = {atom for found in seeds.values() if not isinstance(found, str) for atom in found[1]}
        for at, block in enumerate(own):
            found = seeds[at]
            if isinstance(found, str):
                refused.append((block, found))
                continue
            others = claimed - set(found[1])
            atoms = _grown(found[1], sheet, others)
            claimed |= set(atoms)
            placed.append(_region(sheet, block, found[0], atoms))
    return placed, refused


def _seeds(sheet: Sheet, caption: Block, usual: Side | None) -> tuple[Side, list[Box]] | str:
    """The side on which its figure stands and the atoms next to it, or why that cannot be told."""
    reaches = _reaches(sheet, caption)
    by_side: dict[Side, list[Box]] = {}
    for atom, (side, _) in reaches.items():
        by_side.setdefault(side, []).append(atom)
    if not by_side:
        return "no picture stands by the caption"
    if usual in by_side:
        return usual, by_side[usual]
    sides: list[Side] = [side for side in by_side if side != "beside"] or ["beside"]
    if len(sides) == 1:
        return sides[0], by_side[sides[0]]
    return "pictures stand above and below the caption, and the paper does not tell which it means"


def _settle(seeds: dict[int, tuple[Side, list[Box]] | str], captions: Sequence[Block]) -> None:
    """An atom that two captions want goes to the one it is nearer to."""
    for at, found in seeds.items():
        for other, theirs in seeds.items():
            if isinstance(found, str) or isinstance(theirs, str) or at == other:
                continue
            for atom in [one for one in found[1] if one in theirs[1]]:
                mine, others = _apart(atom, captions[at].box), _apart(atom, captions[other].box)
                if mine > others:
                    found[1].remove(atom)
        if not isinstance(found, str) and not found[1]:
            seeds[at] = "the pictures by the caption belong to others"


def _grown(seeds: list[Box], sheet: Sheet, others: set[Box]) -> list[Box]:
    """The atoms of a figure: those by its caption, and all that stand in a row or column with them."""
    taken = list(seeds)
    while True:
        whole = union(taken)
        more = [
            atom for atom in sheet.atoms
            if atom not in taken and atom not in others and _is_next(atom, whole, sheet)
            and not any(_meet(union([atom, whole]), other) and not _within(other, whole) for other in others)
        ]  # fmt: skip
        if not more:
            return taken
        taken.append(min(more, key=lambda atom: _apart(atom, whole)))


def _is_next(atom: Box, whole: Box, sheet: Sheet) -> bool:
    across = max(atom[0], whole[0]) - min(atom[2], whole[2])
    down = max(atom[1], whole[1]) - min(atom[3], whole[3])
    if across <= 0 and down <= 0:
        return True
    if max(across, down) > _PANEL_GAP_PT or (across > 0 and down > 0):
        return False
    if across > 0:
        between = (min(atom[2], whole[2]), max(atom[1], whole[1]), max(atom[0], whole[0]), min(atom[3], whole[3]))
    else:
        between = (max(atom[0], whole[0]), min(atom[3], whole[3]), min(atom[2], whole[2]), max(atom[1], whole[1]))
    return not any(
        _meet((between[0] - 1, between[1] - 1, between[2] + 1, between[3] + 1), wall) for wall in sheet.walls
    )


def _region(sheet: Sheet, caption: Block, side: Side, atoms: list[Box]) -> Region:
    """The figure with the small print in and round it."""
    box = union(atoms)
    lines = [line for block in sheet.blocks if block.kind == "small" for line in block.lines]
    labels: list[Line] = []
    limit = max((line.size for line in lines), default=0.0)
    body = [block for block in sheet.blocks if block.kind == "body"]
    size = min((block.size for block in body), default=limit)
    while True:
        near = [line for line in lines if line not in labels and _is_label(line, box, size)]
        near = [line for line in near if not any(_meet(union([box, line.box]), wall) for wall in sheet.walls)]
        if not near:
            return Region(sheet.page.number, box, tuple(atoms), caption, side, tuple(labels))
        labels += near
        box = union([box, *(line.box for line in near)])


def _is_label(line: Line, box: Box, size: float) -> bool:
    if _within(line.box, box):
        return True
    is_short = len(line.text) <= 4
    is_heading = line.bold == "all" and not is_short
    return _apart(line.box, box) <= _LABEL_PT and not is_heading and (line.size <= 1.05 * size or is_short)


def _with_boxes(sheet: Sheet, boxes: list[Box]) -> Sheet:
    """The page with a model's figures as atoms: those that hold text are none, those that hold pictures are these."""
    body = [block for block in sheet.blocks if block.kind == "body"]
    atoms = list(sheet.atoms)
    for box in boxes:
        inked = sum(area(overlap(box, line.box)) for block in body for line in block.lines)
        if inked > 0.25 * area(box) or any(area(overlap(box, atom)) > 0.5 * area(atom) for atom in sheet.atoms):
            continue
        atoms.append(box)
    return replace(sheet, atoms=tuple(atoms))


def _over_the_leaf(
    sheets: dict[int, Sheet], placed: list[Region], refused: list[tuple[Block, str]]
) -> tuple[list[Region], list[tuple[Block, str]]]:
    """A caption without picture on a page without text beside it: theirs, where there is one of each."""
    still = []
    used = {region.page for region in placed}
    alone = Counter(block.page for block, _ in refused if block.kind == "caption")
    for block, why in refused:
        bare = [
            at for at in (block.page - 1, block.page + 1)
            if at in sheets and at not in used and sheets[at].atoms and not sheets[at].walls
        ]  # fmt: skip
        if block.kind == "caption" and alone[block.page] == 1 and len(bare) == 1:
            sheet = sheets[bare[0]]
            placed.append(_region(sheet, block, "above", list(sheet.atoms)))
            used.add(bare[0])
        else:
            still.append((block, why))
    return placed, still


def caption_text(block: Block, known: frozenset[str]) -> str:
    """A caption without its label."""
    whole = joined(block.lines, known)
    start = caption_start(whole)
    return whole if start is None else start.rest
