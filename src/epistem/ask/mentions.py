"""What a paper's text says of its figures: where captions begin, their parts, the sentences that mention a figure,
and what the paper says of itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

LETTERS = "abcdefghijklmnop"
_NUMBER = r"(?:[SA]\.?\s?)?\d{1,3}"
_START = re.compile(
    rf"(?P<kind>(?:Supp(?:lementary|orting)?\s+|Extended\s+Data\s+)?(?:Fig(?:ure)?|FIG(?:URE)?|Tab(?:le)?|TABLE)s?)\.?\s*"
    rf"(?P<number>{_NUMBER})\b(?P<mark>\s*[.:|)—–]|)\s*(?P<rest>.*)",
    re.DOTALL,
)


class CaptionStart(NamedTuple):
    """How a caption begins.

    Attributes:
        number: "2" or "S1".
        rest: the caption without its label.
        is_marked: a point, colon or bar stands after the number.
        reads_on: what follows is the rest of a sentence: "Figure 2 shows…".
    """

    number: str
    rest: str
    is_table: bool
    is_marked: bool
    reads_on: bool


def caption_start(text: str) -> CaptionStart | None:
    """What a block begins with, None where that is no label of a figure or table.

    >>> caption_start("Fig. 2. SEM image").number, caption_start("Figure 2 shows grains.").reads_on
    ('2', True)
    """
    found = _START.match(text.strip())
    if found is None:
        return None
    rest = found["rest"].strip()
    mark = found["mark"].strip()
    number = re.sub(r"[\s.]", "", found["number"])
    if found["kind"].lower().startswith(("supp", "ext")) and number.isdigit():
        number = "S" + number
    # "Fig. 2). The" ends a bracket that the line before opened; "Fig. 2, the" and "Fig. 2 shows" go on as text.
    reads_on = mark == ")" or (not mark and bool(re.match(r"[a-z,;)]", rest)))
    is_table = found["kind"].lower().startswith("tab")
    return CaptionStart(number, rest, is_table, mark not in ("", ")"), reads_on)


class Parts(NamedTuple):
    """A caption by panels: what stands before them, and the text of each letter, in order."""

    lead: str
    by_letter: dict[str, str]

    def of(self, letter: str | None) -> str | None:
        """Lead and part of one panel; None where the caption has none for it."""
        part = self.by_letter.get(letter or "")
        return None if part is None else f"{self.lead} {part}".strip()


_MARK = re.compile(
    r"\(([a-p])(?:\s*(?:([-–—])|,|and|&)\s*([a-p]))?((?:\s*,\s*[a-p])*)\)|(?:(?<=[.;:,|] )|^)([a-p])[,)]\s"
)


def caption_parts(caption: str) -> Parts:
    """The parts of a caption; no letters where it is not divided.

    Letters count only in their order from "a", so that "magnified view of (a)" opens no new part.

    >>> caption_parts("Glass after: (a) 1 h; (b, c) 2 h.").by_letter
    {'a': '1 h', 'b': '2 h', 'c': '2 h'}
    """
    marks: list[tuple[int, int, list[str]]] = []
    for found in _MARK.finditer(caption):
        letters = _marked(found)
        wanted = LETTERS[sum(len(one[2]) for one in marks) :]
        if letters and wanted.startswith("".join(letters)):
            marks.append((found.start(), found.end(), letters))
    if not marks or (len(marks) == 1 and len(marks[0][2]) == 1):
        return Parts(caption, {})
    if _follows(caption, marks):
        return Parts("", _before(caption, marks))
    ends = [start for start, _, _ in marks[1:]] + [len(caption)]
    parts: dict[str, str] = {}
    for (_, end, letters), stop in zip(marks, ends, strict=True):
        text = re.sub(r"(?:[\s;,.]|\band)+$", "", caption[end:stop]).strip(" :")
        parts |= dict.fromkeys(letters, text)
    return Parts(caption[: marks[0][0]].strip(), parts)


def _marked(found: re.Match[str]) -> list[str]:
    first, dash, last, more, bare = found.groups()
    if bare:
        return [bare]
    letters = [first]
    if last:
        low, high = LETTERS.index(first), LETTERS.index(last)
        letters = list(LETTERS[low : high + 1]) if dash else [first, last]
    return letters + re.findall(r"[a-p]", more or "")


def _follows(caption: str, marks: list[tuple[int, int, list[str]]]) -> bool:
    """Whether letters stand behind what they name: "glass (a), crystal (b)"."""
    start, end, _ = marks[0]
    before = caption[:start].rstrip()
    return bool(before) and before[-1] not in ".:;|" and bool(re.match(r"\s*(?:[,;.]|and\b|$)", caption[end:]))


def _before(caption: str, marks: list[tuple[int, int, list[str]]]) -> dict[str, str]:
    parts: dict[str, str] = {}
    at = 0
    for start, end, letters in marks:
        parts |= dict.fromkeys(letters, re.sub(r"^(?:[\s,;.]|and\b)+", "", caption[at:start]).strip())
        at = end
    return parts


_PANELS = r"(?:\s?\(?[a-p](?![\w])(?:\s?[-–—,]\s?[a-p](?![\w]))*\)?(?:\s?[-–—,]\s?\([a-p]\))*)?"
_CITED = re.compile(
    rf"\b(?P<kind>(?:Supp(?:lementary|orting)?\s+|Extended\s+Data\s+)?)Fig(?:ure)?s?\b\.?\s*"
    rf"(?P<list>{_NUMBER}{_PANELS}(?:\s*(?:,\s*and|,|;|and|&|[-–—]|to)\s*(?:Figs?\.?\s*)?{_NUMBER}{_PANELS})*)",
    re.IGNORECASE,
)
_ONE = re.compile(rf"(?P<joint>[-–—]|to\b)?\s*(?:Figs?\.?\s*)?(?P<number>{_NUMBER})(?P<panels>{_PANELS})")


def cited(text: str) -> dict[str, set[str]]:
    """Figures that a text names, each with the panels named; an empty set is the whole figure.

    >>> {number: sorted(panels) for number, panels in cited("see Figs. 1–3 and 4a–c").items()}
    {'1': [], '2': [], '3': [], '4': ['a', 'b', 'c']}
    """
    found: dict[str, set[str]] = {}
    for run in _CITED.finditer(text):
        last = ""
        for one in _ONE.finditer(run["list"]):
            number = re.sub(r"[\s.]", "", one["number"]).upper()
            if run["kind"] and number.isdigit():
                number = "S" + number
            for between in _between(last, number) if one["joint"] else ():
                found.setdefault(between, set())
            found.setdefault(number, set()).update(_panels(one["panels"] or ""))
            last = number
    return found


def _between(first: str, last: str) -> list[str]:
    head = first.rstrip("0123456789")
    low, high = first[len(head) :], last[len(head) :]
    if not (last.startswith(head) and low.isdigit() and high.isdigit() and int(high) - int(low) < 30):
        return []
    return [f"{head}{at}" for at in range(int(low) + 1, int(high))]


def _panels(text: str) -> list[str]:
    letters: list[str] = []
    for joint, letter in re.findall(r"([-–—])?\s?\(?([a-p])", text.lower()):
        if joint and letters:
            letters += LETTERS[LETTERS.index(letters[-1]) + 1 : LETTERS.index(letter)]
        letters.append(letter)
    return letters


_SHORT = re.compile(
    r"(?:\b(?:Figs?|FIGS?|Eqs?|Refs?|Tabs?|Nos?|Dr|Prof|al|ca|cf|vs|resp|approx|e\.g|i\.e|wt|mol|vol|at|Sect|Secs?|St|"
    r"Inc|Ltd|Co|etc|max|min|avg|temp)|\b[A-Z]|\b[A-Z]\.[A-Z])\.$"
)


def sentences(text: str) -> list[str]:
    """A text by sentences, verbatim; points of abbreviations and numbers end none.

    >>> sentences("As in Fig. 2, grains grow. This takes ca. 3 h.")
    ['As in Fig. 2, grains grow.', 'This takes ca. 3 h.']
    """
    found, start = [], 0
    for end in re.finditer(r"[.!?]['\")\]]*(?:\s*\[[\d,–\s-]+\])?\s+(?=[\"'(\[]?[A-Z0-9α-ω])", text):
        before = text[start : end.start() + 1]
        if _SHORT.search(before):
            continue
        found.append(text[start : end.end()].strip())
        start = end.end()
    return [*found, text[start:].strip()] if text[start:].strip() else found


def mentions_of(texts: Iterable[str], *, around: int | None = 1) -> dict[str, list[tuple[str, frozenset[str]]]]:
    """For each figure what is said of it.

    Args:
        texts: paragraphs.
        around: sentences of the same paragraph kept on either side; None keeps the paragraph.

    Returns:
        number → (text, panels that it names; none is the whole figure), in the order of the paper.
    """
    found: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for text in texts:
        parts = sentences(text)
        named = [cited(part) for part in parts]
        for number in dict.fromkeys(number for one in named for number in one):
            at = [i for i, one in enumerate(named) if number in one]
            for low, high in _windows(at, len(parts), around):
                sets = [named[i][number] for i in at if low <= i < high]
                panels = frozenset().union(*sets) if all(sets) else frozenset()
                said = (" ".join(parts[low:high]), panels)
                if said not in found.setdefault(number, []):
                    found[number].append(said)
    return found


def _windows(at: Sequence[int], n: int, around: int | None) -> list[tuple[int, int]]:
    if around is None:
        return [(0, n)]
    windows: list[tuple[int, int]] = []
    for i in at:
        low, high = max(0, i - around), min(n, i + around + 1)
        if windows and low < windows[-1][1]:
            windows[-1] = (windows[-1][0], high)
        else:
            windows.append((low, high))
    return windows


_DOI = re.compile(r"\b10\.\d{4,9}/[-._;()/:A-Za-z0-9<>]+")
_PUBLISHERS = {
    "10.1016": "Elsevier", "10.1021": "ACS", "10.1007": "Springer", "10.1038": "Springer Nature", "10.1002": "Wiley",
    "10.1111": "Wiley", "10.3390": "MDPI", "10.1039": "RSC", "10.1088": "IOP", "10.1103": "APS", "10.1063": "AIP",
    "10.1080": "Taylor & Francis", "10.1371": "PLOS", "10.3389": "Frontiers", "10.26434": "ChemRxiv",
    "10.1186": "Springer", "10.1155": "Hindawi", "10.1126": "AAAS", "10.1557": "MRS", "10.1093": "Oxford",
}  # fmt: skip
_LICENCE = re.compile(
    r"creativecommons\.org/(?:licenses/(?P<code>by(?:-nc)?(?:-sa|-nd)?)|publicdomain/(?P<zero>zero))/(?P<version>\d\.\d)|"
    r"\bCC[\s-]?(?P<short>BY(?:[\s-]NC)?(?:[\s-](?:SA|ND))?)(?:[\s-](?P<number>\d\.\d))?\b|\b(?P<cc0>CC0)\b",
    re.IGNORECASE,
)


def doi_in(text: str) -> str | None:
    """The first DOI of a text, without what ends a sentence or a bracket."""
    found = _DOI.search(text)
    if found is None:
        return None
    doi = re.split(r"[<>]", found[0])[0].rstrip(".,;:/")
    while doi.endswith(")") and doi.count(")") > doi.count("("):
        doi = doi[:-1].rstrip(".,;:/")
    return doi.lower()


def licence_in(text: str) -> str | None:
    """The Creative Commons licence that a text names: "CC BY-NC 4.0"; None where it names none, or several."""
    found = set()
    for one in _LICENCE.finditer(re.sub(r"\s*([/.])\s*(?=\S)", r"\1", text)):
        if one["zero"] or one["cc0"]:
            found.add(("CC0", one["version"] or ""))
        else:
            code = re.sub(r"[\s-]", "-", (one["code"] or one["short"]).upper())
            found.add((f"CC {code}", one["version"] or one["number"] or ""))
    if len({code for code, _ in found}) != 1:
        return None
    code, version = max(found)
    return f"{code} {version}".strip()


def year_in(text: str) -> int | None:
    """The year of publication, where the text says one: ©, published, accepted, or a volume with its year."""
    for pattern in (
        r"(?:©|\(c\)|Copyright)\s*(?:The Authors?,?\s*)?((?:19|20)\d\d)",
        r"[Pp]ublished(?:\s+online)?:?[^.;\n]{0,25}?\b((?:19|20)\d\d)\b",
        r"\b\d{1,4}\s*\(((?:19|20)\d\d)\)",
        r"[Aa]ccepted:?[^.;\n]{0,25}?\b((?:19|20)\d\d)\b",
    ):
        if found := re.search(pattern, text):
            return int(found[1])
    return None


def publisher_of(doi: str | None) -> str | None:
    """Who a DOI's prefix belongs to, where that is one of the large publishers."""
    return _PUBLISHERS.get(doi.split("/")[0]) if doi else None


def keywords_in(text: str) -> tuple[str, ...]:
    """Words after "Keywords:", to the end of the line or sentence."""
    found = re.search(r"\bKey\s?words?\s*[:—–]\s*([^\n]+)", text, re.IGNORECASE)
    words = re.split(r"[;,·•|]", found[1].rstrip(". ")) if found else []
    return tuple(word.strip() for word in words if 1 < len(word.strip()) < 60)


def paper_facts(first_page: str, whole: str, metadata: Mapping[str, str], largest: str) -> dict[str, Any]:
    """DOI, title, year, publisher, licence and keywords, from metadata before text; what is not said is None.

    Args:
        first_page: text of the first page, line by line.
        whole: all text that is no reference list: licences stand at the end as often.
        metadata: of the file, XMP packet as "xmp".
        largest: what is printed largest on the first page.
    """
    xmp = metadata.get("xmp", "")
    said = re.sub(r"<[^>]+>", " ", xmp)
    doi = doi_in(said) or doi_in(metadata.get("Subject", "")) or doi_in(first_page)
    dated = re.search(r"(?:prism:(?:coverDate|publicationDate|coverDisplayDate))>[^<]*?((?:19|20)\d\d)", xmp)
    title = metadata.get("Title", "")
    return {
        "doi": doi,
        "title": title if _is_title(title) else (largest if _is_title(largest) else None),
        "year": int(dated[1]) if dated else year_in(first_page),
        "publisher": publisher_of(doi),
        "licence": licence_in(xmp) or licence_in(first_page) or licence_in(whole),
        "keywords": keywords_in(first_page),
    }


def _is_title(text: str) -> bool:
    plain = text.strip()
    is_file = re.search(r"\.(?:docx?|tex|pdf|dvi|indd)\b|^Microsoft Word|^untitled", plain, re.IGNORECASE)
    return len(plain.split()) >= 3 and not is_file and not _DOI.search(plain)
