"""What all objects of one image say together: how many, how dense, how large, how much they swell the foil.

Two rules keep the border of the image out of the numbers, and each note says which was used:

- *Density* counts an object unless its lower or right side is cut off. Of the objects of a wide field, each has one
  lower right corner, in one image only, so cut and whole ones together are neither missed nor counted twice.
  Source: H. J. G. Gundersen, J. Microsc. 111, 219 (1977), with the object's box for its outline.
- *Sizes* are those of objects that are seen whole. Large ones are cut more often, so this leans to small sizes where
  objects are not much smaller than the image.

A value that cannot be known is None, and its note says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Instances, Interval, Micrograph, Quantity, SettingsError, whole_boxes
from epistem.detect.measure import measure
from epistem.stats.intervals import poisson_interval, student_interval
from epistem.stats.resample import bootstrap_interval, percentile_interval, poisson_sums

Floats = NDArray[np.float64]

_NO_SCALE = "no pixel size; pass --pixel-size"
_NO_THICKNESS = "no foil thickness; pass --thickness-nm, or a thickness_nm column in the samples table"
_NO_PIXEL = "the image has no valid pixel"
_NO_MASKS = "the objects are boxes without masks, so they have no area"
_PUBLISHED = "100·ΣV/(V_tot − ΣV) with spheres V = π/6·d³ in V_tot = valid area · foil thickness"
_SWELLING = {
    "equivalent": ("swelling_percent", "Swelling"),
    "paper": ("paper_swelling_percent", "Swelling as published"),
}
_LABELS = {"mean": "Mean diameter", "median": "Median diameter", "sd": "Standard deviation of the diameter"}


@dataclass(frozen=True)
class _Foil:
    """Thickness and its standard error [nm]."""

    nm: float
    error_nm: float | None


def summarize(
    measured: Instances,
    micrograph: Micrograph,
    *,
    thickness_nm: float | None = None,
    thickness_error_nm: float | None = None,
    coverage: float = 0.9,
    seed: int = 0,
) -> dict[str, Quantity]:
    """The population of one image, by name; always the same names, with None for what is not known.

    Where there are several classes, each has its area fraction beside that of all: `class_1_area_fraction_percent`…

    Args:
        measured: the objects, with or without the columns of `measure`.
        micrograph: the image they were found in.
        thickness_nm: foil thickness [nm]; else that of the image's context, else none.
        thickness_error_nm: its standard error [nm].
        coverage: probability that an interval holds the truth, 0 to 1. Intervals tell what other fields of this
            size would have given; a wrong pixel size is not in them.
        seed: of the resampling.

    Raises:
        SettingsError: a thickness that is not positive, or a negative error.
        ShapeError: the objects were found in an image of another shape.
    """
    foil = _foil(micrograph, thickness_nm, thickness_error_nm)
    if "touches_edge" not in measured.columns or (micrograph.calibration and "area_nm2" not in measured.columns):
        measured = measure(measured, micrograph)
    found = _counts(measured, micrograph, foil, coverage)
    found += [_area_fraction(measured, micrograph, coverage, seed)]
    if len(measured.classes) > 1:
        found += [_share_of(k, measured, micrograph, coverage, seed) for k in range(len(measured.classes))]
    found += _sizes(measured, micrograph, coverage, seed)
    found += [_swelling(measured, micrograph, foil, kind, coverage, seed) for kind in ("equivalent", "paper")]
    return {quantity.name: quantity for quantity in found}


def _foil(micrograph: Micrograph, thickness_nm: float | None, error_nm: float | None) -> _Foil | None:
    context = micrograph.context
    if thickness_nm is None:
        thickness_nm = context.thickness_nm
        error_nm = context.thickness_error_nm if error_nm is None else error_nm
    if thickness_nm is None:
        return None
    if not thickness_nm > 0 or (error_nm is not None and not error_nm >= 0):
        raise SettingsError(
            f"a foil thickness is positive, its error not negative; got {thickness_nm} ± {error_nm} nm"
        )
    return _Foil(thickness_nm, error_nm)


def _unknown(name: str, label: str, unit: str, why: str) -> Quantity:
    return Quantity(name, label, None, unit, note=why)


def _known(name: str, label: str, unit: str, interval: Interval, note: str, factor: float = 1.0) -> Quantity:
    low, value, high = (end * factor for end in (interval.low, interval.value, interval.high))
    return Quantity(name, label, value, unit, low, high, interval.coverage, note)


# ---------------------------------------------------------------- how many


def _counts(measured: Instances, micrograph: Micrograph, foil: _Foil | None, coverage: float) -> list[Quantity]:
    everything = poisson_interval(len(measured), coverage=coverage)
    inside = int((~_cut_below_or_right(measured, micrograph.valid)).sum())
    counted = poisson_interval(inside, coverage=coverage)
    rule = (
        f"{len(measured) - inside} of {len(measured)} cut at their lower or right side left out (Gundersen 1977); "
        "exact Poisson interval"
    )
    published = "as published: all objects over the valid area, cut ones too; exact Poisson interval"
    thick = f"{rule}; foil of {foil.nm:g} nm, its error is not in the interval" if foil else ""
    pixels = micrograph.pixels.size * micrograph.valid_fraction
    area = micrograph.valid_area_nm2 if micrograph.calibration else None
    volume = area * foil.nm if area is not None and foil else None

    def density(name: str, words: str, unit: str, number: Interval, note: str, extent: float | None) -> Quantity:
        label = f"Number density{words}"
        if extent:
            return _known(name, label, unit, number, note, 1 / extent)
        why = _NO_PIXEL if extent == 0 else _NO_SCALE if area is None else _NO_THICKNESS
        return _unknown(name, label, unit, why)

    tens = None if area is None else area / 1e4
    microns = None if area is None else area / 1e6
    metres = None if volume is None else volume / 1e27
    return [
        _known("count", "Objects found", "", everything, "exact Poisson interval (Garwood 1936)"),
        density("density_per_1e6_px", "", "(10⁶ px)⁻¹", counted, rule, pixels / 1e6),
        density("density_per_um2", "", "µm⁻²", counted, rule, microns),
        density("paper_density_per_1e4_nm2", " as published", "(10⁴ nm²)⁻¹", everything, published, tens),
        density("density_per_m3", " in the foil", "m⁻³", counted, thick, metres),
    ]


def _cut_below_or_right(found: Instances, valid: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Whether what is no image begins right below or right of the object's box."""
    whole = whole_boxes(found.boxes)
    cut: NDArray[np.bool_] = (whole[:, 2:] == found.shape).any(1)
    if valid is not None:
        for i in np.flatnonzero(~cut):
            row0, col0, row1, col1 = whole[i]
            cut[i] = not (valid[row1, col0:col1].all() and valid[row0:row1, col1].all())
    return cut


# ---------------------------------------------------------------- how large


def _area_fraction(measured: Instances, micrograph: Micrograph, coverage: float, seed: int) -> Quantity:
    name, label = "area_fraction_percent", "Area fraction"
    pixels = micrograph.pixels.size * micrograph.valid_fraction
    if measured.crops is None:
        return _unknown(name, label, "%", _NO_MASKS)
    if not pixels:
        return _unknown(name, label, "%", _NO_PIXEL)
    covered = np.zeros(measured.shape, bool)
    for mask in measured.masks():
        covered[mask.rows, mask.cols] |= mask.crop
    if micrograph.valid is not None:
        covered &= micrograph.valid
    share = float(covered.sum() / pixels)
    note = "pixels of any object over valid pixels, cut objects with the part that is seen"
    if not len(measured):
        return Quantity(name, label, 0.0, "%", note=f"{note}; no interval: nothing was found")
    areas = measured.columns["area_px"]
    draws = poisson_sums(areas[:, None], seed=seed)[:, 0]
    # Few large objects drawn twice would cover more than there is.
    drawn = np.minimum(share * draws / areas.sum(), 1.0)
    interval = percentile_interval(share, drawn, coverage=coverage)
    return _known(name, label, "%", interval, f"{note}; interval from drawing objects", 100)


def _share_of(k: int, measured: Instances, micrograph: Micrograph, coverage: float, seed: int) -> Quantity:
    all_of_class = _area_fraction(measured[measured.label == k], micrograph, coverage, seed)
    name, label = f"class_{k + 1}_{all_of_class.name}", f"Area fraction, {measured.classes[k]}"
    return replace(all_of_class, name=name, label=label)


def _sizes(measured: Instances, micrograph: Micrograph, coverage: float, seed: int) -> list[Quantity]:
    whole = ~(measured.columns["touches_edge"] | measured.columns["touches_invalid"])
    cut = int((~whole).sum())
    note = (
        f"area-equivalent; {cut} of {len(measured)} objects cut by the border or a mask left out"
        if cut
        else "area-equivalent"
    )
    quantities = []
    for unit in ("nm", "px"):
        diameters = measured.columns.get(f"equivalent_diameter_{unit}", np.empty(0))
        diameters = diameters[whole] if len(diameters) else diameters
        diameters = diameters[np.isfinite(diameters) & (diameters > 0)]
        why = _why_no_sizes(measured, micrograph, unit, cut)
        for kind, statistic in _STATISTICS.items():
            name = f"{kind}_diameter_{unit}"
            if not len(diameters) or why:
                quantities.append(_unknown(name, _LABELS[kind], unit, why or "every mask is empty"))
                continue
            if len(diameters) < _FEW:
                quantities.append(_size_of_few(name, kind, unit, diameters, note, coverage))
                continue
            interval = bootstrap_interval(diameters, statistic, seed=seed, coverage=coverage)
            quantities.append(_size(name, kind, unit, diameters, interval, note))
    return quantities


_STATISTICS: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median, "sd": partial(np.std, ddof=1)}


# A bootstrap of fewer objects holds the truth far less often than it says.
_FEW = 10


def _size_of_few(name: str, kind: str, unit: str, diameters: Floats, note: str, coverage: float) -> Quantity:
    """The mean of a few objects with Student's interval; their median and spread without one."""
    n = len(diameters)
    note = f"{note}; {n} measured"
    if kind == "sd" and n < 2:
        return _unknown(name, _LABELS[kind], unit, "one object has no spread")
    interval = student_interval(diameters, coverage=coverage) if kind == "mean" else None
    if interval is not None and interval.high > interval.low:
        interval = replace(interval, low=max(0.0, interval.low))  # no diameter is negative, and so no mean of them
        return _known(name, _LABELS[kind], unit, interval, f"{note}; Student's t interval, for so few objects")
    value = float(_STATISTICS[kind](diameters))
    return Quantity(name, _LABELS[kind], value, unit, note=f"{note}; too few for an interval")


def _size(name: str, kind: str, unit: str, diameters: Floats, interval: Interval | None, note: str) -> Quantity:
    note = f"{note}; {len(diameters)} measured"
    if interval is not None:
        return _known(name, _LABELS[kind], unit, interval, f"{note}; bootstrap interval")
    if kind == "sd":
        return _unknown(name, _LABELS[kind], unit, "one object has no spread")
    return Quantity(name, _LABELS[kind], float(diameters[0]), unit, note=f"{note}; one object gives no interval")


def _why_no_sizes(measured: Instances, micrograph: Micrograph, unit: str, cut: int) -> str:
    calibration = micrograph.calibration
    if unit == "nm" and calibration is None:
        return _NO_SCALE
    if unit == "px" and calibration is not None and not calibration.is_square:
        return "pixels are not square, so a length in pixels means nothing"
    if not len(measured):
        return "nothing was found"
    if measured.crops is None:
        return _NO_MASKS
    if cut == len(measured):
        return f"all {cut} objects are cut by the border or a mask"
    return ""


# ---------------------------------------------------------------- swelling


def _swelling(
    measured: Instances, micrograph: Micrograph, foil: _Foil | None, kind: str, coverage: float, seed: int
) -> Quantity:
    """Swelling with spheres of the diameter `{kind}_diameter_nm`."""
    name, label = _SWELLING[kind]
    why = _why_no_swelling(measured, micrograph, foil)
    if why or foil is None:
        return _unknown(name, label, "%", why)
    area = micrograph.valid_area_nm2
    volumes = np.pi / 6 * np.nan_to_num(measured.columns[f"{kind}_diameter_nm"]) ** 3
    total, room = float(volumes.sum()), area * foil.nm
    if total >= room:
        why = f"the objects fill {total:.3g} nm³, the foil has {room:.3g} nm³; check thickness and pixel size"
        return _unknown(name, label, "%", why)
    value = 100 * total / (room - total)
    note = f"{_PUBLISHED}; {_thickness(foil)}; {_cut_volumes(measured)}"
    if not len(measured):
        return Quantity(name, label, value, "%", note=f"{note}; no interval: nothing was found")
    draws = poisson_sums(volumes[:, None], seed=seed)[:, 0]
    rooms = _rooms(area, foil, len(draws), seed)
    # A draw that fills the foil counts as larger than every other.
    swollen = np.full(len(draws), np.inf)
    np.divide(100 * draws, rooms - draws, out=swollen, where=draws < rooms)
    if np.quantile(swollen, (1 + coverage) / 2, method="higher") == np.inf:
        return Quantity(name, label, value, "%", note=f"{note}; no interval: within its error the foil may be full")
    return _known(name, label, "%", percentile_interval(value, swollen, coverage=coverage), note)


def _why_no_swelling(measured: Instances, micrograph: Micrograph, foil: _Foil | None) -> str:
    if micrograph.calibration is None:
        return _NO_SCALE
    if foil is None:
        return _NO_THICKNESS
    if measured.crops is None:
        return _NO_MASKS
    return "" if micrograph.valid_fraction else _NO_PIXEL


def _rooms(area: float, foil: _Foil, n: int, seed: int) -> Floats:
    """Volumes of foils as thick as the stated one may be [nm³], the impossible ones 0."""
    drawn = np.random.default_rng([seed, 1]).normal(foil.nm, foil.error_nm or 0.0, n)
    return area * np.maximum(drawn, 0)


def _thickness(foil: _Foil) -> str:
    if foil.error_nm is None:
        return f"foil {foil.nm:g} nm, its error unknown and not in the interval"
    return f"foil {foil.nm:g} ± {foil.error_nm:g} nm (one standard error), in the interval"


def _cut_volumes(measured: Instances) -> str:
    cut = int((measured.columns["touches_edge"] | measured.columns["touches_invalid"]).sum())
    return f"{cut} of {len(measured)} objects are cut by the border or a mask and count as the sphere that is seen"
