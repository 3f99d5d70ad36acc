"""The tables of the reproduced study: ours and the paper's forest, and what the paper prints, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.app.reproduce import BASELINES, FOREST, FOREST_18, OURS, Study, ablated, numbered
from epistem.app.reproduce_paper import BY_SUBSET, BY_TARGET, TRAINED_AND_TESTED, Printed
from epistem.core import Interval
from epistem.report.words import number
from epistem.stats.classification import Cut, confusion, sweep
from epistem.stats.conformal import Band, share_covered
from epistem.stats.regression import Errors, errors, rows_by
from epistem.trust.features import PUBLISHED_8
from epistem.trust.forecast import TARGETS
from epistem.trust.protocols import GROUPED, errors_by_split, mae_ratio, split_means
from epistem.trust.published import scored

ERRORS = ("rmse", "mae", "r2", "nrmse", "nmae")
PAPER = "printed"
SHOWN = ("random", "split")
"""Protocols of the figures: as published, and a whole split left out."""

WHO = {
    PAPER: "printed", FOREST: "forest", FOREST_18: "forest, 18 features", OURS: "ours",
    "ac": "mean score", "doc": "mean score, shifted", "atc": "score threshold", "cot": "optimal transport",
    "nuclear": "nuclear norm",
}  # fmt: skip
HOW = {
    "random": "random five folds", "image": "images kept whole", "split": "a split left out",
    "source": "a source left out", "detector": "a detector left out",
}  # fmt: skip
NAMES = {"rmse": "RMSE", "mae": "MAE", "r2": "R²", "nrmse": "NRMSE", "nmae": "NMAE"}
TARGET_NAMES = {"f1": "F1", "precision": "Precision", "recall": "Recall", "swelling_error": "Swelling error"}

Floats = NDArray[np.float64]


def kind_of(split: str) -> str:
    """Grouped if the test images are of another kind than the training images, else random."""
    return "grouped" if split in GROUPED else "random"


def splits_of(study: Study) -> list[str]:
    """Names of the splits: the paper's in its order, then others."""
    there = list(dict.fromkeys(study.split))
    return [name for name in TRAINED_AND_TESTED if name in there] + [n for n in there if n not in TRAINED_AND_TESTED]


def splits_table(study: Study) -> pd.DataFrame:
    """Table 1, with the numbers of images of Table 2 and how the true F1 lie."""
    f1, found = study.truth["f1"].to_numpy(), scored(study.table)
    rows = []
    for name in splits_of(study):
        here = np.array(study.split) == name
        trained, tested = TRAINED_AND_TESTED.get(name, ("", ""))
        printed = BY_SUBSET.get(name)
        rows.append({
            "split": name, "kind": kind_of(name), "trained_on": trained, "tested_on": tested,
            "n_printed": printed.n if printed else None, "n": int(here.sum()),
            "true_mean_printed": printed.true_mean if printed else None, "true_mean": float(f1[here].mean()),
            "true_sd_printed": printed.true_sd if printed else None, "true_sd": float(f1[here].std()),
            "nothing_found": int((here & ~found).sum()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def subsets_table(study: Study) -> pd.DataFrame:
    """Table 2, long: who, by which protocol, subset, n, the errors and the cases that are in none of them."""
    parts = [_printed_rows(BY_SUBSET, "subset")]
    for protocol in study.effort.protocols:
        for model in (FOREST, OURS):
            if (model, protocol, "f1") in study.said:
                parts.append(_errors(study, model, protocol, "f1").assign(model=model, protocol=protocol))
    return pd.concat(parts, ignore_index=True)[["model", "protocol", "subset", "n", *ERRORS, "left_out"]]


def targets_table(study: Study) -> pd.DataFrame:
    """Table 3, long: the same for all data, by what is predicted."""
    parts = [_printed_rows(BY_TARGET, "target")]
    for protocol in SHOWN:
        for model in (FOREST, OURS):
            for target in BY_TARGET:
                if (model, protocol, target) in study.said:
                    row = _errors(study, model, protocol, target).iloc[:1]
                    parts.append(row.assign(model=model, protocol=protocol, target=target))
    return pd.concat(parts, ignore_index=True)[["target", "model", "protocol", "n", *ERRORS, "left_out"]]


def protocols_table(study: Study) -> pd.DataFrame:
    """Everyone by every protocol, with MAE over that of the published forest; its interval from drawing splits."""
    rows: list[dict[str, Any]] = []
    for protocol in study.effort.protocols:
        for model in (FOREST, FOREST_18, OURS, *BASELINES):
            if (model, protocol, "f1") not in study.said:
                continue
            whole = _errors(study, model, protocol, "f1").iloc[0]
            ratio = None if model == FOREST else _ratio(study, model, FOREST, protocol)
            rows.append({
                "protocol": protocol, "model": model, "n": whole["n"],
                "fits": len(np.unique(study.said[model, protocol, "f1"].fold)),
                **{name: whole[name] for name in ("mae", "rmse", "r2", "bias")}, **_ends("ratio", ratio),
            })  # fmt: skip
    return pd.DataFrame(rows)


def ablation_table(study: Study) -> pd.DataFrame:
    """Ours on some of its parts, a split left out: errors, and MAE over that of all parts."""
    rows = []
    for model in (OURS, *(ablated(parts) for parts in study.effort.ablations)):
        if (model, "split", "f1") in study.said:
            whole = _errors(study, model, "split", "f1").iloc[0]
            ratio = None if model == OURS else _ratio(study, model, OURS, "split")
            rows.append({"model": model, **{name: whole[name] for name in ("n", "mae", "rmse", "r2")}})
            rows[-1] |= _ends("ratio", ratio)
    return pd.DataFrame(rows)


def coverage_table(study: Study, protocol: str) -> pd.DataFrame:
    """Of what is left out in turn, or of splits: share of truths inside ours' intervals, and their mean width.

    An image in which nothing was found has no interval and is counted as left out.
    """
    rows: list[dict[str, Any]] = []
    for target in TARGETS:
        if (OURS, protocol, target) not in study.said:
            continue
        truth = study.truth[target].to_numpy()
        low, high = (study.first(OURS, protocol, f"{target}_{end}") for end in ("low", "high"))
        known = np.isfinite(truth) & np.isfinite(low) & np.isfinite(high)
        parts = {"All data": np.ones(len(truth), bool)}
        parts |= {name: np.array(study.split) == name for name in splits_of(study)}
        for name, here in parts.items():
            kept = here & known
            share = share_covered(Band(low[kept], high[kept]), truth[kept])
            width = float((high - low)[kept].mean()) if kept.any() else None
            rows.append({"target": target, "subset": name, "n": int(kept.sum()), **_ends("coverage", share)})
            rows[-1] |= {"width": width, "left_out": int((here & ~known).sum())}
    return pd.DataFrame(rows)


def number_table(study: Study) -> pd.DataFrame:
    """Figure 4: errors of the forest on its best features, pooled and as means of the folds."""
    rows = []
    for k in study.effort.numbers:
        if (numbered(k), "random", "f1") in study.said:
            pooled, by_fold = (_errors(study, numbered(k), "random", "f1").iloc[row] for row in (0, 1))
            names = ("rmse", "r2", "mae")
            rows.append({
                "number": k, "added": study.ranking.features[k - 1],
                **{name: pooled[name] for name in names}, **{f"{name}_fold": by_fold[name] for name in names},
            })  # fmt: skip
    return pd.DataFrame(rows)


def ranking_table(study: Study) -> pd.DataFrame:
    """Figure 3: features by importance, and whether the published model has them."""
    ranking = study.ranking
    rows = [
        {"rank": k + 1, "feature": name, "importance": float(value), "published": name in PUBLISHED_8}
        for k, (name, value) in enumerate(zip(ranking.features, ranking.importance, strict=True))
    ]
    return pd.DataFrame(rows)


def confusion_of(study: Study, model: str, protocol: str, *, bins: int = 5) -> NDArray[np.int64]:
    """Figure 7: cases by the bin of true F1 (rows) and of the predicted one (columns)."""
    return confusion(study.truth["f1"].to_numpy(), study.first(model, protocol), bins=bins)


def cuts_of(study: Study, model: str, protocol: str) -> list[Cut]:
    """Figure 9: calling images good or not, from one F1 to the next."""
    return sweep(study.truth["f1"].to_numpy(), study.first(model, protocol))


def sweep_table(study: Study) -> pd.DataFrame:
    """The same of the forest and of ours, long."""
    parts = [
        pd.DataFrame(cuts_of(study, model, protocol)).assign(model=model, protocol=protocol)
        for model, protocol in shown_pairs(study)
    ]
    return pd.concat(parts, ignore_index=True)


def means_of(study: Study, model: str, protocol: str) -> pd.DataFrame:
    """Figure 6 b: mean and standard deviation of true and predicted F1 in each split."""
    return split_means(study.truth["f1"], study.first(model, protocol), study.split)


def errors_of_means(study: Study, model: str, protocol: str) -> Errors:
    """Errors of the means of the splits."""
    means = means_of(study, model, protocol)
    return errors(means["true"], means["predicted"])


def predictions_table(study: Study) -> pd.DataFrame:
    """Of each case who it is, its truth and what everyone said of F1, in the first repeat."""
    table = study.cases.images[["image", "source", "split", "detector"]].reset_index(drop=True)
    table = table.assign(nothing_found=~scored(study.table), f1=study.truth["f1"].to_numpy())
    said = {
        f"{model} by {protocol}": study.first(model, protocol)
        for model, protocol, target in study.said
        if target == "f1" and model in (FOREST, FOREST_18, OURS, *BASELINES)
    }
    return pd.concat([table, pd.DataFrame(said)], axis=1)


def shown_pairs(study: Study) -> list[tuple[str, str]]:
    """Model and protocol of what the figures show."""
    pairs = [(model, protocol) for model in (FOREST, OURS) for protocol in SHOWN]
    return [pair for pair in pairs if (*pair, "f1") in study.said]


def numbers(study: Study) -> dict[str, float | None]:
    """What the study comes to; None where these cases cannot tell."""
    found: dict[str, float | None] = {"n": len(study.cases), "nothing_found": int((~scored(study.table)).sum())}
    found |= {"true_mean": float(study.truth["f1"].mean()), "true_sd": float(study.truth["f1"].std(ddof=0))}
    for model, protocol in shown_pairs(study):
        for target in TARGETS:
            whole = _errors(study, model, protocol, target).iloc[0]
            found |= {f"{model}_{protocol}_{target}_{name}": _float(whole[name]) for name in ("mae", "rmse", "r2")}
    for protocol in ("split", "source", "detector"):
        if (OURS, protocol, "f1") in study.said:
            ratio = _ratio(study, OURS, FOREST, protocol)
            found |= _ends(f"{protocol}_mae_ratio", ratio)
    for protocol in SHOWN:
        table = coverage_table(study, protocol)
        if len(table):
            of_f1 = table[table["target"] == "f1"].set_index("subset")["coverage"]
            found[f"{protocol}_coverage"] = _float(of_f1["All data"])
            found[f"{protocol}_worst_split_coverage"] = _float(of_f1.drop("All data").min())
    return found


# ---------------------------------------------------------------- what they share


def _errors(study: Study, model: str, protocol: str, target: str) -> pd.DataFrame:
    said = study.said[model, protocol, target]
    return errors_by_split(study.truth[target], said.predicted[:, :, 0], said.fold, study.split)


def _ratio(study: Study, model: str, other: str, protocol: str) -> Interval | None:
    """Of the mean absolute errors over the repeats that both have; None where there is nothing to compare."""
    f1 = study.truth["f1"].to_numpy()
    ours, theirs = study.said[model, protocol, "f1"], study.said[other, protocol, "f1"]
    both = min(len(ours.predicted), len(theirs.predicted))
    a, b = (one.predicted[:both, :, 0].mean(axis=0) for one in (ours, theirs))
    known = np.isfinite(f1) & np.isfinite(a) & np.isfinite(b)
    groups = [name for name, kept in zip(study.split, known, strict=True) if kept]
    return mae_ratio(f1[known], a[known], b[known], groups) if known.any() else None


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _printed_rows(printed: Mapping[str, Printed], column: str) -> pd.DataFrame:
    rows = [
        {"model": PAPER, "protocol": "random", column: name, **{e: getattr(one, e) for e in ERRORS}, "n": one.n}
        for name, one in printed.items()
    ]
    return pd.DataFrame(rows)


def _float(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Its rows, by the names of the columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def row_of(table: pd.DataFrame, **where: str) -> Mapping[str, Any] | None:
    """The first row with these values; None where there is none."""
    kept: Sequence[bool] | NDArray[np.bool_] = np.ones(len(table), bool)
    for name, value in where.items():
        kept = kept & (table[name] == value).to_numpy()
    return dict(table[kept].iloc[0]) if np.any(kept) else None


def groups_of(study: Study) -> dict[str, Floats]:
    """Figure 5 a: true F1 by kind of split."""
    f1, kinds = study.truth["f1"].to_numpy(), np.array([kind_of(name) for name in study.split])
    return {f"{kind} splits": f1[kinds == kind] for kind in ("grouped", "random") if (kinds == kind).any()}


def rows_of_splits(study: Study) -> dict[str, NDArray[np.int64]]:
    """Cases of each split, splits in the order of the paper."""
    rows = {str(name): one for name, one in rows_by(study.split, len(study.split)).items()}
    return {name: rows[name] for name in splits_of(study)}


def times(repeats: int) -> str:
    """How often, in words."""
    return "once" if repeats == 1 else f"{repeats} times"


def title_of(model: str, protocol: str) -> str:
    """Who said it, by which protocol."""
    return WHO[model] if model == PAPER else f"{WHO[model]}, {HOW[protocol]}"


def rounded(value: float | None) -> str:
    """To the three decimals that the paper prints."""
    return number(value, decimals=3)
