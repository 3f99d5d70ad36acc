"""What a forecast knows of each case at one threshold: published features, signals, image, expected counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.core import SettingsError
from epistem.trust.cases import Cases
from epistem.trust.published import published_table
from epistem.trust.quality import QUALITY
from epistem.trust.signals import signal_table

PARTS = ("published", "signals", "quality", "counts")
"""Groups of features. `counts` rests on the objects' probabilities; without it `signals` rests on their scores."""

COSTLY = ("stability",)
"""Those that ask for more looks of the detector: of cases that have the columns of `trust.stability`."""

Floats = NDArray[np.float64]


def forecast_table(cases: Cases, min_score: float, probability: Floats, parts: Sequence[str] = PARTS) -> pd.DataFrame:
    """One row a case; NaN where unknown.

    ==========================  =====================================================================
    n, score                    objects from that score up; the score
    p_…                         the 18 published features, of objects from 0.1 up
    s_…, a_…                    `trust.signals`
    q_…, pixels, pixel_nm       `trust.quality`; log10 of the image's pixels and of nm per pixel
    e_right, e_below            log of 1 + the sum of probabilities of objects kept, and of those below
    e_precision, e_recall,      expected from these sums, as if nothing were missed that is no candidate
    e_f1
    e_small                     share of the expected right ones that are under 8 px
    st_…                        `trust.stability`
    ==========================  =====================================================================

    Args:
        cases: n of them.
        min_score: objects below it are left out.
        probability: of each of `cases.objects` being right.
        parts: which groups of columns.
    """
    at = cases.row
    kept = (cases.objects["score"] >= float(min_score)).to_numpy()
    n = np.bincount(at[kept], minlength=len(cases)).astype(float)
    columns: list[pd.DataFrame] = [pd.DataFrame({"n": n, "score": np.full(len(n), min_score)})]
    if "published" in parts:
        columns.append(published_table(cases).add_prefix("p_"))
    if "signals" in parts:
        sure = probability if "counts" in parts else None
        columns.append(signal_table(cases, min_score, probability=sure))
    if "quality" in parts:
        columns.append(_quality(cases.images))
    if "counts" in parts:
        columns.append(_counts(cases, at, kept, n, probability))
    if "stability" in parts:
        columns.append(_stability(cases.images))
    return pd.concat([one.reset_index(drop=True) for one in columns], axis=1)


def _quality(images: pd.DataFrame) -> pd.DataFrame:
    columns = {name: _column(images, name) for name in QUALITY}
    columns["pixels"] = np.log10(_column(images, "rows") * _column(images, "cols"))
    return pd.DataFrame(columns | {"pixel_nm": np.log10(_column(images, "pixel_nm"))})


def _column(images: pd.DataFrame, name: str) -> Floats:
    """NaN where there is none."""
    return images[name].to_numpy(float) if name in images else np.full(len(images), np.nan)


def _stability(images: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in images.columns if str(name).startswith("st_")]
    if not names:
        raise SettingsError("these cases have no stability (st_…); leave that part out, or look again through views")
    return images[names].astype(float)


def _counts(
    cases: Cases, at: NDArray[np.int64], kept: NDArray[np.bool_], n: Floats, probability: Floats
) -> pd.DataFrame:
    def total(which: NDArray[np.bool_]) -> Floats:
        return np.bincount(at[which], probability[which], len(cases)).astype(float)

    right, below = total(kept), total(~kept)
    small = total(kept & (cases.objects["diameter_px"] < 8).to_numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.DataFrame({
            "e_right": np.log1p(right), "e_below": np.log1p(below), "e_precision": right / n,
            "e_recall": right / (right + below), "e_f1": 2 * right / (n + right + below), "e_small": small / right,
        })  # fmt: skip
