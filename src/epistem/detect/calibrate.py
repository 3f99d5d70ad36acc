"""What a trained detector's scores stand for: threshold and probability from labelled fields.

Every found object is right, wrong, or neither (it meets only truth that is not asked for). Matching is in falling
score, so that leaving out what lies below a threshold changes nothing above it and one pass serves every threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from epistem.core import Calibration, Instances, Micrograph, SettingsError
from epistem.detect.match import match
from epistem.stats.calibration import expected_calibration_error, platt
from epistem.synth.fields import load_field
from epistem.synth.sets import Severity

Rule = Callable[[Instances, float], NDArray[np.bool_]]

SMALLEST_CLEAR_PX, LEAST_CONTRAST_TO_NOISE = 6.0, 3.0
LEAST_D_PRIME, SMALLEST_PX = 5.0, 3.0


def asked_in_clear(truth: Instances, pixel_nm: float) -> NDArray[np.bool_]:
    """Simulated cavities nobody should miss in a good image, shape (n,): ≥ 6 px, contrast-to-noise ≥ 3.

    Sizes are those of the whole cavity: what the border leaves of a large one is no small one.
    """
    plain = truth.columns["contrast_to_noise"] >= LEAST_CONTRAST_TO_NOISE
    return plain & (_diameter_px(truth, pixel_nm) >= SMALLEST_CLEAR_PX) & centre_inside(truth, pixel_nm)


def asked_in_hard(truth: Instances, pixel_nm: float) -> NDArray[np.bool_]:
    """Simulated cavities that can be seen at all, shape (n,): d′ ≥ 5 and ≥ 3 px.

    d′ and not the contrast of a pixel: a large faint cavity is seen, a small one of that contrast is not. An observer
    who searches some 10,000 places needs about 4 for one false alarm an image; 5 leaves room for not being ideal. It
    is no setting of the training, so that trainings with different limits are held against one truth.
    """
    plain = truth.columns["d_prime"] >= LEAST_D_PRIME
    return plain & (_diameter_px(truth, pixel_nm) >= SMALLEST_PX) & centre_inside(truth, pixel_nm)


class Asked(NamedTuple):
    """What is asked for in a field.

    Attributes:
        rule: of the true objects.
        smallest_px: found objects without a partner below this diameter count neither way, as true ones of that size
            do. Source: pycocotools, `COCOeval.evaluateImg`, area ranges.
    """

    rule: Rule
    smallest_px: float


ASKED: Mapping[Severity, Asked] = {
    "clear": Asked(asked_in_clear, SMALLEST_CLEAR_PX),
    "hard": Asked(asked_in_hard, SMALLEST_PX),
    "any": Asked(asked_in_hard, SMALLEST_PX),
}


def centre_inside(truth: Instances, pixel_nm: float) -> NDArray[np.bool_]:
    """Whether the centre of each simulated cavity lies in the image, shape (n,): as annotators of crops are asked.

    Boxes are cut by the border; one that keeps less than the radius has lost its centre.
    """
    length = truth.boxes[:, 2:] - truth.boxes[:, :2]
    cut = (truth.boxes[:, :2] <= 0) | (truth.boxes[:, 2:] >= truth.shape)
    lost = cut & (length < _diameter_px(truth, pixel_nm)[:, None] / 2)
    return ~(lost[:, 0] | lost[:, 1])


def _diameter_px(truth: Instances, pixel_nm: float) -> NDArray[np.float64]:
    diameter: NDArray[np.float64] = truth.columns["diameter_nm"] / pixel_nm
    return diameter


class LabelledField(NamedTuple):
    """An image, the objects to be found in it, those that count neither way, and `Asked.smallest_px`."""

    micrograph: Micrograph
    asked: Instances
    ambiguous: Instances
    smallest_px: float = 0.0


def split(micrograph: Micrograph, truth: Instances, asked: NDArray[np.bool_]) -> LabelledField:
    """A labelled field from its truth and (n,) which of it is asked for."""
    return LabelledField(micrograph, truth[asked], truth[~asked])


def saved_field(path: Path, asked: Asked) -> LabelledField:
    """A simulated field from its file.

    Raises:
        ReadError: not a whole field.
    """
    pixels, truth, pixel_nm = load_field(path)
    micrograph = Micrograph(pixels, Calibration(pixel_nm, pixel_nm, "simulation"), name=path.stem)
    plain = asked.rule(truth, pixel_nm)
    return LabelledField(micrograph, truth[plain], truth[~plain], asked.smallest_px)


@dataclass(frozen=True, eq=False)
class Judged:
    """Every object found in k labelled fields.

    Attributes:
        scores: (n,) 0 to 1.
        right: (n,) whether it is an object that was asked for.
        neither: (n,) whether it meets only objects that were not, or nothing and is too small to count.
        field: (n,) which field it was found in.
        asked: (k,) how many objects each field asks for.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    neither: NDArray[np.bool_]
    field: NDArray[np.int64]
    asked: NDArray[np.int64]


class Pool(NamedTuple):
    """Counts of several fields together."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float | None:
        """0 to 1; None where nothing was found."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """0 to 1; None where nothing was asked for."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float:
        """0 to 1, higher is better; 1 where nothing was asked for and nothing found."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if any(self) else 1.0


@dataclass(frozen=True)
class Choice:
    """What is stored with the weights.

    Attributes:
        scale, shift: calibrated score = σ(scale·logit + shift).
        min_score: the calibrated score from which on objects are kept.
        pooled: counts at that threshold, on the fields it was chosen on.
        calibration_error: of the calibrated scores on the same fields, 0 to 1.
    """

    scale: float
    shift: float
    min_score: float
    pooled: Pool
    calibration_error: float


def collect(
    detector: Callable[[Micrograph], Instances], fields: Iterable[LabelledField], *, iou: float = 0.1
) -> Judged:
    """What a detector finds in labelled fields and whether it is right.

    Args:
        detector: set to keep everything it can find, however low its score.
        fields: read one after the other.
        iou: boxes with at least this overlap may be a pair, in (0, 1].

    Raises:
        SettingsError: no field, or objects without a score.
    """
    return judge(((detector(field.micrograph), field) for field in fields), iou=iou)


def judge(found_in: Iterable[tuple[Instances, LabelledField]], *, iou: float = 0.1) -> Judged:
    """The same of objects that were found already."""
    scores, right, neither, asked = [], [], [], []
    for found, (micrograph, truth, ambiguous, smallest_px) in found_in:
        if np.isnan(found.score).any():
            raise SettingsError(f"objects of {micrograph.name or 'an image'} have no score; no threshold orders them")
        paired = match(found, truth, method="score-greedy", iou=iou, ambiguous=ambiguous)
        scores.append(found.score)
        right.append(paired.found_matched)
        neither.append(paired.ignored | (~paired.found_matched & (_found_px(found) < smallest_px)))
        asked.append(len(truth))
    if not asked:
        raise SettingsError("scores are judged on at least one labelled field; none came")
    field = np.repeat(np.arange(len(scores)), [len(one) for one in scores])
    return Judged(
        np.concatenate(scores), np.concatenate(right), np.concatenate(neither), field, np.array(asked, np.int64)
    )


def _found_px(found: Instances) -> NDArray[np.float64]:
    """Area-equivalent diameters of the masks, of the boxes where there are none, (n,)."""
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    if found.crops is not None:
        area = np.array([crop.sum() for crop in found.crops], float)
    diameter: NDArray[np.float64] = 2 * np.sqrt(area / np.pi)
    return diameter


def counts_at(judged: Judged, min_score: float) -> NDArray[np.int64]:
    """True positives, false positives and false negatives of each field, (k, 3), if lower scores are left out."""
    kept = (judged.scores >= min_score) & ~judged.neither
    tp, fp = (
        np.bincount(judged.field[kept & which], minlength=len(judged.asked))
        for which in (judged.right, ~judged.right)
    )
    return np.stack([tp, fp, judged.asked - tp], axis=1)


def pooled_at(judged: Judged, min_score: float) -> Pool:
    """The same of all fields together."""
    return Pool(*counts_at(judged, min_score).sum(axis=0).tolist())


def best_threshold(judged: Judged) -> float:
    """The score from which on objects are kept for the largest pooled F1; of equal ones the highest.

    It lies in the middle between the last object kept and the first left out.

    Raises:
        SettingsError: nothing was asked for, or nothing right was found.
    """
    clear = ~judged.neither
    if not judged.asked.sum() or not judged.right.any():
        raise SettingsError(
            f"a threshold needs objects that were asked for and found; of {judged.asked.sum()} asked for, "
            f"{judged.right.sum()} were found in {len(judged.asked)} fields. Label some, or train for longer"
        )
    order = np.argsort(-judged.scores[clear], kind="stable")
    scores, tp = judged.scores[clear][order], np.cumsum(judged.right[clear][order])
    # 2·tp + fp + fn is all that was kept and all that was asked for.
    f1 = 2 * tp / (np.arange(1, len(tp) + 1) + judged.asked.sum())
    below = np.append(scores[1:], [-np.inf])
    f1[scores == below] = -1  # objects of equal score are kept or left out together
    best = int(f1.argmax())
    return float((scores[best] + max(below[best], 0.0)) / 2)


def choose(judged: Judged) -> Choice:
    """Calibration and threshold from one collection.

    Args:
        judged: with scores that are σ(logit), not calibrated yet: a dense network read with scale 1 and shift 0.

    Raises:
        SettingsError: no right or no wrong objects, or scores that order nothing.
    """
    clear = ~judged.neither
    # A score of exactly 0 or 1 has no finite logit.
    logits = logit(np.clip(judged.scores, 1e-12, 1 - 1e-12))
    scale, shift = platt(logits[clear], judged.right[clear])
    threshold = best_threshold(judged)
    error = expected_calibration_error(expit(scale * logits[clear] + shift), judged.right[clear])
    assert error is not None
    least = float(expit(scale * logit(np.clip(threshold, 1e-12, 1 - 1e-12)) + shift))
    return Choice(scale, shift, least, pooled_at(judged, threshold), error)
