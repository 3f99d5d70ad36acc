"""The published forecast: 18 numbers of an image's detections, what they predict, a random forest, and its features.

Source of all of it: N. Li et al., Predicting performance of object detection models in electron microscopy using
random forests, and uw-cmg/cavity_defect_detection. It needs scikit-learn; SHAP values need shap.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from epistem.core import DependencyMissing, RecordError, SettingsError, ShapeError
from epistem.trust.cases import Cases
from epistem.trust.features import LEAST_SCORE, PUBLISHED_8, PUBLISHED_18
from epistem.trust.protocols import Fold, errors_by_split, from_table, out_of_fold

Floats = NDArray[np.float64]
LEAST_FEATURES = 5
"""Number of features from which the published study compares."""


def published_table(cases: Cases) -> pd.DataFrame:
    """The features of `trust.features.published_features` for all cases at once.

    Args:
        cases: n of them.

    Returns:
        (n, 18), columns PUBLISHED_18, rows as `cases.images`. A case without detection is all zeros, as in the
        study: `scored` tells which; nothing but the study's own reproduction predicts for it. The Heywood factors
        of a case with a box that has no mask are NaN.
    """
    reaches = (cases.objects["score"] >= LEAST_SCORE).to_numpy()
    kept, case, n = cases.objects[reaches], cases.row[reaches], len(cases)
    image_px = (cases.images["rows"] * cases.images["cols"]).to_numpy(float)
    score = kept["score"].to_numpy(float)
    row0, col0, row1, col1 = (kept[name].to_numpy(float) for name in ("row0", "col0", "row1", "col1"))
    area = (row1 - row0) * (col1 - col0)

    count = np.bincount(case, minlength=n)
    found = np.maximum(count, 1)
    # The bounds of `published_features`: 0.3 is 0.30000000000000004.
    share = np.searchsorted(np.arange(0.1, 1.0, 0.1), score, side="right") - 1
    shares = np.bincount(case * 9 + share, minlength=n * 9).reshape(n, 9) / found[:, None]
    total = np.bincount(case, area, n)
    weighted = np.bincount(case, area * score, n) / np.where(count, total, 1.0)
    columns = (
        *shares.T, total / image_px, *_mean_std(score, case, n), *_mean_std(area / image_px[case], case, n),
        *_heywood(kept, case, n), count, weighted,
    )  # fmt: skip
    return pd.DataFrame(dict(zip(PUBLISHED_18, columns, strict=True)), dtype=float)


def scored(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows of a published table have a detection, (n,); of the others nothing is known."""
    return table["count"].to_numpy() > 0


def published_targets(cases: Cases) -> pd.DataFrame:
    """What the study predicts, of everything found at a score of 0.1.

    =====================  =========================================================================================
    f1                     of the published matching; 1 where nothing is there and nothing was found
    precision, recall      of the same; NaN where nothing was found, where nothing is there
    swelling_error_signed  (Σd³ found − Σd³ true)/Σd³ true of area-equivalent d; NaN where nothing is there
    swelling_error         its size
    =====================  =========================================================================================

    Swelling is ΣV/(V − ΣV): as long as the cavities are a small part of the volume V of the foil, its relative
    error is that of Σd³, whatever the thickness and the pixel size. What counts neither way is left out.

    Returns:
        (n, 5), rows as `cases.images`.
    """
    tp, fp, fn = (cases.images[f"paper_{name}"].to_numpy(float) for name in ("tp", "fp", "fn"))
    counts = ((cases.objects["score"] >= LEAST_SCORE) & ~cases.objects["neither"].astype(bool)).to_numpy()
    kept, case = cases.objects[counts], cases.row[counts]
    found = np.bincount(case, kept["diameter_px"].to_numpy(float) ** 3, len(cases))
    true = cases.images["asked_d3_px3"].to_numpy(float)
    true = np.where(true > 0, true, np.nan)
    with np.errstate(invalid="ignore"):
        values = {
            "f1": np.where(tp + fp + fn > 0, 2 * tp / (2 * tp + fp + fn), 1.0), "precision": tp / (tp + fp),
            "recall": tp / (tp + fn), "swelling_error": np.abs(found / true - 1),
            "swelling_error_signed": found / true - 1,
        }  # fmt: skip
    return pd.DataFrame(values)


@dataclass
class PublishedForecast:
    """Standardised features, 100 trees, everything else as scikit-learn has it.

    Attributes:
        features: columns it reads.
        seed: same seed and cases, same forest.
        model: the fitted pipeline; None before `fit`.

    Source: the published § 2.3.
    """

    features: tuple[str, ...] = PUBLISHED_8
    seed: int = 0
    model: Any = field(default=None, init=False)

    def fit(self, table: pd.DataFrame, target: ArrayLike) -> Self:
        """Learn from n rows and their target, (n,).

        Raises:
            RecordError: a column is missing or not known throughout.
            ShapeError: not a finite target a row.
        """
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        known = np.asarray(target, float)
        if known.shape != (len(table),) or not len(known) or not np.isfinite(known).all():
            raise ShapeError(f"wanted one finite target for each of {len(table)} cases; leave out those without")
        forest = RandomForestRegressor(n_estimators=100, random_state=self.seed)
        self.model = make_pipeline(StandardScaler(), forest).fit(self._read(table), known)
        return self

    def predict(self, table: pd.DataFrame) -> Floats:
        """(n,) in the unit of the target.

        Raises:
            RecordError: a column is missing or not known throughout.
            SettingsError: not fitted.
        """
        predicted: Floats = self._fitted().predict(self._read(table))
        return predicted

    def spread(self, table: pd.DataFrame) -> Floats:
        """Standard deviation of what the single trees predict, (n,); an error bar after `recalibrate` only."""
        fitted = self._fitted()
        values = fitted[:-1].transform(self._read(table))
        by_tree = np.array([tree.predict(values) for tree in fitted[-1].estimators_])
        spread: Floats = by_tree.std(axis=0)
        return spread

    def _fitted(self) -> Any:
        if self.model is None:
            raise SettingsError("this forecast has learnt from no cases; fit it first")
        return self.model

    def _read(self, table: pd.DataFrame) -> Floats:
        if missing := [name for name in self.features if name not in table]:
            raise RecordError(f"the forecast reads {', '.join(missing)}; the table has {', '.join(map(str, table))}")
        values = table[list(self.features)].to_numpy(float)
        if len(unknown := np.flatnonzero(~np.isfinite(values).all(axis=0))):
            names = ", ".join(self.features[k] for k in unknown)
            raise RecordError(f"{names} not known for every case; leave the feature out, or give masks and scores")
        return values


class SpreadLine(NamedTuple):
    """An error bar is |scale·spread + shift|."""

    scale: float
    shift: float

    def of(self, spread: ArrayLike) -> Floats:
        """Standard deviation of the error to expect for each spread of the trees."""
        return np.abs(self.scale * np.asarray(spread, float) + self.shift)


def recalibrate(residuals: ArrayLike, spread: ArrayLike) -> SpreadLine:
    """The line by which the spread of trees becomes the size of errors.

    Args:
        residuals: (n,) of cases the trees had not seen.
        spread: (n,) of the trees for them.

    Source: Palmer et al., npj Comput. Mater. 8, 115 (2022): most likely line, from Nelder and Mead's search.
    """
    r2, sigma = np.asarray(residuals, float) ** 2, np.asarray(spread, float)

    def unlikely(line: Floats) -> float:
        variance = (line[0] * sigma + line[1]) ** 2 + 1e-12
        return float(np.mean(np.log(variance) + r2 / variance))

    scale, shift = minimize(unlikely, [1.0, 0.0], method="Nelder-Mead").x
    return SpreadLine(float(scale), float(shift))


class Ranking(NamedTuple):
    """Features by what they do to the predictions, most first.

    Attributes:
        features: names.
        importance: (k,) mean |SHAP| in the unit of the target, or loss of R² if a feature is shuffled.
        how: which of the two.
        shap: (n, k) value of each feature for each case, columns as `features`; None by permutation.
    """

    features: tuple[str, ...]
    importance: Floats
    how: Literal["shap", "permutation"]
    shap: Floats | None


def rank_features(table: pd.DataFrame, target: ArrayLike, seed: int = 0) -> Ranking:
    """Columns of a table by their weight in a forest fitted on all of it; SHAP where shap is installed.

    Source: Lundberg, Lee, NeurIPS 2017; Breiman, Machine Learning 45, 5 (2001) for permutation.
    """
    forecast = PublishedForecast(tuple(table.columns), seed).fit(table, target)
    values = table.to_numpy(float)
    if find_spec("shap") is None:
        from sklearn.inspection import permutation_importance

        result = permutation_importance(
            forecast.model, values, np.asarray(target, float), n_repeats=10, random_state=seed
        )
        order = np.argsort(-result.importances_mean, kind="stable")
        return Ranking(tuple(table.columns[order]), result.importances_mean[order], "permutation", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap's import runs into what matplotlib is about to drop
        from shap import TreeExplainer

    effect = TreeExplainer(forecast.model[-1]).shap_values(forecast.model[:-1].transform(values))
    importance = np.abs(effect).mean(axis=0)
    order = np.argsort(-importance, kind="stable")
    return Ranking(tuple(table.columns[order]), importance[order], "shap", effect[:, order])


def error_by_number(
    table: pd.DataFrame, target: ArrayLike, ranking: Sequence[str], folds: Sequence[Fold], *, seed: int = 0
) -> pd.DataFrame:
    """Errors of the forest on its 5, 6 … all best features.

    Args:
        table: n rows.
        target: (n,) finite.
        ranking: features, most important first. It has seen all cases, as in the study: the errors are a little low.
        folds: of one protocol.

    Returns:
        One row a number: `number`, rmse, mae, r2, pooled and averaged over repeats; …_fold as means of the folds.
    """
    found = []
    for number in range(min(LEAST_FEATURES, len(ranking)), len(ranking) + 1):
        make = partial(PublishedForecast, tuple(ranking[:number]), seed)
        said = out_of_fold(from_table(make, table, target), len(table), folds)
        rows = errors_by_split(target, said.predicted[:, :, 0], said.fold, ["all"] * len(table))
        pooled, by_fold = ({name: rows.loc[k, name] for name in ("rmse", "mae", "r2")} for k in (0, 1))
        found.append({"number": number, **pooled, **{f"{name}_fold": value for name, value in by_fold.items()}})
    return pd.DataFrame(found)


class PublishedTable(NamedTuple):
    """A feature table as the authors deposited one.

    Attributes:
        table: (n, k) features by our names.
        target: (n,) true F1.
        groups: (n,) split of each; None if the file has no column for it.
        unused: columns that were not read.
    """

    table: pd.DataFrame
    target: Floats
    groups: list[str] | None
    unused: tuple[str, ...]


# Spellings in lower case, without anything but letters and digits.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    **{f"frac_0.{k}": tuple(f"{word}0{k}" for word in ("frac", "fraction", "counts", "count")) for k in range(1, 10)},
    "area_ratio": ("arearatio",),
    "mean_conf": ("meanconf", "meanconfidence", "averageconfidence", "averageconfidencescore", "avgconf"),
    "std_conf": ("stdconf", "stdconfidence", "stdconfidencescore", "standarddeviationofconfidencescore"),
    "mean_size": ("meansize", "averagesize", "avgsize"),
    "std_size": ("stdsize",),
    "mean_heywood": ("meanheywood", "averageheywood", "avgheywood", "averageshape", "avgshape", "meanshape"),
    "std_heywood": ("stdheywood", "stdshape"),
    "count": ("count", "counts", "numberofdefects", "defectcount", "defectcounts"),
    "image_conf": ("imageconf", "imageconfidence"),
    "f1": ("f1", "f1score", "truef1", "truef1score", "defectfindf1", "defectfindf1score"),
    "split": ("split", "splits", "notation", "datasubset"),
}


def read_published_table(
    path: Path, features: tuple[str, ...] = PUBLISHED_18, *, columns: Mapping[str, str] | None = None
) -> PublishedTable:
    """Features, true F1 and splits from a CSV or Excel file, such as the authors' figshare.27281400.

    Args:
        path: one row an image and split.
        features: what has to be in it, PUBLISHED_8 for a file with the final ones alone.
        columns: the file's name of a column by ours, where it is neither ours nor a word of the paper.

    Raises:
        RecordError: not readable, columns that are missing or twice there, values that cannot be what they should.
        DependencyMissing: an Excel file without openpyxl.
    """
    raw = _read_sheet(path)
    source = _find_columns(path, raw, features, columns or {})
    try:
        table = pd.DataFrame({name: pd.to_numeric(raw[source[name]]) for name in (*features, "f1")}, dtype=float)
    except (ValueError, TypeError) as error:
        raise RecordError(f"{path}: features and F1 are numbers; {error}") from error
    _check_values(path, table, features)
    groups = [str(name) for name in raw[source["split"]]] if "split" in source else None
    unused = tuple(str(name) for name in raw.columns if name not in source.values())
    return PublishedTable(table[list(features)], table["f1"].to_numpy(), groups, unused)


def _read_sheet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_excel(path) if path.suffix.lower() in (".xlsx", ".xls") else pd.read_csv(path)
    except ImportError as error:
        raise DependencyMissing(f"{path}: Excel files need openpyxl; pip install openpyxl, or save as CSV") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: wanted a CSV or Excel file with one row an image; {error}") from error


def _find_columns(
    path: Path, raw: pd.DataFrame, features: tuple[str, ...], named: Mapping[str, str]
) -> dict[str, str]:
    plain = {name: "".join(c for c in str(name).lower() if c.isalnum()) for name in raw.columns}
    source: dict[str, str] = {}
    for ours in (*features, "f1", "split"):
        spellings = [named[ours]] if ours in named else [c for c, word in plain.items() if word in _SPELLINGS[ours]]
        fits = [name for name in spellings if name in plain]
        if len(fits) > 1:
            raise RecordError(
                f"{path}: {', '.join(fits)} could all be {ours}; say which with columns={{{ours!r}: …}}"
            )
        if fits:
            source[ours] = fits[0]
    if missing := [ours for ours in (*features, "f1", *named) if ours not in source]:
        unknown = [str(name) for name in raw.columns if name not in source.values()]
        raise RecordError(
            f"{path} lacks {', '.join(missing)}; not recognised: {', '.join(unknown) or 'none'}. If one is meant, "
            "say so with columns={ours: theirs}"
        )
    return source


def _check_values(path: Path, table: pd.DataFrame, features: tuple[str, ...]) -> None:
    if not len(table) or not np.isfinite(table.to_numpy()).all():
        raise RecordError(
            f"{path}: wanted rows with all values; some are missing or not finite. Leave these rows out"
        )
    shares = [name for name in features if name.startswith("frac_")]
    bounded = [*shares, *(name for name in ("mean_conf", "image_conf", "mean_size") if name in features), "f1"]
    for name in bounded:
        if table[name].min() < 0 or table[name].max() > 1:
            raise RecordError(f"{path}: {name} lies in 0 to 1, as a share; here it goes to {table[name].max():g}")
    whole = table[shares].sum(axis=1).to_numpy()
    if len(shares) == 9 and not np.allclose(whole, whole > 0, atol=1e-3):  # rows without detection are zeros
        raise RecordError(f"{path}: the nine shares of scores add up to 1 in an image; here they do not")


def _mean_std(values: Floats, case: NDArray[np.int64], n: int) -> tuple[Floats, Floats]:
    """Of the values of each of n cases, the deviation divided by their number; 0 where there are none."""
    number = np.maximum(np.bincount(case, minlength=n), 1)
    mean = np.bincount(case, values, n) / number
    return mean, np.sqrt(np.bincount(case, (values - mean[case]) ** 2, n) / number)


def _heywood(kept: pd.DataFrame, case: NDArray[np.int64], n: int) -> tuple[Floats, Floats]:
    factor, area = (kept[name].to_numpy(float) for name in ("heywood", "area_px"))
    sides = kept[["row1", "col1"]].to_numpy(float) - kept[["row0", "col0"]].to_numpy(float)
    known = np.isfinite(factor)
    mean, std = _mean_std(factor[known], case[known], n)
    # A mask without a hull is a pixel or a line: it does not fill a box of two pixels a side. A box without one does.
    bare = ~known & (sides.min(axis=1, initial=np.inf) >= 2) & np.isclose(area, sides.prod(axis=1), rtol=1e-3)
    unknown = np.bincount(case[bare], minlength=n) > 0
    return np.where(unknown, np.nan, mean), np.where(unknown, np.nan, std)
