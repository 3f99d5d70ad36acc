"""One function over many items: on this machine's cores or on a Dask cluster, outcomes as they come."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from epistem.core.errors import SettingsError

CONNECT_S = 10.0  # how long a scheduler may take to answer [s]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def spread(
    function: Callable[[Item], Outcome], items: Iterable[Item], *, workers: int, cluster: str | None = None
) -> Iterator[tuple[Item, Outcome | None]]:
    """Each item with its outcome, in the order of their ends; None where the worker died under it, twice.

    Args:
        function: can be pickled, and raises nothing that it could return.
        items: can be pickled.
        workers: processes on this machine.
        cluster: address of a running Dask scheduler instead, "tcp://host:8786".

    Raises:
        SettingsError: no scheduler answers.
    """
    with _client(workers, cluster) as client:
        yield from _outcomes(client, function, items)


def _outcomes(
    client: Any, function: Callable[[Item], Outcome], items: Iterable[Item]
) -> Iterator[tuple[Item, Outcome | None]]:
    from distributed import as_completed

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
        yield item, future.result() if future.status == "finished" else None
        submit(1)


@contextmanager
def _client(workers: int, cluster: str | None) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if cluster is not None:
        try:
            client = Client(cluster, timeout=CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise SettingsError(f"no Dask scheduler answers at {cluster!r}; wanted one as tcp://host:8786") from error
        with client:
            yield client
        return
    local = LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    )
    with local, Client(local) as client:
        yield client
