"""The published forest on a deposited table of features and true F1, its errors beside the printed ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from epistem.app.reproduce_paper import BY_SUBSET
from epistem.core import SettingsError
from epistem.stats.regression import errors
from epistem.trust.features import PUBLISHED_8
from epistem.trust.protocols import Fold, dealt_folds, from_table, leave_one_out, out_of_fold
from epistem.trust.published import PublishedForecast, read_published_table


def deposited_errors(
    path: Path, *, repeats: int = 10, seed: int = 0, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Errors of the forest on the final 8 features: random five folds, and each split left out.

    The file does not say which rows are of one image; in the paper some images are in several splits, and both
    protocols then learn from images they are asked about.

    Args:
        path: as `trust.published.read_published_table` takes it.
        repeats: of the random folds.
        seed: of folds and forests.
        columns: the file's names by ours.

    Returns:
        One row a protocol, `random`, and `split` where the file names splits: n, rmse, mae, r2 (of the mean over the
        repeats for the first), and what the paper prints for random folds.

    Raises:
        RecordError: not such a table.
        SettingsError: fewer rows than folds.
    """
    deposited = read_published_table(path, PUBLISHED_8, columns=columns)
    n, rows = len(deposited.target), []
    if n < 10:
        raise SettingsError(f"{path} has {n} rows; five folds that say something need 10 or more")
    protocols: dict[str, list[Fold]] = {"random": dealt_folds(range(n), repeats=repeats, seed=seed)}
    if deposited.groups is not None and len(set(deposited.groups)) > 1:
        protocols["split"] = leave_one_out(deposited.groups)
    for name, folds in protocols.items():
        fit_predict = from_table(lambda: PublishedForecast(PUBLISHED_8, seed), deposited.table, deposited.target)
        said = out_of_fold(fit_predict, n, folds).predicted[..., 0]
        found = [errors(deposited.target, one) for one in said]
        printed = BY_SUBSET["All data"] if name == "random" else None
        row: dict[str, Any] = {"protocol": name, "n": n}
        for kind in ("rmse", "mae", "r2"):
            values = [value for one in found if (value := getattr(one, kind)) is not None]
            row |= {kind: float(np.mean(values)) if values else None}
            row |= {f"{kind}_printed": getattr(printed, kind) if printed else None}
        rows.append(row)
    return pd.DataFrame(rows)
