"""One function over many items: on this machine's cores or on a Dask cluster, outcomes as they come."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing import (
    connection,
    current_process,
    get_all_start_methods,
    get_context,
    get_start_method,
    set_start_method,
)
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from epistem import __version__
from epistem.core.errors import ClusterError, SettingsError

CONNECT_S = 10.0  # how long a scheduler may take to answer [s]
LOOK_S = 1.0  # between two questions how many workers there are [s]
GONE = "the connection to the Dask scheduler is lost"
TRIES = 2
_NAME = "epistem worker "
_log = logging.getLogger(__name__)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def spread(
    function: Callable[[Item], Outcome], items: Iterable[Item], *, workers: int, cluster: str | None = None,
    limit_s: float | None = None,
) -> Iterator[tuple[Item, Outcome | None]]:  # fmt: skip
    """Each item with its outcome, in the order of their ends; None where the worker died under it, twice.

    Args:
        function: can be pickled, and raises nothing that it could return.
        items: can be pickled.
        workers: processes on this machine, each with one thread.
        cluster: address of a running Dask scheduler instead, "tcp://host:8786"; it says how often a worker may die.
        limit_s: of one item on this machine [s]; what takes longer is stopped, and its outcome is None.

    Raises:
        SettingsError: no scheduler answers.
        ClusterError: it went away while items were under way, or a worker has another epistem, or not all of it.
    """
    if cluster is None:
        yield from _on_cores(function, items, workers, limit_s)
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
        with _one_thread(), _deaf_to_interrupts(), _known_start():
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
    function: Callable[[Item], Outcome], items: Iterable[Item], workers: int, limit_s: float | None
) -> Iterator[tuple[Item, Outcome | None]]:
    rest = iter(items)
    pool: dict[Any, _Worker] = {}
    under_way: dict[Any, tuple[Item, int, float]] = {}

    def give(worker: _Worker, item: Item, tries: int) -> None:
        pool[worker.pipe], under_way[worker.pipe] = worker, (item, tries, time.monotonic())
        worker.give(item)

    def ready() -> list[Any]:
        """Pipes with an answer, and those whose worker is over its time, which is then stopped."""
        if limit_s is None:
            return connection.wait(list(under_way))
        ends = {pipe: began + limit_s for pipe, (_, _, began) in under_way.items()}
        answered = connection.wait(list(ends), max(0.0, min(ends.values()) - time.monotonic()))
        late = [pipe for pipe, end in ends.items() if pipe not in answered and end <= time.monotonic()]
        for pipe in late:
            pool[pipe].process.kill()
            under_way[pipe] = (under_way[pipe][0], TRIES, 0.0)
        return [*answered, *late]

    try:
        for number, item in zip(range(workers), rest):  # noqa: B905 - whichever is fewer
            give(_Worker(function, number), item, 1)
        while under_way:
            for pipe in ready():
                worker, (item, tries, _) = pool[pipe], under_way.pop(pipe)
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


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started here never hears Ctrl-C, not even while it loads; this process hears it afterwards."""
    if sys.platform == "win32":  # which has no masks
        yield
    else:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _known_start() -> Iterator[None]:
    """A child takes on how its parent starts processes by default, and dies of a way that joblib has added there."""
    before = get_start_method(allow_none=True)
    if before in (None, *get_all_start_methods()):
        yield
        return
    set_start_method("spawn", force=True)
    try:
        yield
    finally:
        set_start_method(before, force=True)


def _on_scheduler(
    client: Any, function: Callable[[Item], Outcome], items: Iterable[Item]
) -> Iterator[tuple[Item, Outcome | None]]:
    rest = iter(items)
    under_way: dict[Any, Item] = {}
    ended: SimpleQueue[Any] = SimpleQueue()
    room = _Room(client)

    def submit() -> None:
        for item in islice(rest, max(0, room.now() - len(under_way))):
            future = client.submit(_of_one_version, function, item, __version__, pure=False)
            under_way[future.key] = item
            future.add_done_callback(ended.put)

    submit()
    while under_way:
        futures = _those_ended(ended)
        done = [under_way.pop(future.key) for future in futures]
        submit()  # before the outcomes are fetched: their workers would wait meanwhile
        yield from zip(done, _outcomes(client, futures), strict=True)


def _those_ended(ended: SimpleQueue[Any]) -> list[Any]:
    """All that have, after the first or a second."""
    futures = []
    with contextlib.suppress(Empty):
        futures.append(ended.get(timeout=LOOK_S))
        while True:
            futures.append(ended.get_nowait())
    return futures


def _outcomes(client: Any, futures: list[Any]) -> list[Any]:
    """One question for all of them, as it is the questions that bound how many workers are of use."""
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        # Not by their status: an outcome that was lost with the worker that held it is made again.
        return list(client.gather(futures))
    except KilledWorker:
        # Of one, and it is not said of which.
        return [None] if len(futures) == 1 else [one for each in futures for one in _outcomes(client, [each])]
    except (CancelledError, CommClosedError) as error:
        raise ClusterError(f"{GONE}; start it, and run the same again: what is done stays done") from error
    except ImportError as error:
        raise ClusterError(f"a worker of the cluster lacks what this needs ({error}); install it there") from error


class _Room:
    """How many items may be under way: one a thread.

    One more would wait at a busy worker, and Dask blames a worker's death on all that wait there: with four a worker
    an image that kills its worker took neighbours along. Asked for again and again, as a queue starts workers late.
    """

    def __init__(self, client: Any) -> None:
        self._client, self._threads, self._asked = client, 0, -LOOK_S
        self._told = False

    def now(self) -> int:
        if time.monotonic() - self._asked >= LOOK_S:
            # A scheduler that does not answer is seen by what it had: those futures are cancelled.
            with contextlib.suppress(OSError, TimeoutError):
                self._threads = sum(self._client.nthreads().values())
            if not self._threads and not self._told:
                _log.warning("The scheduler has no worker yet; waiting for one.")
                self._told = True
            self._asked = time.monotonic()
        return max(1, self._threads)


def _of_one_version(function: Callable[[Item], Outcome], item: Item, wanted: str) -> Outcome:
    """The function of the item, on a worker that has the version of epistem that the results are to be of."""
    if wanted != __version__:
        raise ImportError(f"epistem {wanted} is wanted, and it has {__version__}")
    return function(item)


@contextmanager
def _client(cluster: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(cluster, timeout=CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(f"no Dask scheduler answers at {cluster!r}; wanted one as tcp://host:8786") from error
    with _silent_dask(), client:
        yield client


@contextmanager
def _silent_dask() -> Iterator[None]:
    """Without its tracebacks of a scheduler that went away: that is told in one line, as an error."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("distributed", "tornado")]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
