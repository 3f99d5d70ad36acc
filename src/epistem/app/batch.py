"""Many files: on this machine's cores or a Dask cluster; a killed run goes on, and one failure stops nothing else."""

from __future__ import annotations

import glob
import os
import secrets
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from epistem.app import shards
from epistem.app.folder import write_folder
from epistem.app.folder_tables import Shards, Source, folders_of
from epistem.app.records import Records
from epistem.app.samples import Samples, check_samples
from epistem.app.settings import Settings
from epistem.app.store import REPLACED, FileError, FileRecord, Job, finished, job_key
from epistem.core import EpistemError, SettingsError
from epistem.core.cluster import spread
from epistem.core.errors import wants_memory
from epistem.core.files import sweep

# Called after each file: how many are through, of how many, and what became of it.
Progress = Callable[[int, int, FileRecord | FileError], None]


@dataclass(frozen=True)
class BatchResult:
    """What became of the files.

    Attributes:
        records: those analysed, in the order asked for; each is read when it is asked for.
        errors: those that failed.
        reused: how many of the records were there from a run before.
    """

    records: Sequence[FileRecord]
    errors: tuple[FileError, ...]
    reused: int


def list_files(paths: Sequence[Path], results: Path) -> list[tuple[Path, str]]:
    """The files to analyse with their names in the results: all images below a folder, and each file named.

    Raises:
        SettingsError: a path that is not there, or not one image in all of them.
    """
    listed: dict[Path, str] = {}
    for path in paths:
        check_apart(path, results)
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if _is_image(file, path, results))
            listed.update({file: file.relative_to(path).as_posix() for file in inside})
        elif path.is_file() or (path.is_symlink() and not path.exists()):
            listed[path] = path.name
        elif path.exists():
            raise SettingsError(f"{path}: wanted a file or a folder of micrographs; this is neither")
        else:
            raise SettingsError(f"{path}: wanted a file or a folder of micrographs; there is none of that name")
    if not listed:
        raise SettingsError(
            f"no micrograph in {', '.join(map(str, paths))}; `epistem formats` lists what can be read"
        )
    return _with_unique_names(listed)


def check_apart(images: Path, results: Path) -> None:
    """Refuse images that lie in the folder of results.

    Raises:
        SettingsError: they do.
    """
    if results.resolve() in (images.resolve(), *images.resolve().parents):
        raise SettingsError(f"the images in {images} lie in --out {results}; choose an --out of its own")


def make_jobs(
    files: Iterable[tuple[Path, str]],
    settings: Settings,
    *,
    samples: Samples | None = None,
    found: Path | None = None,
) -> list[Job]:
    """One Job a file; its key covers the settings, the file, its row in the samples and its annotations.

    Raises:
        RecordError: annotations that do not fit the files.
    """
    files = list(files)
    annotations: Mapping[str, Path] = {}
    if found is not None:
        from epistem.detect.adapters import annotations_for

        if not found.exists():
            raise SettingsError(f"--found {found}: wanted a file or folder of masks; there is none of that name")
        annotations = annotations_for(found, {name: path for path, name in files})
    own_key = settings.key(detects=found is None)
    jobs = []
    for path, name in files:
        row = samples.row_for(name) if samples else None
        thickness = (row.thickness_nm, row.thickness_error_nm) if row else (None, None)
        specimen = row.specimen if row else None
        masks = annotations.get(name)
        refused = f"{found} holds no masks for it; add them, or leave --found out" if found and not masks else None
        if not _is_utf8(name):
            name, refused = _escaped(name), "its name is not UTF-8; rename it"
        key = job_key(own_key, path, _companion(path), specimen, *thickness, masks)
        # Whole paths: a worker on a cluster starts in a folder of its own.
        whole = masks.absolute() if masks else None
        jobs.append(Job(path.absolute(), name, key, specimen, *thickness, whole, refused))
    return jobs


def run_batch(
    jobs: Sequence[Job],
    settings: Settings,
    results: Path,
    *,
    samples: Samples | None = None,
    by: str = "specimen",
    workers: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
    known: Mapping[str, FileError] | None = None,
    stage: Callable[[str], None] = lambda what: None,
    lean: bool = False,
) -> BatchResult:
    """Analyse all jobs that are not done yet, and write the folder's tables and report.

    Args:
        jobs: from `make_jobs`.
        settings: of the analysis.
        results: folder to write to; what is done there under the same key is kept.
        samples: specimens, for the comparison of groups.
        by: column of the samples that makes the groups.
        workers: processes on this machine; None is one a core, 1 works in this process.
        cluster: address of a running Dask scheduler instead, "tcp://host:8786". It must see the same files.
        progress: called after each file.
        known: failures of a run before, by file, that need not be tried again.
        stage: called with what is under way, where one file after the other is worked on in this process.
        lean: no folder an image: tables alone, in shards, for very many images; see `epistem.app.shards`.

    Raises:
        SettingsError: no such column, `results` cannot be made a folder, or no scheduler answers.
        ClusterError: the scheduler went away, or its workers cannot do the work.
        RecordError: the tables or the report cannot be written.
    """
    column = check_samples(samples, by, results)
    _make_folder(results)
    sweep(results)
    keeper = _InShards(results) if lean else _InFolders(results)
    failed = {job.name: error for job in jobs if (error := (known or {}).get(job.name)) is not None}
    waiting = keeper.waiting([job for job in jobs if job.name not in failed])
    reused = len(jobs) - len(waiting) - len(failed)
    at_once, scheduler = workers or max(1, min(len(waiting), _cores())), cluster if waiting else None
    run = _run(keeper.still(waiting), settings, results, workers=at_once, cluster=scheduler, stage=stage, lean=lean)
    for number, outcome in enumerate(run, len(jobs) - len(waiting) + 1):
        if isinstance(outcome, FileError):
            failed[outcome.file] = outcome
        else:
            keeper.keep(outcome)
        if progress:
            progress(number + keeper.met, len(jobs), outcome)
    stage("Report of the folder")
    records, source = keeper.all(jobs, failed)
    errors = tuple(failed[job.name] for job in jobs if job.name in failed)
    masks = {job.name: job.found.name for job in jobs if job.found}
    write_folder(results, records, errors, settings, samples, by=column, found=masks, source=source)
    return BatchResult(records, errors, reused + keeper.met)


class _InFolders:
    """Results with a folder an image."""

    met = 0

    def __init__(self, results: Path) -> None:
        self.results, self.records = results, Records(results)
        self.places: dict[str, int] = {}

    def waiting(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that were not done before; the records of the others are kept."""
        rest = []
        for job in jobs:
            if (record := finished(self.results, job)) is None:
                rest.append(job)
            else:
                self.keep(record)
        return rest

    def still(self, waiting: Sequence[Job]) -> Iterator[Job]:
        """One after the other; whether another run has done one is seen where it would be begun."""
        return iter(waiting)

    def keep(self, record: FileRecord) -> None:
        self.places[record.file] = self.records.add(record)

    def all(self, jobs: Sequence[Job], failed: dict[str, FileError]) -> tuple[Sequence[FileRecord], Source]:
        for job in jobs:
            if job.name in self.places and finished(self.results, job) is None:
                del self.places[job.name]
                failed[job.name] = FileError(file=job.name, kind="RecordError", why=REPLACED)
        self.records.order(self.places[job.name] for job in jobs if job.name in self.places)
        return self.records, folders_of(self.results, self.records)


class _InShards:
    """Results in shards, put together now and then while more come.

    Attributes:
        met: how many jobs another run had done when their turn came.
    """

    def __init__(self, results: Path) -> None:
        self.results, self.new, self.met = results, 0, 0
        self.there = shards.Known(results)

    def waiting(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that were not done before, from anywhere on: two runs on one folder should not walk side by side."""
        rest = [job for job in jobs if (job.name, job.key) not in self.there.keys]
        first = secrets.randbelow(len(rest)) if rest else 0
        return rest[first:] + rest[:first]

    def still(self, waiting: Sequence[Job]) -> Iterator[Job]:
        """Those that no other run has done by then."""
        for job in waiting:
            if (job.name, job.key) in self.there.keys:
                self.met += 1
            else:
                yield job

    def keep(self, record: FileRecord) -> None:
        self.new += 1
        if self.new % shards.PER_LEVEL == 0:
            shards.compact(self.results)
            self.there.look()

    def all(self, jobs: Sequence[Job], failed: dict[str, FileError]) -> tuple[Sequence[FileRecord], Source]:
        shards.tidy(self.results, {job.name: job.key for job in jobs})
        records = shards.ShardRecords(self.results, jobs)
        for job in jobs:
            if (job.name, job.key) in records.entries:
                failed.pop(job.name, None)  # its worker died after it, or another run has done it
            elif job.name not in failed:
                failed[job.name] = FileError(file=job.name, kind="RecordError", why=REPLACED)
        return records, Shards(records)


def attempt(
    job: Job,
    settings: Settings,
    results: Path,
    stage: Callable[[str], None] = lambda what: None,
    lean: bool = False,
) -> FileRecord | FileError:
    """The record of a job, or why there is none; never raises for what a file can do."""
    from epistem.app.worker import run_job, run_lean

    if job.refused:
        return FileError(file=job.name, kind="RecordError", why=job.refused)
    # Another run on this folder may have come by since, or a worker that died after its last image.
    if (there := (shards.finished if lean else finished)(results, job)) is not None:
        return there
    try:
        return (run_lean if lean else run_job)(job, settings, results, stage)
    except EpistemError as error:
        # Reports are forwarded: the file by its name in the folder, not by where it lay on this machine.
        why = _one_line(error).replace(str(job.path), job.name)
        why = why.removeprefix(f"{job.name}: ").removeprefix(f"{job.name} ")
        return FileError(file=job.name, kind=type(error).__name__, why=why)
    except OSError as error:  # readers and writers say what they can; this is a folder that could not be made
        why = f"its results could not be written: {error.strerror or error}; make room or choose another --out"
        return FileError(file=job.name, kind="OSError", why=why)
    except Exception as error:  # noqa: BLE001 - one file must not stop the other thousand; the traceback is kept
        if wants_memory(error):
            why = "needs more memory than there is; try fewer --workers, or crop or bin the image"
            return FileError(file=job.name, kind="MemoryError", why=why)
        trace = results / "errors.log"
        with trace.open("a", encoding="utf-8") as log:
            log.write(f"{job.name}\n{traceback.format_exc()}\n")
        why = f"{type(error).__name__}: {_one_line(error)}; a fault of epistem, please report it with {trace.name}"
        return FileError(file=job.name, kind="fault", why=why)


def _run(
    jobs: Iterable[Job],
    settings: Settings,
    results: Path,
    *,
    workers: int,
    cluster: str | None,
    stage: Callable[[str], None],
    lean: bool,
) -> Iterator[FileRecord | FileError]:
    if workers == 1 and cluster is None:
        for job in jobs:
            yield attempt(job, settings, results, stage, lean)
        return
    one = partial(attempt, settings=settings, results=results.resolve(), lean=lean)
    for job, outcome in spread(one, jobs, workers=workers, cluster=cluster):
        # None: its worker was killed more than once, from outside or for want of memory.
        why = "its worker process died, most often for want of memory; try fewer --workers"
        yield outcome or FileError(file=job.name, kind="KilledWorker", why=why)


def _cores() -> int:
    from dask.system import CPU_COUNT  # what this process may use, also in a container

    return int(CPU_COUNT)


def _is_image(file: Path, root: Path, results: Path) -> bool:
    from epistem.imaging.read import SUFFIXES

    suffix = file.suffix.lower()
    inside = file.relative_to(root).parts
    if suffix not in SUFFIXES or any(part.startswith(".") for part in inside):
        return False
    # The chunks in a zarr folder are no images of their own, and neither are the overlays of a run before.
    if any(Path(part).suffix.lower() in (".zarr", ".zspy") for part in inside[:-1]):
        return False
    if results.resolve() in file.resolve().parents:
        return False
    if suffix == ".emi":  # its images lie in the .ser files beside it, which are read with it
        return not any(file.parent.glob(f"{glob.escape(file.stem)}_*.ser"))
    return file.is_file() or suffix in (".zarr", ".zspy")


def _with_unique_names(listed: dict[Path, str]) -> list[tuple[Path, str]]:
    often = Counter(listed.values())
    return [
        (path, name if often[name] == 1 else path.resolve().relative_to(path.resolve().anchor).as_posix())
        for path, name in listed.items()
    ]


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _make_folder(results: Path) -> None:
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=results):
            pass
    except OSError as error:
        raise SettingsError(f"--out {results} cannot be written to: {error.strerror}; choose another") from error


def _companion(path: Path) -> Path | None:
    """The file that is read along with this one, so that a change in it is noticed."""
    if path.suffix.lower() == ".ser":
        companion = path.with_name(path.stem.rpartition("_")[0] + ".emi")
    else:
        companion = path.with_suffix(".txt")
    return companion if companion.is_file() else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
