"""The types everybody speaks; numpy and pydantic only."""

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
from epistem.core.instances import Instances, Mask, whole_boxes
from epistem.core.micrograph import Axis, Calibration, Context, Micrograph, MicrographSeries, Slice, Source
from epistem.core.protocols import ChatModel, Detector, Encoder, Segmenter
from epistem.core.provenance import Provenance
from epistem.core.registry import Table
from epistem.core.reliability import Interval, Quantity, Reliability, SignalRange, Verdict
from epistem.core.segmentation import Segmentation

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
