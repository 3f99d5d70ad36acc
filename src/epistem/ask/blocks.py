"""Lines into blocks, blocks into reading order, body text into paragraphs that run over columns and pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from epistem.ask.mentions import CaptionStart, caption_start
from epistem.ask.pdf import Box, Line, Page, union

Kind = Literal["body", "caption", "table", "small"]


class Block(NamedTuple):
    """Lines that belong together, from top to bottom.

    Attributes:
        kind: "body" text, "caption" of a figure, that of a "table", or "small": headings, labels, footnotes.
        start: what a caption begins with.
    """

    page: int
    lines: tuple[Line, ...]
    kind: Kind = "small"
    start: CaptionStart | None = None

    @property
    def box(self) -> Box:
        return union([line.box for line in self.lines])

    @property
    def size(self) -> float:
        return float(np.median([line.size for line in self.lines]))


def body_type(pages: Sequence[Page]) -> tuple[float, str]:
    """Size [pt] and font that most characters have; (0, "") where there is no text."""
    count: Counter[tuple[float, str]] = Counter()
    for page in pages:
        for line in page.lines:
            count[round(2 * line.size) / 2, line.font] += len(line.text)
    return count.most_common(1)[0][0] if count else (0.0, "")


def without_running_heads(pages: Sequence[Page]) -> list[Page]:
    """The pages without lines that return at the same height on other pages, and without page numbers."""
    seen: Counter[tuple[str, int]] = Counter()
    body = body_type(pages)
    for page in pages:
        seen.update({_stamp(line) for line in page.lines if _is_outer(line, page)})
    kept = []
    for page in pages:
        lines = [
            line
            for line in page.lines
            if not (_is_outer(line, page) and _returns(line, seen) and not _is_in_text(line, page, body))
        ]
        kept.append(page._replace(lines=tuple(lines)))
    return kept


def _is_outer(line: Line, page: Page) -> bool:
    return line.box[3] < 0.1 * page.height or line.box[1] > 0.9 * page.height


def _is_in_text(line: Line, page: Page, body: tuple[float, str]) -> bool:
    """Whether the last line of a column happens to say what another one says: it is set as its neighbours are."""
    if abs(line.size - body[0]) > 0.3 or line.font != body[1]:
        return False
    return any(
        0.5 * line.size < abs(other.baseline - line.baseline) < 1.7 * line.size
        and min(other.box[2], line.box[2]) > max(other.box[0], line.box[0])
        and other.font == line.font
        for other in page.lines
    )


def _stamp(line: Line) -> tuple[str, int]:
    return re.sub(r"\d+", "#", line.text), round(line.baseline / 3)


def _returns(line: Line, seen: Counter[tuple[str, int]]) -> bool:
    if re.fullmatch(r"(?:page\s*)?\d{1,5}(?:\s*(?:of|/)\s*\d+)?", line.text, re.IGNORECASE):
        return True
    text, level = _stamp(line)
    return sum(seen[text, level + shift] for shift in (-1, 0, 1)) > 1


def blocks_of(page: Page, body: tuple[float, str]) -> list[Block]:
    """The blocks of a page in reading order; captions are judged by `told_apart` once all pages are known."""
    lines = sorted((line for line in page.lines if line.upright), key=lambda line: (line.box[1], line.box[0]))
    below = _followers(lines)
    pitch = _usual_pitch(lines, below, body[0])
    starts = set(range(len(lines))) - set(below.values())
    found = []
    for first in sorted(starts):
        chain = [first]
        while chain[-1] in below:
            chain.append(below[chain[-1]])
        found += [Block(page.number, tuple(part)) for part in _broken([lines[at] for at in chain], pitch, body)]
    found += [Block(page.number, (line,)) for line in page.lines if not line.upright]
    return in_reading_order(found)


def _followers(lines: list[Line]) -> dict[int, int]:
    """Of each line the next one of its column, where each is the other's nearest."""
    under: dict[int, int] = {}
    over: dict[int, int] = {}
    for at, line in enumerate(lines):
        for other in range(at + 1, len(lines)):
            to = lines[other]
            shared = min(line.box[2], to.box[2]) - max(line.box[0], to.box[0])
            if to.baseline - line.baseline > 4 * line.size:
                break
            if shared <= 0 or to.baseline - line.baseline < 0.5 * line.size:
                continue
            if at not in under:
                under[at] = other
            if other not in over or lines[over[other]].baseline < line.baseline:
                over[other] = at
            break
    return {at: to for at, to in under.items() if over.get(to) == at}


def _usual_pitch(lines: list[Line], below: dict[int, int], size: float) -> float:
    steps = [
        lines[to].baseline - lines[at].baseline
        for at, to in below.items()
        if abs(lines[at].size - size) < 0.6 and abs(lines[to].size - size) < 0.6
    ]
    return float(np.median(steps)) if steps else 1.3 * size


def _broken(chain: list[Line], pitch: float, body: tuple[float, str]) -> list[list[Line]]:
    """A column of lines, broken where the type changes or a gap is wider than that between lines."""
    parts = [[chain[0]]]
    for before, line in pairwise(chain):
        part = parts[-1]
        step = line.baseline - before.baseline
        usual = 1.6 * line.size
        if abs(line.size - body[0]) < 0.6 and abs(before.size - body[0]) < 0.6:
            usual = max(usual, pitch) if len(part) == 1 else pitch
        if len(part) > 1:
            usual = part[1].baseline - part[0].baseline
        is_new = step > 1.15 * usual + 0.5 or abs(line.size / before.size - 1) > 0.08
        is_new |= before.bold == "all" and line.bold != "all" and caption_start(part[0].text) is None
        is_new |= line.bold == "all" and before.bold != "all"
        begins = caption_start(line.text)
        is_new |= begins is not None and begins.is_marked and (line.bold != before.bold or line.font != before.font)
        if is_new:
            parts.append([line])
        else:
            part.append(line)
    return parts


def in_reading_order(blocks: list[Block]) -> list[Block]:
    """Columns from left to right; what crosses them all divides what stands above from what stands below."""
    if len(blocks) < 2:
        return blocks
    boxes = [block.box for block in blocks]
    columns = _gaps(boxes, 0, 5.0)
    if len(columns) > 1:
        return [one for column in columns for one in in_reading_order([blocks[at] for at in column])]
    alone = [at for at in range(len(blocks)) if _stands_alone(at, boxes)]
    if not alone:
        bands = _gaps(boxes, 1, 0.5)
        if len(bands) > 1:
            return [one for band in bands for one in in_reading_order([blocks[at] for at in band])]
        return sorted(blocks, key=lambda block: (block.box[1], block.box[0]))
    widest = max(alone, key=lambda at: boxes[at][2] - boxes[at][0])
    above = [blocks[at] for at in range(len(blocks)) if at != widest and boxes[at][1] < boxes[widest][1]]
    under = [blocks[at] for at in range(len(blocks)) if at != widest and boxes[at][1] >= boxes[widest][1]]
    return [*in_reading_order(above), blocks[widest], *in_reading_order(under)]


def _gaps(boxes: list[Box], axis: int, least: float) -> list[list[int]]:
    """Places of boxes between which a line can be drawn, `least` wide, across an axis."""
    order = sorted(range(len(boxes)), key=lambda at: boxes[at][axis])
    groups, end = [[order[0]]], boxes[order[0]][axis + 2]
    for at in order[1:]:
        if boxes[at][axis] > end + least:
            groups.append([])
        groups[-1].append(at)
        end = max(end, boxes[at][axis + 2])
    return groups


def _stands_alone(at: int, boxes: list[Box]) -> bool:
    top, bottom = boxes[at][1], boxes[at][3]
    return not any(min(bottom, b[3]) - max(top, b[1]) > 0.5 for to, b in enumerate(boxes) if to != at)


def told_apart(blocks: Sequence[Block], body: tuple[float, str]) -> list[Block]:
    """The blocks of a paper in reading order, each with its kind."""
    known: list[Block] = []
    open_text = ""
    for block in blocks:
        kind, start = _kind(block, body, open_text)
        known.append(block._replace(kind=kind, start=start))
        if kind == "body":
            open_text = block.lines[-1].text
    return known


def _kind(block: Block, body: tuple[float, str], open_text: str) -> tuple[Kind, CaptionStart | None]:
    text = joined(block.lines)
    is_body_type = abs(block.size - body[0]) <= 0.3 and Counter(line.font for line in block.lines)[body[1]] > 0
    start = caption_start(text)
    if start is not None and not _reads_on(block, start, open_text, is_body_type):
        return ("table" if start.is_table else "caption"), start
    words = len(text.split())
    if is_body_type and block.lines[0].bold != "all" and (len(block.lines) > 1 or words >= 4):
        return "body", None
    if len(block.lines) >= 3 and words >= 25 and block.size > 0.7 * body[0]:
        return "body", None
    return "small", None


def _reads_on(block: Block, start: CaptionStart, open_text: str, is_body_type: bool) -> bool:
    """Whether a block that begins like a caption is text: "Figure 2 shows…", or the end of an open sentence."""
    if block.lines[0].bold or start.is_marked:
        is_open = bool(open_text) and not re.search(r"[.!?:;]['\")\]]?$", open_text)
        return is_body_type and not block.lines[0].bold and is_open
    return start.reads_on or (is_body_type and len(block.lines) > 6)


def joined(lines: Sequence[Line], known: frozenset[str] = frozenset()) -> str:
    """The text of lines; a word that the end of a line divides is whole again.

    Args:
        lines: from top to bottom.
        known: words of the paper, lower case: "micro-" and "structure" are one word unless it knows only the other.
    """
    text = ""
    for line in lines:
        text = stitched(text, line.text, known)
    return text


def stitched(text: str, more: str, known: frozenset[str] = frozenset()) -> str:
    """Text and what follows it on the next line."""
    if not text or not more:
        return text + more
    head = re.search(r"([^\W\d_]+)-$", text)
    tail = re.match(r"[^\W\d_]+", more)
    if head and tail and more[0].islower():
        whole, hyphened = (head[1] + tail[0]).lower(), f"{head[1]}-{tail[0]}".lower()
        if hyphened in known and whole not in known:
            return text + more
        return text[:-1] + more
    return text + ("" if text.endswith(("-", "–", "/")) else " ") + more


def words_of(blocks: Sequence[Block]) -> frozenset[str]:
    """Words inside the lines of a paper, lower case, with the hyphens they have there."""
    found: set[str] = set()
    for block in blocks:
        for line in block.lines:
            found.update(word.lower() for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*(?!\w|-)", line.text))
    return frozenset(found)


class Paragraph(NamedTuple):
    """Body text from one indent, or gap, to the next; on which page it begins."""

    page: int
    text: str


def paragraphs(blocks: Sequence[Block]) -> list[Paragraph]:
    """Body text, with paragraphs that go on in the next column or over a figure made whole."""
    known = words_of(blocks)
    found: list[Paragraph] = []
    for block in blocks:
        if block.kind != "body":
            continue
        for at, lines in enumerate(_by_indent(block.lines)):
            text = joined(lines, known)
            if found and at == 0 and not re.search(r"[.!?:]['\")\]]*$", found[-1].text):
                found[-1] = found[-1]._replace(text=stitched(found[-1].text, text, known))
            else:
                found.append(Paragraph(block.page, text))
    return found


def _by_indent(lines: Sequence[Line]) -> list[list[Line]]:
    edge = float(np.median([line.box[0] for line in lines]))
    parts: list[list[Line]] = [[]]
    for line in lines:
        is_in = line.box[0] - edge > 0.6 * line.size
        if parts[-1] and is_in and re.search(r"[.!?:]['\")\]]*$", parts[-1][-1].text):
            parts.append([])
        parts[-1].append(line)
    return parts
