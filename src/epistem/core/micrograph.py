"""A picture as it was recorded, what is known of its scale, and of how it was taken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import CalibrationMissing, SettingsError, ShapeError

Source = Literal["metadata", "scale bar", "user", "simulation"]
Axis = Literal["z", "t", "channel"]


@dataclass(frozen=True)
class Calibration:
    """Pixel size. An unknown one is *no* Calibration, never 1.0.

    Attributes:
        row_nm: distance between two rows [nm].
        col_nm: distance between two columns [nm].
        source: who says so.
        relative_error: one standard deviation over the value, where known.
        detail: the tag or the words it was read from, for people.
    """

    row_nm: float
    col_nm: float
    source: Source
    relative_error: float | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        for value in (self.row_nm, self.col_nm):
            if not (np.isfinite(value) and value > 0):
                raise SettingsError(f"a pixel size is a positive length in nm, not {value!r}")

    @property
    def pixel_area_nm2(self) -> float:
        """Area of one pixel [nm²]."""
        return self.row_nm * self.col_nm

    @property
    def is_square(self) -> bool:
        """Whether rows and columns are equally spaced, to one part in a thousand."""
        return abs(self.row_nm / self.col_nm - 1) < 1e-3

    def disagreement(self, other: Calibration) -> float:
        """Largest relative difference to another pixel size, 0 when they agree."""
        rows = abs(self.row_nm - other.row_nm) / max(self.row_nm, other.row_nm)
        cols = abs(self.col_nm - other.col_nm) / max(self.col_nm, other.col_nm)
        return max(rows, cols)


@dataclass(frozen=True)
class Context:
    """What is known of the sample and the microscope; what is not known is None.

    Lengths carry their unit in the name. `extra` keeps anything else that a person may want to read.
    """

    modality: str | None = None
    instrument: str | None = None
    material: str | None = None
    beam_keV: float | None = None
    detector: str | None = None
    magnification: float | None = None
    camera_length_mm: float | None = None
    defocus_nm: float | None = None
    dose_e_per_A2: float | None = None
    thickness_nm: float | None = None
    thickness_error_nm: float | None = None
    acquired: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def known(self) -> dict[str, Any]:
        """The fields that hold something, in the order above."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "extra"}
        return {name: value for name, value in values.items() if value is not None} | dict(self.extra)


class Slice(NamedTuple):
    """Which image of a series a Micrograph is."""

    axis: Axis
    position: int
    label: str


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One image.

    Attributes:
        pixels: shape (H, W), read-only, in the type that was recorded.
        calibration: pixel size, or None.
        context: sample and microscope.
        valid: bool (H, W), False where a pixel is no image (data strip, scale bar, NaN); None means all are.
        metadata: the instrument's own keys, unchanged.
        name: how a person calls it, usually the file's name.
        warnings: what a person must know before believing numbers from it.
        slice: the place in its series, if it is of one.

    Raises:
        ShapeError: pixels that are not a non-empty (H, W) array of real numbers, or `valid` of another shape.
    """

    pixels: NDArray[Any]
    calibration: Calibration | None = None
    context: Context = field(default_factory=Context)
    valid: NDArray[np.bool_] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    name: str = "image"
    warnings: tuple[str, ...] = ()
    slice: Slice | None = None

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels)
        if pixels.ndim != 2 or pixels.size == 0:
            raise ShapeError(f"an image is a non-empty (H, W) array, not one of shape {pixels.shape}")
        if pixels.dtype.kind not in "buif":
            raise ShapeError(f"an image holds real numbers, not {pixels.dtype}")
        valid = self.valid
        if valid is not None and valid.shape != pixels.shape:
            raise ShapeError(f"the valid mask is {valid.shape}, its image is {pixels.shape}")
        if pixels.dtype.kind == "f":
            finite = np.isfinite(pixels)
            if not finite.all():
                valid = finite if valid is None else valid & finite
        object.__setattr__(self, "pixels", _read_only(pixels))
        object.__setattr__(self, "valid", None if valid is None else _read_only(np.asarray(valid, bool)))

    def __repr__(self) -> str:
        size = "no pixel size" if self.calibration is None else f"{self.calibration.col_nm:.4g} nm per px"
        return f"<Micrograph {self.name!r}: {self.shape[0]} × {self.shape[1]} {self.pixels.dtype}, {size}>"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.pixels.shape
        return rows, cols

    @cached_property
    def id(self) -> str:
        """Hash of the pixels: 16 hexadecimal digits, the same for the same picture under any file name."""
        digest = hashlib.sha256(f"{self.pixels.dtype.str}{self.pixels.shape}".encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()[:16]

    @property
    def valid_fraction(self) -> float:
        """Share of the pixels that are image, 0 to 1."""
        return 1.0 if self.valid is None else float(self.valid.mean())

    @property
    def valid_area_nm2(self) -> float:
        """Area of the image without what is masked [nm²].

        Raises:
            CalibrationMissing: no pixel size.
        """
        return self.pixels.size * self.valid_fraction * self.needs_calibration().pixel_area_nm2

    def needs_calibration(self) -> Calibration:
        """The pixel size.

        Raises:
            CalibrationMissing: there is none.
        """
        if self.calibration is None:
            raise CalibrationMissing(f"{self.name} has no pixel size; pass --pixel-size, or read(path, pixel_size=…)")
        return self.calibration

    def with_warning(self, *warnings: str) -> Micrograph:
        """The same image with more to tell."""
        return replace(self, warnings=self.warnings + warnings)


@dataclass(frozen=True, eq=False)
class Unread(Sequence[Micrograph]):
    """Images of a stack that is larger than memory: each is read when it is asked for, and not kept.

    Attributes:
        read: the image at a place in the file, from 0.
        places: those that are meant, in order.
    """

    read: Callable[[int], Micrograph]
    places: range

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Micrograph: ...
    @overload
    def __getitem__(self, index: slice) -> Unread: ...
    def __getitem__(self, index: int | slice) -> Micrograph | Unread:
        if isinstance(index, slice):
            return replace(self, places=self.places[index])
        return self.read(self.places[index])


@dataclass(frozen=True, eq=False)
class MicrographSeries:
    """Images that belong together: a stack, a video, or the channels of one exposure.

    Attributes:
        slices: the images, in order; those of a large stack are `Unread`.
        axis: what changes from one to the next.
        name: how a person calls it.
        warnings: what holds for all of them.

    Raises:
        ShapeError: no image at all.
    """

    slices: Sequence[Micrograph]
    axis: Axis
    name: str = "series"
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.slices:
            raise ShapeError(f"{self.name}: a series needs at least one image")

    @classmethod
    def from_stack(
        cls,
        stack: NDArray[Any],
        axis: Axis,
        like: Micrograph,
        labels: tuple[str, ...] | None = None,
    ) -> MicrographSeries:
        """Cut an (n, H, W) array into images that share calibration, context and metadata of `like`."""
        if stack.ndim != 3:
            raise ShapeError(f"a stack is (n, H, W), not {stack.shape}")
        names = labels or tuple(str(i) for i in range(len(stack)))
        if len(names) != len(stack):
            raise ShapeError(f"{len(names)} labels for a stack of {len(stack)} images")
        slices = tuple(
            replace(
                like,
                pixels=plane,
                valid=None,
                slice=Slice(axis, i, names[i]),
                name=f"{like.name} [{names[i]}]",
            )
            for i, plane in enumerate(stack)
        )
        return cls(slices, axis, like.name, like.warnings)

    def mapped(self, change: Callable[[Micrograph], Micrograph]) -> MicrographSeries:
        """The series with a change made to each image: now, or once it is read."""
        if not isinstance(self.slices, Unread):
            return replace(self, slices=tuple(change(image) for image in self.slices))
        read = self.slices.read
        return replace(self, slices=replace(self.slices, read=lambda place: change(read(place))))

    @property
    def id(self) -> str:
        """Hash of the images' ids."""
        return hashlib.sha256(" ".join(image.id for image in self.slices).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.slices)

    def __iter__(self) -> Iterator[Micrograph]:
        return iter(self.slices)

    @overload
    def __getitem__(self, index: int) -> Micrograph: ...
    @overload
    def __getitem__(self, index: slice) -> MicrographSeries: ...
    def __getitem__(self, index: int | slice) -> Micrograph | MicrographSeries:
        if isinstance(index, slice):
            return replace(self, slices=self.slices[index])
        return self.slices[index]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
