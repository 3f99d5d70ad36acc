"""What each object measures: one column a property, one row an object.

A column's name ends in its unit. Lengths and areas come twice: `…_px` on the pixel grid, and `…_nm`, `…_nm2` with a
calibration. Where pixels are not square a length in pixels depends on its direction, so those columns are NaN, and
what has no unit (circularity, angle…) is that of the true shape.

======================  ====================================================================================
area                    pixels of the mask
equivalent_diameter     2·√(A/π), ISO 9276-6
feret_max, feret_min    largest and smallest calliper of the convex image (`hulls.feret`)
perimeter               border with 4-neighbours, as scikit-image (`shape.perimeters`)
circularity             4πA/P²; a digital disc may pass 1; NaN where P is 0
heywood                 P/(2·√(πA)), perimeter over that of the disc of equal area
major_axis, minor_axis  full axes of the ellipse of equal second moments (`shape.ellipses`)
orientation_rad         its angle from the row axis, as scikit-image; `eccentricity` of the same ellipse
solidity                area over that of the convex image
paper_diameter          size as published, from the hull of the pixel centres (`hulls.published_sizes`)
paper_heywood           the published factor, from the same hull
centroid                mean of the mask's pixels, or middle of the box where there is no mask
intensity               mean, sd, min, max of the valid pixels, in the image's own grey values
touches_edge            the box reaches the border of the image
touches_invalid         a pixel of the object is masked, or next to one that is (without a mask: its box)
======================  ====================================================================================

An object without mask has its centroid and both `touches_…`; a box does not tell an area, so the rest is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Calibration, Instances, Micrograph, ShapeError, whole_boxes
from epistem.detect import hulls, shape
from epistem.detect.runs import Runs, row_lines, row_runs

Columns = dict[str, NDArray[Any]]

# Keeps the working memory of a large image near 200 MB.
_PIXELS_AT_ONCE = 4_000_000
_LENGTHS = (
    "equivalent_diameter",
    "feret_max",
    "feret_min",
    "perimeter",
    "major_axis",
    "minor_axis",
    "paper_diameter",
)
_RATIOS = ("circularity", "heywood", "orientation_rad", "eccentricity", "solidity", "paper_heywood")
_INTENSITIES = ("intensity_mean", "intensity_sd", "intensity_min", "intensity_max")


def measure(found: Instances, micrograph: Micrograph) -> Instances:
    """The same objects with what they measure, see the module's table.

    Raises:
        ShapeError: they were found in an image of another shape.
    """
    table = region_table(found, calibration=micrograph.calibration, pixels=micrograph.pixels, valid=micrograph.valid)
    return found.with_columns(**table)


def region_table(
    found: Instances,
    *,
    calibration: Calibration | None = None,
    pixels: NDArray[Any] | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> Columns:
    """Every property of every object, all objects at once.

    Args:
        found: n objects.
        calibration: pixel size; without one there are no columns in nm.
        pixels: (H, W) the image; without it there are no intensities.
        valid: (H, W) False where a pixel is no image.

    Returns:
        Columns of shape (n,), see the module's table.

    Raises:
        ShapeError: pixels or valid of another shape than the objects' image.

    >>> table = region_table(Instances.from_labels(np.ones((2, 3), int)), calibration=Calibration(2.0, 2.0, "user"))
    >>> table["area_px"].tolist(), table["area_nm2"].tolist(), table["feret_max_nm"].tolist()
    ([6.0], [24.0], [6.324555320336759])
    """
    for name, image in (("pixels", pixels), ("valid mask", valid)):
        if image is not None and image.shape != found.shape:
            raise ShapeError(f"the {name} are {image.shape}, the objects were found in an image of {found.shape}")
    parts = [_part(part, calibration, pixels, valid) for part in _parts(found)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def published_heywood(found: Instances) -> NDArray[np.float64]:
    """`paper_heywood` alone, (n,), in a fraction of the time; NaN where `region_table` has NaN."""
    if found.crops is None:
        return np.full(len(found), np.nan)
    runs = row_runs(found)
    solid, owner = np.unique(runs.owner, return_inverse=True)
    centres, _ = hulls.convex_hulls(row_lines(runs._replace(owner=owner)), len(solid))
    factor = np.full(len(found), np.nan)
    factor[solid] = hulls.published_sizes(centres).heywood
    return factor


def _parts(found: Instances) -> Iterator[Instances]:
    """The objects in their order, cut where their boxes fill the working memory."""
    whole = whole_boxes(found.boxes)
    filled = np.cumsum((whole[:, 2] - whole[:, 0]) * (whole[:, 3] - whole[:, 1])) // _PIXELS_AT_ONCE
    cuts = np.flatnonzero(np.diff(filled)) + 1
    if found.crops is None or not len(cuts):
        yield found
        return
    for start, stop in zip([0, *cuts], [*cuts, len(found)], strict=True):
        yield found[start:stop]


def _part(
    found: Instances,
    calibration: Calibration | None,
    pixels: NDArray[Any] | None,
    valid: NDArray[np.bool_] | None,
) -> Columns:
    table = _blank(found, calibration, with_intensity=pixels is not None)
    table["touches_edge"] = _touches_edge(found)
    if found.crops is None:
        table["touches_invalid"] = _boxes_touch(found, valid)
        return table
    runs = row_runs(found)
    area = np.bincount(runs.owner, runs.stop - runs.start, len(found))
    solid = np.flatnonzero(area > 0)
    table["area_px"][area == 0] = 0
    rank = np.cumsum(area > 0) - 1
    runs = runs._replace(owner=rank[runs.owner])
    columns = _geometry(runs, len(solid), calibration)
    columns["touches_invalid"] = _touches_invalid(runs, len(solid), valid)
    if pixels is not None:
        columns |= _intensities(runs, len(solid), pixels, valid)
    for name, column in columns.items():
        table[name][solid] = column
    return table


def _blank(found: Instances, calibration: Calibration | None, *, with_intensity: bool) -> Columns:
    """All columns in their order, not known yet."""
    units = ("px",) if calibration is None else ("px", "nm")
    names = ["area_px"] + ["area_nm2"] * (calibration is not None)
    names += [f"{length}_{unit}" for length in _LENGTHS for unit in units]
    names += _RATIOS
    if with_intensity:
        names += _INTENSITIES
    table: Columns = {name: np.full(len(found), np.nan) for name in names}
    table["centroid_row_px"], table["centroid_col_px"] = found.centres.T - 0.5
    table["touches_edge"] = np.zeros(len(found), bool)
    table["touches_invalid"] = np.zeros(len(found), bool)
    return table


def _geometry(runs: Runs, n: int, calibration: Calibration | None) -> Columns:
    """All that the masks alone tell of n objects that have pixels."""
    lines = row_lines(runs)
    at = shape.extents(lines, n)
    moments = shape.moments(runs, at)
    border = shape.borders(runs, at)
    centres, convex = hulls.convex_hulls(lines, n)

    def lengths(row_size: float, col_size: float) -> Columns:
        area = moments.area * row_size * col_size
        perimeter = shape.perimeters(border, n, row_size, col_size)
        feret = hulls.feret(convex.hulls, row_size, col_size)
        ellipse = shape.ellipses(moments, row_size, col_size)
        published = hulls.published_sizes(centres, row_size, col_size)
        known = np.where(perimeter > 0, perimeter, np.nan)
        return {
            "area": area,
            "equivalent_diameter": 2 * np.sqrt(area / np.pi),
            "feret_max": feret.largest,
            "feret_min": feret.smallest,
            "perimeter": perimeter,
            "circularity": 4 * np.pi * area / known**2,
            "heywood": known / (2 * np.sqrt(np.pi * area)),
            "major_axis": ellipse.major,
            "minor_axis": ellipse.minor,
            "orientation_rad": ellipse.orientation,
            "eccentricity": ellipse.eccentricity,
            "solidity": moments.area / convex.area,
            "paper_diameter": published.diameter,
            "paper_heywood": published.heywood,
        }

    columns: Columns = {"area_px": moments.area, "centroid_row_px": moments.row, "centroid_col_px": moments.col}
    if calibration is None or calibration.is_square:
        px = lengths(1.0, 1.0)
        columns |= {f"{name}_px": px[name] for name in _LENGTHS} | {name: px[name] for name in _RATIOS}
    if calibration is not None:
        nm = lengths(calibration.row_nm, calibration.col_nm)
        columns |= {f"{name}_nm": nm[name] for name in _LENGTHS} | {name: nm[name] for name in _RATIOS}
        columns["area_nm2"] = nm["area"]
    return columns


def _intensities(runs: Runs, n: int, pixels: NDArray[Any], valid: NDArray[np.bool_] | None) -> Columns:
    flat, count = pixels.ravel(), np.zeros(n, np.int64)
    total, squares, low, high = np.zeros(n), np.zeros(n), np.full(n, np.inf), np.full(n, -np.inf)
    offset = None
    for part in _few_pixels(runs):
        place = _pixels_of(part, pixels.shape[1])
        here = np.bincount(part.owner, part.stop - part.start, n).astype(np.int64)
        if valid is not None:
            good = valid.ravel().take(place)
            place, here = place[good], np.bincount(np.repeat(np.arange(n), here)[good], minlength=n)
        some = np.flatnonzero(here)
        if not len(some):
            continue
        first = (np.cumsum(here) - here)[some]
        values = flat.take(place)
        # From a mean, so that a large offset does not drown the spread of the squares.
        offset = float(values.mean(dtype=float)) if offset is None else offset
        centred = values - offset
        count += here
        low[some] = np.minimum(low[some], np.minimum.reduceat(values, first))
        high[some] = np.maximum(high[some], np.maximum.reduceat(values, first))
        total[some] += np.add.reduceat(centred, first)
        centred *= centred
        squares[some] += np.add.reduceat(centred, first)
    known = np.where(count > 0, count, np.nan)
    mean, unknown = total / known, count == 0
    low[unknown] = high[unknown] = np.nan
    sd = np.sqrt(np.maximum(squares / known - mean**2, 0))
    return dict(zip(_INTENSITIES, (mean + (offset or 0.0), sd, low, high), strict=True))


def _few_pixels(runs: Runs) -> Iterator[Runs]:
    """The runs in their order, cut where they fill the working memory."""
    filled = np.cumsum(runs.stop - runs.start) // _PIXELS_AT_ONCE
    cuts = np.flatnonzero(np.diff(filled)) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(filled)], strict=True):
        yield Runs(*(column[start:stop] for column in runs))


def _pixels_of(runs: Runs, cols: int) -> NDArray[np.int64]:
    """Flat index of every pixel of every run."""
    length = runs.stop - runs.start
    before = np.cumsum(length) - length
    return np.repeat(runs.row * cols + runs.start - before, length) + np.arange(length.sum())


def _touches_edge(found: Instances) -> NDArray[np.bool_]:
    whole = whole_boxes(found.boxes)
    result: NDArray[np.bool_] = (whole[:, :2] == 0).any(1) | (whole[:, 2:] == found.shape).any(1)
    return result


def _touches_invalid(runs: Runs, n: int, valid: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    touches = np.zeros(n, bool)
    if valid is None:
        return touches
    masked = np.pad(~valid, 1)
    near = masked[1:-1, 1:-1] | masked[:-2, 1:-1] | masked[2:, 1:-1] | masked[1:-1, :-2] | masked[1:-1, 2:]
    for part in _few_pixels(runs):
        hit = near.ravel().take(_pixels_of(part, near.shape[1]))
        touches[np.repeat(part.owner, part.stop - part.start)[hit]] = True
    return touches


def _boxes_touch(found: Instances, valid: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if valid is None:
        return np.zeros(len(found), bool)
    around = [valid[max(r0 - 1, 0) : r1 + 1, max(c0 - 1, 0) : c1 + 1] for r0, c0, r1, c1 in whole_boxes(found.boxes)]
    return np.array([not seen.all() for seen in around], bool)
