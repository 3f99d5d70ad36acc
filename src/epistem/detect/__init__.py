"""From a Micrograph to Instances."""

from __future__ import annotations

import math
from typing import Any, get_type_hints

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
        SettingsError: a setting it does not have, of another type, or outside what is meaningful.
    """
    maker = DETECTORS[name]
    types = get_type_hints(maker)
    unknown = sorted(set(settings) - set(types))
    if unknown:
        raise SettingsError(f"detector {name!r} has no setting {', '.join(unknown)}; it has {', '.join(types)}")
    detector: Detector = maker(**{key: _checked(key, value, types[key]) for key, value in settings.items()})
    return detector


def _checked(name: str, value: Any, wanted: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError

    try:
        checked = TypeAdapter(wanted).validate_python(value)
    except ValidationError as error:
        raise SettingsError(f"{name}: {error.errors()[0]['msg']}, not {value!r}") from error
    if isinstance(checked, float) and not math.isfinite(checked):
        raise SettingsError(f"{name} is a finite number, not {value!r}")
    return checked


def detect(micrograph: Micrograph, name: str = DEFAULT, **settings: Any) -> Instances:
    """What the detector of that name finds in one image."""
    return make_detector(name, **settings)(micrograph)
