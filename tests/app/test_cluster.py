"""On a scheduler and two workers that are processes of their own, one of them killed in the middle."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from epistem.app import atoms_simulate, forecast_cases
from epistem.app.batch import BatchResult, list_files, make_jobs, run_batch
from epistem.app.forecast_plan import Plan, Trial
from epistem.app.settings import Settings, make_settings
from epistem.app.train_spec import Silent
from epistem.core import ClusterError, TrainingError
from epistem.core.cluster import spread
from epistem.detect import DEFAULT
from epistem.synth.fields import Recipe
from tests.app.dask_cluster import (
    DaskCluster,
    Killer,
    Lines,
    Noted,
    assert_nothing_lost_or_done_twice,
    dask_cluster,
    note,
    wait_until,
)

if TYPE_CHECKING:
    from epistem.bench.profile import Profile

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="there is no kill -9")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers."""
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=2) as cluster:
        yield cluster


@pytest.fixture
def images(tmp_path: Path, discs: Callable[..., None]) -> Path:
    (tmp_path / "images").mkdir()
    for i in range(5):
        discs(tmp_path / "images" / f"im{i}.tif", n=4 + i, seed=i)
    return tmp_path / "images"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def settings() -> Settings:
    return make_settings(detector="log", forecast="none")


def analyze(images: Path, out: Path, **how: Any) -> BatchResult:
    return run_batch(make_jobs(list_files([images], out), settings()), settings(), out, **{"workers": 1, **how})


def files_of(out: Path) -> dict[str, bytes]:
    """All but what a writer that was killed may have left, which counts as no result and goes when it is old."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*")) if path.is_file() and ".part" not in "".join(path.suffixes)
    }  # fmt: skip


@pytest.mark.parametrize("lean", [False, True])
def test_analyze_with_a_worker_killed_gives_what_one_process_gives(
    two: DaskCluster, images: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lean: bool
) -> None:
    here = analyze(images, tmp_path / "here", lean=lean)
    note(monkeypatch, "epistem.app.batch:attempt", log)
    killer = Killer(log, after=2)
    result = analyze(images, tmp_path / "there", cluster=two.address, lean=lean)
    assert_nothing_lost_or_done_twice(log, killer, {f"im{i}.tif" for i in range(5)})
    assert list(result.records) == list(here.records)
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def test_fields_of_atoms_with_a_worker_killed_are_those_of_one_process(
    two: DaskCluster, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = atoms_simulate.Spec(size_A=46, seed=3)
    atoms_simulate.simulate(spec, tmp_path / "here", 5)
    note(monkeypatch, "epistem.app.atoms_simulate:write_field", log)
    killer = Killer(log, after=3)  # the first is made here, to tell what the others cost
    made = atoms_simulate.simulate(spec, tmp_path / "there", 5, cluster=two.address)
    assert_nothing_lost_or_done_twice(log, killer, set("01234"))
    assert (made["made"], made["failed"]) == (5, {})
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def plan(number: int = 4) -> Plan:
    recipes = [Recipe((("A:over", "hard", 1.0),), 2, shape=(96, 96), seed=10 + k, empty=0.0) for k in range(number)]
    return Plan(tuple(Trial(f"to {k}", DEFAULT, "A:over", recipe, "hard", 0.5) for k, recipe in enumerate(recipes)))


def test_forecast_cases_with_a_worker_killed_are_those_of_one_process(
    two: DaskCluster, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast_cases.make_cases(plan(), tmp_path / "here", told=Silent(), device="cpu")
    note(monkeypatch, "epistem.app.forecast_cases:try_part", log)
    killer = Killer(log)
    told = Told()
    forecast_cases.make_cases(plan(), tmp_path / "there", told=told, device="cpu", cluster=two.address)
    assert_nothing_lost_or_done_twice(log, killer, set("0123"))
    assert told.heard == [("Trials", done, 4) for done in (1, 2, 3, 4)]
    for name in ("images.parquet", "objects.parquet"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name


def test_detectors_trained_side_by_side_are_those_trained_one_after_the_other(
    two: DaskCluster, tmp_path: Path
) -> None:
    for extra in ("torch", "timm", "onnx"):
        pytest.importorskip(extra)
    from epistem.nets.weights import open_weights

    trained = Plan(plan(1).trials, {name: tiny_detector(seed) for name, seed in (("one", 7), ("two", 27))})
    forecast_cases.make_cases(trained, tmp_path / "here", told=Silent(), device="cpu", workers=0)
    forecast_cases.make_cases(trained, tmp_path / "there", told=Silent(), device="cpu", cluster=two.address)
    for name in trained.detectors:
        file = f"detectors/{name}/cavity-dense.safetensors"
        here, there = (open_weights(tmp_path / where / file).tensors() for where in ("here", "there"))
        assert len(here) > 0
        assert {key: one.tobytes() for key, one in here.items()} == {key: one.tobytes() for key, one in there.items()}


def tiny_detector(seed: int) -> dict[str, Any]:
    def recipe(seed: int) -> dict[str, Any]:
        shares = [["A:under", "clear", 1.0]]
        return {"some": {"shares": shares, "number": 2, "shape": [96, 96], "seed": seed, "empty": 0.0}}

    # Everything is a peak to a network this fresh: some of it is right, and there is something to calibrate.
    tiny = {"network": "cavity-dense", "settings": {"widths": [4, 4, 4, 4], "least_logit": -30.0}}
    tiny |= {"augment": {"window_px": 64}, "schedule": {"steps": 2, "batch": 2}}
    return tiny | {"fields": recipe(seed), "calibration": recipe(seed + 1)}


def test_a_trial_that_cannot_be_made_costs_no_other_and_is_named(two: DaskCluster, tmp_path: Path) -> None:
    first, second = plan(2).trials
    broken = Plan((first, replace(second, detector="otsu-watershed")))  # it knows no least score
    with pytest.raises(TrainingError, match=r"1 of 2 trials were not made, the others are kept: 1: .*min_score"):
        forecast_cases.make_cases(broken, tmp_path, told=Silent(), cluster=two.address)
    assert (tmp_path / "parts" / "00" / "images.parquet").is_file()


class Told(Silent):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []

    def part(self, what: str, done: int, of: int) -> None:
        self.heard.append((what, done, of))


def test_a_bench_with_a_worker_killed_has_the_scores_of_one_process(
    two: DaskCluster, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from epistem.bench import run
    from epistem.bench.plan import make_plan
    from epistem.bench.store import read_scores

    profile = small_profile(tmp_path / "steel")
    planned = make_plan(profile)
    here = run.run_plan(profile, planned, tmp_path / "here", device="cpu")
    note(monkeypatch, "epistem.bench.run:attempt", log)
    killer = Killer(log)
    there = run.run_plan(profile, planned, tmp_path / "there", device="cpu", cluster=two.address)
    assert_nothing_lost_or_done_twice(log, killer, {job.name.replace(" ", "_") for job in planned.jobs})
    assert not there.failures
    scores = [read_scores(tmp_path / name, one.records) for name, one in (("here", here), ("there", there))]
    assert len(scores[0]) > 0
    assert scores[0].equals(scores[1])


def small_profile(root: Path) -> Profile:
    """Three seeds of the smallest network, two steps each, on four images of stripes."""
    from epistem.bench.folder import profile_from_folder
    from epistem.bench.profile import profile_of

    for part, pixels in (("images", 200), ("masks", 1)):
        (root / part).mkdir(parents=True)
        for k in range(4):
            stripes = np.zeros((32, 32), np.uint8)
            stripes[4 * k : 4 * k + 12] = pixels
            Image.fromarray(stripes).save(root / part / f"s{k}.png")
    values = profile_from_folder(root).model_dump(by_alias=True)
    values["model"] |= {"encoders": ["tf_efficientnet_lite0"], "decoders": ["unet"], "weights": ["none"]}
    values["training"] |= {
        "batch_size": 2, "max_epochs": None, "max_steps": 2, "image_size": 32, "val_tiles": 4, "seeds": [0, 1, 2],
        "undertrained": True,
    }  # fmt: skip
    return profile_of(values)


def test_a_run_here_and_one_on_the_cluster_share_a_folder_of_results(
    two: DaskCluster, images: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyze(images, tmp_path / "alone")
    note(monkeypatch, "epistem.app.batch:attempt", log)
    out, results = tmp_path / "out", []
    other = threading.Thread(target=lambda: results.append(analyze(images, out, cluster=two.address)))
    other.start()
    results.append(analyze(images, out, workers=1))
    other.join()
    assert [len(one.records) for one in results] == [5, 5]
    assert files_of(out) == files_of(tmp_path / "alone")


def test_an_image_that_kills_every_worker_costs_itself_alone(two: DaskCluster, tmp_path: Path) -> None:
    found = dict(spread(partial(deadly, item=3), range(7), workers=1, cluster=two.address))
    assert found == {0: 0, 1: 1, 2: 4, 3: None, 4: 16, 5: 25, 6: 36}


def deadly(number: int, *, item: int) -> int:
    import os
    import signal

    if number == item:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_a_killed_worker_without_successor_is_waited_for_and_those_that_join_are_used(
    log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noted = Noted("math:sqrt", log, 0.2)
    with dask_cluster(tmp_path, workers=0) as late:
        killer = Killer(log, after=2)

        def start() -> None:
            wait_until(lambda: "The scheduler has no worker yet; waiting for one." in caplog.messages)
            late.join("--no-nanny")
            killer.join()
            for _ in range(2):
                late.join("--no-nanny")

        joined = threading.Thread(target=start)
        joined.start()
        found = dict(spread(noted, [float(i * i) for i in range(24)], workers=1, cluster=late.address))
        joined.join()
    assert found == {float(i * i): i for i in range(24)}
    assert_nothing_lost_or_done_twice(log, killer, {str(float(i * i)) for i in range(24)})
    assert len({pid for _, _, pid in Lines(log).rows}) == 3


def test_a_scheduler_that_goes_away_is_told_and_the_same_command_goes_on(
    images: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    note(monkeypatch, "epistem.app.batch:attempt", log)
    monkeypatch.setattr(logging.getLogger("distributed"), "propagate", True)
    with dask_cluster(tmp_path, workers=1) as lost:
        done = lambda _done, _of, _one: lost.scheduler.kill()  # noqa: E731
        with pytest.raises(
            ClusterError, match="connection to the Dask scheduler is lost; start it, and run the same"
        ):
            analyze(images, out, cluster=lost.address, progress=done)
    assert [line.name for line in caplog.records if line.name.startswith("distributed")] == []
    before = len(list(out.glob("images/*/result.json")))
    log.unlink()
    again = analyze(images, out)
    assert 1 <= before < 5
    assert (again.reused, len(again.records)) == (before, 5)
    assert Lines(log).count("begun").total() == 5 - before


def test_a_worker_without_what_is_needed_is_told(two: DaskCluster) -> None:
    with pytest.raises(ClusterError, match="a worker of the cluster lacks what this needs"):
        list(spread(lacking, [1], workers=1, cluster=two.address))


def lacking(_: int) -> None:
    raise ModuleNotFoundError("No module named 'onnxruntime'")


def test_a_worker_of_another_version_is_told(two: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epistem.core.cluster.__version__", "99")
    with pytest.raises(ClusterError, match=r"epistem 99 is wanted, and it has \d"):
        list(spread(abs, [-1], workers=1, cluster=two.address))
