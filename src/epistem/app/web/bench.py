"""Jobs "bench_init" and "bench": what `epistem bench init`, `run` and `report` do, on labelled images of a session.

::

    ROOM/runs/bench-<id>/
    ├── set/              the images and their masks
    ├── profile.json      as `epistem bench init` wrote it and the person changed it
    ├── ranking.json      of the networks that are done
    └── run/              the folder of `epistem bench run`, with report.html
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epistem.app.web.bench_sets import CLASSES, SET, ZIP, check_images, simulate_set, unpack_set
from epistem.app.web.jobs import Bench, without_paths
from epistem.app.web.networks import networks
from epistem.app.web.rooms import Refused, Room, read_json
from epistem.core import EpistemError
from epistem.core.files import write_text

if TYPE_CHECKING:
    from epistem.app.web.desk import Desk
    from epistem.bench.plan import Plan
    from epistem.bench.profile import Profile
    from epistem.bench.store import JobFailure, JobRecord

PROFILE, RUN, RANKING = "profile.json", "run", "ranking.json"
LONGEST = 4_000_000
"""Characters of a profile."""
MOST_NETWORKS, MOST_TILE_PX, MOST_BATCH = 200, 1024, 64
_NAME = re.compile(r"bench-[0-9a-f]{8}")
_QUICK: Mapping[str, Mapping[str, Any]] = {
    "model": {"encoders": ["tf_efficientnet_lite0"], "decoders": ["unet", "fpn"], "weights": ["imagenet"]},
    "training": {
        "batch_size": 8, "max_epochs": None, "max_steps": 120, "early_stopping": None, "image_size": 128,
        "val_tiles": 16, "seeds": [0],
    },
}  # fmt: skip


def study_of(room: Room, name: str) -> Path:
    """The folder of a study.

    Raises:
        Refused: there is none of that name in this session.
    """
    folder = room.folder / "runs" / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise Refused("there is no such study in this session", 404)
    return folder


def queue_init(desk: Desk, room: Room, name: str, called: str, *, simulated: bool = False) -> dict[str, str]:
    """Queues the profile of a study whose images have come, or are to be simulated.

    Args:
        name: of the study.
        called: the images, by the person.
    """
    study_of(room, name)
    what = {"run": name, "called": called, "simulated": simulated}
    return {"id": name, "job": desk.queue_job(room, "bench_init", what)}


def simulate(desk: Desk, room: Room) -> dict[str, str]:
    """A study of a few simulated images."""
    return queue_init(desk, room, room.new_run("bench").name, "simulated pores", simulated=True)


def profile_text(room: Room, name: str) -> str:
    """The profile as the person last left it; "" where it is not made yet."""
    try:
        return (study_of(room, name) / PROFILE).read_text("utf-8")
    except OSError:
        return ""


def keep_profile(room: Room, name: str, text: str) -> dict[str, Any]:
    """Keeps a profile as it was typed, and checks it.

    Returns:
        How many `networks` it asks for, and what to know (`notes`).

    Raises:
        SettingsError: fields to correct, in the words of `epistem bench plan`.
        Refused: it is too long, asks for too much, or names files of others.
    """
    folder = study_of(room, name)
    if len(text) > LONGEST:
        raise Refused(f"the profile has {len(text):,} characters; up to {LONGEST:,} are taken", 413)
    write_text(folder / PROFILE, text)
    profile = read_profile(room, name)
    return {"networks": _networks(profile), "notes": list(profile.notes())}


def read_profile(room: Room, name: str) -> Profile:
    """The profile of a study, checked; its images are those of the study, whatever folder it names.

    The root is as seen from the folder of the run, so that nothing made there tells where the server keeps it.

    Raises:
        SettingsError: fields to correct.
        Refused: it asks for too much, or names files of others.
    """
    from epistem.bench.profile import load_profile
    from epistem.core import SettingsError

    folder = study_of(room, name)
    try:
        profile = load_profile(folder / PROFILE)
    except EpistemError:
        raise
    except ValueError as error:  # a NUL in the name of its folder
        raise Refused(f"dataset.root cannot be a folder: {error}; write {SET!r}") from error
    dataset = profile.dataset.model_copy(update={"root": f"../{SET}"})
    profile = profile.model_copy(update={"dataset": dataset})
    if lacking := profile.lacking():
        raise SettingsError("\n".join(["the profile is not complete", *(f"  {line}" for line in lacking)]))
    _check_files(profile, folder / SET)
    training = profile.training
    for what, value, most in (
        ("networks (encoders × decoders × weights × seeds)", _networks(profile), MOST_NETWORKS),
        ("training.image_size", training.image_size, MOST_TILE_PX),
        ("training.batch_size", training.batch_size, MOST_BATCH),
    ):
        if value > most:
            raise Refused(f"{what}: {value:,} are more than this page takes ({most:,}); use the command line")
    return profile


def quick(room: Room, name: str) -> str:
    """The profile with two small networks and short trainings, which a processor does in minutes."""
    profile = json.loads(profile_text(room, name) or "{}")
    return _as_text(_quicker(profile))


def queue_bench(desk: Desk, room: Room, name: str) -> dict[str, str]:
    """Queues the networks of a study that are not done yet.

    Raises:
        EpistemError: its profile has to be corrected.
        Refused: it is under way.
    """
    read_profile(room, name)
    jobs = desk.queue.of_room(room.name, kind="bench")
    if any(job.state in ("waiting", "running") for job in jobs):
        raise Refused("a study is under way already; wait for it, or cancel it", 409)
    return {"id": name, "job": desk.queue_job(room, "bench", {"run": name})}


def ranking_of(room: Room, name: str) -> dict[str, Any] | None:
    """The networks of a study that are done, best first; None before the first one."""
    told: dict[str, Any] | None = read_json(study_of(room, name) / RANKING)
    return told


def report_of(room: Room, name: str) -> str | None:
    """Where the page finds the report of a study; None before the first network is done."""
    return f"/runs/{name}/{RUN}/report.html" if (study_of(room, name) / RUN / "report.html").is_file() else None


def segmenters(room: Room) -> list[tuple[str, Path]]:
    """Runs of studies with a network that is trained and kept, by the name that the tab Segment gives them."""
    mine = set((room.folder / "runs").glob(f"bench-*/{RUN}"))
    return [(one.name, one.path) for one in networks(room) if one.path in mine]


def init(bench: Bench) -> dict[str, Any]:
    """The profile of a study's images, as `epistem bench init` makes it, with a grid that a processor can train.

    Returns:
        `run`, and what to know of the images (`notes`).
    """
    from epistem.bench.folder import profile_from_folder
    from epistem.bench.profile import profile_of

    room, name = bench.room, str(bench.what["run"])
    folder = study_of(room, name)
    if bench.what.get("simulated"):
        simulate_set(folder, bench.told)
    elif (folder / ZIP).is_file():
        bench.told("Unpacking")
        unpack_set(folder, bench.limits.room_bytes - room.size())
    check_images(folder / SET, bench.limits.megapixels, bench.told)
    bench.told("Looking for pairs, classes and groups")
    found = profile_from_folder(folder / SET)
    values = found.model_dump(by_alias=True, mode="json")
    if bench.what.get("simulated"):
        values["task"]["classes"] = [
            {**one, "name": name} for one, name in zip(values["task"]["classes"], CLASSES, strict=True)
        ]
    values["dataset"] |= {"id": str(bench.what.get("called") or SET), "root": SET}
    profile = profile_of(_quicker(values))
    write_text(folder / PROFILE, _as_text(profile.model_dump(by_alias=True, mode="json")))
    counted = profile.dataset.metadata.counted
    names = [one.name for one in profile.task.classes]
    return {
        "run": name, "notes": list(profile.notes()), "images": 0 if counted is None else counted.images,
        "groups": 0 if counted is None else counted.groups,
        "classes": {} if counted is None else dict(zip(names, counted.class_share.values(), strict=True)),
    }  # fmt: skip


def run(bench: Bench) -> dict[str, Any]:
    """The networks of a study, trained and tested as `epistem bench run` does, then the report.

    Returns:
        As `epistem bench run --json` (`primary`, `models`), how many are `done` and were `reused`, what `failed` and
        why, which network `epistem segment` takes (`best`), and whether there is a `report`.
    """
    from epistem.app.train import need_torch
    from epistem.bench.plan import make_plan
    from epistem.bench.run import run_plan
    from epistem.bench.typical import make_reference, reference_file

    need_torch()
    name = str(bench.what["run"])
    profile, out = read_profile(bench.room, name), Path("..") / RUN
    here = study_of(bench.room, name) / RUN
    here.mkdir(exist_ok=True)
    # Where the profile's root is looked for: from the process's folder, or from that of its file.
    with chdir(here):
        bench.told("Reading the images")
        plan = make_plan(profile)
        heard = _Heard(bench, profile, plan, out)
        outcome = run_plan(profile, plan, out, progress=heard.progress, told=heard.told)
        if plan.jobs and not (path := reference_file(out, plan.jobs[0].settings["data"])).is_file():
            bench.told("Looking at the training images, so that unlike ones can be told")
            make_reference(profile, plan, path)
        told = heard.rank()
        told |= {"run": name, "done": len(outcome.records), "of": len(plan.jobs), "reused": outcome.reused}
        told["failed"] = [
            {"network": plan.job(one.job).name, "why": without_paths(one.why, bench.room)} for one in outcome.failures
        ]
        return {**told, "report": bool(outcome.records) and heard.report()}


class _Heard:
    """What the trainings tell, for the page; after each network the report is written anew."""

    def __init__(self, bench: Bench, profile: Profile, plan: Plan, out: Path) -> None:
        from epistem.bench.store import finished

        self._bench, self._profile, self._plan, self._out = bench, profile, plan, out
        self._began = time.monotonic()
        self._left = [job for job in plan.jobs if finished(out, job) is None]
        self._before = len(plan.jobs) - len(self._left)

    def told(self, what: str, done: int, of: int, more: str) -> None:
        n, through = len(self._plan.jobs), len(self._plan.jobs) - len(self._left)
        name = self._left[0].name if self._left else ""
        said = f"{through} of {n} networks done. {name}: {what.lower()} {done} of {of}{f' ({more})' if more else ''}"
        self._bench.told(f"{said}. {self._spent()} so far", (through + done / max(of, 1)) / n)

    def progress(self, done: int, of: int, one: JobRecord | JobFailure) -> None:
        from epistem.app.bench_report import write_report
        from epistem.bench.store import JobRecord

        self._left = [job for job in self._left if job.id != one.job]
        self._bench.told(f"{done} of {of} networks done. {self._spent()} so far", done / of)
        if isinstance(one, JobRecord):
            self.rank()
            write_report(self._out)

    def rank(self) -> dict[str, Any]:
        """The table of what is done, kept for the page."""
        from epistem.bench.store import records

        told = _table(self._profile, self._plan, self._out, records(self._out, self._plan))
        write_text(self._out.parent / RANKING, json.dumps(told))
        return told

    def report(self) -> bool:
        """The whole report, of which there is one where a network is done."""
        from epistem.app.bench_report import full_report

        def told(what: str, done: int, of: int, more: str) -> None:
            self._bench.told(f"Report: {what.lower()} {done} of {of} {more}".strip())

        full_report(self._out, signals=True, heatmaps=None, regions=None, past=None, said=self._bench.told, told=told)
        return True

    def _spent(self) -> str:
        seconds = time.monotonic() - self._began
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _table(profile: Profile, plan: Plan, out: Path, records: Sequence[JobRecord]) -> dict[str, Any]:
    """Means by network, best first, and the network that is used on new images."""
    from epistem.app.bench_run import means_of
    from epistem.app.segment import model_file
    from epistem.bench.store import read_scores

    if not records:
        return {"primary": profile.task.primary, "models": [], "best": None, "undertrained": []}
    means = means_of(read_scores(out, records), profile.task.primary)
    short = sorted({f"{one.encoder} + {one.decoder}" for one in records if one.undertrained})
    kept = any(one.model for one in records)
    return {
        "primary": profile.task.primary, "undertrained": short, "images": len(plan.split.test),
        "models": means.astype(object).where(means.notna(), None).to_dict("records"),
        "best": model_file(out)[1].removeprefix("Network: ") if kept else None,
    }  # fmt: skip


def _networks(profile: Profile) -> int:
    model = profile.model
    return len(model.encoders) * len(model.decoders) * len(model.weights) * len(profile.training.seeds)


def _check_files(profile: Profile, folder: Path) -> None:
    """Only files of the study: a profile is text that anybody may have written."""
    root = folder.resolve()
    for pair in profile.dataset.pairs:
        for name in (pair.image, pair.mask):
            try:
                inside = root in (root / name).resolve().parents
            except (OSError, ValueError):  # a NUL in the name
                inside = False
            if not inside:
                raise Refused(f"dataset.pairs: {name[:80]!r} is not below the folder of the images; correct it")


def _quicker(values: Mapping[str, Any]) -> dict[str, Any]:
    small = {part: {**values.get(part, {}), **changes} for part, changes in _QUICK.items()}
    return {**values, **small}


def _as_text(values: Mapping[str, Any]) -> str:
    """As JSON, what is most often changed first, and the list of all images last."""
    first = [name for name in ("schema", "model", "training", "task") if name in values]
    values = {name: values[name] for name in (*first, *(name for name in values if name not in first))}
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"
