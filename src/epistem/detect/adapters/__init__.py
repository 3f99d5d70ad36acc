"""Masks and boxes from any tool, as Instances."""

from __future__ import annotations

from epistem.detect.adapters.load import ADAPTERS, annotations_for, format_of, load_instances
from epistem.detect.adapters.sam import from_sam

__all__ = ["ADAPTERS", "annotations_for", "format_of", "from_sam", "load_instances"]
