"""One function over many items: on this machine's cores or on a Dask cluster, outcomes as they come."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing import connection, current_process, get_context
from typing import Any, TypeVar

from epistem.core.errors import SettingsError

CONNECT_S = 10.0  # how long a scheduler may take to answer [s]
TRIES = 2
_NAME = "epistem worker "
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def spread(
    function: Callable[[Item], Outcome], items: Iterable[Item], *, workers: int, cluster: str | None = None
) -> Iterator[tuple[Item, Outcome | None]]:
    """Each item with its outcome, in the order of their ends; None where the worker died under it, twice.

    Args:
        function: can be pickled, and raises nothing that it could return.
        items: can be pickled.
        workers: processes on this machine, each with one thread.
        cluster: address of a running Dask scheduler instead, "tcp://host:8786"; it says how often a worker may die.

    Raises:
        SettingsError: no scheduler answers.
    """
    if cluster is None:
        yield from _on_cores(function, items, workers)
        return
    with _client(cluster) as client:
        yield from _on_scheduler(client, function, items)


def worker_number() -> int | None:
    """Which of the workers this process is, from 0; None where it is none, or one with a name."""
    name: Any = current_process().name
    if name.startswith(_NAME):
        return int(name.removeprefix(_NAME))
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        name = get_worker().name
    except ValueError:  # not in a worker
        return None
    return name if isinstance(name, int) else None


class _Worker:
    """A process that takes one item after the other, so that its death costs no other."""

    def __init__(self, function: Callable[[Any], Any], number: int) -> None:
        spawn = get_context("spawn")
        self.number = number
        self.pipe, its_end = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(function, its_end), name=f"{_NAME}{number}", daemon=True)
        with _one_thread():
            self.process.start()
        its_end.close()  # else the pipe would outlive the process

    def give(self, item: Any) -> None:
        # What dies before it takes an item is seen where its answer is waited for.
        with contextlib.suppress(OSError):
            self.pipe.send(item)

    def answer(self) -> tuple[bool, Any]:
        """Whether it lives, and its answer."""
        try:
            return True, self.pipe.recv()
        except (EOFError, OSError):
            return False, None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(function: Callable[[Any], Any], pipe: Any) -> None:
    # Ctrl-C reaches all processes of a terminal; the first ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        pipe.send(function(item))


def _on_cores(
    function: Callable[[Item], Outcome], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Outcome | None]]:
    rest = iter(items)
    pool: dict[Any, _Worker] = {}
    under_way: dict[Any, tuple[Item, int]] = {}

    def give(worker: _Worker, item: Item, tries: int) -> None:
        pool[worker.pipe], under_way[worker.pipe] = worker, (item, tries)
        worker.give(item)

    try:
        for number, item in zip(range(workers), rest):  # noqa: B905 - whichever is fewer
            give(_Worker(function, number), item, 1)
        while under_way:
            for pipe in connection.wait(list(under_way)):
                worker, (item, tries) = pool[pipe], under_way.pop(pipe)
                lives, outcome = worker.answer()
                if not lives:
                    pool.pop(pipe).end()
                if not lives and tries < TRIES:
                    give(_Worker(function, worker.number), item, tries + 1)
                    continue
                for following in islice(rest, 1):
                    give(worker if lives else _Worker(function, worker.number), following, 1)
                yield item, outcome
    finally:
        for worker in pool.values():
            worker.end()


@contextmanager
def _one_thread() -> Iterator[None]:
    """As many processes as cores are faster than each of them on all cores, and sums come in one order."""
    added = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _on_scheduler(
    client: Any, function: Callable[[Item], Outcome], items: Iterable[Item]
) -> Iterator[tuple[Item, Outcome | None]]:
    from distributed import CancelledError, as_completed
    from distributed.scheduler import KilledWorker

    rest = iter(items)
    under_way: dict[Any, Item] = {}
    stream = as_completed()

    def submit(n: int) -> None:
        for item in islice(rest, n):
            future = client.submit(function, item, pure=False, retries=1)
            under_way[future.key] = item
            stream.add(future)

    # A bounded number under way: a million items would fill the scheduler.
    submit(4 * max(1, len(client.scheduler_info(n_workers=-1)["workers"])))
    for future in stream:
        item = under_way.pop(future.key)
        try:
            # Not by its status: an outcome that was lost with the worker that held it is made again.
            outcome = future.result()
        except (KilledWorker, CancelledError):
            outcome = None
        yield item, outcome
        submit(1)


@contextmanager
def _client(cluster: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(cluster, timeout=CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(f"no Dask scheduler answers at {cluster!r}; wanted one as tcp://host:8786") from error
    with client:
        yield client
