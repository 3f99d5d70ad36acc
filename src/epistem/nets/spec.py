"""What a detector is trained by: one TOML file that says everything but the folder.

::

    network = "cavity-dense"            in NETWORKS
    [settings]                          of the network; pretrained = true begins from ImageNet weights
    [fields.NAME]                       a Recipe of simulated fields it learns from
    [schedule] [augment]                how long, how fast, on what windows
    [calibration.NAME]                  a Recipe of held-out fields for scores and threshold
    [tests.NAME]                        a Recipe of fields on which the finished weights are scored
    [backgrounds]                       recorded cavity-free fields to put cavities on
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from epistem.core.errors import SettingsError
from epistem.nets import NETWORKS
from epistem.nets.augment import Augment
from epistem.nets.backgrounds import Backgrounds
from epistem.nets.stars import ALIGNMENT
from epistem.nets.train import Schedule
from epistem.synth.fields import Recipe

T = TypeVar("T")

_LARGEST_WINDOW_PX, _LARGEST_ZOOM = 4096, 16.0


@dataclass(frozen=True)
class DetectorSpec:
    """Everything that makes a detector, the seeds included.

    Attributes:
        network: name in NETWORKS.
        settings: of the network, where they are not its defaults.
        fields: by name, what it learns from.
        calibration: by name, what its scores and its threshold are chosen on.
        schedule: how long and how fast it learns; its seed is that of new weights too.
        augment: how a window is changed.
        backgrounds: recorded fields, for the recipes that ask for them.
        tests: by name, what the finished weights are scored on.
    """

    network: str
    fields: Mapping[str, Recipe]
    calibration: Mapping[str, Recipe]
    schedule: Schedule
    settings: Mapping[str, Any] = field(default_factory=dict)
    augment: Augment = field(default_factory=Augment)
    backgrounds: Backgrounds | None = None
    tests: Mapping[str, Recipe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if all(recipe.empty == 1 for recipe in self.fields.values()):
            raise SettingsError("there is nothing to learn without [fields.NAME] with cavities; add some")
        _check_augment(self.augment)
        for where in ("fields", "calibration", "tests"):
            for name, recipe in getattr(self, where).items():
                _check_recipe(f"{where}.{name}", recipe, self.backgrounds is not None)
        if not self.calibration or all(recipe.empty == 1 for recipe in self.calibration.values()):
            raise SettingsError("the threshold needs [calibration.NAME] fields with cavities; add some")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the same for the same spec."""
        return asdict(self)


def read_spec(path: Path) -> DetectorSpec:
    """The spec in a TOML file.

    Raises:
        SettingsError: no such file, no TOML, or a value that is not meaningful; the field is named.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: wanted the TOML of a training; {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}; correct it there") from error
    try:
        return spec_of(values)
    except SettingsError as error:
        raise SettingsError(f"{path.name}: {error}") from error


def spec_of(values: Mapping[str, Any]) -> DetectorSpec:
    """The spec in plain values, as TOML holds them.

    Raises:
        SettingsError: an unknown key, a missing one, or a value that is not meaningful.
    """
    check_keys(DetectorSpec, values, "")
    network = values["network"]
    if not isinstance(network, str):
        raise SettingsError(f"network is a name in quotes, one of {', '.join(NETWORKS)}; not {network!r}")
    settings = _table(values, "settings")
    read(NETWORKS[network].Settings, settings, "settings")
    return DetectorSpec(
        network=network,
        fields=_recipes(values, "fields"),
        calibration=_recipes(values, "calibration"),
        schedule=read(Schedule, values["schedule"], "schedule"),
        settings=settings,
        augment=read(Augment, _table(values, "augment"), "augment"),
        backgrounds=read(Backgrounds, values["backgrounds"], "backgrounds") if "backgrounds" in values else None,
        tests=_recipes(values, "tests"),
    )


def _recipes(values: Mapping[str, Any], where: str) -> dict[str, Recipe]:
    return {name: read(Recipe, recipe, f"{where}.{name}") for name, recipe in _table(values, where).items()}


def read(kind: type[T], values: Any, where: str) -> T:
    """A dataclass from plain values, checked.

    Raises:
        SettingsError: names the key and what it wants.
    """
    from pydantic import ConfigDict, ValidationError, create_model

    if not isinstance(values, Mapping):
        raise SettingsError(f"{where} is a table [{where}], not {values!r}")
    check_keys(kind, values, where)
    for one in fields(kind):  # type: ignore[arg-type]
        if isinstance(values.get(one.name), bool) and one.type in ("int", "float"):
            raise SettingsError(f"{where}.{one.name} is a number, not {str(values[one.name]).lower()}")
    # In a model, because that is how dataclasses within dataclasses refuse unknown keys too.
    model = create_model("Spec", __config__=ConfigDict(extra="forbid"), value=(kind, ...))
    try:
        checked: T = model.model_validate({"value": values}).__dict__["value"]
        return checked
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (where, *first["loc"][1:])))
        why = first["msg"].removeprefix("Value error, ")
        came = "" if isinstance(first["input"], Mapping) else f", not {first['input']!r}"
        raise SettingsError(f"{place}: {why}{came}") from error


def check_keys(kind: Any, values: Mapping[str, Any], where: str) -> None:
    """Refuse keys that a dataclass does not have, and miss those that it needs.

    Raises:
        SettingsError: names them.
    """
    place = f"[{where}]" if where else "the spec"
    known = {one.name: one for one in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise SettingsError(f"{place} has no {', '.join(unknown)}; it has {', '.join(known)}")
    needed = [n for n, one in known.items() if one.default is MISSING and one.default_factory is MISSING]
    missing = [name for name in needed if name not in values]
    if missing:
        raise SettingsError(f"{place} lacks {', '.join(missing)}; add {'it' if len(missing) == 1 else 'them'}")


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name, {})
    if not isinstance(table, Mapping):
        raise SettingsError(f"{name} is a table [{name}], not {table!r}")
    return table


def _check_recipe(name: str, recipe: Recipe, has_backgrounds: bool) -> None:
    if recipe.number < 1:
        raise SettingsError(f"{name}.number is at least 1, not {recipe.number}")
    if min(recipe.shape) < ALIGNMENT:
        raise SettingsError(f"{name}.shape is at least {ALIGNMENT} × {ALIGNMENT} pixels, not {list(recipe.shape)}")
    if recipe.on_backgrounds and not has_backgrounds:
        raise SettingsError(f"{name}.on_backgrounds is {recipe.on_backgrounds}: add [backgrounds], or set it to 0")


def _check_augment(augment: Augment) -> None:
    if not ALIGNMENT <= augment.window_px <= _LARGEST_WINDOW_PX or augment.window_px % ALIGNMENT:
        raise SettingsError(
            f"window_px of [augment] is a multiple of {ALIGNMENT} up to {_LARGEST_WINDOW_PX}, not {augment.window_px}"
        )
    bounds = {"enlarge": (1.0, _LARGEST_ZOOM), "shrink": (1.0, _LARGEST_ZOOM), "towards": (0.0, 1.0)}
    bounds |= {"plain": (0.0, 1000.0), "marks": (0.0, 1.0), "jitter": (0.0, 4.0)}
    for name, (low, high) in bounds.items():
        if not low <= getattr(augment, name) <= high:
            raise SettingsError(
                f"{name} of [augment] is a number from {low:g} to {high:g}, not {getattr(augment, name)!r}"
            )
