"""Several images of one file, put into one series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epistem.core import Axis, Micrograph, MicrographSeries, Slice
from epistem.core.micrograph import Unread
from epistem.imaging.border import guarded


def together(
    parts: Sequence[Micrograph | MicrographSeries], axis: Axis, labels: Sequence[str], name: str
) -> Micrograph | MicrographSeries:
    """The one part, or all images of all parts in order.

    Args:
        parts: images or series; at least one.
        axis: what changes from part to part.
        labels: one for each part; images of a series add their own.
        name: of the whole.
    """
    if len(parts) == 1:
        return parts[0]
    slices: list[Micrograph] = []
    for part, label in zip(parts, labels, strict=True):
        for image in part if isinstance(part, MicrographSeries) else [part]:
            text = f"{label}, {image.slice.label}" if image.slice else label
            slices.append(replace(image, slice=Slice(axis, len(slices), text), name=f"{name} [{text}]"))
    shared = set.intersection(*(set(image.warnings) for image in slices))
    return MicrographSeries(tuple(slices), axis, name, tuple(w for w in slices[0].warnings if w in shared))


def labels_of(words: Sequence[str], lengths: Sequence[int]) -> Callable[[int], str]:
    """What each plane along some axes is called, by its place: "t0, z2" of words "t", "z"."""

    def label(place: int) -> str:
        index = np.unravel_index(place, tuple(lengths))
        return ", ".join(f"{word}{i}" for word, i in zip(words, index, strict=True))

    return label


def unread(
    path: Path, n: int, plane: Callable[[int], Micrograph], axis: Axis, label: Callable[[int], str]
) -> MicrographSeries:
    """A series of n images that lie in a file until they are asked for.

    Args:
        path: the file; an error in a plane names it.
        n: how many.
        plane: the image at a place, from 0.
        axis: what changes from one to the next.
        label: of the image at a place.
    """

    def read(place: int) -> Micrograph:
        image = guarded(lambda _: plane(place))(path)
        assert isinstance(image, Micrograph)
        text = label(place)
        with np.errstate(all="ignore"):
            return replace(image, slice=Slice(axis, place, text), name=f"{path.name} [{text}]")

    return MicrographSeries(Unread(read, range(n)), axis, path.name, read(0).warnings)


def with_warnings(image: Micrograph | MicrographSeries, warnings: Sequence[str]) -> Micrograph | MicrographSeries:
    """The same image, or every image of the series, with more to tell; nothing is told twice."""
    if not warnings:
        return image
    if isinstance(image, Micrograph):
        return replace(image, warnings=tuple(dict.fromkeys((*image.warnings, *warnings))))
    told = image.mapped(lambda part: replace(part, warnings=tuple(dict.fromkeys((*part.warnings, *warnings)))))
    return replace(told, warnings=tuple(dict.fromkeys((*image.warnings, *warnings))))
