"""Label images and binary masks: tif, png, npy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Instances, Mask, RecordError
from epistem.core.instances import whole_boxes
from epistem.detect.adapters.content import Content, Item, Shape, same_shape

NPY_PICKLE = (
    "{}: this .npy holds a pickle (Cellpose's _seg.npy does), which can run code and is not opened; "
    "save masks instead: cellpose --save_png or --save_tif, in its GUI 'Save masks as PNG/tif', "
    "or np.save('masks.npy', masks)"
)


def read_labels(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """A label image: 0 is background, every other value is one object, connected or not.

    A picture of 0 and 255 is therefore one object; where that one is in several pieces a note says so, and
    `kind="binary"` counts the pieces instead.

    Raises:
        RecordError: a micrograph by the look of it.
    """
    labels = _label_picture(path, shape)
    _refuse_micrograph(labels, path.name)
    return Content(labels.shape, _items(labels), notes=_two_valued(labels))


def read_binary(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """A binary mask: every connected piece (corners connect) of what is not 0 is one object.

    Raises:
        RecordError: more than one value beside 0.
    """
    from scipy import ndimage

    picture = _label_picture(path, shape)
    values = np.unique(picture[picture != 0])
    if len(values) > 1:
        raise RecordError(
            f"{path.name}: a binary mask has one value beside 0, this has {len(values)}; use kind='labels'"
        )
    labels, _ = ndimage.label(picture, np.ones((3, 3)))
    return Content(labels.shape, _items(labels))


def _items(labels: NDArray[Any]) -> list[Item]:
    found = Instances.from_labels(labels)
    boxes = whole_boxes(found.boxes).tolist()
    return [
        Item(Mask(slice(r0, r1), slice(c0, c1), crop))
        for (r0, c0, r1, c1), crop in zip(boxes, found.crops or (), strict=True)
    ]


def _refuse_micrograph(labels: NDArray[Any], name: str) -> None:
    """Neighbours in a micrograph nearly always differ; in a label image only at borders."""
    left, right = labels[:, :-1], labels[:, 1:]
    inside = (left != 0) & (right != 0)
    pairs = int(inside.sum())
    if pairs > 1000 and np.count_nonzero(inside & (left != right)) > 0.5 * pairs:
        raise RecordError(
            f"{name}: wanted a label image, but its values change from pixel to pixel like those of a micrograph; "
            "give the masks instead"
        )


def _two_valued(labels: NDArray[Any]) -> tuple[str, ...]:
    from scipy import ndimage

    top = labels.max()
    if top == 0 or ((labels != 0) & (labels != top)).any():
        return ()
    _, pieces = ndimage.label(labels, np.ones((3, 3)))
    if pieces < 2:
        return ()
    return (f"the only value beside 0 is {top}, in {pieces} pieces: read as one object; kind='binary' counts pieces",)


def _label_picture(path: Path, shape: Shape | None) -> NDArray[Any]:
    """(H, W) whole numbers ≥ 0."""
    picture = _pixels(path)
    if picture.ndim == 3 and picture.shape[2] in (2, 3, 4) and path.suffix.lower() == ".png":
        grey = picture[..., : 1 if picture.shape[2] == 2 else 3]
        if (grey != grey[..., :1]).any():
            raise RecordError(f"{path.name}: wanted one label a pixel, found colours; save the labels as grey values")
        picture = grey[..., 0]
    if picture.ndim != 2 or not picture.size:
        raise RecordError(f"{path.name}: a label image is (rows, columns), this is {picture.shape}; save one plane")
    if picture.dtype.kind == "f" and np.isfinite(picture).all() and (picture == np.round(picture)).all():
        picture = picture.astype(np.int64)  # ImageJ saves labels as 32-bit floats
    if picture.dtype.kind not in "bui" or picture.min() < 0:
        raise RecordError(
            f"{path.name}: labels are whole numbers ≥ 0, these are {picture.dtype} from {picture.min():g}; "
            "give the label image, not the micrograph"
        )
    same_shape((picture.shape[0], picture.shape[1]), shape, path.name)
    return picture


def _pixels(path: Path) -> NDArray[Any]:
    try:
        if path.suffix.lower() == ".npy":
            return _npy(path)
        if path.suffix.lower() == ".png":
            from PIL import Image

            with Image.open(path, formats=["PNG"]) as picture:
                return np.asarray(picture)
        import tifffile

        return np.squeeze(tifffile.imread(path))
    except (RecordError, PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # decoders of foreign files raise anything
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(f"{path.name}: wanted a label image, cannot read it ({what}); save it again") from error


def _npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version in header and header[version](file)[2].hasobject:
            raise RecordError(NPY_PICKLE.format(path.name))
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array
