"""From a Micrograph to Instances."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_type_hints

from epistem.core.errors import SettingsError
from epistem.core.registry import Table

if TYPE_CHECKING:
    from epistem.core import Detector, Instances, Micrograph

DETECTORS = Table(
    "detector",
    {
        "cavity-dense": "epistem.detect.learned:CavityDense",
        "cavity-maskrcnn": "epistem.detect.learned:CavityMaskRCNN",
        "log": "epistem.detect.baselines:LogBlobs",
        "otsu-watershed": "epistem.detect.baselines:OtsuWatershed",
        "segmenter": "epistem.detect.segmented:Segmented",
    },
)

DEFAULT = "cavity-dense"

__all__ = ["DEFAULT", "DETECTORS", "detect", "least_score", "make_detector", "weights_hash"]


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


def least_score(detector: Detector) -> float | None:
    """The score from which on it holds an object for found; None where it knows no scores.

    Raises:
        RecordError: its weights are not there or damaged.
        DependencyMissing: nothing is installed to read them.
    """
    asked = getattr(detector, "min_score", None)
    if asked is not None or (weights := getattr(detector, "weights", None)) is None:
        return None if asked is None else float(asked)
    from epistem.nets.weights import open_weights

    return open_weights(weights).min_score


def weights_hash(detector: Detector) -> str | None:
    """Identity of the weights a detector would use now; None where it has none.

    Raises:
        RecordError: they are not there or damaged.
        DependencyMissing: nothing is installed to read them.
    """
    if (weights := getattr(detector, "weights", None)) is None:
        return None
    from epistem.nets.weights import open_weights

    return open_weights(weights).hash


def detect(micrograph: Micrograph, name: str = DEFAULT, **settings: Any) -> Instances:
    """What the detector of that name finds in one image."""
    return make_detector(name, **settings)(micrograph)
