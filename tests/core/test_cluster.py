from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from epistem.core import SettingsError, cluster
from epistem.core.cluster import spread, worker_number


def worked(item: int, *, folder: Path, deadly: tuple[int, ...] = (), once: tuple[int, ...] = ()) -> tuple[int, int]:
    """The item's square and the worker's number; a deadly item ends its process, always or the first time."""
    with (folder / str(item)).open("a") as file:
        file.write("x")
    begun = (folder / str(item)).stat().st_size
    if item in deadly or (item in once and begun == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    number = worker_number()
    return item * item, -1 if number is None else number


def slept(item: float) -> float:
    time.sleep(item)
    return item


def threads(_: int) -> tuple[str | None, bool]:
    return os.environ.get("OMP_NUM_THREADS"), signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, tuple[int, int] | None], Path]:
    """Seven items on two workers: 2 kills its worker always, 4 the first time."""
    folder = tmp_path_factory.mktemp("killed")
    return dict(spread(partial(worked, folder=folder, deadly=(2,), once=(4,)), range(7), workers=2)), folder


def test_a_worker_that_dies_twice_under_an_item_costs_that_item_alone(killed) -> None:
    outcomes, folder = killed
    assert outcomes[2] is None
    assert {item: found[0] for item, found in outcomes.items() if found} == {i: i * i for i in (0, 1, 3, 4, 5, 6)}
    times = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert times == {"0": 1, "1": 1, "2": 2, "3": 1, "4": 2, "5": 1, "6": 1}


def test_workers_are_numbered_also_those_that_take_a_dead_ones_place(killed) -> None:
    outcomes, _ = killed
    assert {found[1] for found in outcomes.values() if found} <= {0, 1}
    assert worker_number() is None


def test_each_worker_has_one_thread_and_leaves_ctrl_c_to_the_first_process(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list(spread(threads, [0], workers=1)) == [(0, ("1", True))]
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no Ctrl-C to one process alone")
def test_a_worker_does_not_hear_ctrl_c_while_it_still_loads() -> None:
    worker = cluster._Worker(abs, 0)
    os.kill(worker.process.pid, signal.SIGINT)
    worker.give(-3)
    assert worker.answer() == (True, 3)
    worker.end()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_work_is_spread_from_a_worker_of_joblib_too() -> None:
    joblib = pytest.importorskip("joblib")
    told = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(spread_here)(item) for item in (-1, -2))
    assert told == [([(-1, 1)], "loky"), ([(-2, 2)], "loky")]


def spread_here(item: int) -> tuple[list[tuple[int, int | None]], str]:
    return list(spread(abs, [item], workers=1)), multiprocessing.get_start_method()


def test_what_takes_longer_than_its_limit_is_stopped_once_and_costs_no_other() -> None:
    began = time.monotonic()
    outcomes = dict(spread(slept, [0.0, 3600.0, 0.1, 0.2], workers=1, limit_s=2.0))
    assert outcomes == {0.0: 0.0, 3600.0: None, 0.1: 0.1, 0.2: 0.2}
    assert time.monotonic() - began < 60


def test_no_item_starts_no_process(monkeypatch) -> None:
    monkeypatch.setattr(cluster, "_Worker", None)
    assert list(spread(abs, [], workers=4)) == []


def test_a_run_that_is_left_ends_its_processes(monkeypatch) -> None:
    made = []
    start = cluster._Worker
    monkeypatch.setattr(cluster, "_Worker", lambda *given: made.append(start(*given)) or made[-1])
    outcomes = spread(abs, [-1, -2, -3, -4], workers=2)
    next(outcomes)
    outcomes.close()
    assert len(made) == 2
    assert not any(one.process.is_alive() for one in made)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
def test_a_scheduler_that_is_not_there_is_said(address, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    with pytest.raises(SettingsError, match=r"no Dask scheduler answers at .*; wanted one as tcp://host:8786"):
        list(spread(abs, [1], workers=1, cluster=address))


class Future:
    """As Dask's, of a task that ended one way or the other."""

    def __init__(self, item: int) -> None:
        self.key, self.item = f"abs-{item}", item

    def add_done_callback(self, told) -> None:
        told(self)


class Scheduler:
    def gather(self, futures) -> list[int]:
        from distributed.scheduler import KilledWorker, WorkerState

        for one in futures:
            if one.item == -2:
                raise KilledWorker(one.key, WorkerState.__new__(WorkerState), 3)
        return [abs(one.item) for one in futures]

    def submit(self, function, *given, **how) -> Future:
        return Future(given[1])

    def nthreads(self) -> dict[str, int]:
        return {"one": 1, "other": 2}


def test_on_a_scheduler_what_its_workers_died_of_is_none_and_the_rest_goes_on() -> None:
    found = dict(cluster._on_scheduler(Scheduler(), abs, [-1, -2, -3, -4, -5, -6, -7]))
    assert found == {-1: 1, -2: None, -3: 3, -4: 4, -5: 5, -6: 6, -7: 7}


def test_a_scheduler_gets_one_item_a_thread_at_a_time() -> None:
    taken = iter(range(-9, 0))
    outcomes = cluster._on_scheduler(Scheduler(), abs, taken)
    next(outcomes)
    assert list(taken) == [-3, -2, -1]  # three, and three more for those that ended
