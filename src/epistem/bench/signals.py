"""Would a mask that failed be noticed, and are those that a network found like true ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.bench.images import Scored, load_part
from epistem.bench.plan import Plan
from epistem.bench.profile import Profile
from epistem.core import SettingsError
from epistem.stats.separation import Separation, separation
from epistem.trust.forte import DEFAULT, TypicalityReference
from epistem.trust.mask_failures import FAILURES, plant
from epistem.trust.views import morphology, tiles

TILE_PX = 64
STRENGTH = 0.5
LEVEL = 0.05
VIEW = "mask and image"

Floats = NDArray[np.float64]
Labels = NDArray[np.int16]


class MaskSignals(NamedTuple):
    """What typicality of masks says of a run.

    Attributes:
        told: columns view, detector, auroc, f1, precision, fpr95: true masks of the validation images against as many
            with a planted failure; NaN where too little calibrates.
        untypical_found: share of the test images' tiles whose mask, as a network found it, is untypical at `LEVEL`
            false alarms; None where not known.
    """

    told: pd.DataFrame
    untypical_found: float | None


def mask_signals(
    profile: Profile, plan: Plan, found: Mapping[str, Labels] | None = None, *, seed: int = 0
) -> MaskSignals:
    """Typicality of masks: the reference is of the true masks of the training images.

    Args:
        profile, plan: of the run; the profile's detectors are asked.
        found: content id of a test image → the labels that a network found, (H, W) as the network sees it.
        seed: of failures and references.
    """
    rng = np.random.default_rng(seed)
    train = list(zip(load_part(profile, plan.split.train), plan.split.train, strict=True))
    true = [(morphology(*pair), member.group) for one, member in train for pair in _pieces(one, one.seen.labels)]
    held = [pair for one in load_part(profile, plan.split.val) for pair in _pieces(one, one.seen.labels)]
    typical = np.array([morphology(image, mask) for image, mask in held])
    failed = np.array(list(_failed(held, rng)))
    detectors = dict.fromkeys([*profile.task.qc.detectors, DEFAULT])
    references = {name: _fitted(true, name, seed) for name in detectors}
    rows = []
    for name, reference in references.items():
        told = _told(reference, typical, failed)
        scores = ("auroc", "f1", "precision", "fpr95")
        rows.append(
            {
                "view": VIEW,
                "detector": name,
                **{one: np.nan if told is None else getattr(told, one) for one in scores},
            }
        )
    share = _untypical(profile, plan, found or {}, references[DEFAULT])
    return MaskSignals(pd.DataFrame(rows), share)


def _fitted(true: list[tuple[Floats, str]], detector: str, seed: int) -> TypicalityReference | None:
    try:
        reference = TypicalityReference.fit(
            {VIEW: np.array([vector for vector, _ in true])}, detector=detector, groups=[group for _, group in true],
            seed=seed,
        )  # fmt: skip
    except SettingsError:  # too few groups
        return None
    return None if reference.unscored else reference


def _told(reference: TypicalityReference | None, typical: Floats, failed: Floats) -> Separation | None:
    if reference is None or not len(typical) or not len(failed):
        return None
    scores = (reference.score({VIEW: part}) for part in (typical, failed))
    return separation(*scores, threshold=reference.threshold(LEVEL))


def _untypical(
    profile: Profile, plan: Plan, found: Mapping[str, Labels], reference: TypicalityReference | None
) -> float | None:
    if reference is None or not found:
        return None
    test = zip(load_part(profile, plan.split.test), plan.split.test, strict=True)
    vectors = [
        morphology(image, mask)
        for one, member in test
        if member.image_id in found
        for image, mask in _pieces(one, found[member.image_id])
    ]
    if not vectors:
        return None
    return float((reference.share_less_typical({VIEW: np.array(vectors)}) <= LEVEL).mean())


def _failed(
    held: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]], rng: np.random.Generator
) -> Iterator[Floats]:
    """One failure a tile, drawn among those that change its mask; one object cannot be merged."""
    for image, mask in held:
        planted = (plant(name, mask, rng, STRENGTH) for name in rng.permutation(list(FAILURES)))
        if (wrong := next((one for one in planted if (one != mask).any()), None)) is not None:
            yield morphology(image, wrong)


def _pieces(one: Scored, labels: Labels) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Tiles of the first channel that show an outline, half a tile apart."""
    pairs = zip(*(tiles(part, TILE_PX, stride=TILE_PX // 2) for part in (one.seen.image[0], labels > 0)), strict=True)
    return [(image, mask) for image, mask in pairs if mask.any() and not mask.all()]
