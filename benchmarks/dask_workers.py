"""Work on a Dask cluster: images with one worker killed, and items that cost what images cost all but the workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pytest

from epistem.app import batch
from epistem.app.settings import Settings, make_settings
from epistem.app.store import RESULT, FileRecord, Job, folder_of
from epistem.core.cluster import spread
from tests.app.dask_cluster import Killer, begun_again, dask_cluster, note

KILLED_WITHIN_S = 600.0


class Killed(NamedTuple):
    """What a killed worker cost.

    Attributes:
        held: the image it had begun.
        lost: results that are missing or other than those of one process.
        again: images that were begun again though the kill does not explain it.
    """

    held: str
    lost: int
    again: int


def killed_run(images: Sequence[Path], root: Path, good: Path) -> Killed:
    """The images on two workers, one killed when half of them are done, against results of one process."""
    settings, out, log = make_settings(), root / "results-killed", root / "log"
    jobs = batch.make_jobs(batch.list_files(images, out), settings)
    with dask_cluster(root / "dask-killed", 2) as cluster, pytest.MonkeyPatch.context() as patch:
        note(patch, "epistem.app.batch:attempt", log, wait_s=0.0)
        killer = Killer(log, after=len(jobs) // 2, seconds=KILLED_WITHIN_S)
        batch.run_batch(jobs, settings, out, cluster=cluster.address)
        killer.join()
    if not killer.held:
        raise RuntimeError(f"no worker held an image within {KILLED_WITHIN_S:.0f} s, so none was killed; see {log}")
    lost = sum(not _same(folder_of(out, job.name), folder_of(good, job.name)) for job in jobs)
    return Killed(killer.held, lost, begun_again(log, killer.pid))


def _same(mine: Path, good: Path) -> bool:
    """Every file of an image's folder, byte for byte."""
    names = {path.name for path in good.iterdir()}
    if not mine.is_dir() or {path.name for path in mine.iterdir()} != names:
        return False
    return all((mine / name).read_bytes() == (good / name).read_bytes() for name in names)


def pretending(
    image: Path, done: Path, address: str | None, items: int, seconds: float
) -> Iterator[FileRecord | None]:
    """Outcomes of items that only sleep, on a cluster or two processes here; sent and taken back is all of an image.

    Args:
        image: what each item is of.
        done: folder of results in which it is done.
        address: of the scheduler.
        items: how many.
        seconds: how long each sleeps [s].
    """
    settings = make_settings()
    (job,) = batch.make_jobs([(image, image.name)], settings)
    one = partial(_pretended, settings=settings, result=folder_of(done, job.name) / RESULT, seconds=seconds)
    return (record for _, record in spread(one, [job] * items, workers=2, cluster=address))


def _pretended(job: Job, *, settings: Settings, result: Path, seconds: float) -> FileRecord:
    """`batch.attempt` without its work."""
    time.sleep(seconds)
    return _record(result)


@cache
def _record(result: Path) -> FileRecord:
    return FileRecord.model_validate_json(result.read_text("utf-8"))
