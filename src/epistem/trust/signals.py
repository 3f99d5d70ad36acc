"""What detections tell of how good they are, without labels: one number an image from each entry of `SIGNALS`.

Kept are the objects with at least the score asked for; π is the probability that one is right.

================================  ====================================================================
s_confidence                      mean π, 0 to 1
s_cot                             transport that makes the π zeros and ones with as many ones as Σπ, 0 to ½
s_nuclear                         nuclear norm of [π, 1 − π] over its largest value, 0 to 1
s_entropy                         mean entropy of right or wrong, 0 to 1 bit
s_nearly                          objects with a lower score, over those kept
s_overlap                         mean of each box's largest IoU with another kept one, 0 to 1
s_contrast, s_contrast_spread     |c_core|/c_spread: median and interquartile range
s_fringe                          |mean sign of c_rim|: 1 where all fringes are of one sign, 0 to 1
s_diameter_px, s_diameter_p10_px  median and tenth percentile of the diameters
s_diameter_spread                 standard deviation of ln(diameter)
s_per_Mpx                         kept objects in a million pixels
s_border                          share whose box reaches the image's outermost pixels, 0 to 1
a_fringe, …_top                   |c_fringe|/c_spread: median and 80th percentile
a_round, …_top                    c_round likewise; so a_ragged, a_lean and a_long
a_sign                            |mean sign of c_core|: 1 where all are bright, or all dark, 0 to 1
a_uneven                          standard deviation of c_core/c_spread over |median| + 0.1
================================  ====================================================================

What begins with a_ tells what the objects look like, not how many they are; chance makes very small ones, which hold
few pixels, rounder and more one-sided.

The consistency of boxes before suppression (PCR) is left out, as cases do not keep those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from epistem.core import Instances, RecordError, SettingsError, ShapeError
from epistem.detect.overlap import box_overlaps
from epistem.trust.cases import LEAST_CANDIDATE, Cases
from epistem.trust.profiles import CONTRAST

Floats = NDArray[np.float64]

_BOX = ["row0", "col0", "row1", "col1"]
_NEEDED = (*_BOX, "diameter_px", *CONTRAST)
_TOP = 0.8


@dataclass(frozen=True)
class Kept:
    """The k objects of n cases that reach a score.

    Attributes:
        images: (n rows) the cases.
        objects: (k rows) what is kept of theirs.
        at: (k,) row in `images` of each object.
        probability: (k,) that it is right, 0 to 1.
        below: (n,) objects of each case with a lower score.
    """

    images: pd.DataFrame
    objects: pd.DataFrame
    at: NDArray[np.int64]
    probability: Floats
    below: Floats

    @property
    def count(self) -> Floats:
        """Kept objects of each case, (n,)."""
        return self.total(np.ones(len(self.at)))

    def total(self, values: Floats) -> Floats:
        """Sum over the objects of each case, (n,)."""
        return np.bincount(self.at, values, len(self.images)).astype(float)

    def mean(self, values: Floats) -> Floats:
        """Mean over the objects of each case that have a value, (n,); NaN where none has."""
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            return self.total(np.where(known, values, 0.0)) / self.total(known.astype(float))

    def spread(self, values: Floats) -> Floats:
        """Standard deviation (ddof 0) likewise."""
        variance = self.mean((values - self.mean(values)[self.at]) ** 2)
        return np.sqrt(variance)

    def quantile(self, values: Floats, q: float) -> Floats:
        """Quantile likewise."""
        known = np.isfinite(values)
        order = np.lexsort((values[known], self.at[known]))
        ranked = np.append(values[known][order], np.nan)
        number = np.bincount(self.at[known], minlength=len(self.images))
        first, place = np.cumsum(number) - number, q * (number - 1)
        low = np.floor(place).astype(np.int64)
        at_low, at_high = ranked[first + low], ranked[first + np.minimum(low + 1, number - 1)]
        return np.where(number > 0, at_low + (at_high - at_low) * (place - low), np.nan)

    def column(self, name: str) -> Floats:
        """Of the objects, (k,)."""
        return self.objects[name].to_numpy(float)


@dataclass(frozen=True)
class Signal:
    """One number an image.

    Attributes:
        function: n cases → (n,); NaN where a case has nothing that it could be of.
        higher_is_better: None where neither way is good by itself.
        source: of the formula.
    """

    function: Callable[[Kept], Floats]
    higher_is_better: bool | None
    source: str


def signal_table(cases: Cases, min_score: float, *, probability: ArrayLike | None = None) -> pd.DataFrame:
    """All signals of all cases.

    Args:
        cases: n of them; truth is not read.
        min_score: objects below it are not kept, from `LEAST_CANDIDATE` to 1.
        probability: one for each row of `cases.objects`, 0 to 1, that it is right; None: its score.

    Returns:
        (n, signals) with the index of `cases.images`; NaN where nothing is kept.

    Raises:
        SettingsError: a score or probability outside its range.
        ShapeError: not one probability for each object.
        RecordError: the objects lack a column.
    """
    kept = _keep(cases, min_score, probability)
    some = kept.count > 0
    columns = {name: np.where(some, signal.function(kept), np.nan) for name, signal in SIGNALS.items()}
    return pd.DataFrame(columns, index=cases.images.index)


def baseline_predictions(reference: Cases, cases: Cases, min_score: float) -> pd.DataFrame:
    """Precision and F1 as the literature forecasts accuracy, from scores alone.

    =========  ========================================================================================
    …_ac       mean score
    …_doc      mean score, and what the truth is above it in the mean of the reference
    …_atc      share of scores above that which the reference's right share lies above
    …_cot      1 − transport of the scores to zeros and ones, as many ones as are right in the reference
    …_nuclear  nuclear norm
    =========  ========================================================================================

    Precision is the number itself, but for the nuclear norm, which has no unit; that and all F1 but the one of doc go
    through the straight line of least squares on the reference.

    Args:
        reference: cases with truth.
        cases: n cases; their truth is not read.
        min_score: objects below it are left out, from `LEAST_CANDIDATE` to 1.

    Returns:
        precision_… and f1_…, 0 to 1, with the index of `cases.images`; NaN where nothing is kept.

    Raises:
        SettingsError: the reference has fewer than two cases in which something was found.

    Source: Hendrycks, Gimpel, arXiv:1610.02136 (ac); Guillory et al., arXiv:2107.03315 (doc); Garg et al.,
    arXiv:2201.04234 (atc); Lu et al., arXiv:2305.15640 (cot); Deng et al., arXiv:2302.01094 (nuclear).
    """
    known, new = _keep(reference, min_score), _keep(cases, min_score)
    judged = ~known.objects["neither"].to_numpy(bool)
    right, score = known.objects["right"].to_numpy(bool)[judged], np.sort(known.probability[judged])
    if not len(right):
        raise SettingsError("a reference needs cases in which something was found; this one has none")
    wrong = int((~right).sum())
    threshold = score[wrong] if wrong < len(score) else np.inf
    seen, asked = (_estimates(kept, threshold, float(right.mean())) for kept in (known, new))
    columns = {}
    for target, truth in reference.truth(min_score)[["precision", "f1"]].items():
        goal = truth.to_numpy(float)
        for name in seen:
            raw = target == "precision" and name != "nuclear"
            columns[f"{target}_{name}"] = asked[name] if raw else _on_line(seen[name], goal, asked[name])
        columns[f"{target}_doc"] = asked["ac"] + np.nanmean(goal - seen["ac"])
    return pd.DataFrame(columns, index=cases.images.index).clip(0, 1)


def _keep(cases: Cases, min_score: float, probability: ArrayLike | None = None) -> Kept:
    objects = cases.objects
    if missing := [name for name in _NEEDED if name not in objects]:
        raise RecordError(f"the table of objects lacks {', '.join(missing)}; make the cases again")
    if not LEAST_CANDIDATE <= min_score <= 1:
        raise SettingsError(f"a least score lies in {LEAST_CANDIDATE} to 1, not {min_score}")
    p = np.asarray(objects["score"] if probability is None else probability, float)
    if p.shape != (len(objects),):
        raise ShapeError(f"wanted a probability for each of {len(objects)} objects; got {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise SettingsError("scores and probabilities lie in 0 to 1; some are missing or outside")
    at = cases.row
    # A plain float is compared in the scores' own type, as in `Cases.counts`: in float32 a score of 0.7 is below 0.7.
    reaches = (objects["score"] >= float(min_score)).to_numpy()
    below = np.bincount(at[~reaches], minlength=len(cases)).astype(float)
    return Kept(cases.images, objects[reaches], at[reaches], p[reaches], below)


def _estimates(kept: Kept, threshold: float, ones: float) -> dict[str, Floats]:
    return {
        "ac": _confidence(kept),
        "atc": kept.mean((kept.probability >= threshold).astype(float)),
        "cot": 1 - _transport(kept, np.full(len(kept.images), ones)),
        "nuclear": _nuclear(kept),
    }


def _on_line(x: Floats, y: Floats, new: Floats) -> Floats:
    """The straight line of least squares through (x, y), at new; flat where all x are equal."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2:
        raise SettingsError(f"a reference needs two cases in which something was found; this one has {known.sum()}")
    from_mean = x[known] - x[known].mean()
    variance = float(from_mean @ from_mean)
    slope = float(from_mean @ y[known]) / variance if variance > 0 else 0.0
    line: Floats = y[known].mean() + slope * (new - x[known].mean())
    return line


def _confidence(kept: Kept) -> Floats:
    return kept.mean(kept.probability)


def _own_transport(kept: Kept) -> Floats:
    return _transport(kept, _confidence(kept))


def _transport(kept: Kept, ones: Floats) -> Floats:
    """Mean way from the probabilities of a case to zeros and ones, a share `ones` (n,) of ones.

    On a line nothing overtakes: the largest probabilities go to one, and one object may go in parts.
    """
    count, at = kept.count, kept.at
    order = np.lexsort((kept.probability, at))
    rank = np.empty(len(at))
    rank[order] = np.arange(len(at)) - (np.cumsum(count) - count)[at[order]]
    part = np.clip(rank + 1 - (count * (1 - ones))[at], 0, 1)
    return kept.mean(part * (1 - kept.probability) + (1 - part) * kept.probability)


def _nuclear(kept: Kept) -> Floats:
    """From the 2 × 2 Gram matrix: (σ₁ + σ₂)² = trace + 2·√determinant."""
    p, count = kept.probability, kept.count
    right, both, wrong = (kept.total(one) for one in (p * p, p * (1 - p), (1 - p) ** 2))
    norm = np.sqrt(right + wrong + 2 * np.sqrt(np.maximum(right * wrong - both**2, 0)))
    largest: Floats = np.sqrt(count * np.minimum(count, 2))
    return _over(norm, largest)


def _entropy(kept: Kept) -> Floats:
    return kept.mean((entr(kept.probability) + entr(1 - kept.probability)) / np.log(2))


def _nearly(kept: Kept) -> Floats:
    return _over(kept.below, kept.count)


def _overlap(kept: Kept) -> Floats:
    if not len(kept.at):
        return kept.mean(np.empty(0))
    # All images below one another, so that boxes of two cases never meet.
    rows = kept.images["rows"].to_numpy(np.int64)
    top = (np.cumsum(rows) - rows)[kept.at]
    boxes = kept.objects[_BOX].to_numpy(float) + top[:, None] * [1, 0, 1, 0]
    stacked = Instances.from_boxes((int(rows.sum()), int(kept.images["cols"].max())), boxes)
    pairs = box_overlaps(stacked, stacked)
    other = pairs.a != pairs.b
    largest = np.zeros(len(boxes))
    np.maximum.at(largest, pairs.a[other], pairs.iou[other])
    return kept.mean(largest)


def _contrast(kept: Kept) -> Floats:
    return kept.quantile(_contrast_to_noise(kept), 0.5)


def _contrast_spread(kept: Kept) -> Floats:
    ratio = _contrast_to_noise(kept)
    return kept.quantile(ratio, 0.75) - kept.quantile(ratio, 0.25)


def _contrast_to_noise(kept: Kept) -> Floats:
    return _over(np.abs(kept.column("c_core")), kept.column("c_spread"))


def _over(part: Floats, whole: Floats) -> Floats:
    """NaN where the whole is 0."""
    share: Floats = part / np.where(whole > 0, whole, np.nan)
    return share


def _fringe(kept: Kept) -> Floats:
    return np.abs(kept.mean(np.sign(kept.column("c_rim"))))


def _diameter(kept: Kept) -> Floats:
    return kept.quantile(kept.column("diameter_px"), 0.5)


def _diameter_p10(kept: Kept) -> Floats:
    return kept.quantile(kept.column("diameter_px"), 0.1)


def _diameter_spread(kept: Kept) -> Floats:
    diameter = kept.column("diameter_px")
    return kept.spread(np.log(np.where(diameter > 0, diameter, np.nan)))  # a mask may be empty


def _per_Mpx(kept: Kept) -> Floats:
    return _over(kept.count * 1e6, (kept.images["rows"] * kept.images["cols"]).to_numpy(np.float64))


def _border(kept: Kept) -> Floats:
    row0, col0, row1, col1 = (kept.column(name) for name in _BOX)
    rows, cols = (kept.images[name].to_numpy(float)[kept.at] for name in ("rows", "cols"))
    return kept.mean(((row0 < 1) | (col0 < 1) | (row1 > rows - 1) | (col1 > cols - 1)).astype(float))


def _sign(kept: Kept) -> Floats:
    return np.abs(kept.mean(np.sign(kept.column("c_core"))))


def _uneven(kept: Kept) -> Floats:
    ratio = _over(kept.column("c_core"), kept.column("c_spread"))
    # Without the tenth, a median near 0 would make it as large as one likes.
    return kept.spread(ratio) / (np.abs(kept.quantile(ratio, 0.5)) + 0.1)


def _halo(kept: Kept) -> Floats:
    return _over(np.abs(kept.column("c_fringe")), kept.column("c_spread"))


def _appearance() -> Iterator[tuple[str, Signal]]:
    of_each: dict[str, Callable[[Kept], Floats]] = {"fringe": _halo}
    of_each |= {name: partial(Kept.column, name=f"c_{name}") for name in ("round", "ragged", "lean", "long")}
    for name, values in of_each.items():
        for suffix, q in (("", 0.5), ("_top", _TOP)):
            yield f"a_{name}{suffix}", Signal(partial(_quantile_of, values=values, q=q), None, "ours")


def _quantile_of(kept: Kept, values: Callable[[Kept], Floats], q: float) -> Floats:
    return kept.quantile(values(kept), q)


SIGNALS: dict[str, Signal] = {
    "s_confidence": Signal(_confidence, True, "Hendrycks, Gimpel, ICLR 2017, arXiv:1610.02136"),
    "s_cot": Signal(_own_transport, False, "Lu et al., NeurIPS 2023, arXiv:2305.15640, with Σπ as marginal"),
    # Neither way is good: it also grows where unsure objects stand beside sure ones.
    "s_nuclear": Signal(_nuclear, None, "Deng et al., ICML 2023, arXiv:2302.01094"),
    "s_entropy": Signal(_entropy, False, "Shannon, Bell Syst. Tech. J. 27 (1948) 379"),
    "s_nearly": Signal(_nearly, False, "ours"),
    # Nor of these two: duplicates overlap, but so do many right objects, and few fringes agree by chance. Blobs in 36
    # simulated images have rank correlations with F1 of 0.8 for overlap and -0.6 for fringe.
    "s_overlap": Signal(_overlap, None, "ours"),
    "s_contrast": Signal(_contrast, True, "Rose, J. Opt. Soc. Am. 38 (1948) 196"),
    "s_contrast_spread": Signal(_contrast_spread, None, "ours"),
    "s_fringe": Signal(_fringe, None, "ours; Fresnel fringes: Williams, Carter, Transmission Electron Microscopy"),
    "s_diameter_px": Signal(_diameter, None, "ISO 9276-6, area-equivalent diameter"),
    "s_diameter_p10_px": Signal(_diameter_p10, None, "ISO 9276-6, area-equivalent diameter"),
    "s_diameter_spread": Signal(_diameter_spread, None, "ISO 9276-5, width of a logarithmic normal distribution"),
    "s_per_Mpx": Signal(_per_Mpx, None, "ours"),
    "s_border": Signal(_border, None, "ours"),
    **dict(_appearance()),
    "a_sign": Signal(_sign, None, "ours"),
    "a_uneven": Signal(_uneven, None, "ours"),
}
