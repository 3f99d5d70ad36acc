"""From a plan to cases: detectors trained, images simulated, searched, held against the truth; each part goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from epistem import __version__
from epistem.app.forecast_plan import Plan, Trial
from epistem.app.train_spec import Silent, Told, train_from_spec
from epistem.core import Detector, Instances, SettingsError, TrainingError
from epistem.core.cluster import spread
from epistem.core.errors import in_a_line
from epistem.detect import make_detector, weights_hash
from epistem.detect.calibrate import ASKED, LabelledField, saved_field
from epistem.nets import runs
from epistem.nets.backgrounds import Backgrounds, load_backgrounds
from epistem.nets.spec import spec_of
from epistem.nets.weights import Weights
from epistem.synth import HARMS
from epistem.synth.fields import make_fields
from epistem.synth.foreign import draw_foreign
from epistem.trust.cases import LEAST_CANDIDATE, Cases, Described, case_of, gather, joined
from epistem.trust.features import LEAST_SCORE
from epistem.trust.stability import stability

# A saved field does not know its beam, which another defocus needs.
_HARMS = tuple(name for name in HARMS if name != "defocus")


class _Means(NamedTuple):
    """As `make_cases` takes them."""

    told: Told
    device: str | None
    workers: int
    backgrounds: Backgrounds | None
    cluster: str | None = None


def make_cases(
    plan: Plan, out: Path, *, told: Told, device: str | None = None, workers: int = 1, cluster: str | None = None,
    backgrounds: Backgrounds | None = None,
) -> Cases:  # fmt: skip
    """Every case of the plan, also as parquet in `out`; goes on where a run before was stopped.

    Trainings, and then trials, are made side by side where there are more workers than one; the cases are the same.

    Args:
        plan: what is trained and tried.
        out: folder of everything: `detectors/`, `fields/`, `parts/` and the tables.
        told: is told how far it is.
        device: for training and Mask R-CNNs; a GPU where there is one if None.
        workers: processes for trainings and trials; where one is left they make its fields, and samples.
        cluster: address of a running Dask scheduler instead, "tcp://host:8786"; it must see the same files.
        backgrounds: recorded cavity-free fields, for trials on these.

    Raises:
        SettingsError: the plan wants recorded fields, and none are given; or no scheduler answers.
        ClusterError: the scheduler went away, or its workers cannot do the work.
        TrainingError: a training or a trial cannot go on, and what was reached is kept; or `out` holds cases of
            another plan or of other weights.
        RecordError: something cannot be written, or what lies there is damaged.
    """
    if backgrounds is None and any(trial.recipe.on_backgrounds for trial in plan.trials):
        raise SettingsError(
            "this plan lays cavities on recorded fields and none are given; pass --spec, the TOML of a training with "
            "[backgrounds], such as scripts/shipped/cavity-dense.toml of a checkout"
        )
    with runs.claimed(out, _plain(plan, backgrounds)):
        return _made(plan, out, _Means(told, device, workers, backgrounds, cluster))


def _plain(plan: Plan, backgrounds: Backgrounds | None) -> dict[str, Any]:
    """All that the cases depend on."""
    ready = sorted({trial.detector for trial in plan.trials} - set(plan.detectors))
    return {
        "trials": {f"{number:02d}": asdict(trial) for number, trial in enumerate(plan.trials)},
        "detectors": dict(plan.detectors), "weights": {name: weights_hash(make_detector(name)) for name in ready},
        "backgrounds": _hashes(backgrounds),
    }  # fmt: skip


def _hashes(backgrounds: Backgrounds | None) -> dict[str, str]:
    return {one.name: one.sha256 for one in backgrounds.files} if backgrounds else {}


def _made(plan: Plan, out: Path, means: _Means) -> Cases:
    _each(train_part, "Trainings", list(plan.detectors), plan, out, means)
    numbers = range(len(plan.trials))
    missing = [number for number in numbers if not (_part(out, number) / "images.parquet").exists()]
    _each(try_part, "Trials", missing, plan, out, means)
    tables = joined([Cases.load(_part(out, number)) for number in numbers])
    about = _about(plan, out) | {"backgrounds": _hashes(means.backgrounds)}
    cases = Cases(tables.images, tables.objects, about)
    cases.save(out)
    return cases


def _part(out: Path, number: int) -> Path:
    return out / "parts" / f"{number:02d}"


def _each(
    make: Callable[[Plan, Path, Any, _Means], None], what: str, names: Sequence[Any], plan: Plan, out: Path,
    means: _Means,
) -> None:  # fmt: skip
    """Every part of one kind, here or side by side."""
    if means.cluster is None and (means.workers <= 1 or len(names) < 2):
        for name in names:
            make(plan, out, name, means)
        return
    # A worker may start no processes of its own, and has nobody to tell.
    one = partial(_outcome, make, plan, out.resolve(), means._replace(told=Silent(), workers=0, cluster=None))
    failed = []
    workers = min(means.workers, len(names))
    for done, (name, why) in enumerate(spread(one, names, workers=workers, cluster=means.cluster), 1):
        if why != "":
            failed.append(f"{name}: {why or 'its worker died twice, most often for want of memory'}")
        means.told.part(what, done, len(names))
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(names)} {what.lower()} were not made, the others are kept: {'; '.join(failed)}"
        )


def _outcome(make: Callable[[Plan, Path, Any, _Means], None], plan: Plan, out: Path, means: _Means, name: Any) -> str:
    """Why a part could not be made, else ""."""
    try:
        make(plan, out, name, means)
    except Exception as error:  # noqa: BLE001 - one part must not stop the others
        return in_a_line(error)
    return ""


def train_part(plan: Plan, out: Path, name: str, means: _Means) -> None:
    """One detector, unless it is there."""
    trained(plan, name, out, told=means.told, device=means.device, workers=means.workers)


def try_part(plan: Plan, out: Path, number: int, means: _Means) -> None:
    """The cases of one trial, unless they are there."""
    folder = _part(out, number)
    if not (folder / "images.parquet").exists():
        gather(_tried(plan, plan.trials[number], number, out, means), {}).save(folder)


def trained(plan: Plan, name: str, out: Path, *, told: Told, device: str | None = None, workers: int = 1) -> Weights:
    """One detector of the plan."""
    told.say(f"Detector {name}")
    return train_from_spec(
        spec_of(plan.detectors[name]), _trained_in(out, name), told=told, device=device, workers=workers
    )


def _tried(plan: Plan, trial: Trial, number: int, out: Path, means: _Means) -> Iterator[Described]:
    if trial.foreign:
        yield from _foreign(plan, trial, number, out, means)
        return
    folder = out / "fields" / f"{number:02d}"

    def made(done: int, of: int) -> None:
        means.told.part(f"Simulating {trial.split}, {trial.source}", done, of)

    recorded = load_backgrounds(means.backgrounds) if trial.recipe.on_backgrounds and means.backgrounds else []
    paths = make_fields(folder, trial.recipe, recorded, workers=means.workers, told=made)
    detector = _detector(plan, trial.detector, out, means.device)
    for k, path in enumerate(paths):
        field = _harmed(saved_field(path, ASKED[trial.severity]), trial, k)
        found = detector(field.micrograph)
        case = case_of(
            found, field.asked, field.micrograph, ambiguous=field.ambiguous, smallest_px=field.smallest_px,
            source=trial.source, split=trial.split, detector=trial.detector, image=f"{number:02d}/{path.stem}",
        )  # fmt: skip
        again: dict[str, float] = {}
        if trial.views:
            again = stability(detector, field.micrograph, found, min_score=LEAST_SCORE, views=trial.views)
        yield Described({**case.image, **again}, case.objects)
        means.told.part(f"Detecting {trial.split}, {trial.source}", k + 1, len(paths))


def _foreign(plan: Plan, trial: Trial, number: int, out: Path, means: _Means) -> Iterator[Described]:
    """Images that hold nothing: whatever is found is false."""
    detector = _detector(plan, trial.detector, out, means.device)
    for k in range(trial.recipe.number):
        micrograph = draw_foreign(np.random.default_rng([trial.recipe.seed, k]), trial.recipe.shape)
        nothing = Instances.empty(micrograph.shape)
        yield case_of(
            detector(micrograph), nothing, micrograph, source=trial.source, split=trial.split,
            detector=trial.detector, image=f"{number:02d}/{k:05d}",
        )  # fmt: skip
        means.told.part(f"Detecting {trial.split}", k + 1, trial.recipe.number)


def _detector(plan: Plan, name: str, out: Path, device: str | None) -> Detector:
    """It keeps everything down to the faintest candidate."""
    if name not in plan.detectors:
        return make_detector(name, min_score=LEAST_CANDIDATE)
    return make_detector(
        plan.detectors[name]["network"], weights=str(_weights(plan, name, out)), min_score=LEAST_CANDIDATE,
        device=device,
    )  # fmt: skip


def _weights(plan: Plan, name: str, out: Path) -> Path:
    network = plan.detectors[name]["network"]
    return _trained_in(out, name) / f"{network}.safetensors"


def _trained_in(out: Path, name: str) -> Path:
    """Folder of a detector's training; the signs in its name are none of a file's everywhere."""
    return out / "detectors" / name.replace(":", "-").replace("&", "and")


def _harmed(field: LabelledField, trial: Trial, number: int) -> LabelledField:
    """The field, or the same harmed: which harm and how much follow from the number alone."""
    rng = np.random.default_rng([trial.recipe.seed, number, 1])
    if rng.random() >= trial.harmed:
        return field
    harm = HARMS[_HARMS[int(rng.integers(len(_HARMS)))]]
    amount = harm.levels[int(rng.integers(3))]
    micrograph = harm(field.micrograph, amount, seed=int(rng.integers(2**31)))
    asked, ambiguous = (harm.truth(one, amount) for one in (field.asked, field.ambiguous))
    return field._replace(micrograph=micrograph, asked=asked, ambiguous=ambiguous)


def _about(plan: Plan, out: Path) -> dict[str, object]:
    """How these cases came about."""
    detectors = {}
    for name in dict.fromkeys(trial.detector for trial in plan.trials):
        detectors[name] = weights_hash(_detector(plan, name, out, None))
    trials = [asdict(trial) for trial in plan.trials]
    return {"epistem": __version__, "weights": detectors, "trials": trials, "specs": dict(plan.detectors)}
