"""A segmentation study as one JSON file: which images, what is wanted of them, which models, trained how.

::

    dataset     what the images are, where they lie, which mask and which group each has
    task        the objective in words, the classes with their mask values, what is measured
    model       encoders × decoders × weights
    training    preset, schedule, tile, seeds, the split by groups

What is not known is null, and asked for only where it is needed (`lacking`). An unknown key is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from epistem.bench.checked import checked, read_json
from epistem.bench.names import Arm, Decoder, Encoder, MaskKind, MaskValue, Metric, Modality
from epistem.core import SettingsError
from epistem.core.files import write_text

SCHEMA: Literal["epistem.profile/1"] = "epistem.profile/1"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _iri(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>]+", text):
        raise ValueError(f"wanted a whole IRI such as 'https://…' or 'urn:…', not {text!r}")
    return text


def _first_twice(values: Iterable[Hashable]) -> Any:
    """The first value that stands there a second time, or None."""
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


class Part(BaseModel):
    """What all parts of a profile share: nothing is changed, nothing is taken that is not understood."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Material(Part):
    """What was imaged."""

    kind: Literal["metal", "polymer", "semiconductor", "ceramic", "carbon", "other"] | None = Field(
        None, alias="class"
    )
    name: str | None = None


class Resolution(Part):
    """Length of one pixel's, or voxel's, side."""

    value: float = Field(gt=0)
    unit: Literal["pm", "nm", "um", "mm"]
    per: Literal["px", "voxel"] = "px"


class Term(Part):
    """One term of an ontology, MDS-Onto for one."""

    iri: Annotated[str, AfterValidator(_iri)]
    label: str | None = None


class Origin(Part):
    """Where the files come from; `sha256` is of the contents of all of them, whatever they are called."""

    source: str | None = None
    licence: str | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")


class Size(Part):
    """How many images have so many rows and columns."""

    rows_px: int = Field(ge=1)
    cols_px: int = Field(ge=1)
    images: int = Field(ge=1)


class Counted(Part):
    """What the files held when the profile was written.

    Attributes:
        images: with a mask.
        groups: of them.
        sizes: the five most frequent.
        class_share: of all pixels that are not ignored, 0 to 1, by class.
        ignored_share: of all pixels.
        empty_masks: of images in which every pixel is background.
    """

    images: int = Field(ge=0)
    groups: int = Field(ge=0)
    sizes: tuple[Size, ...] = ()
    class_share: dict[str, float] = Field(default_factory=dict)
    ignored_share: float = Field(0.0, ge=0, le=1)
    empty_masks: int = Field(0, ge=0)


class Metadata(Part):
    """What is known about the data; `notes` say what was guessed, left out or looks odd."""

    ontology: tuple[Term, ...] = ()
    instrument: str | None = None
    acquired: str | None = None
    provenance: Origin = Origin()
    counted: Counted | None = None
    notes: tuple[str, ...] = ()


class Pair(Part):
    """One image and its truth.

    Attributes:
        image: path below the dataset's root, with `/`.
        mask: the same; one COCO file may serve many images.
        group: what it shares with images that are not independent of it: specimen, video, volume.
        slice: which of a stack's images, counted from 0; None where the file holds one.
    """

    image: str = Field(min_length=1)
    mask: str = Field(min_length=1)
    group: str = Field(min_length=1)
    slice: int | None = Field(None, ge=0)

    @property
    def name(self) -> str:
        """How a person calls it."""
        return self.image if self.slice is None else f"{self.image}[{self.slice}]"


class Dataset(Part):
    """The images.

    Attributes:
        channels: which are used of images with several, by name and in this order; none named means all.
        root: folder that the pairs' paths begin in; may hold `~` and `$NAME`.
    """

    id: str | None = None
    modality: Modality | None = None
    material: Material = Material()
    resolution: Resolution | None = None
    channels: tuple[str, ...] = ()
    root: str | None = None
    pairs: tuple[Pair, ...] = ()
    metadata: Metadata = Metadata()

    @field_validator("pairs")
    @classmethod
    def _each_once(cls, pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        if (twice := _first_twice(pair.name for pair in pairs)) is not None:
            raise ValueError(f"{twice} is listed twice; keep one")
        return pairs


class Class(Part):
    """One class: its name, and which mask values mean it.

    Attributes:
        values: whole numbers; "#rrggbb" where masks are colours; the categories' names where they are polygons. None
            of these for the background of polygons, and for both classes of numbered objects.
    """

    name: str = Field(min_length=1)
    values: tuple[MaskValue, ...] = ()


class Ready(Part):
    """What typicality must reach before a model is called ready."""

    auroc: float = Field(0.95, ge=0, le=1)
    f1: float = Field(0.80, ge=0, le=1)


class QualityControl(Part):
    """How out-of-distribution images and masks are looked for."""

    signals: tuple[Literal["auroc", "f1", "precision", "fpr95"], ...] = ("auroc", "f1", "precision")
    detectors: tuple[Literal["gmm", "ocsvm", "kde", "knn", "mahalanobis"], ...] = ("gmm", "ocsvm", "kde")
    ready_if: Ready = Ready()


class Task(Part):
    """What is wanted.

    Attributes:
        classes: the first is the background; a bare name in JSON stands for the mask value of its place.
        mask_kind: how masks say it: grey values, colours, numbered objects of one class, polygons (COCO).
        ignore_values: mask values of pixels that are neither learned nor scored.
        primary: of `metrics`: what chooses the checkpoint.
    """

    objective: str | None = None
    classes: tuple[Class, ...] = ()
    mask_kind: MaskKind | None = None
    ignore_values: tuple[MaskValue, ...] = ()
    difficulty: Literal["easy", "moderate", "hard", "very_hard"] | None = None
    metrics: tuple[Metric, ...] = ("iou", "dice", "pixel_accuracy", "wiou")
    primary: Metric = "iou"
    qc: QualityControl = QualityControl()

    @field_validator("classes", mode="before")
    @classmethod
    def _bare_names(cls, classes: Any) -> Any:
        if not isinstance(classes, list | tuple):
            return classes
        return [{"name": one, "values": [i]} if isinstance(one, str) else one for i, one in enumerate(classes)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (twice := _first_twice(one.name for one in self.classes)) is not None:
            raise ValueError(f"two classes are called {twice!r}; name them apart")
        if taken := {one.name for one in self.classes} & {"mean", "foreground mean", "all"}:
            raise ValueError(f"a class is called {min(taken)!r}, and tables of scores call their means so; rename it")
        values = [value for one in self.classes for value in one.values]
        if (twice := _first_twice([*values, *self.ignore_values])) is not None:
            raise ValueError(f"mask value {twice!r} means two things; keep it in one class, or in ignore_values")
        if self.primary not in self.metrics:
            raise ValueError(f"primary is {self.primary!r}; wanted one of metrics ({', '.join(self.metrics)})")
        return self


class Model(Part):
    """Which networks: every encoder with every decoder from every initialisation.

    Attributes:
        weights: the encoder's at the start; "none" is random.
        variant: of the decoders, as their papers have them ("canonical") or as the framework's ("paper").
    """

    encoders: tuple[Encoder, ...] = Field(("resnet50", "se_resnext101_32x4d"), min_length=1)
    decoders: tuple[Decoder, ...] = Field(("unet", "deeplabv3", "deeplabv3plus"), min_length=1)
    weights: Annotated[tuple[Arm, ...], BeforeValidator(_listed)] = Field(("imagenet",), min_length=1)
    variant: Literal["canonical", "paper"] = "canonical"

    @field_validator("encoders", "decoders", "weights")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if (twice := _first_twice(names)) is not None:
            raise ValueError(f"{twice!r} is listed twice; keep one")
        return names


class SplitFractions(Part):
    """Shares of the images to learn from, to choose the checkpoint on, and to report on once.

    Attributes:
        by: "group" keeps each group in one part; "image" lets images of one group fall into several, and scores will
            then be optimistic.
        seed: of the draw; the same for all jobs.
    """

    train: float = Field(0.6, gt=0, lt=1)
    val: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    by: Literal["group", "image"] = "group"
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test add up to {total:g}; wanted 1")
        return self


class Training(Part):
    """How the networks learn.

    Attributes:
        preset: "paper" trains as published; "default" adds a Dice loss and augmentation.
        early_stopping: epochs without gain on the validation images before it stops; None never does.
        max_epochs, max_steps: whichever comes first ends it; one may be None.
        image_size: side of the tiles [px].
        shrink: blocks of so many pixels a side become one before anything is learned; answers are enlarged again and
            scored at the size of the image.
        precision: of the losses; bfloat16 is faster on new processors and GPUs.
        undertrained: said of trainings known to be too short; their results stand outside rankings. Trainings are
            also found to be so (`undertrained.too_short`).
        val_tiles: at most so many tiles, evenly over the validation images, choose the checkpoint.
        seeds: of weights, order and augmentation; one job each.
    """

    preset: Literal["default", "paper"] = "default"
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    early_stopping: int | None = Field(20, ge=1)
    max_epochs: int | None = Field(200, ge=1)
    max_steps: int | None = Field(None, ge=1)
    image_size: int = Field(256, ge=32, multiple_of=32)
    shrink: int = Field(1, ge=1, le=64)
    precision: Literal["single", "bfloat16"] = "single"
    val_tiles: int = Field(64, ge=1)
    undertrained: bool = False
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), min_length=1)
    split: SplitFractions = SplitFractions()

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if (twice := _first_twice(seeds)) is not None:
            raise ValueError(f"seed {twice} is listed twice; keep one")
        return seeds

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.max_epochs is None and self.max_steps is None:
            raise ValueError("nothing ends the training; give max_epochs or max_steps")
        return self


class Profile(Part):
    """A study, whole or still to be filled in."""

    model_config = ConfigDict(title="epistem profile")

    schema_id: Literal["epistem.profile/1"] = Field(SCHEMA, alias="schema")
    dataset: Dataset = Dataset()
    task: Task = Task()
    model: Model = Model()
    training: Training = Training()

    def lacking(self) -> list[str]:
        """What must be filled in before jobs can be planned, as "field: what to do"."""
        return list(_lacking(self))

    def notes(self) -> tuple[str, ...]:
        """What was noted when the profile was made, and what is still to be named now."""
        # Profiles of before kept this one, whatever the classes were called later.
        kept = [note for note in self.dataset.metadata.notes if not note.startswith("class names are placeholders")]
        names = [one.name for one in self.task.classes]
        if any(is_placeholder(name) for name in names):
            kept.insert(0, f"class names are placeholders ({', '.join(names)}); name them in task.classes, the "
                        "background first")  # fmt: skip
        return tuple(kept)

    def folder(self) -> Path:
        """Where the files lie; `~` and `$NAME` in the root are filled in.

        Raises:
            SettingsError: no root, a variable that is not set, or no such folder.
        """
        if self.dataset.root is None:
            raise SettingsError("dataset.root is not given; write the folder that holds the images")
        root = os.path.expanduser(os.path.expandvars(self.dataset.root))
        if unset := re.findall(r"\$\{?(\w+)", root):
            raise SettingsError(f"dataset.root is {self.dataset.root} and {unset[0]} is not set; export it")
        if not Path(root).is_dir():
            raise SettingsError(f"dataset.root is {root}, and there is no such folder; correct it in the profile")
        return Path(root)


def load_profile(path: Path) -> Profile:
    """The profile in a JSON file; a relative root is taken from that file's folder.

    Raises:
        SettingsError: no such file, no JSON, or fields to correct, one line each.
    """
    profile = profile_of(read_json(path), source=path.name)
    root = profile.dataset.root
    if root is None or root.startswith(("$", "~")) or Path(root).is_absolute():
        return profile
    dataset = profile.dataset.model_copy(update={"root": (path.parent / root).resolve().as_posix()})
    return profile.model_copy(update={"dataset": dataset})


def profile_of(values: Mapping[str, Any], *, source: str = "the profile") -> Profile:
    """The profile in plain values, as JSON holds them.

    Raises:
        SettingsError: fields to correct, one line each.
    """
    return checked(Profile, values, source)


def save_profile(profile: Profile, path: Path) -> None:
    """The profile as JSON that a person can edit.

    Raises:
        RecordError: the file cannot be written.
    """
    write_text(path, profile.model_dump_json(by_alias=True, indent=1) + "\n")


def json_schema() -> dict[str, Any]:
    """JSON Schema of a profile, for editors and other tools."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:{SCHEMA.replace('/', ':')}"}
    return dialect | Profile.model_json_schema(by_alias=True)


def is_placeholder(name: str) -> bool:
    """Whether a class is called so only because nobody named it.

    >>> is_placeholder("class 2"), is_placeholder("pore")
    (True, False)
    """
    return name in ("foreground", "object") or re.fullmatch(r"class \S+", name) is not None


def _lacking(profile: Profile) -> Iterator[str]:
    dataset, task = profile.dataset, profile.task
    if dataset.root is None:
        yield "dataset.root: write the folder that holds the images"
    if not dataset.pairs:
        yield "dataset.pairs: list image, mask and group of each; `epistem bench init FOLDER` does"
    if task.mask_kind is None:
        yield "task.mask_kind: say whether masks are values, colours, instances or polygons"
    if len(task.classes) < 2:
        yield f"task.classes: name two or more, the background first; there are {len(task.classes)}"
    for i, one in enumerate(task.classes):
        if not one.values and (task.mask_kind in ("values", "colours") or (task.mask_kind == "polygons" and i)):
            yield f"task.classes[{i}].values: say which mask values mean {one.name!r}"
    if task.mask_kind == "instances" and len(task.classes) > 2:
        yield f"task.classes: numbered objects are of one class beside the background, not {len(task.classes) - 1}"
