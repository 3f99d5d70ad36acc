"""Whether a heatmap shows what the network looks at: numbers where a picture only convinces.

==================  =========================================================================================
deletion            blurring what the map ranks highest destroys more of the answer than blurring elsewhere
randomised_ssim     a network with random weights gets another map
stability           a little noise in the image leaves the map
pointing, iou_top   where an expert knows what counts, the map is highest there
kernel_agreement    how patches are taken away does not change the order
==================  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats
from scipy.stats import spearmanr

from epistem.core import SettingsError, ShapeError
from epistem.trust.counterfactual import Heatmap, dice_inside, found
from epistem.trust.patch_grid import BATCH_PX, Counted, Predict
from epistem.trust.perturb import Floats, perturber

Mask = NDArray[np.bool_]
Curve = NDArray[np.float64]

SHARES = (0.01, 0.03, 0.06, 0.1, 0.2, 0.3)
LEAST_IMAGES = 5  # whose signed ranks can give a p below 0.05
# With 39, one place that by chance lies on the region too is enough for p = 0.05; a few of a hundred always do.
RANDOM_PLACES = 99


@dataclass(frozen=True, eq=False)
class Deletion:
    """How much of the answer goes as more and more of the image is blurred.

    Attributes:
        shares: (q,) of the pixels that may be blurred.
        top, bottom: (q,) fall of the Dice, 0 to 1, with those that the map ranks highest, lowest.
        random: (r, q) with the same map laid elsewhere: the same shapes, another place.
        without_region: the region and half a patch around it were not blurred.
    """

    shares: Curve
    top: Curve
    bottom: Curve
    random: NDArray[np.float64]
    without_region: bool

    @property
    def gap(self) -> float:
        """Mean over the shares of what the highest take more than places elsewhere, -1 to 1."""
        return self.area("top") - float(self.by_place().mean())

    @property
    def p(self) -> float:
        """Chance that a place elsewhere takes as much, one-sided.

        Source: B. Phipson, G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010).
        """
        others = self.by_place()
        return float((1 + (others >= self.area("top") - 1e-12).sum()) / (1 + len(others)))

    def area(self, curve: str) -> float:
        """Area under "top" or "bottom", over the width of the shares."""
        return float(_area(self.shares, getattr(self, curve)))

    def by_place(self) -> Curve:
        """(r,) area for each place."""
        return _area(self.shares, self.random)


def _area(shares: Curve, curve: NDArray[np.float64]) -> Curve:
    if len(shares) == 1:
        return curve[..., 0]
    area: Curve = np.asarray(np.trapezoid(curve, shares, axis=-1)) / (shares[-1] - shares[0])
    return area


def deletion(
    predict: Predict,
    heat: Heatmap,
    *,
    shares: Sequence[float] = SHARES,
    places: int = RANDOM_PLACES,
    without_region: bool = False,
    least: float | None = None,
    seed: int = 0,
    batch_px: int = BATCH_PX,
) -> Deletion:
    """How much of the answer in the region goes when the most, the least, and other places are blurred.

    Other places are the map itself, mirrored and shifted round by chance: as many pixels in patches as large. Blurred
    is as by kernel "blur", with a hard end.

    Args:
        predict: as `heatmap` had it.
        heat: of the region.
        shares: of the pixels that may be blurred, rising, 0 to 1; those of the window that the heatmap looked at.
        places: how many others.
        without_region: leave the region and half a patch around it alone; what is left is context.
        least: probability from which on the class is found; None: where it is the most probable one.
        seed: same seed, same places.
        batch_px: most pixels that the network gets at once.

    Raises:
        SettingsError: the class is nowhere in the region, the region leaves nothing to blur, or shares or places that
            have no meaning.
    """
    asked = np.asarray(shares, float)
    if not len(asked) or not (0 < asked[0] and asked[-1] <= 1 and (np.diff(asked) > 0).all()) or places < 1:
        raise SettingsError(f"wanted rising shares above 0 up to 1 and at least 1 place, got {asked}, {places}")
    counted, heat = Counted(predict, batch_px), heat.looked_at()
    image, region = heat.patches.image, heat.region
    before = found(heat.answer, heat.how.of_class, least)
    if not before[region].any():
        raise SettingsError(f"the network finds class {heat.how.of_class} nowhere in the region: nothing can fall")
    half = heat.patches.patch_px // 2
    near = (
        ndimage.binary_dilation(region, np.ones((3, 3)), iterations=half) if without_region else np.zeros_like(region)
    )
    if near.all():
        raise SettingsError("the region with half a patch around it is the whole image; nothing is left to blur")
    blurred = perturber(image, "blur", patch_px=heat.patches.patch_px, window="box")

    def fall(ranked: NDArray[np.floating]) -> Curve:
        images = np.concatenate([blurred.changed_where(mask) for mask in _top(ranked, asked, ~near)])
        after = found(counted(images).swapaxes(0, 1), heat.how.of_class, least)
        return 1 - dice_inside(before, after, region)

    rng = np.random.default_rng(seed)
    values = heat.values.astype(float)
    elsewhere = np.stack([fall(_laid_elsewhere(values, rng)) for _ in range(places)])
    return Deletion(asked, fall(values), fall(-values), elsewhere, without_region)


def _top(ranked: NDArray[np.floating], shares: Curve, allowed: Mask) -> list[NDArray[np.float32]]:
    """Masks of the highest shares of the allowed pixels; of equal ones the upper left first."""
    where = np.flatnonzero(allowed)
    order = where[np.argsort(-ranked.ravel()[where], kind="stable")]
    masks = []
    for share in shares:
        mask = np.zeros(ranked.shape, np.float32)
        mask.ravel()[order[: max(1, round(share * len(order)))]] = 1
        masks.append(mask)
    return masks


def _laid_elsewhere(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    flipped = values[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    return np.roll(flipped, [int(rng.integers(n)) for n in values.shape], axis=(0, 1))


class Together(NamedTuple):
    """Deletion over n images: mean gap, p that it is no larger than 0, and how many are significant alone."""

    gap: float
    p: float | None
    significant: int
    images: int


def over_images(curves: Sequence[Deletion], *, level: float = 0.05) -> Together:
    """Whether maps rank rightly over images: a one-sided Wilcoxon signed-rank test of the gaps.

    p is None for fewer than five images: none could then be below 0.05.

    Raises:
        SettingsError: no curves.

    Source: F. Wilcoxon, Biometrics Bull. 1, 80 (1945).
    """
    if not curves:
        raise SettingsError("a test over images needs at least one; none came")
    gaps, alone = np.array([one.gap for one in curves]), sum(one.p < level for one in curves)
    testable = len(gaps) >= LEAST_IMAGES and bool((gaps != 0).any())
    p = float(stats.wilcoxon(gaps, alternative="greater").pvalue) if testable else None
    return Together(float(gaps.mean()), p, alone, len(curves))


def similarity(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """SSIM of two maps, each laid between 0 and 1; -1 to 1.

    Source: Wang et al., IEEE Trans. Image Process. 13 (2004) 600; Adebayo et al., NeurIPS 2018 (its use for maps).

    Raises:
        ShapeError: maps of different shape, or smaller than 7 × 7.
    """
    from skimage.metrics import structural_similarity

    if a.shape != b.shape or min(a.shape) < 7:
        raise ShapeError(f"wanted two maps of one shape, at least 7 × 7; got {a.shape} and {b.shape}")
    return float(structural_similarity(_unit(a), _unit(b), data_range=1.0))


def _unit(values: NDArray[np.floating]) -> NDArray[np.float64]:
    low, width = float(values.min()), float(np.ptp(values))
    unit: NDArray[np.float64] = (values.astype(np.float64) - low) / (width or 1.0)
    return unit


def rank_agreement(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two maps over their pixels, -1 to 1; NaN where one is constant."""
    if a.shape != b.shape:
        raise ShapeError(f"maps of one shape can be compared, not {a.shape} and {b.shape}")
    if not np.ptp(a) or not np.ptp(b):
        return float("nan")
    return float(spearmanr(a.ravel(), b.ravel()).statistic)


def stability(
    make: Callable[[Floats], Heatmap], heat: Heatmap, *, noise: float = 0.1, draws: int = 3, seed: int = 0
) -> float:
    """Mean rank correlation of the map with maps of the image with noise, -1 to 1, higher is better.

    Args:
        make: the map of another image (C, H, W), same region and settings.
        heat: of the image as it is.
        noise: standard deviation of the noise over that of the image.
        draws: how many noisy images.
        seed: same seed, same noise.
    """
    rng, image = np.random.default_rng(seed), heat.patches.image
    spread = noise * image.std(axis=(1, 2), keepdims=True)
    noisy = (image + spread * rng.standard_normal(image.shape, np.float32) for _ in range(draws))
    return float(np.mean([rank_agreement(heat.values, make(one.astype(np.float32)).values) for one in noisy]))


def pointing(values: NDArray[np.floating], band: Mask) -> bool:
    """Whether the map is highest inside what an expert drew.

    Source: Zhang et al., Int. J. Comput. Vis. 126 (2018) 1084 (the pointing game).
    """
    _check_band(values, band)
    return bool(band.ravel()[int(values.argmax())])


def iou_top(values: NDArray[np.floating], band: Mask, share: float | None = None) -> float:
    """Overlap of the map's highest share of pixels, None: as many as drawn, with what an expert drew, 0 to 1."""
    _check_band(values, band)
    wanted = band.mean() if share is None else share
    if not 0 < wanted <= 1:
        raise SettingsError(f"a share is above 0 and at most 1, not {wanted}")
    top = _top(values, np.array([wanted]), np.ones(values.shape, bool))[0] > 0
    return float((top & band).sum() / (top | band).sum())


def _check_band(values: NDArray[np.floating], band: Mask) -> None:
    if values.shape != band.shape:
        raise ShapeError(f"the map is {values.shape}, the expert's band {band.shape}")
    if not band.any():
        raise SettingsError("the expert's band holds no pixel")


def kernel_agreement(maps: Mapping[str, NDArray[np.floating]]) -> dict[tuple[str, str], float]:
    """Rank correlation of each pair of kernels' maps, -1 to 1."""
    return {(a, b): rank_agreement(maps[a], maps[b]) for a, b in combinations(maps, 2)}
