"""Would a mask that failed be noticed: masks with planted failures against true ones, by a run's detectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.bench.images import Scored, load_part
from epistem.bench.plan import Plan
from epistem.bench.profile import Profile
from epistem.core import SettingsError
from epistem.trust.forte import DEFAULT, evaluate
from epistem.trust.mask_failures import FAILURES, plant
from epistem.trust.views import morphology, tiles

TILE_PX = 64
STRENGTH = 0.5
VIEW = "mask and image"

Floats = NDArray[np.float64]


def mask_signals(profile: Profile, plan: Plan, *, seed: int = 0) -> pd.DataFrame:
    """How well each typicality detector of the profile tells true masks from failed ones.

    Tiles of the training and validation images with their true masks are typical; the same tiles with a mask that is
    fragmented, merged, eroded, dilated, warped or has lost objects are not. A third of the groups is held out.

    Returns:
        Columns view, detector, auroc, f1, precision, fpr95; NaN where too few groups or tiles are there to tell.
    """
    typical, foreign, groups = _tiles(profile, plan, seed)
    rows = []
    for detector in dict.fromkeys([*profile.task.qc.detectors, DEFAULT]):
        try:
            found = evaluate({VIEW: typical}, {VIEW: foreign}, detector=detector, groups=groups, seed=seed)
        except SettingsError:  # too few groups
            found = None
        scores = ("auroc", "f1", "precision", "fpr95")
        values = {name: np.nan if found is None else getattr(found, name) for name in scores}
        rows.append({"view": VIEW, "detector": detector, **values})
    return pd.DataFrame(rows)


def _tiles(profile: Profile, plan: Plan, seed: int) -> tuple[Floats, Floats, list[str]]:
    rng = np.random.default_rng(seed)
    typical, foreign, groups = [], [], []
    for part in (plan.split.train, plan.split.val):
        for one, member in zip(load_part(profile, part), part, strict=True):
            for image, mask in _pieces(one):
                typical.append(morphology(image, mask))
                groups.append(member.group)
                failed = [plant(name, mask, rng, STRENGTH) for name in FAILURES]
                # A failure that has nothing to work on (one object cannot be merged) leaves a true mask.
                foreign += [morphology(image, one) for one in failed if (one != mask).any()]
    return np.array(typical), np.array(foreign), groups


def _pieces(one: Scored) -> Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Tiles of the first channel that show an outline."""
    front = one.seen.labels > 0
    pairs = zip(*(tiles(part, TILE_PX, stride=TILE_PX // 2) for part in (one.seen.image[0], front)), strict=True)
    return [(image, mask) for image, mask in pairs if mask.any() and not mask.all()]
