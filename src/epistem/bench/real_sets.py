"""The study on real images: data sets, their profiles, and the grid of networks that two cores can train.

Groups, shrink and difficulty were set before anything was trained: `shrink` brings the shorter side to about 256
pixels, as the paper has them; difficulty goes by what the masks show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from epistem.bench.folder import profile_from_folder
from epistem.bench.groups import read_groups
from epistem.bench.profile import Profile, profile_of
from epistem.core import SettingsError

ENCODERS = ("tf_efficientnet_lite0", "resnet50")
DECODERS = ("unet", "deeplabv3", "deeplabv3plus")
SEEDS = (0, 1, 2)
Arm = Literal["random", "imagenet", "large", "paper"]


@dataclass(frozen=True)
class Source:
    """One data set of the study.

    Attributes:
        about: of the profile's `dataset`.
        task: of the profile's `task`.
        names: of the classes after the background.
        shrink: so that the shorter side has about 256 pixels.
        groups: table and column that tell them; None: by the names.
    """

    about: Mapping[str, Any]
    task: Mapping[str, Any]
    names: tuple[str, ...]
    shrink: int = 2
    groups: tuple[str, str] | None = None


SOURCES: Mapping[str, Source] = {
    "particles_emps": Source(
        {"modality": "SEM", "material": {"class": "other", "name": "nanoparticles"}},
        {"objective": "Segment nanoparticles in SEM and TEM images from papers", "difficulty": "hard"},
        ("particle",),
        groups=("images.csv", "source_doi"),
    ),
    "meltpool_optical": Source(
        {"modality": "Optical", "material": {"class": "metal", "name": "laser powder-bed alloy"}},
        {"objective": "Segment melt pools in optical metallographs", "difficulty": "hard"},
        ("melt pool",),
    ),
    "pores_xct": Source(
        {"modality": "XCT", "material": {"class": "other"}},
        {"objective": "Segment pores in nano-XCT slices", "difficulty": "moderate", "ignore_values": [2]},
        ("pore",),
        shrink=3,
    ),
    "pt_alumina_haadf": Source(
        {"modality": "STEM", "material": {"class": "ceramic", "name": "Pt on γ-alumina"}},
        {"objective": "Segment alumina and Pt particles in a HAADF-STEM tilt series", "difficulty": "moderate"},
        ("alumina", "platinum"),
    ),
    "superalloy_sem": Source(
        {"modality": "SEM", "material": {"class": "metal", "name": "Ni superalloy"}},
        {"objective": "Segment tertiary and secondary γ′ precipitates in SEM images", "difficulty": "moderate"},
        ("tertiary γ′", "secondary γ′"),
    ),
}
"""In the order in which they are trained."""


@dataclass(frozen=True)
class Grid:
    """Which networks, and how long they learn.

    Attributes:
        model: of the profile's `model`.
        seeds: of each.
        steps: of training.
        undertrained: whether the results stand outside rankings.
    """

    model: Mapping[str, Any]
    seeds: tuple[int, ...]
    steps: int
    undertrained: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)


def grids(steps: int) -> Mapping[Arm, Grid]:
    """The arms of the study with so many steps each; ranks are compared within one of them.

    ResNet50's ImageNet weights come from a hub; where none is reachable, only lite0 has an ImageNet arm.
    """
    both: dict[str, Any] = {"encoders": ENCODERS, "decoders": DECODERS, "weights": ("none",)}
    lite: dict[str, Any] = {"encoders": ENCODERS[:1], "decoders": DECODERS, "weights": ("imagenet",)}
    large = both | {"encoders": ("se_resnext101_32x4d",)}
    return {
        "random": Grid(both, SEEDS, steps),
        "imagenet": Grid(lite, SEEDS, steps),
        "large": Grid(large, SEEDS[:1], max(1, steps // 10), undertrained=True),
        "paper": Grid(lite | {"variant": "paper"}, SEEDS, steps),
    }


def study_profile(folder: Path, name: str, grid: Grid) -> Profile:
    """The profile of one data set and arm: 128² tiles, batches of 4, bfloat16, at 1e-3 with a cosine.

    Args:
        folder: that holds the data sets.
        name: of `SOURCES`.
        grid: one arm.

    Raises:
        SettingsError: no such data set here.
    """
    if not (folder / name).is_dir():
        raise SettingsError(f"{folder} holds no {name}; set EPISTEM_STUDY_DATA to the folder of the study's images")
    source = SOURCES[name]
    told = None if source.groups is None else read_groups(folder / name / source.groups[0], source.groups[1])
    values = profile_from_folder(folder / name, groups=told, scale_bars=False).model_dump(by_alias=True)
    values["dataset"] |= source.about
    values["task"] |= {**source.task, "metrics": ("iou", "dice", "pixel_accuracy", "wiou", "boundary_f")}
    values["task"]["classes"] = _named(values["task"]["classes"], source)
    values["model"] |= grid.model
    values["training"] |= {
        "batch_size": 4, "learning_rate": 1e-3, "max_epochs": None, "max_steps": grid.steps, "image_size": 128,
        "shrink": source.shrink, "precision": "bfloat16", "early_stopping": None, "val_tiles": 24,
        "seeds": grid.seeds, "undertrained": grid.undertrained, **grid.training,
    }  # fmt: skip
    return profile_of(values, source=name)


def _named(classes: Any, source: Source) -> list[Any]:
    """Classes by their names, without the mask values that stand for 'does not count'."""
    ignored = source.task.get("ignore_values", ())
    kept = [{**one, "values": [value for value in one["values"] if value not in ignored]} for one in classes]
    kept = [one for one in kept if one["values"]] if ignored else kept
    return [{**one, "name": name} for one, name in zip(kept, ("background", *source.names), strict=True)]
