from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import tifffile
from sklearn.ensemble import HistGradientBoostingClassifier
from typer.testing import CliRunner

from epistem.app import forecast as work
from epistem.app.cli import app, main
from epistem.app.forecast_check import compare, judge
from epistem.app.forecast_table import print_compared
from epistem.core import Calibration, EpistemError, Instances, Micrograph, RecordError, SettingsError
from epistem.report.export import write_coco
from epistem.trust.cases import Cases, case_of, gather
from epistem.trust.forecast import Expected, Forecaster, How
from epistem.trust.forecast import _folds as folds_of
from epistem.trust.protocols import Fold, dealt_folds
from epistem.trust.regressors import Regressor

SHAPE = (64, 64)
Pair = tuple[Instances, Instances]


def pair(seed: int, n: int = 4) -> Pair:
    """Found and true squares of one image; the worse it is, the lower the scores and the more of them are wrong."""
    rng = np.random.default_rng(seed)
    good = rng.uniform(0.1, 1)
    right = rng.random(n) < good
    score = np.clip(0.25 + 0.6 * good * right + rng.normal(0, 0.08, n), 0.05, 0.99)
    side = rng.integers(4, 9)
    corners = [(2 + 16 * int(k // 4), 2 + 16 * int(k % 4)) for k in rng.permutation(16)[: n + 2]]
    boxes = np.array([[row, col, row + side, col + side] for row, col in corners], float)
    there = np.append(right, rng.random(2) > good)
    crops = tuple(np.ones((side, side), bool) for _ in boxes)
    found = Instances.from_boxes(SHAPE, boxes[:n], score, crops=crops[:n])
    return found, Instances.from_boxes(SHAPE, boxes[there], crops=crops[: int(there.sum())])


def picture(seed: int) -> Micrograph:
    """Noise in which what is true is brighter."""
    pixels = np.random.default_rng(seed).normal(1000, 100, SHAPE)
    for row0, col0, row1, col1 in pair(seed)[1].boxes.astype(int):
        pixels[row0:row1, col0:col1] += 150
    return Micrograph(pixels.astype(np.uint16), Calibration(0.5, 0.5, "user"))


def cases_of(n: int, *, detector: str = "theirs", start: int = 0, images: bool = True) -> Cases:
    rows = []
    for k, seed in enumerate(range(start, start + n)):
        about = {"image": f"{k:03d}", "source": "xyz"[k % 3], "split": "uv"[k % 2], "detector": detector}
        rows.append(case_of(*pair(seed), picture(seed) if images else None, **about))
    return gather(rows, {"weights": {detector: "0123456789abcdef"}})


class Written(NamedTuple):
    found: Path
    true: Path
    images: Path


def written(root: Path, n: int, *, start: int = 0) -> Written:
    """Images with found and true objects as a person has them."""
    files = Written(root / "found.json", root / "true.json", root / "images")
    files.images.mkdir(parents=True)
    seeds = {f"{k:03d}.tif": start + k for k in range(n)}
    for side in (0, 1):
        write_coco(files[side], [(name, pair(seed)[side]) for name, seed in seeds.items()])
    for name, seed in seeds.items():
        scale: Any = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "nm", "axes": "YX"}}
        tifffile.imwrite(files.images / name, picture(seed).pixels, **scale)
    return files


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Few trees: these tests are of the commands."""

    def few(**how: Any) -> Any:
        return HistGradientBoostingClassifier(**{**how, "max_iter": 5})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.ensemble.HistGradientBoostingClassifier", few)
        patch.setattr(
            Forecaster, "_regressor", lambda self, target: Regressor(5, 5, self.how.seed, expected=f"e_{target}")
        )
        patch.setattr("epistem.trust.forecast._folds", lambda cases, how: folds_of(cases, replace(how, folds=2)))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 cases."""
    folder = tmp_path_factory.mktemp("cases")
    cases_of(64).save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    """A forecast fitted on them, for two scores."""
    path = folder.parent / "theirs.npz"
    run("fit", folder, "--out", path, "--scores", "0.3,0.5")
    return path


def run(*words: object) -> Any:
    """What the command printed; JSON is read."""
    result = CliRunner().invoke(app, ["forecast", *map(str, words)])
    if isinstance(result.exception, EpistemError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in words else " ".join(result.output.split())


# ---------------------------------------------------------------- fit


def test_fit_says_on_what_and_how_far_off_on_images_held_out(folder: Path, tmp_path: Path) -> None:
    told = run("fit", folder, "--out", tmp_path / "f.npz", "--scores", "0.5")
    assert "Fitted on 64 cases (64 images, 256 masks of theirs, with the images)" in told
    assert "Images held out, objects from a score of 0.5 up" in told
    assert "Left out: nothing found" in told
    assert "64 cases are few: under 200" in told


def test_fit_as_json_has_errors_with_intervals(folder: Path, tmp_path: Path) -> None:
    told = run("fit", folder, "--out", tmp_path / "f.npz", "--scores", "0.3,0.9", "--json")
    assert told["about"]["detectors"] == {"theirs": "0123456789abcdef"}
    assert (told["about"]["detector"], told["about"]["weights"]) == ("theirs", "0123456789abcdef")
    assert (told["scores"], told["skipped_scores"], told["checked_at"]) == ([0.3], [0.9], 0.3)
    f1 = told["held_out"]["f1"]
    assert 0 < f1["mae"]["low"] < f1["mae"]["value"] < f1["mae"]["high"] < 0.5
    assert f1["coverage"]["low"] < f1["coverage"]["value"]


def test_fit_takes_detections_and_truth_of_any_tool(tmp_path: Path) -> None:
    own = written(tmp_path / "own", 52)
    told = run(
        "fit", own.found, own.true, "--images", own.images, "--out", tmp_path / "f.npz", "--scores", "0.3", "--json"
    )  # fmt: skip
    assert told["about"]["cases"] == 52
    assert told["held_out"] is None
    assert any("No --detector was told" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("n", "words", "says"),
    [
        (49, [], "50 cases or more, 49 came"),
        (50, ["--scores", "1.5"], "scores are rising"),
        (50, ["--scores", "high"], "wants numbers"),
        (50, ["--scores", "0.9"], "something is found with a score of 0.9"),
        (50, ["--group", "detector"], "two groups or more"),
    ],
)
def test_fit_refuses_in_clear_words(tmp_path: Path, n: int, words: list[str], says: str) -> None:
    cases_of(n).save(tmp_path / "cases")
    with pytest.raises(SettingsError, match=says):
        run("fit", tmp_path / "cases", "--out", tmp_path / "f.npz", *words)
    assert not (tmp_path / "f.npz").exists()


def test_a_fitted_file_has_its_ending(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ends in \.npz"):
        run("fit", folder, "--out", tmp_path / "f.pkl")


# ---------------------------------------------------------------- predict, next


def test_predict_expects_more_of_an_image_with_surer_objects(model: Path, tmp_path: Path) -> None:
    new = written(tmp_path / "new", 12, start=500)
    told = run("predict", new.found, "--model", model, "--json")
    f1 = [one["forecast"]["f1"] for one in told["images"]]
    known = [k for k, one in enumerate(f1) if one]
    assert all(f1[k]["low"] <= f1[k]["value"] <= f1[k]["high"] for k in known)
    sure = [float(pair(500 + k)[0].score.mean()) for k in known]
    assert np.corrcoef(sure, [f1[k]["value"] for k in known])[0, 1] > 0.5


def test_an_image_in_which_nothing_is_found_is_unscored_and_counted(model: Path, tmp_path: Path) -> None:
    sure = Instances.from_labels(np.kron(np.arange(4).reshape(2, 2), np.ones((32, 32), int)), [0.9, 0.8, 0.7])
    write_coco(tmp_path / "f.json", [("a.tif", sure), ("b.tif", Instances.empty(SHAPE))])
    told = run("predict", tmp_path / "f.json", "--model", model)
    assert "b: Unscored: nothing was found with a score of 0.5 or more." in told
    assert ", 1 unscored (no forecast: nothing was found)." in told
    as_json = run("predict", tmp_path / "f.json", "--model", model, "--json")
    assert as_json["unscored"] == 1
    assert as_json["images"][1]["forecast"]["f1"] is None


def test_the_score_snaps_to_a_fitted_one_and_says_so(model: Path, tmp_path: Path) -> None:
    new = written(tmp_path / "new", 3)
    told = run("predict", new.found, "--model", model, "--min-score", "0.37", "--json")
    assert told["images"][0]["forecast"]["used_score"] == 0.3
    assert any("0.3: the nearest to the 0.37 asked for" in note for note in told["notes"])
    with pytest.raises(SettingsError, match="0 to 1, not"):
        run("predict", new.found, "--model", model, "--min-score", "1.5")


def test_predict_writes_a_row_an_image_as_csv(model: Path, tmp_path: Path) -> None:
    new = written(tmp_path / "new", 3)
    run("predict", new.found, "--model", model, "--min-score", "0.3", "--out", tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["000", "001", "002"]
    assert float(rows[0]["f1 low"]) <= float(rows[0]["f1"]) <= float(rows[0]["f1 high"])
    assert rows[0]["verdict"] in ("accept", "review", "refuse")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--detector", "other"], r"is of theirs \(weights 0123456789abcdef\), these are detections of other"),
        (["--detector", "theirs", "--weights", "ffff"], "these are of weights ffff"),
        (["--weights", "ffff"], "these are of weights ffff"),
    ],
)
def test_another_detector_or_other_weights_are_refused(
    model: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    new = written(tmp_path / "new", 3)
    with pytest.raises(SettingsError, match=says):
        run("predict", new.found, "--model", model, *words)
    assert run("predict", new.found, "--model", model, "--detector", "theirs", "--weights", "01234567", "--json")[
        "images"
    ]


def test_boxes_are_refused_where_masks_were_fitted(model: Path, tmp_path: Path) -> None:
    found = pair(1)[0]
    boxes = Instances.from_boxes(SHAPE, found.boxes, found.score)
    write_coco(tmp_path / "f.json", [("a.tif", boxes)])
    with pytest.raises(SettingsError, match="fitted on masks, these are boxes without masks"):
        run("predict", tmp_path / "f.json", "--model", model)


def test_detections_cut_at_a_high_score_are_told(model: Path, tmp_path: Path) -> None:
    whole = [pair(seed)[0] for seed in range(30)]
    sure = [found[np.flatnonzero(found.score > 0.5)] for found in whole]
    for name, images in (("whole", whole), ("sure", sure)):
        write_coco(tmp_path / f"{name}.json", [(f"{k}.tif", found) for k, found in enumerate(images)])
    notes = {
        name: run("predict", tmp_path / f"{name}.json", "--model", model, "--json")["notes"]
        for name in ("whole", "sure")
    }
    assert not any("No detection" in note for note in notes["whole"])
    assert any("No detection has a score under 0.5" in note for note in notes["sure"])


def test_a_damaged_forecast_is_refused(tmp_path: Path) -> None:
    new = written(tmp_path / "new", 3)
    (tmp_path / "f.npz").write_bytes(b"no zip")
    with pytest.raises(RecordError, match="is no fitted forecast, or is damaged"):
        run("predict", new.found, "--model", tmp_path / "f.npz")
    with pytest.raises(RecordError, match="wanted a fitted forecast"):
        run("predict", new.found, "--model", tmp_path / "nowhere.npz")


def test_next_lists_images_with_a_reason_each(model: Path, tmp_path: Path) -> None:
    new = written(tmp_path / "new", 8, start=700)
    told = run("next", new.found, "--model", model, "--number", "3", "--min-score", "0.3", "--json")
    assert len(told["label_first"]) == 3
    assert all(one["reason"].endswith(".") for one in told["label_first"])
    assert len({one["image"] for one in told["label_first"]}) == 3
    first = told["label_first"][0]
    assert f"1 {first['image']}: {first['reason'][:20]}" in run(
        "next", new.found, "--model", model, "--number", "3", "--min-score", "0.3"
    )
    with pytest.raises(SettingsError, match="at least 1"):
        run("next", new.found, "--model", model, "--number", "0")


def test_a_forecast_with_images_says_what_it_lacks_without_them(model: Path, tmp_path: Path) -> None:
    new = written(tmp_path / "new", 3)
    assert "without --images" in run("predict", new.found, "--model", model, "--json")["notes"][0]
    assert run("predict", new.found, "--model", model, "--images", new.images, "--json")["notes"] == []


def test_a_forecast_is_fitted_without_images_too(tmp_path: Path) -> None:
    cases_of(64, images=False).save(tmp_path / "cases")
    told = run("fit", tmp_path / "cases", "--out", tmp_path / "f.npz", "--scores", "0.3", "--json")
    assert told["about"]["images"] is False
    new = written(tmp_path / "new", 3)
    assert run("predict", new.found, "--model", tmp_path / "f.npz", "--min-score", "0.3", "--json")["notes"] == []


# ---------------------------------------------------------------- evaluate


def test_a_fitted_forecast_is_judged_by_source_and_told_its_own_cases(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    told = run("evaluate", folder, "--model", model, "--json")
    assert list(told["judged"]["f1"]) == ["all", "x", "y", "z"]
    assert "the forecast was fitted on" in told["notes"][0]
    cases_of(40, start=900).save(tmp_path / "other")
    told = run("evaluate", tmp_path / "other", "--model", model, "--json")
    everything = told["judged"]["f1"]["all"]
    assert told["notes"] == []
    assert everything["n"] + everything["left_out"] == 40
    assert everything["spearman"]["value"] > 0.3
    assert "Spearman" in run("evaluate", tmp_path / "other", "--model", model)


def test_cases_of_another_detector_are_not_judged(model: Path, tmp_path: Path) -> None:
    cases_of(20, detector="other").save(tmp_path / "other")
    with pytest.raises(SettingsError, match="detections of other"):
        run("evaluate", tmp_path / "other", "--model", model)


def test_a_protocol_sets_ours_beside_the_published_forest(folder: Path, tmp_path: Path) -> None:
    cases_of(90).save(tmp_path / "cases")
    told = run("evaluate", tmp_path / "cases", "--protocol", "source", "--min-score", "0.3", "--json")
    assert list(told["ours"]["f1"]) == list(told["published"]["f1"]) == ["all", "x", "y", "z"]
    for side in ("ours", "published"):
        assert told[side]["f1"]["all"]["n"] == sum(told[side]["f1"][name]["n"] for name in "xyz")
    assert told["ours"]["f1"]["x"]["n"] == told["published"]["f1"]["x"]["n"]
    assert told["published"]["f1"]["all"]["coverage"] is None
    assert told["ratio"]["low"] <= told["ratio"]["value"] <= told["ratio"]["high"]


def test_evaluate_wants_a_model_or_a_protocol(folder: Path, model: Path) -> None:
    for words in ([], ["--model", model, "--protocol", "image"]):
        with pytest.raises(SettingsError, match="either"):
            run("evaluate", folder, *words)


def test_random_protocols_average_repeats_and_have_a_row_a_split(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice(images: pd.DataFrame) -> list[Fold]:
        return dealt_folds(range(len(images)), folds=3, repeats=2)

    monkeypatch.setattr("epistem.app.forecast_check.PROTOCOLS", {"random": twice})
    done: list[tuple[int, int]] = []
    compared = compare(cases_of(78), "random", 0.3, how=How(), step=lambda k, n: done.append((k, n)))
    assert done == [(k, 6) for k in range(1, 7)]
    assert list(compared.ours["f1"]) == ["all", "u", "v"]
    assert compared.ours["f1"]["all"].n == compared.published["f1"]["all"].n
    print_compared(compared, "random", 0.9)
    told = " ".join(capsys.readouterr().out.split())
    assert "F1, left out by random, objects from a score of 0.3 up" in told
    assert "Our mean absolute error of F1 is" in told
    assert "…" not in told


def test_errors_of_perfect_forecasts_are_none_and_their_ranks_agree() -> None:
    truth = np.array([0.1, 0.4, 0.8, np.nan])
    judged = judge(truth, Expected(truth, truth - 0.1, truth + 0.1), rank=True)
    assert (judged.n, judged.left_out) == (3, 1)
    assert judged.mae is not None
    assert (judged.mae.value, judged.rmse, judged.r2) == (0, 0, 1)
    assert judged.spearman is not None
    assert judged.spearman.value == pytest.approx(1)
    assert judged.coverage is not None
    assert judged.coverage.value == 1


def test_one_case_has_no_errors() -> None:
    one = np.array([0.5])
    assert judge(one, Expected(one, one, one)) == (1, 0, None, None, None, None, None)


# ---------------------------------------------------------------- cases, and the command line itself


def test_cases_are_made_from_the_plan_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def make(plan: Any, out: Path, *, workers: int, **more: Any) -> Cases:
        asked.update(more, plan=plan, out=out, workers=workers)
        return cases_of(3)

    monkeypatch.setattr("epistem.app.forecast_cases.make_cases", make)
    told = run("cases", "--out", tmp_path / "c", "--plan", "published", "--workers", "2", "--json")
    assert told == {"cases": str(tmp_path / "c"), "images": 3, "objects": 12}
    assert len(asked["plan"].detectors) == 5
    assert (asked["out"], asked["workers"]) == (tmp_path / "c", 2)


def test_making_cases_stops_at_ctrl_c_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> Cases:
        raise KeyboardInterrupt

    monkeypatch.setattr("epistem.app.forecast_cases.make_cases", stop)
    result = CliRunner().invoke(app, ["forecast", "cases", "--out", str(tmp_path / "c")])
    assert result.exit_code == 130
    assert "The same command goes on" in result.output


def test_a_wrong_command_is_2_and_a_wrong_file_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = written(tmp_path / "own", 3)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for words, code in (
        (["fit", own.found, own.true, "--out", tmp_path / "f.npz"], 2),
        (["predict", own.found, "--model", tmp_path / "nowhere.npz"], 1),
    ):
        monkeypatch.setattr(sys, "argv", ["epistem", "forecast", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code
        assert capsys.readouterr().err.splitlines()[-1].startswith("epistem: ")


def test_help_of_the_forecast_loads_no_learning() -> None:
    heavy = ("torch", "sklearn", "scipy", "pandas")
    code = (
        "import sys; sys.argv = ['epistem', 'forecast', 'fit', '--help']\n"
        "from epistem.app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_scores_are_read_in_any_order() -> None:
    assert work.scores_from("0.5,0.1") == (0.1, 0.5)
    assert work.scores_from(None)[0] == 0.1


def test_the_limits_of_the_verdict_come_from_the_settings(model: Path, tmp_path: Path) -> None:
    new = written(tmp_path / "new", 6)
    strict = tmp_path / "settings.json"
    strict.write_text(json.dumps({"limits": {"accept_f1": 1.0, "refuse_f1": 1.0}}))
    told = run("predict", new.found, "--model", model, "--settings", strict, "--json")
    assert {one["verdict"] for one in told["images"] if one["forecast"]["f1"]} == {"refuse"}
    strict.write_text(json.dumps({"limits": {"accept": 1.0}}))
    with pytest.raises(SettingsError, match="limits of a verdict are accept_f1"):
        run("predict", new.found, "--model", model, "--settings", strict)


def test_detections_that_were_cut_off_are_not_accepted_unseen(model: Path, tmp_path: Path) -> None:
    pairs = [pair(500 + k) for k in range(12)]
    kept = [(f"{k:03d}.tif", found[np.flatnonzero(found.score >= 0.5)]) for k, (found, _) in enumerate(pairs)]
    write_coco(tmp_path / "cut.json", kept)
    lenient = tmp_path / "settings.json"
    lenient.write_text(json.dumps({"limits": {"accept_f1": 0.0, "accept_low": 0.0, "refuse_f1": 0.0}}))
    told = run("predict", tmp_path / "cut.json", "--model", model, "--settings", lenient, "--json")
    verdicts = {one["verdict"] for one in told["images"]}
    assert "accept" not in verdicts
    assert any("No detection has a score under" in note for note in told["notes"])
