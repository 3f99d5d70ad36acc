"""From a paper to its figures: pictures in a folder, and of each its caption, its parts and the sentences on it.

::

    pages → blocks → captions ↔ pictures → panels → strip cut away and read → Figure records
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from epistem import __version__
from epistem.ask import layout as layouts
from epistem.ask import layout_model
from epistem.ask.blocks import Block, blocks_of, body_type, paragraphs, told_apart, without_running_heads, words_of
from epistem.ask.layout import Region, find_figures
from epistem.ask.mentions import Parts, caption_parts, mentions_of, paper_facts
from epistem.ask.panels import Panel, pieces_of, split, with_labels
from epistem.ask.pdf import Box, Document, Page, area, overlap
from epistem.ask.picture_kind import kind_of, read_strip
from epistem.ask.records import Figure, Paper, identity
from epistem.core import DependencyMissing, EpistemError, ReadError, RecordError, SettingsError
from epistem.core.cluster import spread
from epistem.core.errors import wants_memory
from epistem.core.files import written_whole
from epistem.imaging import ocr

Mentions = Mapping[str, Sequence[tuple[str, frozenset[str]]]]

_LOOK_DPI = 100
_DPI = 300
_MOST_DPI = 600
_KEPT = "papers"
LONGEST_S = 900.0
"""A paper of 300 pages takes a fifth of it."""
FACTS = ("doi", "title", "year", "publisher", "licence", "keywords")


@dataclass(frozen=True)
class Ingested:
    """What came out of one paper.

    Attributes:
        figures: one for each panel, or figure that is not divided.
        notes: what a person should know: scanned pages, panels that could not be told apart.
        refused: captions whose figure could not be told, each with its reason.
        pages: how many the file has.
        tables: how many tables were told from figures.
        reused: whether an earlier run had read it.
    """

    paper: Paper
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    pages: int = 0
    tables: int = 0
    reused: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Failed:
    """A file that gave nothing: the kind of error, and why."""

    file: str
    kind: str
    why: str


@dataclass
class _Reading:
    """One paper while it is read."""

    file: Document
    out: Path
    paper: Paper
    pages: dict[int, Page]
    known: frozenset[str]
    mentions: Mentions
    read: bool
    notes: list[str] = field(default_factory=list)


def ingest(
    pdf: Path,
    out: Path,
    *,
    layout: str = "auto",
    told: Mapping[str, Any] | None = None,
    around: int | None = 1,
    read: bool = True,
) -> Ingested:
    """The figures of a PDF; their pictures are written to `out/pictures`.

    Args:
        pdf: the paper.
        out: folder of the records that will hold them; made where it is missing.
        layout: in `layout.LAYOUTS`: rules, a trained model, or the model where the rules are not sure.
        told: doi, title, year, publisher, licence or keywords, where a person knows better than the file.
        around: sentences kept on either side of one that mentions a figure; None keeps its paragraph.
        read: whether data strips and burnt-in letters are read, where the extra `ocr` is installed.

    Raises:
        ReadError: no PDF, encrypted or damaged.
        SettingsError: something was told that a paper has not.
        UnknownName: no such layout.
        DependencyMissing: pypdfium2, or the model asked for, is not installed.
    """
    look = layouts.LAYOUTS[layout]
    with Document(pdf) as file:
        pages, notes = _pages(file)
        numbers = range(1, file.n_pages + 1)
        lean = without_running_heads(pages)
        body = body_type(lean)
        blocks = told_apart([block for page in lean for block in blocks_of(page, body)], body)
        paper = _paper(pdf, file, pages, told or {})
        scans = [page.number for page in pages if page.is_scan and not page.lines]
        if scans and len(scans) == len(pages):
            why = "a scan without text; recognise its text (for instance with ocrmypdf) and give it again"
            return Ingested(paper, notes=(*notes, f"{pdf.name}: {why}"), pages=len(numbers))
        if scans:
            notes.append(f"{pdf.name}: {_listed('page', scans)} scanned without text; figures there are not found")
        found = find_figures(lean, blocks, partial(_seen, file, look, {page.number: page for page in pages}))
        texts = [one.text for one in paragraphs(blocks)]
        reading = _Reading(
            file, out, paper, {page.number: page for page in pages}, words_of(blocks),
            mentions_of(texts, around=around), read, notes,
        )  # fmt: skip
        figures: list[Figure] = []
        refused = [_refusal(block, why) for block, why in found.refused]
        for region in found.regions:
            try:
                figures += _figures(reading, region)
            except ReadError as error:
                refused.append(_refusal(region.caption, str(error)))
        if not found.regions and not found.refused:
            notes.append(f"{pdf.name}: no figures; no block of text begins as a caption does (Figure 1, Fig. 1)")
        if found.left_over:
            pictures = "1 picture" if found.left_over == 1 else f"{found.left_over} pictures"
            notes.append(f"{pdf.name}: {pictures} without a caption left out")
        tables = sum(block.kind == "table" for block in blocks)
        return Ingested(paper, tuple(figures), tuple(notes), tuple(refused), len(numbers), tables)


def ingest_all(
    papers: Iterable[Path],
    out: Path,
    *,
    layout: str = "auto",
    told: Mapping[str, Any] | None = None,
    around: int | None = 1,
    read: bool = True,
    workers: int = 1,
    limit_s: float | None = None,
) -> Iterator[Ingested | Failed]:
    """Paper by paper, PDF or JATS, in order; a file that cannot be read, or comes twice, is told and stops no other.

    What a paper gave is kept in `out/papers` as soon as it is there, and taken from there where file, settings and
    version are the same and its pictures are untouched.

    Args:
        papers: files.
        out: folder of the records that will hold them.
        layout, told, around, read: as for `ingest`.
        workers: processes; the result is the same with any number.
        limit_s: of one paper [s], which is then read in a process of its own; a PDF can be made to be endless. With
            several workers it is LONGEST_S unless told.

    Raises:
        UnknownName: no such layout.
        DependencyMissing: a library that reading needs is not installed.
        RecordError: a picture, or what is kept, cannot be written.
    """
    paths = sorted(papers)
    layouts.LAYOUTS[layout]  # a name that is none is told before the first paper
    attempt = partial(_attempt, out=out, layout=layout, told=told, around=around, read=read)
    seen: dict[str, str] = {}
    here = workers < 2 and limit_s is None
    for one in map(attempt, paths) if here else _spread(attempt, paths, workers, limit_s or LONGEST_S):
        if isinstance(one, Ingested) and one.paper.id in seen:
            why = f"is the same paper as {seen[one.paper.id]} ({one.paper.id})"
            yield Failed(one.paper.file or "", "RecordError", why)
            continue
        if isinstance(one, Ingested):
            seen[one.paper.id] = one.paper.file or ""
        yield one


def _attempt(path: Path, *, layout: str, out: Path, **more: Any) -> Ingested | Failed:
    from epistem.ask.jats import ingest_jats

    try:
        kept = out / _KEPT / f"{_key(path, layout=layout, **more)}.json"
        if (before := _read_kept(kept, out)) is not None:
            return before
        found = ingest_jats(path, out, **more) if _is_jats(path) else ingest(path, out, layout=layout, **more)
    except (DependencyMissing, RecordError):
        raise
    except EpistemError as error:
        return Failed(path.name, type(error).__name__, str(error))
    except Exception as error:  # noqa: BLE001 - one paper must not stop the other thousand
        if wants_memory(error):
            return Failed(
                path.name, "MemoryError", f"{path.name} needs more memory than there is; take fewer --workers"
            )
        return Failed(path.name, "fault", f"{path.name} cannot be read ({type(error).__name__}: {error})")
    _write_whole(kept, _kept_form().dump_json(found, indent=1))
    return found


def _is_jats(path: Path) -> bool:
    return path.suffix.lower() in (".xml", ".nxml")


def _key(path: Path, **settings: Any) -> str:
    """Hash of all that a paper's records hang on: file, graphics, settings, version, and what is installed."""
    from epistem.ask.jats import graphics_of

    there = {"ocr": ocr.available(), "layout": layout_model.available()}
    digest = hashlib.sha256(json.dumps([__version__, there, settings], sort_keys=True, default=str).encode())
    for one in (path, *(graphics_of(path) if _is_jats(path) else ())):
        try:
            held = hashlib.sha256(one.read_bytes()).hexdigest()
        except OSError as error:
            raise ReadError(f"{one} cannot be read: {error.strerror}") from None
        digest.update(f"\0{one.name}\0{held}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


@cache
def _kept_form() -> TypeAdapter[Ingested]:
    return TypeAdapter(Ingested)


def _read_kept(path: Path, out: Path) -> Ingested | None:
    """What an earlier run got; None where there is nothing, or it or one of its pictures is not as it was written."""
    try:
        found = _kept_form().validate_json(path.read_bytes())
        for one in found.figures:
            if hashlib.sha256((out / (one.image or "")).read_bytes()).hexdigest() != one.sha256:
                return None
    except (OSError, ValidationError):
        return None
    return replace(found, reused=True)


def _write_whole(path: Path, content: bytes) -> None:
    with written_whole(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)


def _spread(
    attempt: Callable[[Path], Ingested | Failed], paths: Sequence[Path], workers: int, limit_s: float
) -> Iterator[Ingested | Failed]:
    """In the order of the paths; a paper that ends its process, or is endless, is told."""
    early: dict[Path, Ingested | Failed | EpistemError | None] = {}
    next_at = 0
    for path, outcome in spread(partial(_told, attempt), paths, workers=workers, limit_s=limit_s):
        early[path] = outcome
        while next_at < len(paths) and paths[next_at] in early:
            one = early.pop(paths[next_at])
            if isinstance(one, EpistemError):
                raise one
            why = f"took longer than {limit_s / 60:g} minutes, or ended the process that read it; leave it out"
            yield one or Failed(paths[next_at].name, "ReadError", f"{paths[next_at].name} {why}")
            next_at += 1


def _told(attempt: Callable[[Path], Ingested | Failed], path: Path) -> Ingested | Failed | EpistemError:
    try:
        return attempt(path)
    except EpistemError as error:
        return error


def _pages(file: Document) -> tuple[list[Page], list[str]]:
    pages, notes = [], []
    for number in range(1, file.n_pages + 1):
        try:
            pages.append(file.page(number))
        except EpistemError as error:
            notes.append(str(error))
    if not pages:
        raise ReadError(f"{file.path.name} is damaged: none of its {file.n_pages} pages can be opened")
    return pages, notes


def _paper(pdf: Path, file: Document, pages: Sequence[Page], told: Mapping[str, Any]) -> Paper:
    unknown = set(told) - set(FACTS)
    if unknown:
        raise SettingsError(f"a paper has {', '.join(FACTS)}, not {', '.join(sorted(unknown))}")
    first = "\n".join(line.text for line in pages[0].lines)
    whole = "\n".join(line.text for page in pages for line in page.lines)
    facts = paper_facts(first, whole, file.metadata, _largest_print(pages[0])) | dict(told)
    facts["keywords"] = tuple(facts["keywords"])
    digest = hashlib.sha256(pdf.read_bytes()).hexdigest()[:16]
    return Paper(id=facts["doi"] or f"file-{digest}", file=pdf.name, **facts)


def _largest_print(page: Page) -> str:
    """What is printed largest in the upper half of a page, in several words."""
    lines = [line for line in page.lines if line.upright and line.box[1] < 0.5 * page.height and " " in line.text]
    size = max((line.size for line in lines), default=0.0)
    return " ".join(line.text for line in lines if abs(line.size - size) < 0.2)


def _seen(file: Document, look: Any, pages: Mapping[int, Page], asked: list[int]) -> dict[int, list[Box]]:
    found = look(asked, partial(file.render, dpi=_LOOK_DPI))
    scaled: dict[int, list[Box]] = {}
    for number, seen in found.items():
        wide, high = pages[number].width, pages[number].height
        scaled[number] = [
            (one.box[0] * wide, one.box[1] * high, one.box[2] * wide, one.box[3] * high) for one in seen
        ]
    return scaled


def _listed(word: str, numbers: Sequence[int]) -> str:
    return f"{word if len(numbers) == 1 else word + 's'} {', '.join(map(str, numbers))}"


def _refusal(caption: Block, why: str) -> str:
    return f"Figure {_number(caption)}, page {caption.page}: {why}"


def _number(block: Block) -> str:
    return block.start.number if block.start else ""


def _figures(reading: _Reading, region: Region) -> list[Figure]:
    """One record for each panel that the caption names and the figure shows, else one for the figure."""
    number, caption = _number(region.caption), layouts.caption_text(region.caption, reading.known)
    parts = caption_parts(caption)
    page = reading.pages[region.page]
    pieces = pieces_of([one.box for one in page.rasters], page.paths, region.box) or list(region.atoms)
    done = split(
        tuple(parts.by_letter), pieces, region.box, partial(reading.file.render, region.page, region.box, 150),
        region.labels, _corner if reading.read and ocr.available() else None,
    )  # fmt: skip
    if done.why:
        reading.notes.append(f"Figure {number}, page {region.page}: {done.why}")
    panels = done.panels or (Panel("", region.box),)
    rasters = [one.box for one in page.rasters]
    boxes = [one.box for one in panels]
    figures = []
    for panel in panels:
        box = panel.box
        if panel.letter and not any(area(overlap(box, one)) > 0.9 * area(box) for one in rasters):
            box = with_labels(box, region.labels, [one for one in boxes if one != box])
        figures.append(_figure(reading, region, number, panel.letter or None, box, caption, parts))
    return figures


def _figure(
    reading: _Reading, region: Region, number: str, letter: str | None, box: Box, caption: str, parts: Parts
) -> Figure:
    picture = picture_at(reading.file, reading.pages[region.page], box)
    part = parts.of(letter)
    record = described(
        picture, number, letter, caption, part, reading.mentions, reading.paper, reading.out, reading.read
    )
    return record.model_copy(update={"page": region.page, "box": rounded(box)})


def described(
    picture: Image.Image,
    number: str,
    letter: str | None,
    caption: str,
    part: str | None,
    mentions: Mentions,
    paper: Paper,
    out: Path,
    read: bool,
) -> Figure:
    """The record of one picture, written without its strip to `out/pictures`."""
    strip = read_strip(picture, read=read)
    image = picture.crop((0, strip.rows.start, picture.width, strip.rows.stop))
    kind = kind_of(image, strip.said, part or "", caption)
    # A drawing's axes look like bars, and a white margin with a caption like a strip.
    if kind.technique in ("plot", "scheme") or (kind.technique is None and kind.told_from):
        image, strip = picture, strip._replace(said={}, nm_per_px=None)
    held = io.BytesIO()
    image.save(held, "png")
    digest = hashlib.sha256(held.getvalue()).hexdigest()
    # 10.1/a.b and 10.1/a-b read the same as file names, and two files of one paper must not write over each other.
    name = f"pictures/{_as_name(paper.id)}_{_as_name(number)}{letter or ''}_{identity(paper.id, digest)[:8]}.png"
    _write_whole(out / name, held.getvalue())
    said = [text for text, panels in mentions.get(number, ()) if letter is None or not panels or letter in panels]
    return Figure(
        id=identity(paper.id, number, letter), paper=paper, figure=number, panel=letter, image=name,
        sha256=digest, caption=caption, caption_panel=part,
        mentions=tuple(said), technique=kind.technique, technique_from=kind.told_from, strip=strip.said,
        nm_per_px=strip.nm_per_px,
    )  # fmt: skip


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:80]


def picture_at(file: Document, page: Page, box: Box) -> Image.Image:
    """A part of a page: a picture's own pixels where it is part of one and nothing but letters lies over it."""
    under = [one for one in page.rasters if area(overlap(one.box, box)) > 0.97 * area(box)]
    drawn = [one for one in page.paths if area(overlap(one, box)) > 0 or _crosses(one, box)]
    printed = [
        line for line in page.lines if area(overlap(line.box, box)) > 0.5 * area(line.box) and len(line.text) > 3
    ]
    if len(under) == 1 and not drawn and not printed:
        native = file.native(page.number, under[0])
        if native is not None:
            return native.crop(_in_pixels(box, under[0].box, native.size))
    inside = [one.dpi for one in page.rasters if area(overlap(one.box, box)) > 0.1 * area(box)]
    dpi = min(max([_DPI, *inside]), _MOST_DPI)
    return file.render(page.number, box, dpi)


def _crosses(one: Box, box: Box) -> bool:
    """Whether a thin line, which has no area, runs in a box."""
    return box[0] < one[2] and one[0] < box[2] and box[1] < one[3] and one[1] < box[3]


def _in_pixels(box: Box, raster: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    across, down = size[0] / (raster[2] - raster[0]), size[1] / (raster[3] - raster[1])
    left, top = round((box[0] - raster[0]) * across), round((box[1] - raster[1]) * down)
    right, bottom = round((box[2] - raster[0]) * across), round((box[3] - raster[1]) * down)
    return max(0, left), max(0, top), min(size[0], right), min(size[1], bottom)


def _corner(picture: Image.Image) -> str:
    """The single letter that is printed in a picture, or nothing."""
    grey = np.asarray(picture.convert("L"))
    found = {
        re.sub(r"\W", "", reading) for word in ocr.read_words(np.ascontiguousarray(grey)) for reading in word.readings
    }
    single = {one.lower() for one in found if len(one) == 1}
    return single.pop() if len(single) == 1 else ""


def rounded(box: Box) -> Box:
    """To a tenth of a point."""
    left, top, right, bottom = (round(float(side), 1) for side in box)
    return left, top, right, bottom
