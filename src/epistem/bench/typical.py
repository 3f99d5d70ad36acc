"""How typical an image is of those that a run's networks learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.bench.images import load_part
from epistem.bench.plan import Plan
from epistem.bench.profile import Profile
from epistem.core import Reliability, SettingsError
from epistem.report.words import counted
from epistem.trust.encoders import embed, make_encoder
from epistem.trust.forte import TypicalityReference
from epistem.trust.forte_file import load, save
from epistem.trust.views import tiles

ENCODER = "descriptors"
TILE_PX = 64
"""Side of what is compared, in pixels as the network sees them: small, so that few images give enough of them."""
LEVEL = 0.05


def make_reference(profile: Profile, plan: Plan, path: Path) -> TypicalityReference | None:
    """The reference of a run, from its training and validation images, written to `path`.

    None, and nothing written, where there are fewer than three groups. Raises RecordError as `save`.
    """
    vectors, groups = [], []
    for part in (plan.split.train, plan.split.val):
        for one, member in zip(load_part(profile, part), part, strict=True):
            found = _vectors(one.seen.image)
            vectors.append(found)
            groups += [member.group] * len(found)
    try:
        reference = TypicalityReference.fit({ENCODER: np.concatenate(vectors)}, groups=groups)
    except SettingsError:
        return None
    save(reference, path)
    return reference


def reliability_of(image: NDArray[np.float32], path: Path | None) -> Reliability:
    """How typical one image is, as the network sees it (C, H, W); what is not known is said.

    The image's typicality is the median of its tiles'. Tiles of one image are no independent witnesses, so it is a
    measure, not a p-value; each tile's is one. Raises RecordError for a damaged file.
    """
    look = "No forecast of quality exists for a segmentation network: look at the overlay before using the numbers."
    if path is None or not path.is_file():
        return Reliability(
            reasons=(look, "Typicality is not known: no reference of the images learned from lies beside.")
        )
    reference = load(path)
    vectors = _vectors(image)
    if reference.unscored or not len(vectors):
        why = reference.unscored or f"the image is smaller than {TILE_PX} px as the network sees it"
        return Reliability(reasons=(look, f"Typicality is not known: {why}."))
    features = {ENCODER: vectors}
    share, strange = reference.share_less_typical(features), reference.untypical_of_batch(features, level=LEVEL)
    typicality, n = float(np.median(share)), 0 if strange is None else int(strange.sum())
    said = [look]
    if n:
        said.insert(0, f"{n} of {counted(len(share), 'tile')} are unlike the images that the network learned from.")
    untypical = typicality <= LEVEL
    if untypical:
        share_words = "more than 99%" if typicality < 0.01 else f"{1 - typicality:.0%}"
        said.insert(
            0, f"Half of the image is less typical than {share_words} of the tiles of the images learned from."
        )
    reference_words = f"{sum(reference.sizes)} tiles of the training and validation images"
    return Reliability(
        typicality=typicality, verdict="review" if untypical else None, reasons=tuple(said), reference=reference_words
    )


def reference_file(run: Path, data: str) -> Path:
    """Where a run keeps the reference of one split of its images; `data` is the split's hash, of a job's settings."""
    return run / f"typicality-{data[:8]}.npz"


def reference_beside(weights: Path, data: str) -> Path | None:
    """The reference of a job's weights, in its run's folder; None of weights that were taken out of it."""
    jobs = weights.resolve().parent.parent
    return reference_file(jobs.parent, data) if jobs.name == "jobs" else None


def _vectors(image: NDArray[np.float32]) -> NDArray[Any]:
    """(n, D) of all tiles and channels; half a tile apart."""
    encoder = make_encoder(ENCODER)
    parts: Sequence[Any] = [embed(tiles(one, TILE_PX, stride=TILE_PX // 2), encoder) for one in image]
    return np.concatenate(parts, axis=1)
