"""PNG, JPEG, BMP, GIF and WebP by Pillow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from epistem.core import Micrograph, MicrographSeries
from epistem.imaging.border import as_recorded, check_declared, guarded
from epistem.imaging.colour import from_colour
from epistem.imaging.plain import plain
from epistem.imaging.sidecar import beside
from epistem.imaging.together import together

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP")  # nothing that runs another program, as EPS would
_GREY = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_one_at_a_time = threading.Lock()


@guarded
def read_picture(path: Path) -> Micrograph | MicrographSeries:
    """One image; frames of an animation are a series over t.

    The dots per inch in a picture are its size on paper, and never a pixel size.
    """
    with _any_size(), Image.open(path, formats=FORMATS) as picture:
        cols, rows = picture.size
        frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        check_declared("the picture", (frames, rows, cols), _bytes_a_pixel(picture), path=path)
        facts, entries = beside(path, cols)
        like = Micrograph(
            np.zeros((1, 1), np.uint8),
            calibration=facts.size.calibration,
            context=facts.context,
            metadata={"picture": _told(picture), "TextFile": entries},
            name=path.name,
            warnings=(facts.size.reason,) if facts.size.reason else (),
        )
        if picture.format == "PNG" and (deep := _deep_colour(path)) is not None:
            return _from_samples(deep, like)
        images = []
        for i in range(frames):
            picture.seek(i)
            # A frame that reaches beyond the GIF's first one enlarges the picture.
            check_declared(f"frame {i}", picture.size[::-1], _bytes_a_pixel(picture), path=path)
            images.append(_frame(picture, like))
    coloured = any(isinstance(image, MicrographSeries) for image in images)
    return together(images, "channel" if coloured else "t", [str(i) for i in range(frames)], path.name)


def _bytes_a_pixel(picture: Image.Image) -> int:
    return 4 if picture.mode in ("I", "F") else len(picture.getbands())


def _frame(picture: Image.Image, like: Micrograph) -> Micrograph | MicrographSeries:
    mode = picture.mode
    see_through = "transparency" in picture.info or mode in ("PA", "LA", "RGBA", "La", "RGBa")
    if mode in _GREY and not see_through:
        return replace(like, pixels=as_recorded(np.asarray(picture)))
    if mode in ("1", "L", "LA", "La"):
        return _from_samples(np.asarray(picture.convert("LA")), like)
    if mode in _GREY:  # 16 bits with one grey value declared transparent, which Pillow cannot convert
        return replace(like, pixels=as_recorded(np.asarray(picture)))
    return _from_samples(np.asarray(picture.convert("RGBA" if see_through else "RGB")), like)


def _from_samples(samples: np.ndarray[Any, Any], like: Micrograph) -> Micrograph | MicrographSeries:
    """Image from (H, W, 2) grey and alpha, (H, W, 3) colour or (H, W, 4) colour and alpha."""
    count = samples.shape[-1]
    alpha = samples[..., -1] if count in (2, 4) else None
    colour = np.repeat(samples[..., :1], 3, axis=-1) if count == 2 else samples[..., :3]
    return from_colour(colour, like, alpha=alpha)


def _deep_colour(path: Path) -> np.ndarray[Any, Any] | None:
    """Samples of a PNG with 16 bits a colour, which Pillow would cut to 8; None for any other PNG."""
    with path.open("rb") as file:
        header = file.read(26)
        depth, kind = header[24], header[25]
        if depth != 16 or kind not in (2, 4, 6):
            return None
        import imagecodecs

        file.seek(0)
        return imagecodecs.png_decode(file.read())


def _told(picture: Image.Image) -> dict[str, Any]:
    binary = ("exif", "icc_profile", "photoshop", "mp")
    info = {key: f"{len(value)} bytes" if key in binary else value for key, value in picture.info.items()}
    return {"format": picture.format, "mode": picture.mode, **plain(info)}


@contextmanager
def _any_size() -> Iterator[None]:
    # Pillow's own limit is an area that a good camera passes; ours is check_declared.
    with _one_at_a_time:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
