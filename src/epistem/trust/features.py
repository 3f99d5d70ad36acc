"""What detections say about themselves: the 18 numbers of the published forecast of a detector's F1."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from epistem.core import Instances, SettingsError
from epistem.detect.hulls import convex_hulls, published_sizes
from epistem.detect.runs import row_lines, row_runs

LEAST_SCORE = 0.1
"""Score from which detections were kept when the published features were computed."""

PUBLISHED_18 = (
    *(f"frac_0.{k}" for k in range(1, 10)),
    "area_ratio", "mean_conf", "std_conf", "mean_size", "std_size", "mean_heywood", "std_heywood", "count",
    "image_conf",
)  # fmt: skip
"""Their names, in the published order."""

PUBLISHED_8 = (
    "frac_0.9", "count", "area_ratio", "image_conf", "mean_conf", "mean_size", "std_conf", "std_size",
)  # fmt: skip
"""Those of the final published model, in its order."""


def published_features(found: Instances, *, least_score: float = LEAST_SCORE) -> Mapping[str, float] | None:
    """The 18 published features of one image's detections; None where nothing was found: then nothing is known.

    ==============  =================================================================
    frac_0.k        share of detections with a score from 0.k to below 0.(k+1)
    area_ratio      Σ box areas over the image's; overlaps count twice
    mean, std_conf  of the scores
    mean, std_size  of the box areas over the image's
    …_heywood       of P/(2√(πA)) of the convex hulls of the masks; 0 without one
    count           detections
    image_conf      mean score, weighted with box areas
    ==============  =================================================================

    Standard deviations divide by n. A mask of a pixel or of a line has no hull and is left out of the Heywood
    factors; the published code lets qhull shake it.

    Args:
        found: n objects with scores; those below `least_score` are left out.
        least_score: the features depend on it; a forecast holds for the value it was fitted with.

    Raises:
        SettingsError: a score that is missing or not in 0 to 1, objects without masks, boxes outside the image.

    Source: uw-cmg/cavity_defect_detection and its paper, § 2.4.
    """
    _check(found, least_score)
    kept = found[np.flatnonzero(found.score >= least_score)]
    if not len(kept):
        return None
    image_px = kept.shape[0] * kept.shape[1]
    area = np.prod(kept.boxes[:, 2:] - kept.boxes[:, :2], axis=1)
    size, score, heywood = area / image_px, kept.score, _heywood(kept)
    # Bounds as the published code has them, from np.arange: 0.3 there is 0.30000000000000004.
    bounds = np.append(np.arange(0.1, 1.0, 0.1), np.inf)
    share = [float(np.mean((score >= low) & (score < high))) for low, high in pairwise(bounds)]
    values = (
        *share, area.sum() / image_px, score.mean(), score.std(), size.mean(), size.std(),
        heywood.mean() if len(heywood) else 0.0, heywood.std() if len(heywood) else 0.0, len(kept),
        (area * score).sum() / area.sum(),
    )  # fmt: skip
    return {name: float(value) for name, value in zip(PUBLISHED_18, values, strict=True)}


def _heywood(found: Instances) -> NDArray[np.float64]:
    """Those that there are, of the objects with a mask; from the measured column where the objects have it."""
    if "paper_heywood" in found.columns:
        factor = np.asarray(found.columns["paper_heywood"], float)
    else:
        solid = found[np.array([crop.any() for crop in found.crops or ()], bool)]
        hulls, _ = convex_hulls(row_lines(row_runs(solid)), len(solid))
        factor = published_sizes(hulls).heywood
    known: NDArray[np.float64] = factor[np.isfinite(factor)]
    return known


def _check(found: Instances, least_score: float) -> None:
    if not 0 <= least_score < 1:
        raise SettingsError(f"a least score lies in 0 to 1, not {least_score}")
    if not (np.isfinite(found.score).all() and (found.score >= 0).all() and (found.score <= 1).all()):
        raise SettingsError(
            "a forecast reads scores from 0 to 1; some are missing or outside. Give each object its score"
        )
    if found.crops is None:
        raise SettingsError("the published features need masks; these objects have boxes alone")
    if len(found) and ((found.boxes[:, :2] < 0).any() or (found.boxes[:, 2:] > found.shape).any()):
        raise SettingsError(f"boxes lie outside the image of {found.shape}; were they found in another one?")
