from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from epistem.bench import images, run
from epistem.bench.plan import Member, Plan, make_plan
from epistem.bench.profile import Profile
from epistem.bench.run import Outcome, attempt, image_names, judge_every, run_plan
from epistem.bench.store import FOUND, MODEL, RECORD, SCORES, JobFailure, JobRecord, job_folder
from epistem.core import UnknownName
from epistem.segment.summary import FOREGROUND

pytest.importorskip("torch")
from epistem.nets.train import read_curves


class Done(NamedTuple):
    """A run of two seeds, and what was told of it."""

    profile: Profile
    plan: Plan
    out: Path
    outcome: Outcome
    told: list[tuple[str, int, int, str]]
    progress: list[tuple[int, int, Any]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, study: Callable[..., Profile], smallest: Any) -> Done:
    root = tmp_path_factory.mktemp("run")
    task = {"classes": [{"name": "matrix", "values": [0]}, {"name": "pore", "values": [1]}]}
    profile = smallest(study(root / "steel"), training={"seeds": [0, 1]}, task=task)
    plan, told, progress = make_plan(profile), [], []
    outcome = run_plan(
        profile, plan, root / "out", told=lambda *one: told.append(one), progress=lambda *one: progress.append(one)
    )
    return Done(profile, plan, root / "out", outcome, told, progress)


@pytest.fixture(autouse=True)
def _read_anew() -> None:
    images._reader.cache_clear()


def scores(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / SCORES)


def no_training(*_: Any, **__: Any) -> Any:
    raise AssertionError("a job was trained again")


def stopped_at(what: str, step: int) -> Callable[..., None]:
    def told(now: str, done: int, of: int, more: str) -> None:
        if now.startswith(what) and done == step:
            raise KeyboardInterrupt

    return told


def test_each_job_leaves_a_record_scores_a_network_and_its_answers(done: Done) -> None:
    assert [one.job for one in done.outcome.records] == [job.id for job in done.plan.jobs]
    assert (done.outcome.failures, done.outcome.reused) == ((), 0)
    for one in done.outcome.records:
        names = {path.name for path in job_folder(done.out, one.job).iterdir()}
        assert {RECORD, SCORES, MODEL, FOUND, "curves.jsonl"} <= names
        assert "checkpoint.pt" not in names
        assert one.start == "random initialisation"
        assert (one.steps, one.tile_px, one.undertrained, one.dataset) == (3, 32, True, "steel")
        assert "limit of 3 steps" in one.undertrained_why
        assert one.best_step in (1, 2, 3)
        assert one.macs > 0
        assert one.peak_mb > 0


def test_the_table_has_one_row_an_image_class_and_metric_of_each_job(done: Done) -> None:
    table = scores(done.out)
    assert not table.duplicated(["job", "image", "class", "metric"]).any()
    assert list(table.columns) == [
        "job", "dataset", "encoder", "decoder", "variant", "weights", "seed", "image", "name", "group", "class",
        "metric", "value", "empty", "undefined",
    ]  # fmt: skip
    assert set(table["class"]) == {"matrix", "pore", "mean", FOREGROUND, "all"}
    member = done.plan.split.test[0]
    assert set(table["image"]) == {member.image_id}
    assert set(table["name"]) == {member.image}
    assert set(table["group"]) == {member.group}
    assert [row["job"] for row in json.loads((done.out / "jobs.json").read_text())] == [j.id for j in done.plan.jobs]


def test_the_scores_are_of_the_answers_that_are_kept(done: Done) -> None:
    member = done.plan.split.test[0]
    truth = np.asarray(Image.open(done.profile.folder() / member.image.replace("images", "masks")))
    for job in done.plan.jobs:
        found = np.asarray(Image.open(job_folder(done.out, job.id) / FOUND / f"{member.image_id}.png"))
        table = scores(done.out).query("job == @job.id and metric == 'iou' and `class` == 'pore'")
        expected = ((found == 1) & (truth == 1)).sum() / ((found == 1) | (truth == 1)).sum()
        assert table["value"].tolist() == [pytest.approx(expected)]


def test_what_is_under_way_and_what_came_of_it_is_told(done: Done) -> None:
    assert [(one[0], one[1], one[2]) for one in done.told[:4]] == [
        ("Training, step", 1, 3), ("Training, step", 2, 3), ("Training, step", 3, 3), ("Evaluation, image", 1, 1),
    ]  # fmt: skip
    assert "score" in done.told[0][3]
    assert [(one[0], one[1], one[2].job) for one in done.progress] == [
        (i, 2, job.id) for i, job in enumerate(done.plan.jobs, 1)
    ]


def test_another_seed_gives_other_scores_and_the_same_seed_the_same(done: Done, tmp_path: Path) -> None:
    again = run_plan(done.profile, done.plan, tmp_path, jobs=[done.plan.jobs[0].id[:6], done.plan.jobs[0].id])
    assert [one.job for one in again.records] == [done.plan.jobs[0].id]
    first, second = (part.drop(columns=["job", "seed"]) for _, part in scores(done.out).groupby("seed"))
    pd.testing.assert_frame_equal(scores(tmp_path).drop(columns=["job", "seed"]), first.reset_index(drop=True))
    assert not np.allclose(first["value"], second["value"], equal_nan=True)
    model = [(folder / "jobs" / again.records[0].job / MODEL).read_bytes() for folder in (done.out, tmp_path)]
    assert model[0] == model[1]


def test_jobs_that_are_done_are_not_done_again(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "attempt", no_training)
    again = run_plan(done.profile, done.plan, done.out)
    assert (again.records, again.reused) == (done.outcome.records, 2)


@pytest.mark.parametrize("what", [("Training", 2), ("Evaluation", 1)])
def test_a_run_that_is_stopped_goes_on_with_what_is_left_to_the_same_tables(
    done: Done, tmp_path: Path, what: tuple[str, int]
) -> None:
    wanted = [done.plan.jobs[1].id]
    with pytest.raises(KeyboardInterrupt):
        run_plan(done.profile, done.plan, tmp_path, jobs=wanted, told=stopped_at(*what))
    steps: list[tuple[str, int, int, str]] = []
    outcome = run_plan(done.profile, done.plan, tmp_path, jobs=wanted, told=lambda *one: steps.append(one))
    # What was learned before the last checkpoint is not learned again.
    assert [one[1] for one in steps if one[0].startswith("Training")] == ([2, 3] if what[0] == "Training" else [])
    expected = scores(done.out).query("job == @wanted[0]").reset_index(drop=True)
    pd.testing.assert_frame_equal(scores(tmp_path), expected)
    curves = read_curves(job_folder(tmp_path, wanted[0]) / "curves.jsonl")
    assert outcome.records[0].seconds >= sum(line["seconds"] for line in curves) - 0.1
    assert outcome.records[0].model_dump(include={"best_step", "best_score", "steps"}) == done.outcome.records[
        1
    ].model_dump(include={"best_step", "best_score", "steps"})


def test_a_full_disk_fails_the_job_in_words_and_the_same_command_goes_on(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    wanted = [done.plan.jobs[0].id]
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_labels", full)
        outcome = run_plan(done.profile, done.plan, tmp_path, jobs=wanted)
    (failure,) = outcome.failures
    assert (failure.kind, failure.job) == ("OSError", wanted[0])
    assert failure.why.startswith("its results could not be written: No space left on device; make room")
    steps: list[str] = []
    again = run_plan(done.profile, done.plan, tmp_path, jobs=wanted, told=lambda what, *_: steps.append(what))
    assert steps == ["Evaluation, image"]
    assert len(again.records) == 1


def stand_in(results: dict[int, Any]) -> Callable[..., Any]:
    """Instead of `run_job`: the outcome of the job in that place, or what it raises."""

    def run_job(job: Any, profile: Profile, plan: Plan, out: Path, **_: Any) -> JobRecord:
        found = results[plan.jobs.index(job)]
        if isinstance(found, BaseException):
            raise found
        return found

    return run_job


def test_a_fault_in_one_job_stops_no_other_and_its_traceback_is_kept(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "run_job", stand_in({0: ZeroDivisionError("by 0"), 1: done.outcome.records[1]}))
    outcome = run_plan(done.profile, done.plan, tmp_path)
    assert outcome.records == done.outcome.records[1:]
    (failure,) = outcome.failures
    assert failure.kind == "fault"
    assert failure.why == "ZeroDivisionError: by 0; a fault of epistem, please report it with errors.log"
    assert "ZeroDivisionError" in (tmp_path / "errors.log").read_text()


def test_a_fault_on_a_full_disk_is_still_told(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_job", stand_in({0: ZeroDivisionError("by 0")}))
    (tmp_path / "errors.log").mkdir()
    found = attempt(done.plan.jobs[0], done.profile, done.plan, tmp_path)
    assert isinstance(found, JobFailure)
    assert found.kind == "fault"


def test_too_little_memory_is_told(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_job", stand_in({0: MemoryError()}))
    found = attempt(done.plan.jobs[0], done.profile, done.plan, tmp_path)
    assert isinstance(found, JobFailure)
    assert found.why == "needs more memory than there is; fewer --workers"


def test_a_worker_that_was_killed_is_told_and_its_job_is_done_by_the_same_command(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = done.outcome.records
    with monkeypatch.context() as patch:
        patch.setattr(run, "spread", lambda one, jobs, **_: iter([(jobs[1], records[1]), (jobs[0], None)]))
        outcome = run_plan(done.profile, done.plan, tmp_path, workers=2)
    assert outcome.records == records[1:]
    assert "its worker process died, most often for want of memory; try fewer --workers" in outcome.failures[0].why
    monkeypatch.setattr(run, "run_job", stand_in({0: records[0], 1: records[1]}))
    assert run_plan(done.profile, done.plan, tmp_path).records == records


def test_networks_that_cannot_be_built_fail_with_what_to_take_and_the_rest_goes_on(
    done: Done, tmp_path: Path, smallest: Any
) -> None:
    model = {"encoders": ["vgg16_bn"], "decoders": ["deeplabv3"]}
    profile = smallest(done.profile, model=model)
    (failure,) = run_plan(profile, make_plan(profile), tmp_path).failures
    assert failure.kind == "SettingsError"
    assert "take resnet50 with deeplabv3" in failure.why


def test_a_job_that_is_not_in_the_plan_is_refused_with_the_nearest(done: Done, tmp_path: Path) -> None:
    wrong = done.plan.jobs[0].id[:-1] + "x"
    with pytest.raises(UnknownName, match=rf"no job is called '{wrong}'; did you mean '{done.plan.jobs[0].id}'"):
        run_plan(done.profile, done.plan, tmp_path, jobs=[wrong])
    assert not list(tmp_path.iterdir())


def test_an_image_that_changed_since_the_plan_fails_the_job(done: Done, tmp_path: Path) -> None:
    member = done.plan.split.test[0]
    split = done.plan.split.model_copy(update={"test": (member.model_copy(update={"image_id": "0" * 16}),)})
    plan = done.plan.model_copy(update={"split": split})
    found = attempt(plan.jobs[0], done.profile, plan, tmp_path)
    assert isinstance(found, JobFailure)
    assert "changed since the plan; plan again" in found.why


def test_colour_small_odd_images_of_three_classes_are_trained_on_and_scored_at_their_size(
    tmp_path: Path, study: Callable[..., Profile], smallest: Any
) -> None:
    classes = [{"name": name, "values": [value]} for name, value in (("melt", 40), ("pore", 7), ("crack", 255))]
    metrics = ["iou", "boundary_f", "hd95", "porosity", "connectivity"]
    profile = study(tmp_path / "odd", shape=(20, 70), channels=3, values=(40, 7, 255))
    task = {"classes": classes, "metrics": metrics, "primary": "porosity"}
    profile = smallest(profile, task=task, training={"shrink": 3, "undertrained": True})
    plan = make_plan(profile)
    outcome = run_plan(profile, plan, tmp_path / "out", keep_models=False)
    assert outcome.failures == ()
    (record,) = outcome.records
    assert (record.undertrained, record.model) == (True, False)
    assert record.best_score is not None
    assert record.best_score <= 0
    assert not (job_folder(tmp_path / "out", record.job) / MODEL).exists()
    table = scores(tmp_path / "out")
    assert {"hd95_px", "porosity_error", "connectivity_error", "boundary_f", "iou"} <= set(table["metric"])
    assert set(table["class"]) == {"melt", "pore", "crack", "mean", FOREGROUND, "all"}
    (png,) = (job_folder(tmp_path / "out", record.job) / FOUND).iterdir()
    assert np.asarray(Image.open(png)).shape == (20, 70)


def test_validation_without_a_pixel_that_counts_is_told_as_no_score_and_the_last_weights_are_kept(
    tmp_path: Path, study: Callable[..., Profile], smallest: Any
) -> None:
    profile = smallest(study(tmp_path / "steel"), task={"ignore_values": [9]})
    for one in make_plan(profile).split.val:
        Image.fromarray(np.full((64, 64), 9, np.uint8)).save(profile.folder() / one.image.replace("images", "masks"))
    outcome = run_plan(profile, make_plan(profile), tmp_path / "out")
    assert outcome.failures == ()
    (record,) = outcome.records
    assert (record.best_score, record.best_step) == (None, 3)
    assert pd.read_parquet(tmp_path / "out" / "jobs.parquet")["best_score"].isna().all()


def test_the_same_picture_twice_in_a_group_is_two_rows() -> None:
    members = [Member(image=f"{i}.png", group="a", image_id=name, labels_id="x") for i, name in enumerate("abaa")]
    assert image_names(members) == ["a", "b", "a-2", "a-3"]


@pytest.mark.parametrize(
    ("epoch", "steps", "every"), [(5, 100, 5), (50, 100, 10), (1, 3, 1), (200, 600, 60), (9, 1, 1)]
)
def test_a_training_is_judged_each_epoch_and_ten_times_at_least(epoch: int, steps: int, every: int) -> None:
    assert judge_every(epoch, steps) == every
