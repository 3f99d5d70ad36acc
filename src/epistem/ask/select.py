"""Which papers are used, recorded; and their split into train, validation and test, by paper and never by image."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from PIL import Image
from pydantic import BaseModel, ConfigDict

from epistem.ask.records import CATEGORIES, Figure, Pair, Paper, Split
from epistem.ask.review import Fix
from epistem.core import SettingsError

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
R = TypeVar("R", Figure, Pair)


class Filter(BaseModel):
    """What a paper has to be; stored beside what was selected.

    Attributes:
        keywords: all of them occur in title, keywords or text, whatever their case.
        first_year, last_year: of publication, both included.
        publishers: any of them; all where there are none.
        licences: any of them, from their beginning: "CC BY" takes "CC BY 4.0" and not "CC BY-NC".
        techniques: of figures: ("SEM",) as published; all where there are none.
        unknown: whether a paper that does not say its year, publisher or licence is kept.
        reviewed: whether only figures that a person accepted or fixed are kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    keywords: tuple[str, ...] = ()
    first_year: int | None = None
    last_year: int | None = None
    publishers: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    unknown: bool = False
    reviewed: bool = False


PUBLISHED = Filter(
    keywords=("glass", "scanning electron microscopy"),
    first_year=2011,
    publishers=("ACS", "Elsevier", "Springer", "Springer Nature"),
    techniques=("SEM",),
)
"""What the published data set was selected by: after 2010, three publishers, two key words."""


class Selected(NamedTuple):
    """What passed, and how many figures each reason took out."""

    figures: tuple[Figure, ...]
    left_out: dict[str, int]


def select(figures: Iterable[Figure], rule: Filter) -> Selected:
    """The figures that a filter lets through, with the first reason of all others counted."""
    figures = list(figures)
    texts: dict[str, str] = {}
    for one in figures:
        words = " ".join((one.paper.title or "", *one.paper.keywords, one.text))
        texts[one.paper.id] = texts.get(one.paper.id, "") + " " + words.lower()
    kept, left_out = [], Counter[str]()
    for one in figures:
        why = _why_not(one.paper, texts[one.paper.id], rule) or _why_not_figure(one, rule)
        if why:
            left_out[why] += 1
        else:
            kept.append(one)
    return Selected(tuple(kept), dict(sorted(left_out.items())))


def _why_not(paper: Paper, text: str, rule: Filter) -> str | None:
    missing = [word for word in rule.keywords if word.lower() not in text]
    if missing:
        return f"without the key word {missing[0]!r}"
    if rule.first_year is not None or rule.last_year is not None:
        if paper.year is None:
            return None if rule.unknown else "year unknown"
        if not (rule.first_year or 0) <= paper.year <= (rule.last_year or 9999):
            return "year"
    for name, value, wanted in (
        ("publisher", paper.publisher, rule.publishers), ("licence", paper.licence, rule.licences)
    ):  # fmt: skip
        if not wanted or (value is None and rule.unknown):
            continue
        if value is None:
            return f"{name} unknown"
        if not any(_is_of(value, one) for one in wanted):
            return name
    return None


def _is_of(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower() or value.lower().startswith(wanted.lower() + " ")


def _why_not_figure(figure: Figure, rule: Filter) -> str | None:
    if figure.review == "rejected":
        return "rejected by a person"
    if rule.reviewed and figure.review == "waiting":
        return "not yet seen by a person"
    if rule.techniques and figure.technique not in rule.techniques:
        return "technique unknown" if figure.technique is None else f"technique {figure.technique}"
    return None


def split_by_paper(
    papers: Iterable[str],
    *,
    seed: int,
    shares: Mapping[Split, float] = {"train": 0.7, "validation": 0.15, "test": 0.15},
    dealt: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """paper id → split. The same papers, seed and earlier splits give the same split in whatever order they come.

    Args:
        papers: ids; each image of a paper goes where its paper goes.
        seed: orders them.
        shares: of train, validation and test; they add up to 1. With three papers or more each gets at least one.
        dealt: splits of papers that have one, and keep it; the others go to where papers are wanting.

    Raises:
        SettingsError: shares that do not add up, or a split that is none.

    >>> split_by_paper(["a", "b", "c", "b"], seed=1)
    {'c': 'train', 'b': 'validation', 'a': 'test'}
    """
    if set(shares) - set(SPLITS) or abs(sum(shares.values()) - 1) > 1e-6 or min(shares.values()) < 0:
        raise SettingsError(f"wanted shares of {', '.join(SPLITS)} that add up to 1, got {dict(shares)}")
    order = sorted(set(papers), key=lambda one: hashlib.sha256(f"{seed}\x1f{one}".encode()).digest())
    found = {paper: dealt[paper] for paper in order if paper in dealt} if dealt else {}
    new = [paper for paper in order if paper not in found]
    start = 0
    for split, n in _to_deal(_quotas(len(order), shares), Counter(found.values()), len(new)).items():
        found |= dict.fromkeys(new[start : start + n], split)
        start += n
    return found


def _quotas(n: int, shares: Mapping[Split, float]) -> dict[Split, int]:
    """How many of n papers each split gets."""
    wanted = [split for split in SPLITS if shares.get(split, 0) > 0]
    quotas: dict[Split, int] = {}
    start, so_far = 0, 0.0
    for at, split in enumerate(wanted):
        so_far += shares[split]
        stop = round(so_far * n)
        if n >= len(wanted):
            stop = min(max(stop, start + 1), n - (len(wanted) - at - 1))
        quotas[split], start = stop - start, stop
    return quotas


def _to_deal(quotas: Mapping[Split, int], have: Mapping[Split, int], n: int) -> dict[Split, int]:
    """How many of n new papers each split gets: one by one to the split that lacks most."""
    dealt = dict.fromkeys(quotas, 0)
    for _ in range(n):
        dealt[max(quotas, key=lambda split: quotas[split] - have.get(split, 0) - dealt[split])] += 1
    return dealt


def carry_over(figures: Iterable[Figure], earlier: Iterable[Figure], folder: Path) -> list[Figure]:
    """The figures with what a person decided on them in an earlier run, and with what that person corrected.

    A corrected scale goes with the pixels: it is carried over where the picture is the same, or of the same size.

    Args:
        figures: as read now.
        earlier: as they were written, with their reviews; matched by id.
        folder: of both, for their pictures.
    """
    before = {one.id: one for one in earlier}
    return [_carried(one, before.get(one.id), folder) for one in figures]


def _carried(figure: Figure, was: Figure | None, folder: Path) -> Figure:
    if was is None or was.review == "waiting":
        return figure
    changes: dict[str, Any] = {"review": was.review, "review_reason": was.review_reason}
    if was.review == "fixed":
        names = [*Fix.model_fields, "technique_from"]
        if was.sha256 != figure.sha256 and _size(folder, was) != _size(folder, figure):
            names.remove("nm_per_px")
        changes |= {name: getattr(was, name) for name in names}
    return figure.model_copy(update=changes)


def _size(folder: Path, figure: Figure) -> tuple[int, int] | str:
    try:
        with Image.open(folder / (figure.image or "")) as picture:
            return picture.size
    except OSError:
        return figure.id + (figure.sha256 or "")


def with_split(records: Iterable[R], splits: Mapping[str, Split]) -> list[R]:
    """The records, each with the split of its paper."""
    found = []
    for one in records:
        paper = one.paper.id if isinstance(one, Figure) else one.paper
        if paper not in splits:
            raise SettingsError(f"paper {paper} is in no split; split the papers again")
        found.append(one.model_copy(update={"split": splits[paper]}))
    return found


class Row(NamedTuple):
    """One paper of the manifest."""

    split: str
    paper: str
    doi: str
    title: str
    year: str
    publisher: str
    licence: str
    figures: int
    images: int
    files: str


def manifest(figures: Iterable[Figure]) -> list[Row]:
    """DOIs and images by split: the published Table S1."""
    by_paper: dict[tuple[int, str], list[Figure]] = {}
    for one in figures:
        rank = SPLITS.index(one.split) if one.split else len(SPLITS)
        by_paper.setdefault((rank, one.paper.id), []).append(one)
    rows = []
    for (rank, name), own in sorted(by_paper.items()):
        paper = own[0].paper
        rows.append(Row(
            (*SPLITS, "")[rank], name, paper.doi or "", paper.title or "", str(paper.year or ""),
            paper.publisher or "", paper.licence or "", len({one.figure for one in own}), len(own),
            " ".join(one.image or "" for one in own),
        ))  # fmt: skip
    return rows


def write_manifest(path: Path, figures: Iterable[Figure]) -> int:
    """The manifest as CSV; how many papers it lists."""
    rows = manifest(figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows)
    return len(rows)


def category_shares(pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
    """Share of each category by split, 0 to 1: Table 1 of the paper; a split without questions is not there."""
    by_split: dict[str, Counter[str]] = {}
    for one in pairs:
        by_split.setdefault(one.split or "", Counter())[one.category] += 1
    return {
        split: {name: count[name] / count.total() for name in CATEGORIES}
        for split in (*SPLITS, "") if (count := by_split.get(split))
    }  # fmt: skip
