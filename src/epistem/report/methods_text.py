"""The paragraph on methods, ready for a paper: what was done, with which versions, and what was not done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from epistem.report.words import Ranged, label_and_unit, number, percent, plural

DETECTORS = {
    "epistem.detect.LogBlobs": "its multi-scale Laplacian-of-Gaussian detector (Lindeberg, IJCV 30, 79, 1998)",
    "epistem.detect.OtsuWatershed": (
        "its threshold detector (Otsu, IEEE Trans. SMC 9, 62, 1979, on the background-flattened image,"
        " touching objects split by a watershed)"
    ),
}
SOURCES = {
    "metadata": "the files' metadata",
    "scale bar": "the burnt-in scale bar",
    "user": "the operator",
    "simulation": "the simulation",
}


def methods_paragraph(
    provenance: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    noun: str = "object",
    n_images: int = 1,
    pixel_sizes: Mapping[str, int],
    quantities: Iterable[Ranged] = (),
    forecast: bool = False,
) -> str:
    """Sentences that another laboratory could repeat the work from.

    Args:
        provenance: a `Provenance.as_dict()`: maker, version, settings, weights, seed.
        versions: of epistem and of the libraries its numbers rest on.
        noun: what was looked for, in the singular.
        n_images: images analysed.
        pixel_sizes: number of images by source of their pixel size; "" where there is none.
        quantities: what the report shows; their intervals and notes (formula sources) are named.
        forecast: whether an expected F1 was given.
    """
    shown = list(quantities)
    sentences = [
        _detection(provenance, versions, noun, n_images),
        _calibration(pixel_sizes),
        "Sizes are area-equivalent diameters, d = 2·√(A/π) (ISO 9276-6), of each object's pixels; objects cut by the"
        " image border are counted but left out of the sizes.",
        *_intervals(shown),
        _not_done(provenance, forecast),
        _libraries(versions),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _detection(provenance: Mapping[str, Any], versions: Mapping[str, str], noun: str, n_images: int) -> str:
    maker = str(provenance.get("maker", "unknown"))
    version = versions.get("epistem", "")
    where = "one image" if n_images == 1 else f"{number(n_images)} images"
    what = plural(noun).capitalize()
    if maker in DETECTORS:
        how = f"detected in {where} with epistem {version} by {DETECTORS[maker]}"
    else:
        how = f"detected in {where} by {maker} {provenance.get('version', '')} and measured with epistem {version}"
    settings = provenance.get("settings", {})
    details = [_setting(name, value) for name, value in settings.get("detector", settings).items()]
    if provenance.get("weights"):
        details.append(f"weights {provenance['weights']}")
    if provenance.get("seed") is not None:
        details.append(f"seed {provenance['seed']}")
    return f"{what} were {how}" + (f" ({', '.join(details)})." if details else ".")


def _setting(name: str, value: Any) -> str:
    label, unit = label_and_unit(name)
    # Settings are printed as they were given: rounded ones could not be repeated.
    return f"{label.lower()} {value}{f' {unit}' if unit else ''}"


def _calibration(pixel_sizes: Mapping[str, int]) -> str:
    known = {SOURCES.get(source, source): n for source, n in pixel_sizes.items() if source and n}
    unknown = pixel_sizes.get("", 0)
    if not known:
        return "No pixel size was known, so lengths are in pixels." if unknown else ""
    counted = " and ".join(f"{source} ({n})" if len(known) > 1 else source for source, n in known.items())
    rest = f"; {unknown} without pixel size were measured in pixels only" if unknown else ""
    return f"Pixel sizes came from {counted}{rest}."


def _intervals(quantities: list[Ranged]) -> list[str]:
    coverages = sorted({q.coverage for q in quantities if q.coverage is not None and q.low is not None})
    if not coverages:
        return ["No intervals are given."]
    named = [str(getattr(q, "label", "")).lower() for q in quantities if q.coverage is not None and q.low is not None]
    held = " or ".join(percent(coverage) for coverage in coverages)
    what = ", ".join(dict.fromkeys(named))
    return [f"Intervals ({what}) are meant to hold the value in {held} of cases, pixel size taken as exact."]


def _not_done(provenance: Mapping[str, Any], forecast: bool) -> str:
    missing = ["the outlines were not corrected by hand", "objects that overlap in projection were not told apart"]
    if not forecast:
        missing.insert(0, "the share of missed and false detections was not estimated, and no interval includes it")
    if not provenance.get("weights"):
        missing.insert(0, "the detector was not trained on or tuned to these images")
    return f"What was not done: {'; '.join(missing)}."


def _libraries(versions: Mapping[str, str]) -> str:
    others = [f"{name} {version}" for name, version in versions.items() if name != "epistem"]
    return f"Computed with {', '.join(others)}." if others else ""
