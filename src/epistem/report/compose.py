"""Whole reports: one image, or a folder with overview, samples, images and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath, PurePosixPath
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from epistem.core import Instances, Micrograph, Provenance, Quantity, RecordError, Reliability
from epistem.report.document import (
    Block,
    Cell,
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
from epistem.report.methods_text import Foil, methods_paragraph
from epistem.report.samples import Comparison, GroupSummary, quantity_columns, samples_section
from epistem.report.sections import headline, image_section, main_names, noun_of
from epistem.report.words import counted, sentence

MOST_SECTIONS = 60  # images shown whole in a folder's report; with more it has thumbnails and links
FOLDER_ROWS = 25  # objects listed for each image there
MOST_ROWS = 2000  # images in the overview; all are in images.csv
PICTURES_KB = 4000  # of all thumbnails together: 8 KB each up to 500 images
SMALL_KB = 3.0  # of one that is made before it is known how many there will be
NOT_RESULTS = {"pixel_size", "pixel_size_source", "image_id"}


class Entry(NamedTuple):
    """One image of a folder: its own report, and where its page lies relative to the folder's page."""

    report: Report
    path: str


class Brief(NamedTuple):
    """What a folder's overview takes of one image: of one without a report of its own, or to be quicker than by it.

    Attributes:
        title: the image.
        facts: its numbers, by name.
        warnings: what to know before believing them.
        scale_source: who says its pixel size; "" where it has none.
        noun: what one object is called.
        foil: its thickness.
        path: of its page, relative to the folder's; "" without one.
        thumbnail: its small picture.
    """

    title: str
    facts: dict[str, Fact]
    warnings: tuple[str, ...]
    scale_source: str
    noun: str
    foil: Foil
    path: str = ""
    thumbnail: Figure | None = None

    def to_json(self) -> str:
        """For `from_json`."""
        return _BRIEF.dump_json(self).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Brief:
        """What `to_json` wrote.

        Raises:
            RecordError: it is something else.
        """
        try:
            return _BRIEF.validate_json(text)
        except ValidationError as error:
            raise RecordError(f"wanted the short report of an image; {error.errors()[0]['msg']}") from error


_BRIEF = TypeAdapter(Brief)


def single_report(
    micrograph: Micrograph,
    measured: Instances,
    quantities: Mapping[str, Quantity],
    overlay: bytes,
    *,
    provenance: Provenance,
    versions: Mapping[str, str],
    shipped: Collection[str] = (),
    reliability: Reliability | None = None,
    exports: Sequence[tuple[str, str | PurePath]] = (),
) -> Report:
    """The report of one image; arguments as for `image_section` and `methods_paragraph`."""
    section = image_section(
        micrograph, measured, quantities, overlay, reliability=reliability, exports=exports, id="image"
    )
    record = plain(provenance.as_dict())
    source = "" if micrograph.calibration is None else micrograph.calibration.source
    foil = foil_of(micrograph, record.get("settings", {}))
    paragraph = methods_paragraph(
        record,
        versions,
        noun=noun_of(measured.classes),
        pixel_sizes={source: 1},
        quantities=[q for q in quantities.values() if q.value is not None],
        foils=[foil],
        forecast=reliability is not None and reliability.f1 is not None,
        shipped=shipped,
    )
    about = {"versions": plain(versions), "noun": noun_of(measured.classes), "foil": foil._asdict()}
    return Report(
        title=micrograph.name,
        subtitle=headline(measured, quantities, reliability),
        provenance=record | about,
        sections=(section, methods_section(paragraph), provenance_section(record, versions)),
    )


def foil_of(micrograph: Micrograph, settings: Mapping[str, Any]) -> Foil:
    """The thickness that was used: the one in the settings of its provenance, or else the one in the file."""
    settings = settings.get("analysis", {})
    context = micrograph.context
    if settings.get("thickness_nm") is None:
        return Foil(context.thickness_nm, context.thickness_error_nm)
    return Foil(settings["thickness_nm"], settings.get("thickness_error_nm"))


class Grouping(NamedTuple):
    """How the images of a folder were grouped, and what came of it.

    Attributes:
        groups, comparisons: as for `samples_section`.
        by: the column that makes the groups.
        thickness_file: name of the table that gives a foil thickness for each image; "" if none does.
        left_out: images in no group.
    """

    groups: Sequence[GroupSummary] = ()
    comparisons: Sequence[Comparison] = ()
    by: str = "specimen"
    thickness_file: str = ""
    left_out: int = 0


def folder_report(
    entries: Iterable[Entry | Brief],
    grouping: Grouping | None = None,
    errors: Sequence[tuple[str, str]] = (),
    *,
    provenance: Provenance,
    versions: Mapping[str, str],
    shipped: Collection[str] = (),
    title: str = "Folder",
    sizes_label: str = "Diameter [nm]",
    n_images: int | None = None,
) -> Report:
    """The report of a folder.

    Args:
        entries: the images' own reports, or what stands for them; read one at a time, so they may come from disk.
        grouping: of the images, or None where no samples were given.
        errors: file and reason of each that failed.
        provenance: of the run: detector, settings, seed.
        versions: of epistem and of the libraries its numbers rest on.
        shipped: hashes of the weights that come with epistem.
        title: what the folder is called.
        sizes_label: what the groups' values are, with unit.
        n_images: how many entries will come, where that is known: of many, each picture is smaller.
    """
    grouping = grouping or Grouping()
    folder = _gathered(entries, min(8.0, PICTURES_KB / max(1, min(n_images or 1, MOST_ROWS))))
    record = plain(provenance.as_dict())
    inside = folder.n_images <= MOST_SECTIONS
    parts = [overview_section(folder, n_failed=len(errors), inside=inside)]
    if grouping.groups:
        parts.append(_samples(grouping, sizes_label))
    parts += [failures_section(errors)] if errors else []
    parts += folder.sections if inside else []
    parts.append(methods_section(_folder_methods(folder, grouping, record, versions, shipped)))
    parts.append(provenance_section(record, versions))
    text = parts[0].blocks[0]
    return Report(
        title=title,
        subtitle=text.text if isinstance(text, Text) else "",
        provenance=record | {"versions": plain(versions), "noun": folder.noun},
        sections=tuple(parts),
    )


def _samples(grouping: Grouping, label: str) -> Section:
    left_out, by = grouping.left_out, grouping.by
    return samples_section(grouping.groups, grouping.comparisons, by=by, label=label, left_out=left_out)


class _Folder(NamedTuple):
    """What the images' reports say, kept while one after the other goes by; no more than MOST_ROWS rows.

    Attributes:
        shown: every quantity that an image has, once.
    """

    rows: list[_Row]
    sections: list[Section]
    noun: str
    pixel_sizes: Mapping[str, int]
    foils: list[Foil]
    shown: Mapping[str, Fact]
    n_images: int
    n_objects: int
    n_warned: int


def _gathered(entries: Iterable[Entry | Brief], kilobytes: float) -> _Folder:
    rows: list[_Row] = []
    sections: list[Section] = []
    foils: list[Foil] = []
    sources: Counter[str] = Counter()
    nouns: set[str] = set()
    shown: dict[str, Fact] = {}
    n_images = n_objects = n_warned = 0
    for n_images, entry in enumerate(entries, 1):
        brief = entry if isinstance(entry, Brief) else brief_of(entry, kilobytes)
        sources[brief.scale_source] += 1
        nouns.add(brief.noun)
        foils.append(brief.foil)
        shown |= {name: fact for name, fact in brief.facts.items() if fact.value is not None}
        n_objects += n if isinstance(n := brief.facts.get("count", _NO_COUNT).value, int) else 0
        n_warned += bool(brief.warnings)
        if n_images > MOST_ROWS:
            continue
        rows.append(_Row(brief.title, f"image-{n_images}", brief.path, brief.thumbnail, brief.facts, brief.warnings))
        if n_images <= MOST_SECTIONS and isinstance(entry, Entry):
            sections.append(_in_folder(entry, rows[-1].anchor))
    noun = nouns.pop() if len(nouns) == 1 else "object"
    return _Folder(rows, sections, noun, sources, foils, shown, n_images, n_objects, n_warned)


def _folder_methods(
    folder: _Folder,
    grouping: Grouping,
    record: Mapping[str, Any],
    versions: Mapping[str, str],
    shipped: Collection[str],
) -> str:
    return methods_paragraph(
        record,
        versions,
        noun=folder.noun,
        n_images=folder.n_images,
        pixel_sizes=folder.pixel_sizes,
        quantities=folder.shown.values(),
        foils=folder.foils,
        samples=grouping.thickness_file,
        by=grouping.by if grouping.groups else "",
        forecast="f1" in folder.shown,
        shipped=shipped,
    )


class _Row(NamedTuple):
    """One image in the overview; without a path it is nowhere else."""

    title: str
    anchor: str
    path: str
    thumbnail: Figure | None
    facts: dict[str, Fact]
    warnings: tuple[str, ...]


def brief_of(entry: Entry, kilobytes: float = SMALL_KB) -> Brief:
    """What a folder's overview takes of a report, with a picture no larger than that."""
    report, facts = entry.report, _facts(entry.report)
    blocks = report.sections[0].blocks
    return Brief(
        report.title,
        {name: fact for name, fact in facts.items() if name not in NOT_RESULTS},
        tuple(block.text for block in blocks if isinstance(block, Notice) and block.level != "info"),
        str(facts.get("pixel_size_source", Fact(value="")).value),
        str(report.provenance.get("noun", "object")),
        Foil(**plain(report.provenance.get("foil", {"nm": None}))),
        entry.path,
        _thumbnail(report, kilobytes),
    )


def _thumbnail(report: Report, kilobytes: float) -> Figure | None:
    overlay = next((block for block in report.sections[0].blocks if isinstance(block, Figure)), None)
    if overlay is None:
        return None
    side_px = 160 if kilobytes > 4 else 96
    return Figure.of(shrunk(overlay.image, side_px=side_px, kilobytes=kilobytes), alt=overlay.alt)


def _facts(report: Report) -> dict[str, Fact]:
    """The image's named numbers, in the order of its page."""
    blocks = report.sections[0].blocks
    return {fact.name: fact for block in blocks if isinstance(block, Facts) for fact in block.facts if fact.name}


def overview_section(folder: _Folder, *, n_failed: int, inside: bool) -> Section:
    """Every image in one table, the first MOST_ROWS of them, with its picture, its numbers and its warnings.

    Args:
        folder: the images, in order.
        n_failed: files that could not be analysed.
        inside: whether the images' own sections stand in this document; else links lead to their files.
    """
    rows = folder.rows
    known, labels = quantity_columns([row.facts for row in rows])
    names = main_names(known)
    columns = [labels[known.index(name)] for name in names]
    pictured = [Column(label="", kind="picture", align="left")] if any(row.path for row in rows) else []
    head = [*pictured, Column(label="Image", kind="text", align="left")]
    warned = folder.n_warned
    if warned:
        head.append(Column(label="Warnings", note="what to know before believing the numbers"))
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        picture = (row.thumbnail,) if pictured else ()
        to_check = Fact(value=len(row.warnings), note=" ".join(row.warnings)) if row.warnings else ""
        to_know = (to_check,) if warned else ()
        cells.append((*picture, _led_to(row, inside), *to_know, *(row.facts.get(name) for name in names)))
    words = f"{counted(folder.n_objects, folder.noun)} in {counted(folder.n_images, 'image')}."
    if n_failed:
        words += f" {sentence(counted(n_failed, 'file'))} could not be analysed."
    blocks: list[Block] = [Text(text=sentence(words), role="headline")]
    if warned:
        text = f"{counted(warned, 'image')} with warnings: point at the number to read them, or go to the image."
        blocks.append(Notice(level="warning", text=sentence(text)))
    if rows:
        note = f"The first {len(rows):,} images; images.csv has all." if folder.n_images > len(rows) else ""
        blocks.append(Table(columns=(*head, *columns), rows=tuple(cells), note=note))
    return Section(title="Overview", id="overview", blocks=tuple(blocks))


def _led_to(row: _Row, inside: bool) -> str | Link:
    if not row.path:
        return row.title
    return Link(text=row.title, href=f"#{row.anchor}") if inside else Link.to_file(row.title, row.path)


_NO_COUNT = Fact(value=None)


def failures_section(errors: Sequence[tuple[str, str]]) -> Section:
    """Files that gave no result, and why."""
    columns = (Column(label="File", kind="text", align="left"), Column(label="Why", kind="text", align="left"))
    return Section(title="Failed files", id="failures", blocks=(Table(columns=columns, rows=tuple(errors)),))


def methods_section(paragraph: str) -> Section:
    """The methods paragraph, to be copied."""
    return Section(title="Methods", id="methods", blocks=(Text(text=paragraph, role="quotation"),))


def provenance_section(provenance: Mapping[str, Any], versions: Mapping[str, str]) -> Section:
    """All that is needed to make the result again."""
    made_by = [name for name in ("maker", "version", "weights", "seed") if provenance.get(name) is not None]
    facts = [Fact(label=name.capitalize(), value=provenance[name]) for name in made_by]
    facts += [Fact(label=name, value=version) for name, version in versions.items()]
    inputs = [str(item) for item in provenance.get("inputs", [])]
    if inputs:
        ids = ", ".join(inputs[:5]) + (f" and {len(inputs) - 5} more, in the JSON file" if len(inputs) > 5 else "")
        facts.append(Fact(label="Inputs", value=ids, note="hash of the pixels"))
    columns = (Column(label="Setting", kind="text", align="left"), Column(label="Value", kind="text", align="left"))
    settings = tuple(_flat(provenance.get("settings", {})))
    blocks: list[Block] = [Facts(facts=tuple(facts), style="list")]
    if settings:
        blocks.append(Table(title="Settings", columns=columns, rows=settings, folded=True))
    return Section(title="How to make this again", id="provenance", blocks=tuple(blocks))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "not set" if value is None else str(value)


def _in_folder(entry: Entry, anchor: str) -> Section:
    """The image's section, lighter and with its links led to where its files lie."""
    section = entry.report.sections[0]
    folder = PurePosixPath(entry.path).parent
    blocks = tuple(_lighter(block, folder) for block in section.blocks)
    page = Links(links=(Link.to_file("This image alone, with more objects", entry.path),))
    return Section(title=section.title, id=anchor, blocks=(*blocks, page))


def _lighter(block: Block, folder: PurePosixPath) -> Block:
    if isinstance(block, Figure) and block.media_type != "image/svg+xml":
        return Figure.of(shrunk(block.image, side_px=1200, kilobytes=150), **_about(block))
    if isinstance(block, Table) and len(block.rows) > FOLDER_ROWS:
        note = f"The first {FOLDER_ROWS}; the image's own page has more."
        return block.model_copy(update={"rows": block.rows[:FOLDER_ROWS], "note": note})
    if isinstance(block, Links):
        return Links(title=block.title, links=tuple(_led(link, folder) for link in block.links))
    return block


def _about(figure: Figure) -> dict[str, str]:
    return {"alt": figure.alt, "caption": figure.caption, "title": figure.title}


def _led(link: Link, folder: PurePosixPath) -> Link:
    prefix = Link.to_file("", folder).href
    return link if prefix in ("", ".") else Link(text=link.text, href=f"{prefix}/{link.href}")
