"""A folder of simulated fields with their truth: made once, read many times while a network learns.

One npz a field, numbered; the number and the folder's seed make its seed, so a field can be made again alone, and a
run that was cut short goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import ReadError, SettingsError
from epistem.core.files import written_whole
from epistem.core.instances import Instances
from epistem.synth.backgrounds import cut, paste
from epistem.synth.cavities import CavityScene, Simulated, simulate
from epistem.synth.sets import SetName, Severity, draw_scene


@dataclass(frozen=True)
class Recipe:
    """What a folder of fields is made of.

    Attributes:
        shares: (set, severity, weight), drawn at random with these weights.
        number: how many fields.
        shape: of each.
        seed: of the folder.
        empty: share of fields without any cavity.
        on_backgrounds: share of fields on a recorded background, where there are any.
        without: names of scene settings that are set to 0 in every scene (to see what each is worth).

    Raises:
        SettingsError: no weight above 0, a share outside 0 to 1, a seed below 0, a scene has no such setting or
            cannot do without it.
    """

    shares: tuple[tuple[SetName, Severity, float], ...]
    number: int
    shape: tuple[int, int] = (512, 512)
    seed: int = 0
    empty: float = 0.06
    on_backgrounds: float = 0.0
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        weights = [weight for *_, weight in self.shares]
        if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < np.inf or self.number < 0:
            raise SettingsError(
                f"a recipe needs sets with weights of at least 0, one of them above, and a number of at least 0; "
                f"these are {weights} and {self.number}"
            )
        for name in ("empty", "on_backgrounds"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is a share from 0 to 1, not {getattr(self, name)!r}")
        known = {setting.name for setting in fields(CavityScene)}
        if unknown := sorted(set(self.without) - known):
            raise SettingsError(f"a scene has no setting {', '.join(unknown)}; CavityScene names them all")
        if needed := [name for name in self.without if not _may_be_0(name)]:
            raise SettingsError(f"without is of settings that may be 0; {', '.join(needed)} may not, leave it out")
        if not 0 <= self.seed < 2**63:
            raise SettingsError(f"seed is a whole number from 0 to 2^63 - 1, not {self.seed!r}")


def _may_be_0(name: str) -> bool:
    plain = CavityScene()
    if not isinstance(getattr(plain, name), float):
        return False
    off: dict[str, Any] = {name: 0.0}
    try:
        replace(plain, **off)
    except SettingsError:
        return False
    return True


def draw_field(recipe: Recipe, index: int, backgrounds: Sequence[NDArray[np.float32]] = ()) -> Simulated:
    """Field `index` of the recipe: always the same, whichever others are made."""
    rng = np.random.default_rng([recipe.seed, index])
    weights = np.array([weight for *_, weight in recipe.shares])
    name, severity, _ = recipe.shares[rng.choice(len(weights), p=weights / weights.sum())]
    scene = draw_scene(name, severity, rng=rng, shape=recipe.shape)
    if rng.random() < recipe.empty:
        scene = replace(scene, number=0.0, bubbles=0.0)
    off: dict[str, Any] = dict.fromkeys(recipe.without, 0.0)
    scene = replace(scene, **off)
    seed = int(rng.integers(2**31))
    if backgrounds and rng.random() < recipe.on_backgrounds:
        field = cut(backgrounds[int(rng.integers(len(backgrounds)))], recipe.shape, rng=rng)
        return paste(scene, field, seed=seed)
    return simulate(scene, seed=seed, judge=True)


def make_fields(
    folder: Path,
    recipe: Recipe,
    backgrounds: Sequence[NDArray[np.float32]] = (),
    *,
    workers: int = 1,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> list[Path]:
    """Every field of the recipe as a file; those already there are kept.

    Args:
        folder: made if missing.
        recipe: what to draw.
        backgrounds: recorded cavity-free fields, each at least half as wide as the recipe's shape.
        workers: processes.
        told: called with (done, of) after each field.

    Returns:
        The files in order.

    Raises:
        BrokenProcessPool: a worker died; the fields that are there stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:05d}.npz" for i in range(recipe.number)]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    if workers <= 1:
        for done, i in enumerate(missing, 1):
            _make_one(paths[i], recipe, i, backgrounds)
            told(recipe.number - len(missing) + done, recipe.number)
        return paths
    # The backgrounds go to each worker once and not with every field: they are larger than what is made of them.
    # Forked from a process with threads, a worker may wait for a lock that nobody holds any more.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_keep, initargs=(backgrounds,))
    try:
        jobs = [pool.submit(_make_with_kept, paths[i], recipe, i) for i in missing]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            told(recipe.number - len(missing) + done, recipe.number)
    finally:
        pool.shutdown(cancel_futures=True)
    return paths


_kept: Sequence[NDArray[np.float32]] = ()


def _keep(backgrounds: Sequence[NDArray[np.float32]]) -> None:
    global _kept
    _kept = backgrounds
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this worker when the process that started it is gone; nobody else would tell it that the work is over."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _make_with_kept(path: Path, recipe: Recipe, index: int) -> None:
    _make_one(path, recipe, index, _kept)


def _make_one(path: Path, recipe: Recipe, index: int, backgrounds: Sequence[NDArray[np.float32]]) -> None:
    save_field(path, draw_field(recipe, index, backgrounds))


def save_field(path: Path, field: Simulated) -> None:
    """One field; the file appears only when it is whole."""
    truth = field.truth
    crops = [mask.crop for mask in truth.masks()]
    bits = np.packbits(np.concatenate([crop.ravel() for crop in crops])) if crops else np.empty(0, np.uint8)
    columns: dict[str, Any] = {f"column_{name}": column for name, column in truth.columns.items()}
    with written_whole(path) as part, part.open("wb") as file:
        np.savez(
            file,
            pixels=field.micrograph.pixels,
            boxes=truth.boxes,
            sizes=np.array([crop.shape for crop in crops], int).reshape(-1, 2),
            bits=bits,
            pixel_nm=field.micrograph.needs_calibration().row_nm,
            made=json.dumps(truth.provenance.as_dict() if truth.provenance else None),
            **columns,
        )


class SavedField(NamedTuple):
    """Grey values (H, W), the objects in them, and the size of a pixel [nm]."""

    pixels: NDArray[Any]
    truth: Instances
    pixel_nm: float


def load_field(path: Path) -> SavedField:
    """A field that was saved.

    Raises:
        ReadError: not a whole field.
    """
    try:
        # Opened here: what np.load opens itself stays open where it refuses a broken zip.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            pixels, boxes, sizes, pixel_nm = file["pixels"], file["boxes"], file["sizes"], float(file["pixel_nm"])
            flat = np.unpackbits(file["bits"], count=int(sizes.prod(axis=1).sum())).astype(bool)
            columns = {name[7:]: file[name] for name in file.files if name.startswith("column_")}
    except Exception as error:  # numpy and zipfile raise a dozen kinds for a damaged file
        raise ReadError(f"{path} is no whole field: {error}; delete it and it is made again") from error
    starts = np.cumsum(sizes.prod(axis=1)) - sizes.prod(axis=1)
    crops = tuple(flat[start : start + size.prod()].reshape(size) for start, size in zip(starts, sizes, strict=True))
    shape = (int(pixels.shape[0]), int(pixels.shape[1]))
    truth = Instances.from_boxes(shape, boxes, classes=("cavity",), crops=crops, columns=columns)
    return SavedField(pixels, truth, pixel_nm)
