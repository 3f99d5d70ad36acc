"""The paragraph on methods, ready for a paper: what was done, with which versions, and what was not done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from epistem.report.words import Ranged, label_and_unit, number, percent, plural

BY_HAND = "corrected by hand"
"""Maker of objects that a person has gone through."""

DETECTORS = {
    "epistem.detect.CavityDense": (
        "its dense network (centres and star-shaped outlines from a U-Net on EfficientNet-lite0)"
    ),
    "epistem.detect.CavityMaskRCNN": "its Mask R-CNN (He et al., ICCV 2017)",
    "epistem.detect.LogBlobs": "its multi-scale Laplacian-of-Gaussian detector (Lindeberg, IJCV 30, 79, 1998)",
    "epistem.detect.OtsuWatershed": (
        "its threshold detector (Otsu, IEEE Trans. SMC 9, 62, 1979, on the background-flattened image,"
        " touching objects split by a watershed)"
    ),
    "epistem.detect.Segmented": "a segmentation network, the connected parts of each class taken as objects",
}
# These keep apart what overlaps in projection, unless it is nearly at one place.
_TELLS_OVERLAPS_APART = {"epistem.detect.CavityDense", "epistem.detect.CavityMaskRCNN"}
PUBLISHED = "github.com/uw-cmg/cavity_defect_detection"
SOURCES = {
    "metadata": "the files' metadata",
    "scale bar": "the burnt-in scale bar",
    "user": "the operator",
    "simulation": "the simulation",
}


# What no interval here contains; said beside every one of them.
NOT_IN_INTERVALS = "what the detector misses, what it finds falsely, and its own error of size"
HOLDS = (
    "Intervals hold for other fields of the same kind, measured by the same detector. Not in them: "
    f"{NOT_IN_INTERVALS}."
)


class Named(Ranged, Protocol):
    """A number with its machine name and its words: core's Quantity and report's Fact."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...


class Foil(NamedTuple):
    """Thickness of one image's foil and its standard error [nm]; None where unknown."""

    nm: float | None
    error_nm: float | None = None


def methods_paragraph(
    provenance: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    noun: str = "object",
    n_images: int = 1,
    pixel_sizes: Mapping[str, int],
    quantities: Iterable[Named] = (),
    foils: Sequence[Foil] = (),
    samples: str = "",
    by: str = "",
    forecast: bool = False,
    shipped: Collection[str] = (),
) -> str:
    """Sentences that another laboratory could repeat the work from.

    Args:
        provenance: a `Provenance.as_dict()`: maker, version, settings, weights, seed.
        versions: of epistem and of the libraries its numbers rest on.
        noun: what was looked for, in the singular.
        n_images: images analysed.
        pixel_sizes: number of images by source of their pixel size; "" where there is none.
        quantities: what the report shows; those with an interval are named, and of the known ones density and
            swelling bring their rule, their formula and its source.
        foils: thickness of each image's foil.
        samples: name of the table that gives them for each image; "" if it was one setting or the files.
        by: column of that table by which images were grouped; "" if they were not.
        forecast: whether an expected F1 was given.
        shipped: hashes of the weights that come with epistem.
    """
    shown = list(quantities)
    known = {q.name for q in shown if q.value is not None}
    sentences = [
        _detection(provenance, versions, noun, n_images, shipped),
        _trained(provenance, shipped),
        _calibration(pixel_sizes),
        "Sizes are area-equivalent diameters, d = 2·√(A/π) (ISO 9276-6), of each object's pixels; objects cut by the"
        " image border are counted but left out of the sizes.",
        *_densities(known),
        _thickness(foils, samples),
        *_swelling(known),
        *_intervals(shown),
        _groups(by),
        _not_done(provenance, forecast, shipped),
        _libraries(versions),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _densities(known: set[str]) -> list[str]:
    sentences = []
    if known & {"density_per_um2", "density_per_1e6_px", "density_per_m3"}:
        sentences.append(
            "Number densities are per valid area; objects cut at their lower or right side are not counted in them"
            " (Gundersen, J. Microsc. 111, 219, 1977)."
        )
    if "paper_density_per_1e4_nm2" in known:
        sentences.append(f"The density as published counts all of them ({PUBLISHED}).")
    return sentences


def _thickness(foils: Sequence[Foil], samples: str) -> str:
    """How thick the foil was, by whom, and how sure."""
    known = [foil for foil in foils if foil.nm is not None]
    if not known:
        return ""
    from_ = f", given for each image in {samples}" if samples else ""
    errors = [foil.error_nm for foil in known if foil.error_nm is not None]
    told = f" (one standard error: {_range(errors)} nm)" if errors else ""
    if len(errors) < len(known):
        told += f", its error unknown{f' for {len(known) - len(errors)}' if errors else ''}"
    rest = f"; it was unknown for {len(foils) - len(known)} of {len(foils)} images" if len(known) < len(foils) else ""
    return f"Foil thickness was {_range([f.nm for f in known if f.nm])} nm{told}{from_}{rest}."


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _swelling(known: set[str]) -> list[str]:
    if not known & {"swelling_percent", "paper_swelling_percent"}:
        return []
    text = (
        "Swelling is 100·ΣV/(V_tot − ΣV), each object a sphere V = π/6·d³, V_tot the valid area times the foil"
        f" thickness (formula: {PUBLISHED}); cut objects count as the sphere that is seen"
    )
    if "paper_swelling_percent" in known:
        text += "; as published, d is that of the mask's convex hull instead of its area"
    return [f"{text}."]


def _groups(by: str) -> str:
    if not by:
        return ""
    words = label_and_unit(by)[0].lower()
    return (
        f"Images were grouped by {words}; each image counts once, and a series as one. Intervals of groups are"
        " Student's t between images, those of differences Welch's; groups were compared by permuting images, with p"
        " corrected after Holm (1979) where several pairs were tested."
    )


def _detection(
    provenance: Mapping[str, Any], versions: Mapping[str, str], noun: str, n_images: int, shipped: Collection[str]
) -> str:
    maker = str(provenance.get("maker", "unknown"))
    version = versions.get("epistem", "")
    where = "one image" if n_images == 1 else f"{number(n_images)} images"
    what = plural(noun).capitalize()
    if maker == BY_HAND:
        how = (
            f"detected in {where} with epistem {version} and corrected by hand: a person added what was missed, "
            "deleted what was false, and said that every object is right"
        )
    elif maker in DETECTORS:
        how = f"detected in {where} with epistem {version} by {DETECTORS[maker]}"
    else:
        how = f"detected in {where} by {maker} {provenance.get('version', '')} and measured with epistem {version}"
    settings = provenance.get("settings", {})
    detector = dict(settings.get("detector", settings))
    identity = provenance.get("weights")
    name = detector.pop("weights", "") if identity else ""
    details = [_setting(name, value) for name, value in detector.items()]
    if identity:
        details.append(_weights(name, identity, shipped))
    least = settings.get("analysis", {}).get("min_score")
    if least is not None and detector.get("min_score") != least:
        details.append(f"objects with a score below {least} left out")
    if provenance.get("seed") is not None:
        details.append(f"seed {provenance['seed']}")
    return f"{what} were {how}" + (f" ({', '.join(details)})." if details else ".")


def _weights(name: str, identity: str, shipped: Collection[str]) -> str:
    """Which weights, and what the shipped ones learned from; of others that is not known here."""
    which = f"weights {name} with hash {identity}" if name else f"weights {identity}"
    learned = "trained on simulated cavities, some on recorded cavity-free fields"
    return f"{which}, {learned}" if identity in shipped else which


def _trained(provenance: Mapping[str, Any], shipped: Collection[str]) -> str:
    if not provenance.get("weights") or provenance["weights"] in shipped:
        return ""
    return "These weights were trained by the user; which images they were trained on is in their card."


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


def _intervals(quantities: Sequence[Named]) -> list[str]:
    coverages = sorted({q.coverage for q in quantities if q.coverage is not None and q.low is not None})
    if not coverages:
        return ["No intervals are given."]
    named = {q.label.lower() for q in quantities if q.coverage is not None and q.low is not None}
    held = " or ".join(percent(coverage) for coverage in coverages)
    what = ", ".join(sorted(named))
    return [f"Intervals ({what}) are meant to hold the value in {held} of cases, pixel size taken as exact.", HOLDS]


def _not_done(provenance: Mapping[str, Any], forecast: bool, shipped: Collection[str]) -> str:
    missing = [] if provenance.get("maker") == BY_HAND else ["the outlines were not corrected by hand"]
    if provenance.get("maker") not in _TELLS_OVERLAPS_APART:
        missing.append("objects that overlap in projection were not told apart")
    if not forecast:
        missing.insert(0, "the share of missed and false detections was not estimated, and no interval includes it")
    if provenance.get("weights") in shipped:
        missing.insert(0, "the detector was not trained on or tuned to these images")
    return f"What was not done: {'; '.join(missing)}."


def _libraries(versions: Mapping[str, str]) -> str:
    others = [f"{name} {version}" for name, version in versions.items() if name != "epistem"]
    return f"Computed with {', '.join(others)}." if others else ""
