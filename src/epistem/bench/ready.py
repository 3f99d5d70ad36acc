"""Whether a segmentation network is ready for use, to be revised, or whether that is not known.

========  =====================================================================================================
masks     no more than half of the tiles of the test images have a found mask unlike true ones
signals   every detector the profile names reaches its AUROC and F1
heatmaps  aligned: pointing ≥ 0.7, or a deletion gap > 0 with p < 0.05
========  =====================================================================================================

Ready needs all. One that fails is reason to revise; what was not asked is not known, and never ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import pandas as pd

from epistem.bench.profile import QualityControl
from epistem.core import RecordError
from epistem.report.document import finite
from epistem.report.words import counted, number, p_value, percent

NAMES = {"gmm": "GMM", "kde": "KDE", "ocsvm": "OCSVM", "knn": "kNN", "mahalanobis": "Mahalanobis"}
LEAST_POINTING, SURE, MOST_UNLIKE = 0.7, 0.05, 0.5

Finding = tuple[bool | None, str]
"""Whether it is good (None: not known), and what it is."""


class Alignment(NamedTuple):
    """Whether heatmaps lie where they should, over n images; None where not computed.

    Attributes:
        pointing: share of images whose hottest place is in the expert's region, 0 to 1.
        deletion_gap: by how much more blurring the hottest pixels changes the answer than random ones; > 0 is good.
        deletion_p: that the gap is chance.
        images: n.
    """

    pointing: float | None
    deletion_gap: float | None
    deletion_p: float | None
    images: int


class Verdict(NamedTuple):
    """What is said, and why."""

    said: Literal["ready", "revise", "not known"]
    reasons: tuple[str, ...]


def verdict(
    qc: QualityControl, typicality: pd.DataFrame | None, alignment: Alignment | None, *, undertrained: bool | None,
    untypical: float | None = None,
) -> Verdict:  # fmt: skip
    """Ready, revise or not known, with the reasons.

    Args:
        qc: the profile's detectors and limits.
        typicality: columns detector, auroc, f1; of several rows of a detector the worst counts. None: not asked.
        alignment: of the heatmaps; None: not asked.
        undertrained: whether the best network is; None where no network has a score.
        untypical: share of the test images' tiles whose found mask is unlike true masks; None: not known.

    Raises:
        RecordError: a table of typicality without its columns.
    """
    findings = [*_masks(untypical), *_network(undertrained), *_signals(qc, typicality), heatmap_finding(alignment)]
    wrong = [why for good, why in findings if good is False]
    unknown = [why for good, why in findings if good is None]
    if wrong:
        return Verdict("revise", (*wrong, *unknown))
    if unknown:
        return Verdict("not known", tuple(unknown))
    return Verdict("ready", tuple(why for _, why in findings))


def heatmap_finding(seen: Alignment | None) -> Finding:
    """Whether heatmaps are aligned, with the numbers."""
    gap, p = (None, None) if seen is None else (seen.deletion_gap, seen.deletion_p)
    if seen is None or (seen.pointing is None and (gap is None or p is None)):
        return None, "whether heatmaps are aligned is not known: give expert regions, or run the deletion test"
    good = seen.pointing is not None and seen.pointing >= LEAST_POINTING
    said = [] if seen.pointing is None else [f"pointing {number(seen.pointing)} (wanted {LEAST_POINTING:g})"]
    if gap is not None and p is not None:
        good = good or (gap > 0 and p < SURE)
        said.append(f"deletion gap {number(gap)}, p {p_value(p)} (wanted > 0, p < {SURE:g})")
    how = "aligned" if good else "not aligned"
    return good, f"heatmaps are {how} over {counted(seen.images, 'image')}: {'; '.join(said)}"


def _masks(untypical: float | None) -> Iterator[Finding]:
    if untypical is not None and untypical > MOST_UNLIKE:
        yield (
            False,
            f"the masks that the network draws do not look like true ones: on {percent(untypical)} of the tiles of "
            "the test images they are unlike any it learned from (5 % would be chance); look at the test images "
            "below before you use a number",
        )


def _network(undertrained: bool | None) -> Iterator[Finding]:
    if undertrained is None:
        yield False, "no network has a score: train one to its end"
    elif undertrained:
        yield False, "the best network is undertrained: give it more steps"


def _signals(qc: QualityControl, table: pd.DataFrame | None) -> Iterator[Finding]:
    if table is None:
        yield None, "typicality was not asked: run its signals on the test images"
        return
    if missing := [name for name in ("detector", "auroc", "f1") if name not in table]:
        raise RecordError(f"the table of typicality needs {', '.join(missing)}; it has {', '.join(map(str, table))}")
    limits = {"AUROC": ("auroc", qc.ready_if.auroc), "F1": ("f1", qc.ready_if.f1)}
    for detector in qc.detectors:
        rows = table[table["detector"] == detector]
        for label, (name, limit) in limits.items():
            # A view without a score makes the detector's worst unknown, not better.
            worst = finite(rows[name].astype(float).min(skipna=False)) if len(rows) else None
            if worst is None:
                yield None, f"{label} of {NAMES.get(detector, detector)} is not known"
            else:
                side = "reaches" if worst >= limit else "is below"
                yield (
                    worst >= limit,
                    f"{label} of {NAMES.get(detector, detector)}, {number(worst, decimals=3)}, {side} {limit:g}",
                )
