"""The types everybody speaks; numpy and pydantic only."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from epistem.core.errors import (
    CalibrationMissing,
    ClusterError,
    DependencyMissing,
    EpistemError,
    NotAnImage,
    ReadError,
    RecordError,
    SettingsError,
    ShapeError,
    TrainingError,
    UnknownName,
)
from epistem.core.registry import Table

if TYPE_CHECKING:
    from epistem.core.instances import Instances, Mask, whole_boxes
    from epistem.core.micrograph import Axis, Calibration, Context, Micrograph, MicrographSeries, Slice, Source
    from epistem.core.protocols import ChatModel, Detector, Encoder, Segmenter
    from epistem.core.provenance import Provenance
    from epistem.core.reliability import Interval, Quantity, Reliability, SignalRange, Verdict
    from epistem.core.segmentation import Segmentation

# Imported on first use: whoever wants the errors alone, such as `epistem --help`, need not wait for numpy.
_NAMES = {
    "instances": "Instances Mask whole_boxes",
    "micrograph": "Axis Calibration Context Micrograph MicrographSeries Slice Source",
    "protocols": "ChatModel Detector Encoder Segmenter",
    "provenance": "Provenance",
    "reliability": "Interval Quantity Reliability SignalRange Verdict",
    "segmentation": "Segmentation",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "Axis",
    "Calibration",
    "CalibrationMissing",
    "ChatModel",
    "ClusterError",
    "Context",
    "DependencyMissing",
    "Detector",
    "Encoder",
    "EpistemError",
    "Instances",
    "Interval",
    "Mask",
    "Micrograph",
    "MicrographSeries",
    "NotAnImage",
    "Provenance",
    "Quantity",
    "ReadError",
    "RecordError",
    "Reliability",
    "Segmentation",
    "Segmenter",
    "SettingsError",
    "ShapeError",
    "SignalRange",
    "Slice",
    "Source",
    "Table",
    "TrainingError",
    "UnknownName",
    "Verdict",
    "whole_boxes",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'epistem.core' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"epistem.core.{_MODULES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return __all__
