"""Which name in one list is the same image as which in another: by path, from its end, without suffix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from epistem.core import RecordError

# Folders, then the name without suffix.
Parts = tuple[str, ...]


def parts_of(name: str) -> Parts:
    """Folders and stem of a file name, as any system writes it.

    >>> parts_of("a\\\\x.tif"), parts_of("./x.tif")
    (('a', 'x'), ('x',))
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return (*path.parent.parts, path.stem)


def pair(ours: Mapping[str, Parts], theirs: Mapping[str, Parts]) -> dict[str, str]:
    """Our name → their name of the same image, for all that have one.

    Equal names are a pair; then those whose paths agree longest from the end, where no other name on either side
    ends so. `a/x` and `b/x` are therefore told apart by `a/x` and `b/x`, and a bare `x` fits the only `x` there is.

    Args:
        ours, theirs: name → its parts.

    Raises:
        RecordError: two names fit one of the other side equally well.
    """
    pairs = {name: name for name in ours if name in theirs}
    taken = set(pairs)
    for depth in range(max(map(len, (*ours.values(), *theirs.values())), default=0), 0, -1):
        left, right = _by_end(ours, depth), _by_end(theirs, depth)
        for end in left.keys() & right.keys():
            mine = [name for name in left[end] if name not in pairs]
            free = [name for name in right[end] if name not in taken]
            if not mine or not free:
                continue
            if len(left[end]) == len(right[end]) == 1:
                pairs[mine[0]] = free[0]
                taken.add(free[0])
            # Names in folders that differ need not be meant for each other; a whole path that fits two must be.
            elif min(len(ours[mine[0]]), len(theirs[free[0]])) <= depth:
                two, one = (left[end], free[0]) if len(left[end]) > 1 else (right[end], mine[0])
                raise RecordError(f"{two[0]} and {two[1]} both fit {one}; put them in folders that are named alike")
    return {name: pairs[name] for name in ours if name in pairs}


def fitting(wanted: str, names: Iterable[str]) -> list[str]:
    """The names that fit the wanted one best: itself, else those whose path agrees longest from the end.

    >>> fitting("a/x.tif", ["a/x.png", "b/x.png"]), fitting("x.tif", ["a/x.png", "b/x.png"]), fitting("y", ["x"])
    (['a/x.png'], ['a/x.png', 'b/x.png'], [])
    """
    names = list(dict.fromkeys(names))
    if wanted in names:
        return [wanted]
    want = parts_of(wanted)
    depths = [_agreement(want, parts_of(name)) for name in names]
    best = max(depths, default=0)
    fits = [name for name, depth in zip(names, depths, strict=True) if depth == best > 0]
    suffix = PurePosixPath(wanted).suffix
    return [name for name in fits if PurePosixPath(name).suffix == suffix] or fits


def _by_end(named: Mapping[str, Parts], depth: int) -> dict[Parts, list[str]]:
    ends: dict[Parts, list[str]] = {}
    for name, parts in named.items():
        ends.setdefault(parts[-depth:], []).append(name)
    return ends


def _agreement(one: Parts, other: Parts) -> int:
    """How many parts are the same, counted from the end."""
    same = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        same += 1
    return same
