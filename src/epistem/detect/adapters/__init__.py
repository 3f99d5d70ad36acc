"""Masks and boxes from any tool, as Instances."""

from __future__ import annotations

from epistem.detect.adapters.load import (
    ADAPTERS,
    annotation_files,
    annotations_for,
    format_of,
    listed_images,
    load_instances,
)
from epistem.detect.adapters.sam import from_sam

__all__ = [
    "ADAPTERS",
    "annotation_files",
    "annotations_for",
    "format_of",
    "from_sam",
    "listed_images",
    "load_instances",
]
