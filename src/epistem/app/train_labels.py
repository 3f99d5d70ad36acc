"""A detector trained further on a person's own labelled images, and whether that helped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from epistem.app.batch import list_files
from epistem.app.card import scores_of
from epistem.app.score import annotated, is_results_folder
from epistem.app.train_spec import Told, as_detector, write_weights
from epistem.core import Instances, Interval, Micrograph, MicrographSeries, RecordError, SettingsError, TrainingError
from epistem.detect import DETECTORS
from epistem.detect.adapters import (
    ADAPTERS,
    annotation_files,
    annotations_for,
    format_of,
    listed_images,
    load_instances,
)
from epistem.detect.adapters.names import pair, parts_of
from epistem.detect.calibrate import LabelledField, best_threshold, collect, counts_at, pooled_at
from epistem.detect.calibrate import split as asked_of
from epistem.imaging import read
from epistem.nets import runs
from epistem.nets.augment import Augment
from epistem.nets.labelled import FEWEST, FromImages, Labelled, Split, split
from epistem.nets.train import Schedule, device_or_best
from epistem.nets.weights import Weights, open_weights
from epistem.report.words import counted
from epistem.stats.intervals import student_interval

SHIPPED = "cavity-dense"


@dataclass(frozen=True)
class Check:
    """Held-out images before and after.

    Attributes:
        before, after: counts, precision, recall and F1 over all of them.
        gain: mean change of an image's F1; Student's interval, as two images are few.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    gain: Interval | None

    @property
    def worse(self) -> bool:
        """Whether F1 fell."""
        return bool(self.after["f1"] < self.before["f1"])


@dataclass(frozen=True, eq=False)
class Tuned:
    """New weights and what they are worth.

    Attributes:
        weights: the new file.
        source: the weights it began from.
        parts: images learned from and held out.
        check: None where no image was held out.
    """

    weights: Weights
    source: Weights
    parts: Split
    check: Check | None


def train_on_labels(
    labelled: Sequence[Labelled],
    out: Path,
    *,
    told: Told,
    source: str = "shipped",
    schedule: Schedule,
    device: str | None = None,
    workers: int = 1,
) -> Tuned:
    """Weights trained further on labelled images; goes on where a run before was stopped.

    Args:
        labelled: from `read_labelled`.
        out: folder of everything.
        told: is told how far it is.
        source: "shipped", or a weights file.
        schedule: how long and how fast; its seed chooses the held-out images too.
        device: "cpu", "cuda", "cuda:1"…; a GPU where there is one if None.
        workers: processes that make samples; 0 makes them in this one.

    Raises:
        TrainingError: nothing to learn from, or it cannot go on; what was reached is kept.
        RecordError: weights that are damaged or cannot be written.
    """
    device = device_or_best(device)
    base = open_weights(SHIPPED if source == "shipped" else Path(source))
    parts = split(labelled, seed=schedule.seed)
    augment = Augment()
    begun = runs.begun_from(base, schedule.seed)  # weights that do not fit leave no folder behind
    what = {"from": base.hash, "images": _identity(labelled), **_settings(schedule, augment)}
    with runs.claimed(out, what):
        told.say(_plan(parts))
        return _tuned(base, begun, parts, schedule, augment, out, told=told, device=device, workers=workers)


def _tuned(
    base: Weights, begun: Any, parts: Split, schedule: Schedule, augment: Augment, out: Path, *,
    told: Told, device: str, workers: int,
) -> Tuned:  # fmt: skip
    network: Any = runs.learn(
        begun, FromImages(parts.learn, augment), schedule, out,
        device=device, workers=workers, told=lambda step: told.step(step, schedule.steps),
    )  # fmt: skip
    with as_detector(out, base.network, network, 0.0, device) as detector:
        try:
            min_score = best_threshold(collect(detector, _fields(parts.learn)))
        except SettingsError as error:
            raise TrainingError(
                f"the trained network finds nothing right in its own images, no weights were written: {error}"
            ) from error
    check = None
    if parts.held_out:
        before = DETECTORS[base.network](weights=str(base.path), device=device)
        with as_detector(out, base.network, network, min_score, device) as after:
            check = _check(before, after, base.min_score, min_score, _fields(parts.held_out))
    card = _card(base, parts, check, out, device, _settings(schedule, augment))
    return Tuned(write_weights(out, base.network, network, min_score, card=card, told=told), base, parts, check)


def read_labelled(
    labels: Path,
    images: Path,
    out: Path,
    *,
    category: str | None = None,
    kind: str | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> list[Labelled]:
    """Every image that has labels, with them.

    Args:
        labels: file or folder in any format of ADAPTERS, or the results folder of `analyze`, as `epistem score` takes
            it. Of results the `objects.coco.json` is read.
        images: folder of the images.
        out: results, no images of which are taken.
        category: the class to learn, where the labels have several.
        kind: format of the labels where it cannot be told ("binary").
        told: is told which images have no labels and which labels no image, and where labels are results.

    Raises:
        RecordError: labels that do not fit their image or hold no outlines; the file and the object are named.
        ReadError: an image that cannot be read.
        SettingsError: nothing there, or several classes and no category.
    """
    files = {name: path for path, name in list_files([images], out)}
    pairs = _labels_of(files, labels)
    if not pairs:
        if images.resolve() in (labels.resolve(), *labels.resolve().parents) and labels.is_dir():
            raise RecordError(
                f"the labels in {labels} lie among the images; move the labels to a folder of their own"
            )
        raise RecordError(f"{labels} has labels for none of the {len(files)} images in {images}; name them alike")
    if left := _left_out(labels, files, pairs):
        told(left)
    if is_results_folder(labels):
        told(f"Every object that {labels} lists is taken for true: objects.coco.json is read, a labels.tif is not.")
    found = {}
    seen: dict[str, str] = {}
    for name, path in pairs.items():
        micrograph = _one_image(files[name], name)
        if (other := seen.setdefault(micrograph.id, name)) != name:
            raise RecordError(f"{other} and {name} are the same picture; keep one, or a held-out image is no check")
        found[name] = micrograph, _outlines(path, name, micrograph, kind)
    chosen = _category({name for _, truth in found.values() for name in _used(truth)}, category)
    return [Labelled(name, micrograph, _plain(truth, chosen)) for name, (micrograph, truth) in found.items()]


def _labels_of(files: Mapping[str, Path], labels: Path) -> dict[str, Path]:
    """Image → file of its labels, for those that have one."""
    if not is_results_folder(labels):
        return annotations_for(labels, files)
    found = {one.series or name: one.path for name, one in annotated(labels).items()}
    pairs = pair({name: parts_of(name) for name in files}, {name: tuple(name.split("/")) for name in found})
    return {name: found[other] for name, other in pairs.items()}


def _left_out(labels: Path, files: Mapping[str, Path], pairs: Mapping[str, Path]) -> str:
    """Images without labels and labels without an image, in words; "" if there are none."""
    bare = [name for name in files if name not in pairs]
    strange = _strange(labels, files, pairs)
    told = []
    if bare:
        told.append(f"{len(bare)} of {len(files)} images have no labels and are left out: {_some(bare)}")
    if strange:
        told.append(f"labels name {counted(len(strange), 'image')} not among the images: {_some(strange)}")
    return "; ".join(told) + "." if told else ""


def _strange(labels: Path, files: Mapping[str, Path], pairs: Mapping[str, Path]) -> list[str]:
    """Labels without an image."""
    sources = set(pairs.values())
    if is_results_folder(labels):
        return [name for name, one in annotated(labels).items() if one.path not in sources]
    listed = {name: parts_of(name) for path in sorted(sources) for name in listed_images(path)}
    if labels.is_dir() and not listed:
        taken = sources | set(files.values())
        return [path.relative_to(labels).as_posix() for path in annotation_files(labels) if path not in taken]
    known = set(pair({name: parts_of(name) for name in pairs}, listed).values())
    return [name for name in listed if name not in known]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + ("…" if len(names) > 5 else "")


def _one_image(path: Path, name: str) -> Micrograph:
    image = read(path)
    if isinstance(image, MicrographSeries):
        raise RecordError(f"{name} holds {len(image.slices)} images; save the one that is labelled as a file")
    return image


def _outlines(path: Path, name: str, micrograph: Micrograph, kind: str | None) -> Instances:
    """The objects of one image; each has an outline inside it."""
    found = load_instances(path, shape=micrograph.shape, image=name, kind=kind)
    notes = found.provenance.settings["notes"] if found.provenance else ()
    if found.crops is not None and not notes:
        return found
    content = ADAPTERS[kind or format_of(path)](path, shape=micrograph.shape, image=name)
    rows, cols = micrograph.shape
    for i, item in enumerate(content.items):
        if item.mask is not None:
            continue
        if item.box is None or not (item.box[0] < rows and item.box[1] < cols and min(item.box[2:]) > 0):
            raise RecordError(
                f"{path.name}: object {i} of {name} lies outside the image of {rows} × {cols} (rows × columns); are "
                "these the labels of this image? Correct or remove it"
            )
        raise RecordError(
            f"{path.name}: object {i} of {name} is a box without an outline, and outlines are learned; export "
            "polygons or masks"
        )
    raise RecordError(f"{path.name}: {'; '.join(notes)}; for training say which it is (--kind binary), or correct it")


def _used(truth: Instances) -> list[str]:
    return [truth.classes[i] for i in np.unique(truth.label)]


def _category(there: set[str], wanted: str | None) -> str | None:
    """The class to learn; None where there is no object."""
    listed = ", ".join(sorted(there))
    if wanted is None and len(there) > 1:
        raise SettingsError(
            f"the labels have {len(there)} classes ({listed}) and the detector learns one; choose: --category NAME"
        )
    if wanted is not None and wanted not in there:
        raise SettingsError(f"no object is labelled {wanted!r}; the labels have {listed or 'no object'}")
    return wanted or next(iter(there), None)


def _plain(truth: Instances, category: str | None) -> Instances:
    """Objects of one class; what is marked as a crowd is neither asked for nor wrong."""
    chosen = truth[np.array([truth.classes[i] == category for i in truth.label], bool)]
    crowd = np.nan_to_num(np.asarray(chosen.columns.get("crowd", np.zeros(len(chosen))), float)).astype(bool)
    return replace(chosen, columns={"ignored": crowd})


def _fields(images: Sequence[Labelled]) -> list[LabelledField]:
    return [asked_of(one.micrograph, one.truth, ~one.truth.columns["ignored"]) for one in images]


def _check(before: Any, after: Any, least_before: float, least_after: float, fields: list[LabelledField]) -> Check:
    judged = collect(before, fields), collect(after, fields)
    pools = [pooled_at(one, least) for one, least in zip(judged, (least_before, least_after), strict=True)]
    each = [_f1(counts_at(one, least)) for one, least in zip(judged, (least_before, least_after), strict=True)]
    gain = student_interval(each[1] - each[0])
    if gain is not None:  # F1 cannot change by more than 1, whatever Student says of two images
        gain = Interval(max(gain.low, -1.0), gain.value, min(gain.high, 1.0), gain.coverage)
    return Check(scores_of(pools[0]), scores_of(pools[1]), gain)


def _f1(counts: Any) -> Any:
    """F1 of each image, 1 where nothing was asked for and nothing found."""
    tp, fp, fn = counts.T
    return np.where(tp + fp + fn, 2 * tp / np.maximum(2 * tp + fp + fn, 1), 1.0)


def _plan(parts: Split) -> str:
    n = sum(int((~one.truth.columns["ignored"]).sum()) for one in parts.learn)
    held = ", ".join(one.name for one in parts.held_out)
    check = f"{len(parts.held_out)} held out ({held})." if held else (
        f"none is held out: that takes {FEWEST}. Whether the new weights are better will not be known."
    )  # fmt: skip
    return f"Learning from {counted(n, 'object')} in {counted(len(parts.learn), 'image')}; {check}"


def _identity(labelled: Sequence[Labelled]) -> dict[str, list[str]]:
    """Picture and labels of each image, as hashes."""
    return {one.name: [one.micrograph.id, _hash(one.truth)] for one in labelled}


def _hash(truth: Instances) -> str:
    digest = hashlib.sha256(truth.boxes.tobytes() + truth.columns["ignored"].tobytes())
    for mask in truth.masks():
        digest.update(np.packbits(mask.crop).tobytes())
    return digest.hexdigest()[:16]


def _settings(schedule: Schedule, augment: Augment) -> dict[str, Any]:
    return {"schedule": asdict(schedule), "augment": asdict(augment)}


def _card(
    base: Weights, parts: Split, check: Check | None, out: Path, device: str, settings: dict[str, Any]
) -> dict[str, Any]:
    n = sum(len(one.truth) for part in parts for one in part)
    about = f"{base.network} of weights {base.hash}, trained further on {len(parts.learn)} labelled images. "
    if check is None:
        about += f"No image was held out (that takes {FEWEST}): whether it is better is not known."
    elif check.worse:
        about += "**Worse than the weights it began from** on the held-out images: use those."
    else:
        about += "Scores are of the held-out images; the threshold was chosen on the others."
    scores = {"held-out images, before": check.before, "held-out images, after": check.after} if check else {}
    return {
        "about": about,
        "from": base.hash,
        "seed": settings["schedule"]["seed"],
        "training_seconds": round(runs.seconds_spent(out), 1),
        **({"scores": scores} if scores else {}),
        "data": {
            "objects": n,
            "learned_from": [one.name for one in parts.learn],
            "held_out": [one.name for one in parts.held_out],
        },
        **settings,
        "hardware": runs.hardware(device),
        "licences": dict(base.card.get("licences", {})),
        "versions": runs.versions(),
    }
