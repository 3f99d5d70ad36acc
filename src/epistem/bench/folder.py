"""From a folder of images and masks to a profile: what is there, and what had to be guessed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.bench.examples import Example, channel_names, frames_of, mask_of, read_example
from epistem.bench.groups import check_enough, guess_groups, told_groups
from epistem.bench.layout import Layout, bare_name, find_pairs
from epistem.bench.masks import IGNORED, kind_of
from epistem.bench.names import MaskKind
from epistem.bench.profile import (
    Class,
    Counted,
    Dataset,
    Metadata,
    Origin,
    Pair,
    Profile,
    Resolution,
    Size,
    Task,
)
from epistem.core import Calibration, Context, Micrograph, RecordError
from epistem.detect.adapters import load_instances
from epistem.imaging import read

AGREE = 0.02
"""Pixel sizes of one data set that differ by more, relatively, are not one pixel size; read from scale bars they
scatter by about half of that."""

RARE = 0.01
"""A class on a smaller share of the pixels may be a mark for pixels to ignore."""

_SIZES = 5  # listed of all that there are
_MODALITIES = {"SEM": "SEM", "TEM": "TEM", "STEM": "STEM", "AFM": "AFM"}


def profile_from_folder(
    folder: Path,
    *,
    groups: Mapping[str, str] | None = None,
    mask_kind: MaskKind | None = None,
    scale_bars: bool = True,
) -> Profile:
    """The profile of a folder; objective, material and difficulty stay open.

    Args:
        folder: any layout of `find_pairs`.
        groups: image → group, from `read_groups`; guessed from the names where None, and the notes say so.
        mask_kind: what masks hold; found out where None.
        scale_bars: whether burnt-in scale bars are read; it takes about a second for an image that has one.

    Returns:
        A profile with all that the files tell. `dataset.metadata.notes` hold what was guessed or left out.

    Raises:
        SettingsError: no pairs, or too few images or groups.
        RecordError: masks that do not fit, or the same image in two groups.
        ReadError: an image that cannot be read.
    """
    folder = folder.resolve()
    layout = find_pairs(folder)
    task, notes = _task(folder, layout, mask_kind)
    found = _grouped(_pairs(folder, layout), groups)
    check_enough([pair.group for pair in found.pairs], folder.name)
    channels = _channels(folder, found.pairs)
    dataset = Dataset(id=folder.name, root=folder.as_posix(), pairs=found.pairs, channels=channels)
    profile = Profile(dataset=dataset, task=task)
    seen = _Survey(len(task.classes))
    for pair in found.pairs:
        seen.add(pair, read_example(profile, pair, folder))
    facts = [_facts(folder, image, scale_bars) for image in dict.fromkeys(pair.image for pair in found.pairs)]
    resolution, scale_notes = _resolution(facts)
    told = [*layout.notes, *notes, found.note, *seen.notes(task), *scale_notes, *_drawn(facts)]
    metadata = Metadata(
        instrument=_agreed(facts, "instrument"),
        acquired=_agreed(facts, "acquired"),
        provenance=Origin(sha256=files_digest(folder, found.pairs)),
        counted=seen.counted(task, found.pairs),
        notes=tuple(note for note in told if note),
    )
    modality = _MODALITIES.get(str(_agreed(facts, "modality")))
    update = {"modality": modality, "resolution": resolution, "metadata": metadata}
    return profile.model_copy(update={"dataset": dataset.model_copy(update=update)})


def files_digest(folder: Path, pairs: Iterable[Pair]) -> str:
    """SHA-256 over the contents of all files of the pairs, whatever they are called."""
    names = {name for pair in pairs for name in (pair.image, pair.mask)}
    each = sorted(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names)
    return hashlib.sha256("".join(each).encode()).hexdigest()


def _task(folder: Path, layout: Layout, mask_kind: MaskKind | None) -> tuple[Task, list[str]]:
    if layout.are_polygons:
        return _polygon_task(folder, layout)
    masks = list(dict.fromkeys(mask for _, mask in layout.pairs))
    values: list[int | str] = []
    kind: Any = mask_kind
    if mask_kind != "instances":
        kind, values = kind_of((Path(mask), mask_of(folder / mask)) for mask in masks)
    if kind == "instances":
        note = "masks hold numbered objects" + (", by the look of them" if mask_kind is None else "")
        note += "; all are one class"
        return Task(classes=(Class(name="background"), Class(name="object")), mask_kind="instances"), [note]
    if len(values) < 2:
        raise RecordError(f"all {len(masks)} masks hold {values[0]} throughout; there is nothing to tell apart")
    names = _class_names(values)
    classes = tuple(Class(name=name, values=(value,)) for name, value in zip(names, values, strict=True))
    notes = []
    if 255 in values[3:]:
        notes.append("value 255 often marks pixels to ignore; if it does here, move it to task.ignore_values")
    if kind == "values" and len(values) > 4 and values == list(range(len(values))):
        notes.append(f"values 0 to {values[-1]} are taken for classes; if they number objects, ask for instances")
    return Task(classes=classes, mask_kind=kind), notes


def _class_names(values: Sequence[int | str]) -> list[str]:
    if len(values) == 2:
        return ["background", "foreground"]
    first = "background" if values[0] in (0, "#000000") else f"class {values[0]}"
    return [first, *(f"class {value}" for value in values[1:])]


def _polygon_task(folder: Path, layout: Layout) -> tuple[Task, list[str]]:
    names: dict[str, None] = {}
    for image, mask in {mask: (image, mask) for image, mask in layout.pairs}.values():
        shape = frames_of(folder / image)[0].channels[0].shape
        names |= dict.fromkeys(load_instances(folder / mask, shape=shape, image=image, kind="coco").classes)
    # A category of that name would be a second class of it.
    background = "background" if "background" not in names else "not outlined"
    classes = [Class(name=background), *(Class(name=name, values=(name,)) for name in names)]
    return Task(classes=tuple(classes), mask_kind="polygons"), []


def _pairs(folder: Path, layout: Layout) -> list[tuple[str, str, int | None]]:
    """Image, mask and slice; a stack is as many as it holds."""
    found: list[tuple[str, str, int | None]] = []
    for image, mask in layout.pairs:
        n = len(frames_of(folder / image))
        found += [(image, mask, None)] if n == 1 else [(image, mask, i) for i in range(n)]
    return found


@dataclass(frozen=True)
class _Grouped:
    pairs: tuple[Pair, ...]
    note: str


def _grouped(found: Sequence[tuple[str, str, int | None]], told: Mapping[str, str] | None) -> _Grouped:
    # A slice counts as a numbered image of its stack, so that one volume is cut into blocks.
    names = [bare_name(image) if i is None else f"{bare_name(image)}_{i}.slice" for image, _, i in found]
    if told is not None:
        of = told_groups([image for image, _, _ in found], told)
        pairs = [Pair(image=image, mask=mask, slice=i, group=of[image]) for image, mask, i in found]
        return _Grouped(tuple(pairs), "")
    guess = guess_groups(names)
    pairs = [
        Pair(image=image, mask=mask, slice=i, group=guess.groups[name])
        for (image, mask, i), name in zip(found, names, strict=True)
    ]
    return _Grouped(tuple(pairs), guess.note)


def _channels(folder: Path, pairs: Sequence[Pair]) -> tuple[str, ...]:
    first: tuple[str, tuple[str, ...]] | None = None
    for image in dict.fromkeys(pair.image for pair in pairs):
        names = channel_names(frames_of(folder / image)[0])
        if first is None:
            first = image, names
        if names != first[1]:
            raise RecordError(
                f"{first[0]} is {_in_words(first[1])} and {image} is {_in_words(names)}; save all images alike"
            )
    return first[1] if first else ()


def _in_words(channels: Sequence[str]) -> str:
    return f"of channels {', '.join(channels)}" if channels else "grey"


@dataclass
class _Survey:
    """What the pixels of all pairs add up to."""

    n_classes: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: NDArray[np.int64] = field(init=False)
    ignored: int = 0
    empty: int = 0
    twice: int = 0
    same: list[tuple[str, str]] = field(default_factory=list)
    _by_id: dict[str, Pair] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.n_classes, np.int64)

    def add(self, pair: Pair, example: Example) -> None:
        """Counts one pair.

        Raises:
            RecordError: the same image in another group.
        """
        counts = np.bincount(example.labels[example.labels != IGNORED], minlength=self.n_classes)
        self.pixels += counts
        self.ignored += int((example.labels == IGNORED).sum())
        self.empty += not counts[1:].any()
        self.twice += example.twice
        rows, cols = example.labels.shape
        self.sizes[rows, cols] += 1
        other = self._by_id.setdefault(example.image_id, pair)
        if other.group != pair.group:
            raise RecordError(
                f"{other.name} and {pair.name} are the same picture, in groups {other.group!r} and {pair.group!r}; "
                "keep one of them, or give both one group, or a test image may be seen in training"
            )
        if other is not pair:
            self.same.append((other.name, pair.name))

    def counted(self, task: Task, pairs: Sequence[Pair]) -> Counted:
        """The numbers for the profile."""
        total = int(self.pixels.sum())
        shares = (
            {one.name: float(n / total) for one, n in zip(task.classes, self.pixels, strict=True)} if total else {}
        )
        return Counted(
            images=len(pairs),
            groups=len({pair.group for pair in pairs}),
            sizes=tuple(Size(rows_px=r, cols_px=c, images=n) for (r, c), n in self.sizes.most_common(_SIZES)),
            class_share=shares,
            ignored_share=self.ignored / (total + self.ignored),
            empty_masks=self.empty,
        )

    def notes(self, task: Task) -> list[str]:
        """What a person should know of it."""
        found = []
        if self.same:
            found.append(
                f"{len(self.same)} pictures are there twice, in one group: {' = '.join(self.same[0])} for one"
            )
        found += self._rare(task)
        if len(self.sizes) > _SIZES:
            areas = sorted(self.sizes, key=lambda size: size[0] * size[1])
            small, large = (f"{rows} × {cols}" for rows, cols in (areas[0], areas[-1]))
            found.append(f"images have {len(self.sizes)} sizes, from {small} to {large} px (rows × columns)")
        if self.empty:
            found.append(f"{self.empty} masks hold {task.classes[0].name} only; they count as images without objects")
        if self.twice:
            found.append(f"{self.twice} pixels lie in polygons of two classes; the smaller polygon is on top")
        return found

    def _rare(self, task: Task) -> list[str]:
        """Values beside the two most frequent on so few pixels that they may be no class."""
        if task.mask_kind not in ("values", "colours") or len(task.classes) < 3 or not self.pixels.any():
            return []
        shares = self.pixels / self.pixels.sum()
        return [
            f"{one.name} (mask value {one.values[0]}) is on {share:.1%} of the pixels; if it marks pixels to ignore, "
            "take it out of task.classes and write its value into task.ignore_values"
            for one, share in zip(task.classes, shares, strict=True)
            if share < RARE and one.values
        ]


@dataclass(frozen=True)
class _Facts:
    name: str
    calibration: Calibration | None
    context: Context
    masked_share: float


def _facts(folder: Path, name: str, scale_bars: bool) -> _Facts:
    path = folder / name
    if not scale_bars:
        image = frames_of(path)[0].channels[0]
        return _Facts(name, image.calibration, image.context, 0.0)
    found = read(path)
    image = found if isinstance(found, Micrograph) else found.slices[0]
    return _Facts(name, image.calibration, image.context, 1 - image.valid_fraction)


def _agreed(facts: Sequence[_Facts], name: str) -> str | None:
    """What all images say, if all say the same."""
    values = {getattr(one.context, name) for one in facts}
    return str(values.pop()) if len(values) == 1 and None not in values else None


def _resolution(facts: Sequence[_Facts]) -> tuple[Resolution | None, list[str]]:
    known = [one.calibration for one in facts if one.calibration is not None]
    if not known:
        return None, ["no pixel size in the files; write it in dataset.resolution if it is known"]
    sizes_nm = np.array([calibration.col_nm for calibration in known])
    low, high = float(sizes_nm.min()), float(sizes_nm.max())
    span = f"{low:.3g} nm" if high / low - 1 <= AGREE else f"{low:.3g} to {high:.3g} nm"
    if len(known) < len(facts):
        return None, [
            f"{len(known)} of {len(facts)} images have a pixel size ({span}), the others none; a profile holds one "
            "for all, so none is kept: write it in dataset.resolution if it is the same for all"
        ]
    if high / low - 1 > AGREE:
        return None, [
            f"pixel sizes differ, {span}; a profile holds one for all, so they are not kept, and one network sees "
            "objects at different sizes"
        ]
    if not all(calibration.is_square for calibration in known):
        return None, ["pixels are not square; dataset.resolution has one side only"]
    nm = float(np.median(sizes_nm))
    value, unit = (nm / 1000, "um") if nm >= 1000 else (nm, "nm")
    return Resolution(value=float(f"{value:.6g}"), unit=unit), []


def _drawn(facts: Sequence[_Facts]) -> list[str]:
    names = [one.name for one in facts if one.masked_share > 0]
    if not names:
        return []
    return [
        f"{len(names)} of {len(facts)} images have a data strip, a scale bar or colours drawn into them "
        f"({', '.join(names[:3])}{'…' if len(names) > 3 else ''}); cut them off, or mark those pixels in the masks "
        "with a value in task.ignore_values"
    ]
