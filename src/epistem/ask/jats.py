"""A paper as JATS XML with its folder of graphics: the records that a PDF gives, with no page to guess from."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image, UnidentifiedImageError

from epistem.ask.mentions import caption_parts, caption_start, keywords_in, licence_in, mentions_of, publisher_of
from epistem.ask.papers import FACTS, Ingested, described
from epistem.ask.pdf import plain
from epistem.ask.records import Figure, Paper
from epistem.core import ReadError, SettingsError

_HREF = "{http://www.w3.org/1999/xlink}href"
_ENDINGS = ("", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".gif")
_MOST_BYTES = 50_000_000
_MOST_PX = 100_000_000


def ingest_jats(
    xml: Path,
    out: Path,
    *,
    graphics: Path | None = None,
    told: Mapping[str, Any] | None = None,
    around: int | None = 1,
    read: bool = True,
) -> Ingested:
    """The figures of a paper in JATS; their pictures are written to `out/pictures`.

    Args:
        xml: the article.
        out: folder of the records that will hold them.
        graphics: where its pictures lie; beside the XML where not told.
        told: doi, title, year, publisher, licence or keywords, where a person knows better than the file.
        around: sentences kept on either side of one that mentions a figure; None keeps its paragraph.
        read: whether data strips are read, where the extra `ocr` is installed.

    Raises:
        ReadError: no XML, or no article in it.
        SettingsError: something was told that a paper has not.
    """
    root = _article(xml)
    paper = _paper(xml, root, told or {})
    inner = {id(one) for tag in ("fig", "table-wrap") for holder in root.iter(tag) for one in holder.iter("p")}
    texts = [_text(one) for one in root.iterfind(".//body//p") if id(one) not in inner]
    mentions = mentions_of(texts, around=around)
    figures: list[Figure] = []
    refused: list[str] = []
    for element, number, caption in _numbered(root):
        if number is None:
            refused.append(f"{_text(element.find('label'))}: another figure of the article has this label")
            continue
        parts = caption_parts(caption)
        found = element.findall(".//graphic")
        if not found:
            refused.append(f"Figure {number}: it names no graphic")
        letters = list(parts.by_letter) if len(found) == len(parts.by_letter) > 1 else [None] * len(found)
        if len(found) > 1 and letters[0] is None:
            refused.append(
                f"Figure {number}: {len(found)} graphics, and its caption names {len(parts.by_letter)} panels"
            )
            continue
        for graphic, letter in zip(found, letters, strict=True):
            picture = _picture(graphics or xml.parent, graphic.get(_HREF) or "")
            if isinstance(picture, str):
                refused.append(f"Figure {number}{letter or ''}: {picture}")
                continue
            part = parts.of(letter)
            figures.append(described(picture, number, letter, caption, part, mentions, paper, out, read))
    notes = () if figures or refused else (f"{xml.name}: no figures; it has no <fig>",)
    return Ingested(paper, tuple(figures), notes, tuple(refused), 0, len(root.findall(".//table-wrap")))


def graphics_of(xml: Path, graphics: Path | None = None) -> list[Path]:
    """The files that an article takes its pictures from; none where it is no article."""
    try:
        root = _article(xml)
    except ReadError:
        return []
    names = dict.fromkeys(Path(one.get(_HREF) or "").name for one in root.iterfind(".//fig//graphic"))
    return [path for name in names if (path := _file(graphics or xml.parent, name)) is not None]


def _article(xml: Path) -> ElementTree.Element:
    try:
        if xml.stat().st_size > _MOST_BYTES:
            raise ReadError(f"{xml.name} has {xml.stat().st_size / 1e6:.0f} MB; an article has less than 50")
        # expat itself stops entities that expand without end, and fetches none.
        root = ElementTree.fromstring(xml.read_bytes())
    except OSError as error:
        raise ReadError(f"{xml} cannot be read: {error.strerror}") from None
    except ElementTree.ParseError as error:
        raise ReadError(f"{xml.name} is no XML: {error}") from None
    for element in root.iter():
        # Namespaced deposits have the same names behind their prefix.
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    article = root if root.tag == "article" else root.find(".//article")
    if article is None:
        raise ReadError(f"{xml.name} is no JATS: wanted <article>, got <{root.tag}>")
    return article


def _paper(xml: Path, root: ElementTree.Element, told: Mapping[str, Any]) -> Paper:
    if unknown := set(told) - set(FACTS):
        raise SettingsError(f"a paper has {', '.join(FACTS)}, not {', '.join(sorted(unknown))}")
    meta = root.find(".//article-meta")
    meta = root if meta is None else meta
    ids = {one.get("pub-id-type"): _text(one) for one in meta.findall("article-id")}
    years = [_text(one) for one in meta.findall("pub-date/year")]
    licence = meta.find(".//license")
    links = (
        " ".join(filter(None, [licence.get(_HREF), *(one.get(_HREF) for one in licence.iter())]))
        if licence is not None
        else ""
    )
    doi = (ids.get("doi") or "").lower() or None
    publisher = root.find(".//publisher-name")
    facts: dict[str, Any] = {
        "doi": doi,
        "title": _text(meta.find(".//article-title")) or None,
        "year": min((int(year) for year in years if year.isdecimal()), default=None),
        "publisher": _text(publisher) or publisher_of(doi),
        "licence": licence_in(links) or licence_in(_text(licence)),
        "keywords": tuple(_text(one) for one in meta.findall(".//kwd")) or keywords_in(_text(meta)),
    } | dict(told)
    facts["keywords"] = tuple(facts["keywords"])
    digest = hashlib.sha256(xml.read_bytes()).hexdigest()[:16]
    return Paper(id=facts["doi"] or f"file-{digest}", file=xml.name, **facts)


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def _numbered(root: ElementTree.Element) -> list[tuple[ElementTree.Element, str | None, str]]:
    """Each figure with its number and caption; no number where an earlier one has it.

    What no "Figure 2" labels is no Figure 2 wherever it stands: it is called by its own label ("scheme-1"), or as
    "graphical-abstract-1" or "unlabelled-1", which no sentence of the text mentions.
    """
    of_abstract = {
        id(one) for tag in ("abstract", "trans-abstract") for holder in root.iter(tag) for one in holder.iter("fig")
    }
    unnamed, taken = Counter[str](), set[str]()
    found: list[tuple[ElementTree.Element, str | None, str]] = []
    for element in root.iterfind(".//fig"):
        number, caption = _labelled(element)
        if number is None:
            is_abstract = id(element) in of_abstract or re.match(r"(graphical|visual) abstract|toc\b", caption, re.I)
            kind = "graphical-abstract" if is_abstract else "unlabelled"
            unnamed[kind] += 1
            number = f"{kind}-{unnamed[kind]}"
        found.append((element, None if number in taken else number, caption))
        taken.add(number)
    return found


def _labelled(element: ElementTree.Element) -> tuple[str | None, str]:
    """Number and caption; where there is no label, the number that the caption begins with."""
    label, caption = _text(element.find("label")), element.find("caption")
    said = " ".join(_text(one) for one in caption) if caption is not None and len(caption) else _text(caption)
    said = said.strip()
    if not label:
        start = caption_start(said)
        printed = start is not None and start.is_marked and not start.is_table
        return (start.number, start.rest) if start and printed else (None, said)
    if bare := re.fullmatch(r"(S?\d+[A-Za-z]?)[\s.:]*", label):
        return bare[1], said
    start = caption_start(label + " ")
    if start is not None and not start.rest and not start.is_table:
        return start.number, said
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or None, said


def _picture(folder: Path, name: str) -> Image.Image | str:
    """The picture, or why there is none; only what lies in the folder is opened."""
    plain_name = Path(name).name
    if not plain_name:
        return "its graphic has no name"
    path = _file(folder, plain_name)
    if path is None:
        return f"no picture called {plain_name} lies in {folder.name}"
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > _MOST_PX:
                return f"{path.name} has {picture.width} x {picture.height} pixels, more than is read"
            return plain(picture)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        return f"{path.name} cannot be read as a picture ({error})"


def _file(folder: Path, name: str) -> Path | None:
    try:
        return next((path for ending in _ENDINGS if name and (path := folder / (name + ending)).is_file()), None)
    except OSError:  # longer than a name may be
        return None
