"""How well masks agree in shape: boundaries, centrelines, objects; and how a volume hangs together.

=====================  ============================================================================================
boundary_weighted_iou  IoU in which pixels near the true boundary weigh more
boundary_f             F1 of boundary pixels that have one of the other boundary within a tolerance
hd95_px                95 % of the boundary pixels on either side are at most this far from the other boundary
centreline_dice        clDice: for cracks and networks, whose area says little
object_scores          objects found and true: their number, panoptic quality
structure              share of the volume, largest component, percolation, Euler number
=====================  ============================================================================================

All take masks (H, W) or (D, H, W). The rim of the image is no boundary: an object goes on beyond it. Both masks empty
is agreement, 1; one of them empty is 0. A distance to what is not there is NaN.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.measure import euler_number
from skimage.morphology import skeletonize

from epistem.core import SettingsError, ShapeError
from epistem.segment.metrics import Ignore, label_maps
from epistem.segment.summary import FOREGROUND, class_means, front, join, long_table

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


class ObjectScores(NamedTuple):
    """Connected components (corners connect) of two masks.

    Attributes:
        found, truth: how many.
        matched: pairs with an IoU over 0.5; no object can be in two.
        panoptic_quality: sum of the pairs' IoU over the mean of found and truth, 0 to 1, higher is better.
        count_error: (found − truth)/truth; 0 is best, NaN without a true object.
    """

    found: int
    truth: int
    matched: int
    panoptic_quality: float
    count_error: float


class Structure(NamedTuple):
    """How one class fills an image or a volume.

    Attributes:
        share: of the pixels that count, 0 to 1: the porosity, where the class is the pores.
        components: how many connected parts.
        largest_share: share of the class in its largest part, 0 to 1; NaN where there is none.
        percolates: along each axis, whether one part reaches from the first to the last plane.
        euler: Euler number: parts minus tunnels plus closed hollows (2D: parts minus holes).
    """

    share: float
    components: int
    largest_share: float
    percolates: tuple[bool, ...]
    euler: int


def boundary(mask: ArrayLike, *, valid: Mask | None = None) -> Mask:
    """Pixels of the mask with a neighbour (by face) outside it; those not `valid` are neither."""
    inside = np.asarray(mask, bool)
    counted = np.ones(inside.shape, bool) if valid is None else valid
    rim: Mask = inside & counted & ~ndimage.binary_erosion(inside | ~counted, border_value=1)
    return rim


def boundary_weighted_iou(
    found: ArrayLike, truth: ArrayLike, *, alpha: float = 1.0, valid: Mask | None = None
) -> float:
    """IoU with weights exp(−alpha·d/d_max), 0 to 1, higher is better; d is the distance to the true boundary.

    Args:
        found, truth: masks of one shape.
        alpha: how much the boundary matters; 0 gives the IoU.
        valid: pixels that count; None: all.

    Raises:
        SettingsError: alpha below 0.

    Source: Y.-J. Cho, Pattern Recognit. Lett. 185, 101 (2024). Our reading: d is the distance to the nearest pixel on
    the other side, whichever that is, and d_max the largest in the image. Without a true boundary all weigh alike.
    """
    if alpha < 0:
        raise SettingsError(f"alpha is 0 or more, not {alpha}; 0 gives the IoU")
    a, b, counted = _masks(found, truth, valid)
    weights = counted.astype(float)
    outside = counted & ~b
    if b.any() and outside.any():
        distance = np.where(b, ndimage.distance_transform_edt(~outside), ndimage.distance_transform_edt(~b))
        weights = counted * np.exp(-alpha * distance / distance[counted].max())
    whole = float(weights[a | b].sum())
    return float(weights[a & b].sum()) / whole if whole else _agreed(counted)


def boundary_f(found: ArrayLike, truth: ArrayLike, *, tolerance_px: float = 2.0, valid: Mask | None = None) -> float:
    """F1 of boundary pixels, 0 to 1, higher is better: right where the other boundary is within the tolerance.

    Args:
        found, truth: masks of one shape.
        tolerance_px: a distance up to which boundaries agree.
        valid: pixels that count; None: all.

    Returns:
        The harmonic mean of the shares on both sides; masks without a boundary (empty or full) score 1 if they are
        alike and 0 if not.

    Source: G. Csurka et al., BMVC 2013.
    """
    a, b, counted = _masks(found, truth, valid)
    return _f_of(_distances(a, b, counted), tolerance_px, a, b, counted)


def hd95_px(found: ArrayLike, truth: ArrayLike, *, valid: Mask | None = None) -> float:
    """Larger of the 95th percentiles of distances [px] from either boundary to the other; 0 is best.

    Returns:
        NaN where a side has no boundary.

    Source: D. P. Huttenlocher et al., IEEE Trans. Pattern Anal. Mach. Intell. 15, 850 (1993), the ranked distance.
    Some take one percentile of both directions together; it is at most this.
    """
    return _hd95_of(_distances(*_masks(found, truth, valid)))


def centreline_dice(found: ArrayLike, truth: ArrayLike, *, valid: Mask | None = None) -> float:
    """clDice, 0 to 1, higher is better: how far each mask holds the other's centreline.

    Source: S. Shit et al., CVPR 2021.
    """
    a, b, counted = _masks(found, truth, valid)
    if not a.any() or not b.any():
        return _agreed(counted) if not (a.any() or b.any()) else 0.0
    return _harmonic(float(b[_skeleton(a)].mean()), float(a[_skeleton(b)].mean()))


def object_scores(found: ArrayLike, truth: ArrayLike, *, valid: Mask | None = None) -> ObjectScores:
    """Objects of two masks, matched where their IoU is over 0.5.

    Source: A. Kirillov et al., CVPR 2019, eq. 1.

    >>> object_scores([[1, 1, 0, 1]], [[1, 1, 0, 0]])
    ObjectScores(found=2, truth=1, matched=1, panoptic_quality=0.6666666666666666, count_error=1.0)
    """
    a, b, counted = _masks(found, truth, valid)
    (of_a, n), (of_b, m) = _components(a, a.ndim), _components(b, b.ndim)
    area_a, area_b = np.bincount(of_a.ravel()), np.bincount(of_b.ravel())
    both = a & b
    pairs, shared = np.unique(of_a[both].astype(np.int64) * (m + 1) + of_b[both], return_counts=True)
    iou = shared / (area_a[pairs // (m + 1)] + area_b[pairs % (m + 1)] - shared)
    sure = iou[iou > 0.5]
    quality = float(sure.sum()) / ((n + m) / 2) if n + m else _agreed(counted)
    return ObjectScores(n, m, len(sure), quality, (n - m) / m if m else np.nan)


def structure(mask: ArrayLike, *, valid: Mask | None = None, connectivity: int = 1) -> Structure:
    """How a class hangs together.

    Args:
        mask: where the class is, (H, W) or (D, H, W).
        valid: pixels that count; what is outside belongs to no part; None: all.
        connectivity: 1: parts connect by faces, as fluid or cracks need; the number of dimensions: by corners too.

    Raises:
        SettingsError: another connectivity; the Euler number knows these two.
    """
    inside, _, counted = _masks(mask, mask, valid)
    if connectivity not in (1, inside.ndim):
        raise SettingsError(f"connectivity is 1 (faces) or {inside.ndim} (corners too), not {connectivity}")
    labels, n = _components(inside, connectivity)
    sizes = np.bincount(labels.ravel(), minlength=1)[1:]
    through = tuple(
        bool(np.intersect1d(labels.take(0, axis), labels.take(-1, axis)).any()) for axis in range(inside.ndim)
    )
    euler = int(euler_number(inside, connectivity)) if n else 0
    largest = float(sizes.max() / sizes.sum()) if n else np.nan
    return Structure(float(inside.sum() / counted.sum()) if counted.any() else np.nan, n, largest, through, euler)


def shape_scores(
    found: ArrayLike, truth: ArrayLike, classes: Sequence[str], *, image: Hashable,
    background: str | None = "background", ignore: Ignore = None, tolerance_px: float = 2.0,
) -> pd.DataFrame:  # fmt: skip
    """Scores of shape of one image, of each class but the background and their mean; columns as `image_scores`.

    Metrics: boundary_wiou, boundary_f, cldice, panoptic_quality (0 to 1, higher is better), hd95_px and count_error
    (0 is best). Arguments as `metrics.label_maps` and the functions above.
    """
    maps = label_maps(found, truth, classes, ignore=ignore)
    kept = front(classes, background)
    rows, empty = [], []
    for label in kept:
        a, b, counted = _masks(maps.found == label, maps.truth == label, maps.valid)
        distances, objects = _distances(a, b, counted), object_scores(a, b, valid=counted)
        rows.append({
            "boundary_wiou": boundary_weighted_iou(a, b, valid=counted),
            "boundary_f": _f_of(distances, tolerance_px, a, b, counted),
            "cldice": centreline_dice(a, b, valid=counted),
            "panoptic_quality": objects.panoptic_quality,
            "hd95_px": _hd95_of(distances),
            "count_error": objects.count_error,
        })  # fmt: skip
        empty.append(bool(counted.any()) and not (a.any() or b.any()))
    names, means = [classes[label] for label in kept], {FOREGROUND: list(range(len(kept)))}
    table = pd.DataFrame(rows)
    parts = [class_means(str(name), table[[name]].to_numpy(float).T, [empty], names, means) for name in table]
    return long_table(join(parts), [image])


class _Distances(NamedTuple):
    """From each boundary pixel to the other boundary [px]; empty where a side has none."""

    found: Floats
    truth: Floats


def _masks(found: ArrayLike, truth: ArrayLike, valid: Mask | None) -> tuple[Mask, Mask, Mask]:
    """Both masks where pixels count, and where that is."""
    a, b = np.asarray(found, bool), np.asarray(truth, bool)
    counted = np.ones(b.shape, bool) if valid is None else valid
    if not a.shape == b.shape == counted.shape or a.ndim not in (2, 3):
        raise ShapeError(
            f"wanted masks (H, W) or (D, H, W) of one shape; got {a.shape}, {b.shape} and {counted.shape}"
        )
    return a & counted, b & counted, counted


def _distances(a: Mask, b: Mask, counted: Mask) -> _Distances:
    rim_a, rim_b = boundary(a, valid=counted), boundary(b, valid=counted)
    if not rim_a.any() or not rim_b.any():
        return _Distances(np.empty(0), np.empty(0))
    to_a, to_b = ndimage.distance_transform_edt(~rim_a), ndimage.distance_transform_edt(~rim_b)
    return _Distances(to_b[rim_a], to_a[rim_b])


def _f_of(distances: _Distances, tolerance_px: float, a: Mask, b: Mask, counted: Mask) -> float:
    if len(distances.found):
        near = [float((side <= tolerance_px).mean()) for side in distances]
        return _harmonic(*near)
    if not counted.any():
        return np.nan
    return float((a == b).all())


def _hd95_of(distances: _Distances) -> float:
    return float(max(np.percentile(side, 95) for side in distances)) if len(distances.found) else np.nan


def _skeleton(mask: Mask) -> Mask:
    """One pixel wide; a part so small that thinning takes all of it (2 × 2 × 2) stays whole."""
    thin: Mask = skeletonize(mask).astype(bool)
    labels, n = _components(mask, mask.ndim)
    lost = np.setdiff1d(np.arange(1, n + 1), labels[thin])
    return thin | np.isin(labels, lost)


def _components(mask: Mask, connectivity: int) -> tuple[NDArray[np.int32], int]:
    labels, n = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, connectivity))
    return labels, int(n)


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def _agreed(counted: Mask) -> float:
    """Score of two masks that are both empty."""
    return 1.0 if counted.any() else np.nan
