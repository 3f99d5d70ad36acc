"""Profile → jobs: one for each encoder, decoder, initialisation and seed, named after all that decides its result.

The images are dealt to train, validation and test once, by groups, and the plan keeps who is where. A job's id hashes
the pixels, labels and parts of the images and the settings; not paths, names, the objective or who took the images.
So a folder that moved keeps its results, and a corrected mask asks for new ones.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from epistem.bench.checked import checked, nearest, read_json
from epistem.bench.examples import read_example
from epistem.bench.folder import files_digest
from epistem.bench.groups import check_enough
from epistem.bench.masks import IGNORED
from epistem.bench.profile import Pair, Part, Profile, SplitFractions, save_profile
from epistem.core import SettingsError, UnknownName
from epistem.core.files import write_text

SCHEMA: Literal["epistem.plan/1"] = "epistem.plan/1"

RECIPE = 1
"""Raised when training or evaluation changes what the same settings give: old results then count no more."""

_ID_DIGITS = 12
PARTS = ("train", "val", "test")


class Member(Part):
    """One image of a part: where it lies, its group, and the content ids of its pixels and of its labels."""

    image: str
    slice: int | None = None
    group: str
    image_id: str
    labels_id: str


class Split(Part):
    """Who is learned from, who chooses the checkpoint, and who is reported on once."""

    train: tuple[Member, ...]
    val: tuple[Member, ...]
    test: tuple[Member, ...]


class Job(Part):
    """One network to train and evaluate.

    Attributes:
        id: hash of `settings`.
        settings: everything that changes the result.
    """

    id: str
    encoder: str
    decoder: str
    variant: str
    weights: str
    seed: int
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """In words."""
        variant = "" if self.variant == "canonical" else f" ({self.variant} variant)"
        return f"{self.encoder} + {self.decoder}{variant}, weights {self.weights}, seed {self.seed}"


class Plan(Part):
    """All jobs of a profile, and the split that they share."""

    schema_id: Literal["epistem.plan/1"] = Field(SCHEMA, alias="schema")
    dataset: str | None = None
    split: Split
    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()

    def job(self, wanted: str) -> Job:
        """The job of that id, or of an id that begins so.

        Raises:
            UnknownName: there is none, or there are several.
        """
        found = [job for job in self.jobs if wanted and job.id.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownName(f"{len(found)} jobs begin with {wanted}; write more digits of the id")
        ids = [job.id for job in self.jobs]
        raise UnknownName(f"no job is called {wanted!r}; {nearest(wanted, ids)}")


class _Seen(NamedTuple):
    pair: Pair
    member: Member
    channels: int
    present: frozenset[int]


def make_plan(profile: Profile) -> Plan:
    """The jobs of a profile; every image and mask is read once.

    Raises:
        SettingsError: the profile lacks something, or the images cannot be split.
        RecordError, ReadError, ShapeError: a file that does not fit; the pair is named.
    """
    if lacking := profile.lacking():
        what = profile.dataset.id or "the profile"
        raise SettingsError("\n".join([f"{what} is not complete", *(f"  {line}" for line in lacking)]))
    folder = profile.folder()
    seen = [_see(profile, pair, folder) for pair in profile.dataset.pairs]
    split, notes = _split(profile, seen)
    if len(counts := {one.channels for one in seen}) > 1:
        raise SettingsError(f"images have {sorted(counts)} channels; name those to use in dataset.channels")
    stored = profile.dataset.metadata.provenance.sha256
    if stored is not None and stored != files_digest(folder, profile.dataset.pairs):
        notes.append("images or masks changed since the profile was written; the jobs are for what is there now")
    data = _data_settings(profile, split, seen[0].channels)
    model = profile.model
    grid = product(model.encoders, model.decoders, model.weights, profile.training.seeds)
    jobs = tuple(_job(profile, data, *cell) for cell in grid)
    return Plan(dataset=profile.dataset.id, split=split, jobs=jobs, notes=tuple(notes))


def save_plan(plan: Plan, path: Path) -> None:
    """The plan as JSON.

    Raises:
        RecordError: the file cannot be written.
    """
    write_text(path, plan.model_dump_json(by_alias=True, indent=1) + "\n")


def load_plan(path: Path) -> Plan:
    """The plan in a JSON file.

    Raises:
        SettingsError: no such file, or fields to correct.
    """
    return checked(Plan, read_json(path), path.name)


def emit(plan: Plan, profile: Profile, folder: Path) -> list[Path]:
    """Profile, plan, the table `jobs.csv` and one script a job, which trains and evaluates it.

    Returns:
        The scripts, in the plan's order.

    Raises:
        RecordError: a file cannot be written.
    """
    save_profile(profile, folder / "profile.json")
    save_plan(plan, folder / "plan.json")
    scripts = []
    for job in plan.jobs:
        scripts.append(folder / "jobs" / f"{job.encoder}_{job.decoder}_{job.weights}_{job.seed}_{job.id}.py")
        write_text(scripts[-1], _script(plan, job))
    write_text(folder / "jobs.csv", _table(plan, [path.relative_to(folder).as_posix() for path in scripts]))
    return scripts


def settings_id(settings: dict[str, Any]) -> str:
    """The first digits of the SHA-256 of settings as canonical JSON: the order of keys does not matter.

    >>> settings_id({"a": 1, "b": 2}) == settings_id({"b": 2, "a": 1})
    True
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def _see(profile: Profile, pair: Pair, folder: Path) -> _Seen:
    example = read_example(profile, pair, folder)
    ids = {"image_id": example.image_id, "labels_id": example.labels_id}
    member = Member(image=pair.image, slice=pair.slice, group=pair.group, **ids)
    present = frozenset(int(label) for label in np.unique(example.labels) if label != IGNORED)
    return _Seen(pair, member, len(example.image), present)


def _split(profile: Profile, seen: Sequence[_Seen]) -> tuple[Split, list[str]]:
    fractions = profile.training.split
    _check_duplicates(seen, fractions.by)
    units: dict[str, list[_Seen]] = {}
    for one in seen:
        units.setdefault(one.member.group if fractions.by == "group" else one.member.image_id, []).append(one)
    named = [one.member.group if fractions.by == "group" else one.member.image_id for one in seen]
    check_enough(named, profile.dataset.id or "the data set")
    dealt = _deal(list(units.values()), fractions)
    notes = [] if fractions.by == "group" else ["split by image, not by group: scores are optimistic"]
    for part in PARTS:
        present = frozenset[int]().union(*(one.present for one in dealt[part]))
        missing = [one.name for i, one in enumerate(profile.task.classes) if i not in present]
        if missing:
            notes.append(f"no {part} image shows {', '.join(missing)}; another training.split.seed may")
    return Split(**{part: tuple(one.member for one in dealt[part]) for part in PARTS}), notes


def _check_duplicates(seen: Sequence[_Seen], by: str) -> None:
    first: dict[str, _Seen] = {}
    for one in seen:
        other = first.setdefault(one.member.image_id, one)
        if by == "group" and other.member.group != one.member.group:
            raise SettingsError(
                f"{other.pair.name} and {one.pair.name} are the same picture, in groups {other.member.group!r} and "
                f"{one.member.group!r}; keep one of them, or give both one group"
            )


def _deal(units: list[list[_Seen]], fractions: SplitFractions) -> dict[str, list[_Seen]]:
    """Units drawn in random order, the large ones first, each to the part that lacks most; no part stays empty."""
    # By content, so that neither names nor the order of the list matter.
    units = [sorted(unit, key=lambda one: one.member.image_id + one.member.labels_id) for unit in units]
    units.sort(key=lambda unit: unit[0].member.image_id)
    order = np.random.default_rng(fractions.seed).permutation(len(units))
    units = sorted((units[i] for i in order), key=len, reverse=True)
    total = sum(map(len, units))
    lacks = {part: getattr(fractions, part) * total for part in PARTS}
    dealt: dict[str, list[_Seen]] = {part: [] for part in PARTS}
    for left, unit in zip(range(len(units), 0, -1), units, strict=True):
        empty = [part for part in PARTS if not dealt[part]]
        part = max(empty if left <= len(empty) else PARTS, key=lacks.__getitem__)
        dealt[part] += unit
        lacks[part] -= len(unit)
    return dealt


def _data_settings(profile: Profile, split: Split, channels: int) -> dict[str, Any]:
    task = profile.task
    parts = {part: [[one.image_id, one.labels_id] for one in getattr(split, part)] for part in PARTS}
    return {
        "data": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
        "channels": channels,
        "classes": len(task.classes),
        "metrics": sorted(task.metrics),
        "primary": task.primary,
    }


def _job(profile: Profile, data: dict[str, Any], encoder: str, decoder: str, weights: str, seed: int) -> Job:
    variant = profile.model.variant
    cell = {"encoder": encoder, "decoder": decoder, "variant": variant, "weights": weights, "seed": seed}
    # The split is in the data, the seeds are in the cells.
    training = profile.training.model_dump(exclude={"seeds", "split"}, exclude_none=True)
    settings = {"recipe": RECIPE, **data, **cell, **training}
    return Job(
        id=settings_id(settings),
        encoder=encoder,
        decoder=decoder,
        variant=variant,
        weights=weights,
        seed=seed,
        settings=settings,
    )


def _script(plan: Plan, job: Job) -> str:
    counts = ", ".join(f"{len(getattr(plan.split, part))} {part}" for part in PARTS)
    dataset = " ".join((plan.dataset or "a data set without a name").split())
    settings = "\n".join(f"#   {name}: {value}" for name, value in job.settings.items())
    return f"""\
# {job.name}, on {dataset} ({counts} images).
# Trains, chooses the checkpoint on the validation images, and evaluates it once on the test images.
# Everything that decides the result:
{settings}

import subprocess
import sys
from pathlib import Path

profile = Path(__file__).resolve().parent.parent / "profile.json"
sys.exit(subprocess.call([sys.executable, "-m", "epistem", "bench", "run-job", str(profile), "{job.id}"]))
"""


def _table(plan: Plan, scripts: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "encoder", "decoder", "variant", "weights", "seed", *(f"n_{p}" for p in PARTS), "script"])
    counts = [len(getattr(plan.split, part)) for part in PARTS]
    for job, script in zip(plan.jobs, scripts, strict=True):
        writer.writerow([job.id, job.encoder, job.decoder, job.variant, job.weights, job.seed, *counts, script])
    return text.getvalue()
