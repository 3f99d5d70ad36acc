"""From a Micrograph to Instances."""

from __future__ import annotations

from typing import Any

from epistem.core import Detector, Instances, Micrograph, SettingsError, Table

DETECTORS = Table(
    "detector",
    {
        "log": "epistem.detect.baselines:LogBlobs",
        "otsu-watershed": "epistem.detect.baselines:OtsuWatershed",
    },
)

DEFAULT = "log"

__all__ = ["DEFAULT", "DETECTORS", "detect", "make_detector"]


def make_detector(name: str = DEFAULT, **settings: Any) -> Detector:
    """The detector of that name with these settings.

    Raises:
        UnknownName: no such detector.
        SettingsError: a setting it does not have, or outside what is meaningful.
    """
    maker = DETECTORS[name]
    known = maker.__dataclass_fields__
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise SettingsError(f"detector {name!r} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    detector: Detector = maker(**settings)
    return detector


def detect(micrograph: Micrograph, name: str = DEFAULT, **settings: Any) -> Instances:
    """What the detector of that name finds in one image."""
    return make_detector(name, **settings)(micrograph)
