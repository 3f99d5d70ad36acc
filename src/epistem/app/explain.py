"""What an answer hangs on: a region of one image, the network's heatmap for it, the test that it holds, the files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.core import Micrograph, MicrographSeries, RecordError, SettingsError, ShapeError
from epistem.core.files import write_text, written_whole
from epistem.imaging import read
from epistem.report.heatmap_figures import Curves, heatmap_figure
from epistem.trust.counterfactual import Heatmap, How, MinimalChange, Predict, heatmap, minimal_change, window_of
from epistem.trust.heatmap_check import SHARES, Deletion, deletion
from epistem.trust.regions import detector_predict, object_region, polygon_region

Mask = NDArray[np.bool_]
Told = Callable[[int, int, str], None]
"""Passes done, of how many about, and how long it still takes."""
# The detector sees 448 px far, a little; what an object's score hangs on is nearer, and passes cost by the area.
_DETECTOR_REACH_PX = 96
PLACES = 39  # the smallest p is then 1/40
PATCHES_PX = (32, 48, 64, 96, 128)
# What a map and its test may cost if nobody says how large patches are: two minutes of lite0 + U-Net on a CPU.
AFFORD_PX = 50_000_000


@dataclass(frozen=True, eq=False)
class Explanation:
    """A heatmap and what came of testing it.

    Attributes:
        grey: (H, W) the image as the network had it.
        heat: of the region.
        deletion: None where the class is nowhere found in the region, so that nothing can fall.
        change: the smallest that halves the answer; None where none was found.
        what: whose answer, in words.
    """

    grey: NDArray[np.float32]
    heat: Heatmap
    deletion: Deletion | None
    change: MinimalChange | None
    what: str


@dataclass(frozen=True, eq=False)
class Asked:
    """Who is asked about what.

    Attributes:
        predict: (N, C, H, W) -> (N, K, H, W) probabilities.
        image: (C, H, W) as it takes it.
        region: (H, W).
        of_class: index of the class.
        reach_px: what lies farther from the region is not looked at [px].
        what: in words.
        least: score from which on something is found; None: where the class is the most probable one.
    """

    predict: Predict
    image: NDArray[np.float32]
    region: Mask
    of_class: int
    reach_px: int
    what: str
    least: float | None = None


def ask_model(path: Path, file: Path, roi: str, class_name: str | None) -> Asked:
    """A segmentation network about a region that an expert drew.

    Raises:
        SettingsError: no such class, or a region that cannot be read.
        EpistemError: an image or network that cannot be read.
    """
    from epistem.nets.segment_fit import predictor
    from epistem.nets.segment_use import open_segmenter
    from epistem.nets.tiles import network_input, shrunk_labels

    micrograph, network = one_image(path), open_segmenter(file)
    classes = list(network.card["classes"])
    if class_name is not None and class_name not in classes:
        raise SettingsError(f"the network has no class {class_name!r}; there is {', '.join(classes)}")
    whole = region_of(roi, micrograph.shape)
    image = network_input(micrograph.pixels[None], valid=micrograph.valid, shrink=network.shrink)
    region = shrunk_labels(whole.astype(np.int16), network.shrink).astype(bool)
    if not region.any():
        raise SettingsError(
            f"the region is smaller than the {network.shrink} × {network.shrink} pixels the network sees as one"
        )
    predict = predictor(network.network)
    which = (
        classes.index(class_name)
        if class_name
        else _most(network.probability(image, micrograph.shape)[:, :: network.shrink, :: network.shrink], region)
    )
    what = f"class {classes[which]} by {network.card['what']}"
    # A window as wide as in training is all that the network ever sees at once.
    return Asked(predict, image, region, which, network.tile_px // 2, what)


def ask_detector(path: Path, which: int) -> Asked:
    """The shipped detector about one of the objects it finds, counted from 1 as in its tables."""
    from epistem.detect import DEFAULT, least_score, make_detector
    from epistem.imaging.normalize import normalize

    micrograph = one_image(path)
    detector = make_detector(DEFAULT)
    region = object_region(detector(micrograph), which - 1)
    image = normalize(micrograph)[None]
    what = f"object {which} by {DEFAULT}"
    predict = detector_predict(detector, micrograph)
    return Asked(predict, image, region, 1, _DETECTOR_REACH_PX, what, least_score(detector))


def explain(asked: Asked, *, kernel: str, patch_px: int | None, check: bool, told: Told) -> Explanation:
    """The heatmap of the region, tested by deletion, and the smallest change that halves the answer.

    `patch_px` None is the smallest of `PATCHES_PX` that costs no more than `AFFORD_PX`.
    """
    if kernel == "swap":
        raise SettingsError("swap needs another image to take texture from, which a command cannot give; take blur")
    base = How(of_class=asked.of_class, kernel=kernel, reach_px=asked.reach_px)
    how = replace(base, patch_px=affordable(asked.region, base, check) if patch_px is None else patch_px)
    predict = _Paced(asked.predict, passes(asked.region, how, check), told)
    heat = heatmap(predict, asked.image, asked.region, how=how)
    if check:
        predict.left(_test_passes())
    try:
        fall = deletion(predict, heat, places=PLACES, least=asked.least) if check else None
        change = minimal_change(predict, heat, least=asked.least) if check else None
    except SettingsError:  # the class is nowhere in the region: nothing can be taken away
        fall = change = None
    predict.left(0)
    return Explanation(asked.image[0], heat, fall, change, asked.what)


def affordable(region: Mask, how: How, check: bool) -> int:
    """Edge of the smallest patches that a map of the region can afford [px]; the largest that fit, if none can."""
    rows, cols = looked_at(region, how)
    side = min(rows, cols)
    fit = [one for one in PATCHES_PX if one <= side // 2] or [max(8, side // 2 // 8 * 8)]
    cheap = (one for one in fit if passes(region, replace(how, patch_px=one), check) * rows * cols <= AFFORD_PX)
    return next(cheap, fit[-1])


def passes(region: Mask, how: How, check: bool) -> int:
    """About how many passes of the network a map and its test take."""
    rows, cols = (-(-max(size - how.patch_px, 0) // how.stride) + 1 for size in looked_at(region, how))
    # The tenth that matters most is looked at again, at sixteen times as many places.
    return 1 + round(2.6 * rows * cols) + (_test_passes() if check else 0)


def looked_at(region: Mask, how: How) -> tuple[int, int]:
    """Rows and columns of the part of the image that a map is made of [px]."""
    rows, cols = window_of(region, how)
    return rows.stop - rows.start, cols.stop - cols.start


def _test_passes() -> int:
    """Of the deletion, and about those of the smallest change."""
    return (PLACES + 2) * len(SHARES) + 30


class _Paced:
    """A predictor that tells how many passes it has made and, from those, how long the rest takes."""

    def __init__(self, predict: Predict, of: int, told: Told) -> None:
        self.predict, self.of, self.told = predict, of, told
        self.done, self.begun = 0, time.monotonic()

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        answer = self.predict(images)
        self.done += len(images)
        self.left(max(self.of - self.done, 1))
        return answer

    def left(self, passes: int) -> None:
        """So many are still to come."""
        self.of = self.done + passes
        seconds = (time.monotonic() - self.begun) / max(self.done, 1) * passes
        self.told(self.done, self.of, f"about {_span(seconds)} left")


def _span(seconds: float) -> str:
    """
    >>> _span(42.4), _span(130)
    ('42 s', '2 min')
    """
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def figure_of(made: Explanation) -> bytes:
    """SVG of the region, its heatmap and, where it was tested, the curves of the test."""
    fall = made.deletion
    curves = None if fall is None else Curves(fall.shares, fall.top, fall.random, fall.bottom, fall.p)
    return heatmap_figure(made.grey, made.heat.region, made.heat.values, curves=curves)


def write_explanation(made: Explanation, out: Path) -> dict[str, Any]:
    """heatmap.svg for people, heatmap.tif and explain.json for machines; what the latter holds.

    Raises:
        RecordError: they cannot be written.
    """
    import tifffile

    out.mkdir(parents=True, exist_ok=True)
    with written_whole(out / "heatmap.svg") as part:
        part.write_bytes(figure_of(made))
    with written_whole(out / "heatmap.tif") as part:
        tifffile.imwrite(part, made.heat.values.astype(np.float32))
    told = record(made)
    write_text(out / "explain.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return told


def record(made: Explanation) -> dict[str, Any]:
    """Its numbers, plain."""
    fall, change, heat = made.deletion, made.change, made.heat
    return {
        "what": made.what,
        "region_px": int(heat.region.sum()),
        "deletion_gap": None if fall is None else fall.gap,
        "deletion_p": None if fall is None else fall.p,
        "minimal_change_dice": None if change is None else change.dice,
        "minimal_change_px": None if change is None else change.area_px,
        "minimal_change_share": None if change is None else change.share,
        "forwards": heat.forwards,
        "forward_px": heat.forward_px,
        "provenance": heat.provenance.as_dict(),
    }


def region_of(text: str, shape: tuple[int, int]) -> Mask:
    """A region: a picture whose pixels above 0 are in it, or corners "row,col row,col row,col".

    Raises:
        SettingsError: neither, or nothing in it.
        ShapeError: a picture of another size.
    """
    if re.fullmatch(r"\s*(-?[\d.]+\s*,\s*-?[\d.]+\s*[; ]?\s*)+", text):
        numbers = [float(one) for one in re.findall(r"-?[\d.]+", text)]
        return polygon_region(list(zip(numbers[::2], numbers[1::2], strict=True)), shape)
    path = Path(text)
    if not path.is_file() and (path.suffix or len(path.parts) > 1) and "," not in text:
        raise SettingsError(f"--roi {text}: there is no such file; give a mask file or corners 'row,col row,col …'")
    if not path.is_file():
        raise SettingsError(f"--roi is a mask file or corners 'row,col row,col row,col', not {text!r}")
    try:
        with Image.open(path) as picture:
            drawn = np.asarray(picture.convert("L") if picture.mode not in ("1", "L", "I;16", "I") else picture) > 0
    except OSError as error:
        raise RecordError(f"{path} cannot be read as a mask: {error}") from error
    if drawn.shape != shape:
        raise ShapeError(f"{path} is {drawn.shape[0]} × {drawn.shape[1]}, the image {shape[0]} × {shape[1]}")
    if not drawn.any():
        raise SettingsError(f"{path} is empty: paint the region with values above 0")
    return drawn


def one_image(path: Path) -> Micrograph:
    """The image of a file that holds one.

    Raises:
        SettingsError: it holds several.
    """
    image = read(path)
    if isinstance(image, MicrographSeries):
        if len(image.slices) != 1:
            raise SettingsError(f"{path} holds {len(image.slices)} images; save the one to explain as a file")
        return image.slices[0]
    return image


def _most(probability: NDArray[np.float32], region: Mask) -> int:
    """The class that most of the region is given, the background left out if there is anything else."""
    counts = np.bincount(probability.argmax(0)[region], minlength=len(probability))
    return int(counts[1:].argmax()) + 1 if counts[1:].any() else int(probability[1:, region].mean(1).argmax()) + 1
