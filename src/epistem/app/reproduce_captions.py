"""The figures of the reproduced study with their captions: protocol, number of images, what the paper prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from epistem.app import reproduce_figures as draw
from epistem.app import reproduce_paper as paper
from epistem.app import reproduce_tables as tables
from epistem.app.reproduce import Study
from epistem.app.reproduce_tables import HOW, NAMES, WHO, rounded, times, title_of
from epistem.core import Interval
from epistem.report.document import finite
from epistem.report.words import number, percent
from epistem.stats.classification import precision_recall
from epistem.trust.features import PUBLISHED_8


class Drawn(NamedTuple):
    """A figure of the page and its file; title and caption tell which of the paper's it is."""

    name: str
    svg: bytes
    title: str
    alt: str
    caption: str


def all_figures(study: Study) -> Iterator[Drawn]:
    """In the order of the paper, then those it has not."""
    truth, pairs = study.truth["f1"].to_numpy(), tables.shown_pairs(study)
    said = {title_of(*pair): study.first(*pair) for pair in pairs}
    names, n = tables.splits_of(study), len(study.cases)
    grouped = {name for name in names if tables.kind_of(name) == "grouped"}
    yield from _features(study)
    kinds = tables.groups_of(study)
    yield Drawn(
        "figure-5a-histogram", draw.f1_histogram(kinds), "Figure 5 (a): how well the detectors did",
        "Histogram of true F1 by kind of split",
        f"True F1 of {n} images at a score of 0.1, published matching. In the paper: grouped splits about uniform, "
        "over 80 images in every bin; random splits higher.",
    )  # fmt: skip
    yield Drawn(
        "figure-5b-split-means", draw.true_means(_split_points(study), kinds), "Figure 5 (b): mean true F1 of splits",
        "Mean and standard deviation of true F1 in each split",
        "Bars and bands are one standard deviation. The paper prints no means: the hollow marks are implied by its "
        "Table 2, MAE/NMAE ± RMSE/NRMSE.",
    )  # fmt: skip
    rows = tables.rows_of_splits(study)
    whole, means = paper.BY_SUBSET["All data"], paper.SPLIT_MEANS
    yield Drawn(
        "figure-6a-parity", draw.parity(truth, said, rows, grouped), "Figure 6 (a): predicted against true F1",
        "Predicted against true F1 of each image",
        f"{n} images; the forest on 8 features and ours; first of the random repeats, and each split left out in "
        f"turn. Printed for the forest by random folds: MAE {rounded(whole.mae)} (0.094 in the text), RMSE "
        f"{rounded(whole.rmse)}, R² {rounded(whole.r2)}. Here: {_errors_in_words(study, pairs)}.",
    )  # fmt: skip
    of_splits = {title_of(*pair): _means(study, *pair, names) for pair in pairs}
    yield Drawn(
        "figure-6b-parity-of-splits", draw.parity_of_means(of_splits, names, grouped),
        "Figure 6 (b): means of the splits", "Mean predicted against mean true F1 of each split",
        f"Bars are one standard deviation of images. Printed for the {len(paper.TRAINED_AND_TESTED)} means of the "
        f"forest by random folds: MAE {rounded(means.mae)}, RMSE {rounded(means.rmse)}, R² {rounded(means.r2)}. "
        f"Here: {_means_in_words(study, pairs)}.",
    )  # fmt: skip
    counts = {title_of(*pair): tables.confusion_of(study, *pair) for pair in pairs}
    yield Drawn(
        "figure-7-confusion", draw.confusion_matrices(counts), "Figure 7: true and predicted F1 in bins",
        "Number of images by bin of true and of predicted F1",
        f"{n} images; the shade is the share of the row. The paper prints neither "
        "counts nor its bins.",
    )  # fmt: skip
    yield from _good_or_not(study, pairs)
    yield from _beyond(study)


def _features(study: Study) -> Iterator[Drawn]:
    ranking, n = study.ranking, len(study.cases)
    top, published = ranking.features[: len(PUBLISHED_8)], set(PUBLISHED_8)
    shared = [name for name in top if name in published]
    told = (
        f"Forest on all 18 features of {n} images, fitted and explained on all of them as in the paper. "
        f"Of the first eight here, {len(shared)} are among the eight that the paper keeps "
        f"({', '.join(PUBLISHED_8)}). The paper names a high frac_0.9 (its counts_0.9) as what raises F1; first here "
        f"is {top[0]}."
    )
    if ranking.shap is None:
        svg = draw.importance_bars(ranking.features, ranking.importance, label="Loss of R² if it is shuffled")
        told += " shap is not installed: importance by permutation instead."
    else:
        svg = draw.shap_summary(ranking.features, ranking.shap, study.table[list(ranking.features)].to_numpy(float))
    yield Drawn("figure-3-features", svg, "Figure 3: what moves the forecast", "Weight of each feature", told)
    curve = tables.number_table(study)
    if len(curve):
        best = curve.iloc[int(np.argmin(curve["rmse"]))]
        curves = {NAMES[name]: curve[name].to_numpy(float) for name in ("rmse", "r2", "mae")}
        yield Drawn(
            "figure-4-number-of-features", draw.error_curves(curve["number"].tolist(), curves, mark=len(PUBLISHED_8)),
            "Figure 4: how many features", "Errors against the number of features",
            f"Random five folds, {times(study.effort.repeats_number)}, {n} images; features in the order of Figure "
            f"3, which has seen all images. Lowest RMSE here with {best['number']:.0f} features ({best['rmse']:.4f}; "
            f"with 8 {_at(curve, 8)}); in the paper with 8, dotted. It says between 5 and 19, but lists 18 features.",
        )  # fmt: skip


def _good_or_not(study: Study, pairs: Sequence[tuple[str, str]]) -> Iterator[Drawn]:
    truth, n = study.truth["f1"].to_numpy(), len(study.cases)
    good = int((truth >= paper.CUT).sum())
    cuts = {title_of(*pair): tables.cuts_of(study, *pair) for pair in pairs}
    if good:
        curves = {title_of(*pair): precision_recall(truth, study.first(*pair), good=paper.CUT) for pair in pairs}
        at = {who: next(one for one in sweep if one.at == paper.CUT) for who, sweep in cuts.items()}
        stars = {
            w: (o.recall, o.precision) for w, o in at.items() if o.recall is not None and o.precision is not None
        }
        words = "; ".join(
            f"{who} {number(p, decimals=2)} and {number(r, decimals=2)}" for who, (r, p) in stars.items()
        )
        yield Drawn(
            "figure-8-precision-recall",
            draw.precision_recall_curves(curves, stars, (paper.CUT_RECALL, paper.CUT_PRECISION)),
            "Figure 8: is F1 at least 0.5", "Precision against recall of calling images good",
            f"{good} of {n} images have a true F1 of 0.5 or more (no skill: {good / n:.2f}). Stars: called by a "
            f"predicted F1 of 0.5 or more. Precision and recall there: printed {paper.CUT_PRECISION} and "
            f"{paper.CUT_RECALL}; {words}.",
        )  # fmt: skip
    yield Drawn(
        "figure-9-sweep", draw.threshold_sweep(cuts), "Figure 9: from which F1 an image is good",
        "Classification scores against the threshold on F1",
        f"{n} images; truth and prediction are cut at the same F1. Crosses: calling all images what most of them "
        f"are. In the paper {paper.SWEEP}, falling from 0.1 to 0.7.",
    )  # fmt: skip


def _beyond(study: Study) -> Iterator[Drawn]:
    table = tables.protocols_table(study)
    rows: dict[str, dict[str, float]] = {}
    for one in tables.records(table):
        rows.setdefault(HOW[one["protocol"]], {})[WHO[one["model"]]] = one["mae"]
    yield Drawn(
        "protocols-mae", draw.dots(rows, label="Mean absolute error of F1"), "Errors by what is left out",
        "Mean absolute error of each forecast by each protocol",
        f"{len(study.cases)} images; farther left is better. Of these the paper has the forest by random folds "
        f"alone: MAE {rounded(paper.BY_SUBSET['All data'].mae)}.",
    )  # fmt: skip
    covered = tables.coverage_table(study, "split")
    f1 = covered[(covered["target"] == "f1") & covered["coverage"].notna()] if len(covered) else covered
    if len(f1):
        ends = {
            r["subset"]: Interval(r["coverage_low"], r["coverage"], r["coverage_high"], 0.9) for _, r in f1.iterrows()
        }
        asked = study.effort.how.coverage
        yield Drawn(
            "coverage", draw.shares(ends, label="Share of true F1 inside its interval",
                                    lines={asked: f"asked {percent(asked)}", 0.8: "least wanted of a split"}),
            "Do the intervals of a new split hold", "Coverage of each left-out split",
            f"Intervals of {percent(asked)} for F1 by ours, each split left out in turn, with 90 % binomial "
            "intervals of the share. The paper has no intervals.",
        )  # fmt: skip


def _at(curve: pd.DataFrame, features: int) -> str:
    row = curve[curve["number"] == features]
    return f"{row['rmse'].iloc[0]:.4f}" if len(row) else "not tried"


def _errors_in_words(study: Study, pairs: Sequence[tuple[str, str]]) -> str:
    found = tables.numbers(study)
    told = []
    for model, protocol in pairs:
        mae, rmse, r2 = (rounded(found[f"{model}_{protocol}_f1_{name}"]) for name in ("mae", "rmse", "r2"))
        told.append(f"{title_of(model, protocol)} {mae}, {rmse}, {r2}")
    return "; ".join(told)


def _means_in_words(study: Study, pairs: Sequence[tuple[str, str]]) -> str:
    told = []
    for pair in pairs:
        one = tables.errors_of_means(study, *pair)
        told.append(f"{title_of(*pair)} {rounded(one.mae)}, {rounded(one.rmse)}, {rounded(one.r2)}")
    return "; ".join(told)


def _means(study: Study, model: str, protocol: str, names: Sequence[str]) -> draw.Means:
    table = tables.means_of(study, model, protocol).set_index("split").loc[list(names)]
    return draw.Means(*(table[name].to_numpy(float) for name in ("true", "true_sd", "predicted", "predicted_sd")))


def _split_points(study: Study) -> list[draw.SplitPoint]:
    return [
        draw.SplitPoint(
            row["split"], row["kind"] == "grouped", row["true_mean"], row["true_sd"],
            finite(row["true_mean_printed"]), finite(row["true_sd_printed"]),
        )
        for row in tables.records(tables.splits_table(study))
    ]  # fmt: skip
