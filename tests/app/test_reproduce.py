"""The published study done again: truth and zeros as there, folds kept, printed numbers beside ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from epistem.app import reproduce as study_module
from epistem.app import reproduce_cli, reproduce_figures, reproduce_tables
from epistem.app.cli import app
from epistem.app.reproduce import FOREST, OURS, Effort, Study, StudyCases, reproduce
from epistem.app.reproduce_page import all_tables, page_of, write_study
from epistem.app.reproduce_paper import BY_SUBSET, TRAINED_AND_TESTED
from epistem.app.reproduce_store import Store
from epistem.core import RecordError, SettingsError
from epistem.report.document import Notice
from epistem.stats.classification import precision_recall
from epistem.stats.regression import errors
from epistem.trust.cases import Cases
from epistem.trust.features import PUBLISHED_8
from epistem.trust.forecast import Forecaster, How
from epistem.trust.profiles import CONTRAST
from epistem.trust.protocols import GROUPED, random_folds
from epistem.trust.published import PublishedForecast, published_table, published_targets, rank_features

SPLITS = {"B_A": ("B", "A:over"), "A_B": ("A", "B"), "A_A": ("A", "A:under"), "B_B": ("B", "B")}
TINY = Effort(
    repeats=2, repeats_number=1, protocols=("random", "split"), numbers=(5,), ablations=(("published",),),
    how=How(rounds=2, trees=2, folds=2),
)  # fmt: skip
EMPTY = 3  # the case in which nothing was found


def made_up(per_split: int = 20, *, detector: str | None = None, seed: int = 0) -> StudyCases:
    """Images of a hidden quality, which the scores, the right objects and the counts follow; nothing in case 3."""
    rng = np.random.default_rng(seed)
    images, objects = [], []
    for case in range(per_split * len(SPLITS)):
        split = list(SPLITS)[case % len(SPLITS)]
        quality, n = rng.uniform(), 0 if case == EMPTY else int(rng.integers(6, 12))
        right = rng.uniform(size=n) < quality
        score = np.clip(0.15 + 0.7 * quality * right + rng.uniform(0, 0.15, n), 0.1, 0.99)
        place, side = rng.uniform(0, 200, (n, 2)), rng.uniform(6, 20, n)
        missed = int(rng.integers(0, 4)) + (case == EMPTY)
        tp = int(right.sum())
        images.append({
            "case": case, "image": f"im{case}", "source": SPLITS[split][1], "split": split,
            "detector": detector or SPLITS[split][0], "rows": 256, "cols": 256, "pixel_nm": 0.5,
            "q_noise": 1 - quality, "q_neighbour": rng.uniform(),
            "asked": tp + missed, "asked_d3_px3": 2000.0 * (tp + missed), "asked_d_px": 12.0,
            "paper_tp": tp, "paper_fp": n - tp, "paper_fn": missed,
        })  # fmt: skip
        objects.append(pd.DataFrame({
            "score": score, "row0": place[:, 0], "col0": place[:, 1], "row1": place[:, 0] + side,
            "col1": place[:, 1] + side, "area_px": side**2, "diameter_px": side, "heywood": rng.uniform(1, 1.1, n),
            **{name: np.ones(n) for name in CONTRAST}, "c_core": -quality * np.ones(n), "c_rim": rng.normal(size=n),
            "right": right, "neither": np.zeros(n, bool),
        }).astype({"score": np.float32}).assign(case=case))  # fmt: skip
    return StudyCases(pd.DataFrame(images), pd.concat(objects, ignore_index=True), {"weights": {"A": "abc"}})


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def study(kept: Path) -> Study:
    return reproduce(made_up(), kept, effort=TINY, step=silent)


# ---------------------------------------------------------------- the paper


def test_printed_rows_weighted_with_their_numbers_give_the_printed_first_row() -> None:
    rows = [BY_SUBSET[name] for name in TRAINED_AND_TESTED]
    n = np.array([row.n for row in rows], float)
    assert n.sum() == BY_SUBSET["All data"].n
    assert round(float(n @ [row.mae for row in rows] / n.sum()), 3) == BY_SUBSET["All data"].mae
    assert round(float(np.sqrt(n @ np.square([row.rmse for row in rows]) / n.sum())), 3) == BY_SUBSET["All data"].rmse


@pytest.mark.parametrize("kind", ["grouped", "random"])
def test_printed_averages_are_those_of_the_printed_splits(kind: str) -> None:
    rows = [BY_SUBSET[name] for name in TRAINED_AND_TESTED if (name in GROUPED) == (kind == "grouped")]
    assert len(rows) == 5
    assert np.mean(rows, axis=0) == pytest.approx(BY_SUBSET[f"Average of {kind} splits"], abs=6e-4)


def test_the_spread_that_the_printed_errors_imply_is_the_one_ours_is_held_against() -> None:
    whole = BY_SUBSET["All data"]
    assert (whole.true_mean, whole.true_sd) == pytest.approx((0.557, 0.267), abs=5e-4)


# ---------------------------------------------------------------- the study


def test_truth_is_of_the_published_matching_also_for_parts_of_the_cases() -> None:
    cases = made_up(4)
    cases.images["paper_tp"] = 1
    assert type(cases.where(np.arange(len(cases)) < 5)) is StudyCases
    pd.testing.assert_frame_equal(cases.truth(0.1), published_targets(cases)[["f1", "precision", "recall"]])
    assert not cases.truth(0.1)["f1"].equals(Cases(cases.images, cases.objects).truth(0.1)["f1"])
    with pytest.raises(SettingsError, match=r"score of 0\.1"):
        cases.truth(0.5)


def test_the_forest_by_random_folds_is_the_published_one(study: Study) -> None:
    table, f1 = published_table(study.cases), study.truth["f1"].to_numpy()
    fold = random_folds(study.cases.images)[0]
    model = PublishedForecast(PUBLISHED_8).fit(table.iloc[fold.train], f1[fold.train])
    found = fold.test[fold.test != EMPTY]
    assert study.first(FOREST, "random")[found].tolist() == model.predict(table.iloc[found]).tolist()


def test_where_nothing_was_found_all_say_zero_without_interval(study: Study) -> None:
    assert study.truth["f1"][EMPTY] == 0
    for model in study.models("split"):
        assert study.first(model, "split")[EMPTY] == 0
    assert (study.first(FOREST, "random") > 0).sum() == len(study.cases) - 1
    assert np.isnan(study.first(OURS, "split", "f1_low")[EMPTY])
    table = reproduce_tables.coverage_table(study, "split")
    whole = table[(table["subset"] == "All data") & (table["target"] == "f1")].iloc[0]
    assert (whole["n"], whole["left_out"]) == (len(study.cases) - 1, 1)


def test_ours_of_a_left_out_split_has_learnt_from_the_others_alone(study: Study) -> None:
    rows = np.array(study.split) == "B_B"
    how = How(scores=(0.1,), rounds=2, trees=2, folds=10, group="split")
    expected = Forecaster(how).fit(study.cases.where(~rows)).expect(study.cases.where(rows), 0.1)
    assert np.array_equal(study.first(OURS, "split")[rows], np.nan_to_num(expected["f1"].value))
    assert np.array_equal(study.first(OURS, "split", "recall_high")[rows], expected["recall"].high, equal_nan=True)


def test_a_second_run_reads_every_fold(study: Study, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(Forecaster, "fit", never)
    monkeypatch.setattr(PublishedForecast, "fit", never)
    again = reproduce(made_up(), kept, effort=TINY, step=silent)
    assert again.said.keys() == study.said.keys()
    assert all(
        np.array_equal(again.said[k].predicted, one.predicted, equal_nan=True) for k, one in study.said.items()
    )
    assert again.ranking.features == study.ranking.features


def test_a_stopped_run_keeps_the_folds_that_are_done(tmp_path: Path) -> None:
    def stop(what: str, done: int, _of: int) -> None:
        if what == "Published forest" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(made_up(), tmp_path, effort=TINY, step=stop)
    assert len(list(tmp_path.iterdir())) == 1 + 3  # the ranking, three folds


def test_other_cases_or_another_name_are_not_taken_for_those_kept(tmp_path: Path) -> None:
    cases, other = made_up(4), made_up(4)
    other.objects.loc[0, "right"] = ~other.objects.loc[0, "right"]
    store, rows = Store(tmp_path, cases), (np.arange(3),)
    assert store.get("a", rows, lambda: np.zeros(3)).tolist() == [0, 0, 0]
    assert store.get("a", rows, lambda: np.ones(3)).tolist() == [0, 0, 0]
    assert store.get("b", rows, lambda: np.ones(3)).tolist() == [1, 1, 1]
    assert store.get("a", (np.arange(2),), lambda: np.ones(2)).tolist() == [1, 1]
    assert Store(tmp_path, other).get("a", rows, lambda: np.ones(3)).tolist() == [1, 1, 1]


def test_the_kept_ranking_is_the_one_that_was_made(study: Study) -> None:
    made = rank_features(study.table, study.truth["f1"])
    assert made.features == study.ranking.features
    assert made.how == study.ranking.how
    assert np.array_equal(made.importance, study.ranking.importance)
    assert made.shap is None or np.array_equal(made.shap, study.ranking.shap)


def test_a_protocol_that_the_cases_do_not_allow_is_left_out_and_told() -> None:
    effort = Effort(protocols=("random", "detector", "source"))
    folds, impossible = study_module._dealt(made_up(20, detector="A"), effort)
    assert list(folds) == ["random"]
    assert "no case is left" in impossible["detector"]
    assert "50 cases or more; of one fold 40 would be left" in impossible["source"]


def test_cases_without_names_are_refused(tmp_path: Path) -> None:
    cases = made_up(4)
    cases.images["detector"] = ""
    with pytest.raises(SettingsError, match="detector"):
        reproduce(cases, tmp_path, effort=TINY, step=silent)


# ---------------------------------------------------------------- tables


def test_table_2_has_the_printed_rows_and_the_same_of_both_for_each_protocol(study: Study) -> None:
    table = reproduce_tables.subsets_table(study)
    printed = reproduce_tables.row_of(table, model="printed", protocol="random", subset="B_A")
    assert printed is not None
    assert (printed["mae"], printed["n"]) == (0.188, 28)
    f1, rows = study.truth["f1"].to_numpy(), np.array(study.split) == "B_A"
    for model in (FOREST, OURS):
        here = reproduce_tables.row_of(table, model=model, protocol="split", subset="B_A")
        assert here is not None
        assert here["mae"] == pytest.approx(errors(f1[rows], study.first(model, "split")[rows]).mae)
    assert reproduce_tables.row_of(table, model=OURS, protocol="detector", subset="B_A") is None


def test_ratios_are_of_the_same_images_and_repeats(study: Study) -> None:
    table = reproduce_tables.protocols_table(study).set_index(["protocol", "model"])
    mae = table["mae"]
    assert table.loc[("split", OURS), "ratio"] == pytest.approx(mae["split", OURS] / mae["split", FOREST])
    assert np.isnan(float(table.loc[("split", FOREST), "ratio"]))
    assert table.loc[("random", FOREST), "fits"] == 10


def test_swelling_and_precision_count_the_images_without_that_truth(study: Study) -> None:
    table = reproduce_tables.targets_table(study)
    precision = reproduce_tables.row_of(table, model=FOREST, protocol="random", target="precision")
    assert precision is not None
    assert (precision["n"], precision["left_out"]) == (len(study.cases) - 1, 1)
    assert reproduce_tables.row_of(table, model=OURS, protocol="random", target="swelling_error") is None


def test_numbers_are_those_of_the_tables(study: Study) -> None:
    found = reproduce_tables.numbers(study)
    table = reproduce_tables.protocols_table(study).set_index(["protocol", "model"])
    assert found["ours_split_f1_mae"] == table.loc[("split", OURS), "mae"]
    assert found["split_mae_ratio_high"] == table.loc[("split", OURS), "ratio_high"]
    covered = reproduce_tables.coverage_table(study, "split").query("target == 'f1'").set_index("subset")["coverage"]
    assert found["split_worst_split_coverage"] == covered.drop("All data").min()


# ---------------------------------------------------------------- figures and page


def test_figures_stand_with_one_kind_one_split_and_nothing_called_good() -> None:
    truth, said = np.array([0.2, 0.4, 0.6]), np.array([0.1, 0.2, 0.3])
    made = [
        reproduce_figures.f1_histogram({"random splits": truth}),
        reproduce_figures.parity(truth, {"forest": said}, {"A_A": np.arange(3)}, set()),
        reproduce_figures.confusion_matrices({"forest": np.zeros((5, 5), np.int64)}),
        reproduce_figures.precision_recall_curves({"forest": precision_recall(truth, said)}, {}, (0.9, 0.9)),
        reproduce_figures.shap_summary(["count"], np.zeros((3, 1)), truth[:, None]),
        reproduce_figures.importance_bars(["count"], [0.1], label="Loss"),
    ]
    assert all(ElementTree.fromstring(svg).tag.endswith("svg") for svg in made)


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(study, tmp_path_factory.mktemp("study")).parent


def test_the_folder_has_page_tables_and_figures(study: Study, folder: Path) -> None:
    names = {path.stem for path in (folder / "tables").iterdir()}
    assert {"table-1-splits", "table-2-subsets", "table-3-targets", "protocols", "ablation", "predictions"} <= names
    drawn = sorted(path.stem for path in (folder / "figures").iterdir())
    assert {name.split("-")[1][0] for name in drawn if name.startswith("figure")} == set("3456789")
    page = (folder / "index.html").read_text("utf-8")
    assert page.count("<figure") == len(drawn)
    assert "Micrograph report" not in page
    found = reproduce_tables.numbers(study)
    assert f"<td>{found['forest8_random_f1_mae']:.3f}" in re.sub(r"<td[^>]*>\s*", "<td>", page)
    assert "0.774" in page
    assert len(pd.read_csv(folder / "tables" / "predictions.csv")) == len(study.cases)
    assert json.loads((folder / "numbers.json").read_text())["nothing_found"] == 1


def test_a_spread_unlike_the_papers_is_told_at_the_top(study: Study) -> None:
    narrow = Study(**{**vars(study), "truth": study.truth.assign(f1=0.6 + 0.1 * study.truth["f1"])})
    first, *_ = page_of(narrow, all_tables(narrow), {}).sections
    warned = [block.text for block in first.blocks if isinstance(block, Notice) and block.level == "warning"]
    assert len(warned) == 1
    assert "in the paper 0.55 and 0.27" in warned[0]
    assert "comparable with the printed ones: here not" in warned[0]


# ---------------------------------------------------------------- command line


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, kept: Path) -> Callable[..., tuple[int, str]]:
    """Runs the command with little effort, on folds that are done."""

    def little(cases: StudyCases, _folds: Path, *, step: study_module.Step) -> Study:
        return reproduce(cases, kept, effort=TINY, step=step)

    monkeypatch.setattr(study_module, "reproduce", little)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["reproduce", "forecast", *arguments], catch_exceptions=False)
        return result.exit_code, result.stdout

    return run


def test_the_command_makes_the_same_page_of_saved_cases(
    cli: Callable[..., tuple[int, str]], folder: Path, tmp_path: Path
) -> None:  # fmt: skip
    made_up().save(tmp_path / "cases")
    code, told = cli("--out", str(tmp_path / "out"), "--cases", str(tmp_path / "cases"), "--json")
    assert code == 0
    record = json.loads(told)
    assert record["n"] == 80
    made = Path(record["page"]).parent
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert all((made / one).read_bytes() == (folder / one).read_bytes() for one in files)


def test_missing_cases_and_two_origins_are_refused(
    cli: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    out = ("--out", str(tmp_path / "out"))
    with pytest.raises(SettingsError, match="either --cases"):
        cli(*out, "--cases", str(tmp_path), "--from-scratch")
    monkeypatch.setattr("importlib.resources.files", lambda _package: tmp_path)
    with pytest.raises(RecordError, match="--from-scratch"):
        reproduce_cli._read(None)


def test_a_stopped_command_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stopped(_cases: StudyCases, _folds: Path, *, step: study_module.Step) -> Study:
        step("Our forecast", 2, 9)
        raise KeyboardInterrupt

    monkeypatch.setattr(study_module, "reproduce", stopped)
    made_up(4).save(tmp_path / "cases")
    arguments = ["--out", str(tmp_path / "out"), "--cases", str(tmp_path / "cases"), "--json"]
    result = CliRunner().invoke(app, ["reproduce", "forecast", *arguments])
    assert result.exit_code == 130
    assert "after our forecast 2 of 9" in json.loads(result.stdout)["stopped"]
