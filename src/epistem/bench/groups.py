"""Which images are not independent of each other: told by a table, or guessed from the files' names."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from epistem.bench.checked import nearest
from epistem.core import SettingsError

PARTS = 3
"""Train, validation and test: so many groups are needed at least."""

BLOCKS = 5
_SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_FILE_COLUMNS = ("image", "file", "file_name", "filename", "name")


class Guess(NamedTuple):
    """A group for each name, and why so."""

    groups: dict[str, str]
    note: str


def read_groups(path: Path, column: str = "group") -> dict[str, str]:
    """Image → group from a CSV with a column `image` (or `file`, `file_name`…) and one of groups.

    Raises:
        SettingsError: no such file or column, or an image without a group.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path}: wanted a CSV of images and their groups; {error}") from error
    named = next((name for name in _FILE_COLUMNS if name in columns), None)
    if named is None:
        raise SettingsError(f"{path.name} has no column 'image', only {', '.join(columns) or 'nothing'}; add it")
    if column not in columns:
        raise SettingsError(f"{path.name} has no column {column!r}; {nearest(column, columns)}")
    if ragged := [number for number, row in enumerate(rows, 2) if None in row or None in row.values()]:
        raise SettingsError(f"{path.name}, line {ragged[0]}: wanted {len(columns)} cells, there are more or fewer")
    bare = [row[named] for row in rows if not row[column]]
    if bare:
        raise SettingsError(f"{path.name}: {len(bare)} images have no {column}, {bare[0]} for one; fill it in")
    return {row[named]: row[column] for row in rows}


def told_groups(names: Sequence[str], told: Mapping[str, str]) -> dict[str, str]:
    """The group of each image from a table that names it by path, by file name or by that without its suffix.

    Raises:
        SettingsError: an image that the table does not name.
    """
    found = {}
    for name in names:
        path = PurePosixPath(name)
        group = next((told[key] for key in (name, path.name, path.stem) if key in told), None)
        if group is None:
            raise SettingsError(f"no group is given for {name}; add it to the table, or give none for any image")
        found[name] = group
    return found


def guess_groups(names: Sequence[str]) -> Guess:
    """Groups by sub-folder, else by what names begin with, else by blocks of neighbours in a numbered series.

    The shortest beginning that tells three groups apart is taken: groups that are too large only cost precision,
    groups that are too small let a specimen of the test images be seen in training.

    Args:
        names: paths with `/`, without the folders that only say image or mask.

    >>> guess_groups(["s1_0d_0", "s1_9d_3", "s2_0d_1", "s3_0d_2"]).groups["s1_9d_3"]
    's1'
    """
    folders = {name: _folder(name) for name in names}
    if len(set(folders.values())) >= PARTS:
        return Guess(folders, _guessed("by the sub-folder", folders))
    stems = {name: PurePosixPath(name).stem for name in names}
    if _are_hashes(list(stems.values())):
        return Guess(dict(stems), _guessed("one for each image, whose names tell nothing", stems))
    prefixes = {name: _prefixes(stem) for name, stem in stems.items()}
    for depth in range(max(map(len, prefixes.values()))):
        groups = {name: _join(folders[name], mine[min(depth, len(mine) - 1)]) for name, mine in prefixes.items()}
        if len(set(groups.values())) >= PARTS:
            return Guess(groups, _guessed("by what the file names begin with", groups))
    groups = {name: _join(folders[name], mine[-1]) for name, mine in prefixes.items()}
    return _blocks(groups)


def check_enough(groups: Sequence[str], what: str) -> None:
    """Refuses what cannot be split into three independent parts.

    Args:
        groups: of each image.
        what: whose they are, for the error.

    Raises:
        SettingsError: fewer than three groups; says what can still be done.
    """
    counts = Counter(groups)
    if len(counts) >= PARTS:
        return
    if len(groups) < PARTS:
        n = "1 image" if len(groups) == 1 else f"{len(groups)} images"
        raise SettingsError(
            f"{what} has {n}; train, validation and test need {PARTS} that are independent. What can still be done: "
            "cut an image into pieces that do not overlap, save each with its piece of the mask, and take the scores "
            "for optimistic; add images; or use a model that was trained on others"
        )
    listed = ", ".join(f"{group} ({n})" for group, n in counts.items())
    n = "1 group" if len(counts) == 1 else f"{len(counts)} groups"
    raise SettingsError(
        f"{what} has {n}, {listed}; train, validation and test need {PARTS} that share no specimen. What can still "
        "be done: add images of another specimen; name finer groups in dataset.pairs; or set training.split.by to "
        '"image" and take the scores for optimistic'
    )


def _folder(name: str) -> str:
    parts = PurePosixPath(name).parent.parts
    return "/".join(part for part in parts if part.lower() not in _SPLIT_FOLDERS)


def _join(folder: str, prefix: str) -> str:
    return "/".join(part for part in (folder, prefix) if part) or "images"


def _prefixes(stem: str) -> list[str]:
    """Beginnings of a name at its words and numbers, without the last one; "" if there is only one.

    >>> _prefixes("Slice-2Top_0.5_7"), _prefixes("017")
    (['Slice', 'Slice-2', 'Slice-2Top', 'Slice-2Top_0.5'], [''])
    """
    ends = [found.end() for found in re.finditer(r"\d+(?:\.\d+)?|[^\W\d_]+", stem)]
    return [stem[:end] for end in ends[:-1]] or [""]


def _are_hashes(stems: Sequence[str]) -> bool:
    return all(re.fullmatch(r"(?=.*[a-f])?[0-9a-f]{8,}", stem) for stem in stems) and any(
        re.search("[a-f]", stem) for stem in stems
    )


def _blocks(series: Mapping[str, str]) -> Guess:
    """Each numbered series cut into blocks of neighbours; other images each for themselves."""
    members: dict[str, list[str]] = {}
    for name in sorted(series, key=_natural):
        members.setdefault(series[name], []).append(name)
    groups = {}
    cut = False
    for group, names in members.items():
        if len(names) == 1:
            groups[names[0]] = group
        elif all(re.search(r"\d$", PurePosixPath(name).stem) for name in names):
            cut = True
            number = min(BLOCKS, len(names))
            groups |= {name: f"{group} block {1 + i * number // len(names)}" for i, name in enumerate(names)}
        else:
            groups |= {name: PurePosixPath(name).stem for name in names}
    groups = {name: groups[name] for name in series}
    how = "by blocks of neighbours in a numbered series" if cut else "one for each image"
    note = _guessed(how, groups)
    return Guess(groups, f"{note}; blocks of one specimen are alike, so scores will be optimistic" if cut else note)


def _natural(name: str) -> list[tuple[int, float, str]]:
    words = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(0, float(word), "") if i % 2 else (1, 0.0, word) for i, word in enumerate(words)]


def _guessed(how: str, groups: Mapping[str, str]) -> str:
    names = sorted(set(groups.values()), key=_natural)
    some = ", ".join(names[:6]) + ("…" if len(names) > 6 else "")
    return (
        f"groups are a guess, {how}: {len(names)} of them ({some}); correct dataset.pairs[].group if specimens differ"
    )
