"""The label images of a stack as one OME-Zarr, which napari and other readers open beside the stack."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Axis, Calibration, Micrograph

VERSION = "0.5"
LEAST, MOST_CHUNK = 512, 4096
"""Sides of the coarsest level and of a chunk, at most [px]."""

_NAMES: dict[Axis, str] = {"z": "z", "t": "t", "channel": "c"}
_TYPES: dict[Axis, str] = {"z": "space", "t": "time", "channel": "channel"}

Add = Callable[[NDArray[Any] | None, Micrograph], None]


@contextmanager
def label_stack(path: Path, n: int) -> Iterator[Add]:
    """Takes the labels (H, W) of one plane after the other, and puts them into an OME-Zarr at `path`, whole or not.

    None are objects without masks. Each level has half of the rows and columns of the one before, every second label
    taken. The distance of two planes is not known: it is 1, without a unit.

    Nothing is written of a single image, without zarr, or where the planes differ in shape or pixel size or have no
    masks; what a run before wrote at `path` is then removed.

    Args:
        path: folder to write.
        n: how many planes will come.

    Source: https://ngff.openmicroscopy.org/0.5, multiscales and image-label.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    stack = _Stack(part, n) if n > 1 and find_spec("zarr") else None

    def add(labels: NDArray[Any] | None, micrograph: Micrograph) -> None:
        nonlocal stack
        if stack is not None and not stack.add(labels, micrograph):
            stack = None

    try:
        yield add
        shutil.rmtree(path, ignore_errors=True)
        if stack is not None:
            _take_place(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _take_place(part: Path, path: Path) -> None:
    try:
        os.replace(part, path)
    except OSError:
        if not path.is_dir():  # else another run of the same command was first with the same
            raise


class _Stack:
    def __init__(self, path: Path, n: int) -> None:
        self.path, self.n, self.place = path, n, 0
        self.levels: list[Any] = []
        self.like: tuple[tuple[int, int], Calibration | None] | None = None

    def add(self, labels: NDArray[Any] | None, micrograph: Micrograph) -> bool:
        """Whether the plane goes with those before."""
        if labels is None or micrograph.slice is None:
            return False
        scale = micrograph.calibration
        if self.like is None:
            self.like = micrograph.shape, scale
            self.levels = _created(self.path, self.n, micrograph.slice.axis, micrograph.shape, scale)
        shape, first = self.like
        if micrograph.shape != shape or (scale is None) != (first is None):
            return False
        if scale is not None and first is not None and scale.disagreement(first):
            return False
        for i, level in enumerate(self.levels):
            level[self.place] = labels[:: 2**i, :: 2**i]
        self.place += 1
        return True


def _created(path: Path, n: int, axis: Axis, shape: tuple[int, int], scale: Calibration | None) -> list[Any]:
    """Empty arrays of all levels, in a group that says what they are."""
    import zarr

    root = zarr.open_group(str(path), mode="w", zarr_format=3)
    names = (_NAMES[axis], "y", "x")
    steps = (1.0, 1.0) if scale is None else (scale.row_nm, scale.col_nm)
    levels, datasets = [], []
    for i in range(max(0, ceil(log2(max(shape) / LEAST))) + 1):
        rows, cols = (-(-length // 2**i) for length in shape)
        chunks = (1, min(rows, MOST_CHUNK), min(cols, MOST_CHUNK))
        levels.append(
            root.create_array(str(i), shape=(n, rows, cols), chunks=chunks, dtype=np.uint32, dimension_names=names)
        )
        change = {"type": "scale", "scale": [1.0, *(step * 2**i for step in steps)]}
        datasets.append({"path": str(i), "coordinateTransformations": [change]})
    unit = {} if scale is None else {"unit": "nanometer"}
    axes: list[Any] = [
        {"name": names[0], "type": _TYPES[axis]},
        *({"name": one, "type": "space"} | unit for one in "yx"),
    ]
    about: dict[str, Any] = {"name": "labels", "axes": axes, "datasets": datasets, "type": "every second label"}
    root.attrs["ome"] = {"version": VERSION, "multiscales": [about], "image-label": {}}
    return levels
