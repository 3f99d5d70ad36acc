"""Several images of one file, put into one series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from epistem.core import Axis, Micrograph, MicrographSeries, Slice


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


def with_warnings(image: Micrograph | MicrographSeries, warnings: Sequence[str]) -> Micrograph | MicrographSeries:
    """The same image, or every image of the series, with more to tell; nothing is told twice."""
    if not warnings:
        return image
    if isinstance(image, Micrograph):
        return replace(image, warnings=tuple(dict.fromkeys((*image.warnings, *warnings))))
    slices = tuple(replace(part, warnings=tuple(dict.fromkeys((*part.warnings, *warnings)))) for part in image)
    return replace(image, slices=slices, warnings=tuple(dict.fromkeys((*image.warnings, *warnings))))
