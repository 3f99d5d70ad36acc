"""What RosettaSciIO's metadata say of sample and microscope, as a Context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epistem.core import Context
from epistem.imaging.plain import look_up, number, plain

_DM = "ImageList.TagGroup0.ImageTags."
# Fields that RosettaSciIO's own mapping leaves out: where they stand, and what makes our unit of theirs.
_DETECTOR = (
    _DM + "DataBar.Signal Name",
    "BinaryResult.Detector",
    _DM + "Acquisition.Device.Name",
    _DM + "DataBar.Device Name",
)
_INSTRUMENT = (_DM + "Session Info.Microscope", _DM + "Microscope Info.Name")
_DEFOCUS_NM = (("Optics.Defocus", 1e9), ("ObjectInfo.ExperimentalDescription.Defocus_um", 1e3))
_MAGNIFICATION = ("Optics.NominalMagnification",)


def context_of(signal: Mapping[str, Any]) -> Context:
    """Context of one signal dictionary of RosettaSciIO; what it does not say is None."""
    original = plain(signal.get("original_metadata") or {})
    known = _mapped(signal)
    kind, instrument = next(
        ((kind, tree) for kind in ("TEM", "SEM") if (tree := look_up(known, f"Acquisition_instrument.{kind}"))),
        (None, {}),
    )
    modality = _word(look_up(instrument, "acquisition_mode")) or (kind if _is_velox_camera(original) else None)
    if _scanned_by_velox(original):
        modality = "STEM"
    elif kind == "SEM":
        modality = "SEM"
    return Context(
        modality=modality,
        instrument=_first_word(look_up(instrument, "microscope"), *(look_up(original, path) for path in _INSTRUMENT)),
        beam_keV=_positive(look_up(instrument, "beam_energy")),
        detector=_detector(instrument, original),
        magnification=_positive(look_up(instrument, "magnification"))
        or next((found for path in _MAGNIFICATION if (found := _positive(look_up(original, path)))), None),
        camera_length_mm=_positive(look_up(instrument, "camera_length")),
        defocus_nm=_defocus(original),
        acquired=_moment(known),
    )


def _mapped(signal: Mapping[str, Any]) -> dict[str, Any]:
    """RosettaSciIO hands over its mapping (original key -> (known key, conversion)) unapplied."""
    known: dict[str, Any] = plain(signal.get("metadata") or {})
    original = signal.get("original_metadata") or {}
    original = original.to_dict() if hasattr(original, "to_dict") else original
    for source, rule in (signal.get("mapping") or {}).items():
        value = look_up(original, source)
        if value is None or rule is None:
            continue
        target, convert = rule
        try:
            found = plain(convert(value) if convert else value)
        except Exception:  # noqa: BLE001 - a conversion of theirs fails on a value of another kind: not known
            continue
        if found is not None:
            _put(known, target, found)
    return known


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        inner = tree.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    tree.setdefault(last, value)


def _detector(instrument: Any, original: Any) -> str | None:
    return _first_word(
        look_up(instrument, "Detector.detector_type"),
        look_up(instrument, "Detector.Camera.name"),
        look_up(instrument, "Detector.Camera.Name"),
        look_up(instrument, "detector"),
        *(look_up(original, path) for path in _DETECTOR),
    )


def _defocus(original: Any) -> float | None:
    for path, factor in _DEFOCUS_NM:
        value = number(look_up(original, path))
        if value is not None:
            return value * factor
    return None


def _moment(known: Any) -> str | None:
    date, time = (_word(look_up(known, f"General.{part}")) for part in ("date", "time"))
    return f"{date}T{time}" if date and time else date


def _is_velox_camera(original: Any) -> bool:
    return bool(look_up(original, "BinaryResult.AcquisitionUnit") == "CameraImage")


def _scanned_by_velox(original: Any) -> bool:
    return look_up(original, "BinaryResult") is not None and look_up(original, "Scan.DwellTime") is not None


def _positive(value: Any) -> float | None:
    found = number(value)
    return found if found is not None and found > 0 else None


def _first_word(*values: Any) -> str | None:
    return next((word for value in values if (word := _word(value))), None)


def _word(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
