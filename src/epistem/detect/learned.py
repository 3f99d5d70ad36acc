"""Trained networks as detectors: the dense one (default) and Mask R-CNN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem import __version__
from epistem.core import Instances, Micrograph, Provenance, RecordError, SettingsError
from epistem.imaging.normalize import Scale, normalize_part, robust_scale
from epistem.imaging.tiles import tiles
from epistem.nets import stars
from epistem.nets.engine import Engine, Maps, load_dense
from epistem.nets.weights import Weights, open_weights

# What lies this far beyond a cut changes the maps by 2·10⁻⁶. At 256 px it was 0.03 in the logit: the deepest layers
# see 426 px, and trained ones use it.
HALO_PX = 448


@dataclass(frozen=True)
class CavityDense:
    """Cavities in TEM images, in focus series and out, by one pass of a network trained on simulated images.

    The score is the share of objects with such a score that were true on the simulated calibration fields.

    Attributes:
        weights: name of shipped weights, or path of a .safetensors file.
        min_score: leave out objects below; None takes the threshold the weights were chosen with.
        min_diameter_px: leave out smaller ones (area-equivalent) [px].
        engine: what runs the network: auto, onnx or torch.
        device: cpu, cuda, cuda:1…; None takes a GPU if there is one.
        tile_px: edge of the windows worked on; larger images are cut, which changes memory, not the result [px].
    """

    weights: str = "cavity-dense"
    min_score: float | None = None
    min_diameter_px: float = 0.0
    engine: Engine = "auto"
    device: str | None = None
    tile_px: int = 1536

    def __post_init__(self) -> None:
        _check(self.min_score, self.min_diameter_px)
        if self.tile_px < 64:
            raise SettingsError(f"tile_px is at least 64, not {self.tile_px}")

    def __call__(self, micrograph: Micrograph) -> Instances:
        """Objects with masks, by falling score."""
        loaded = load_dense(self.weights, self.engine, self.device)
        least = loaded.weights.min_score if self.min_score is None else self.min_score
        reading = _down_to(loaded.reading, least)
        scale = robust_scale(micrograph)
        windows = (_stars(micrograph, scale, loaded.maps, reading, self.tile_px, n) for n in reading.binnings)
        found = [stars for look in windows for stars in look]
        together = _joined(found)
        kept = stars.suppress(together, iou=reading.iou, inside=reading.inside)
        scores = stars.calibrated(kept.scores, reading)
        which = scores >= least
        objects = stars.to_instances(kept.take(which), micrograph.shape, scores[which], ("cavity",))
        settings = {**asdict(self), "min_score": least, "runtime": loaded.engine}
        return _finished(objects, self.min_diameter_px, micrograph, self, settings, loaded.weights)


@dataclass(frozen=True)
class CavityMaskRCNN:
    """The same objects by Mask R-CNN, the published kind of detector; needs torch and weights of your own training.

    Attributes:
        weights: path of a .safetensors file.
        min_score: leave out objects below; None takes the threshold the weights were chosen with.
        min_diameter_px: leave out smaller ones (area-equivalent) [px].
        device: cpu, cuda, cuda:1…; None takes a GPU if there is one.
    """

    weights: str = "cavity-maskrcnn"
    min_score: float | None = None
    min_diameter_px: float = 0.0
    device: str | None = None

    def __post_init__(self) -> None:
        _check(self.min_score, self.min_diameter_px)

    def __call__(self, micrograph: Micrograph) -> Instances:
        """Objects with masks, by falling score."""
        weights = open_weights(self.weights)
        network = _maskrcnn(weights.path, weights.hash, self.device)
        least = weights.min_score if self.min_score is None else self.min_score
        everything = (slice(None), slice(None))
        objects = network.detect(normalize_part(micrograph, robust_scale(micrograph), *everything))
        objects = objects[np.flatnonzero(objects.score >= least)]
        settings = {**asdict(self), "min_score": least, "limit_reached": _limit_reached(objects)}
        return _finished(objects, self.min_diameter_px, micrograph, self, settings, weights)


def _check(min_score: float | None, min_diameter_px: float) -> None:
    if min_score is not None and not 0 <= min_score <= 1:
        raise SettingsError(f"min_score runs from 0 to 1, not {min_score}")
    if not 0 <= min_diameter_px < np.inf:
        raise SettingsError(f"min_diameter_px is at least 0, not {min_diameter_px}")


@lru_cache(maxsize=1)
def _maskrcnn(path: Path, hash_now: str, device: str | None) -> Any:
    """The network of that file; its hash is there so that another file of that name is read anew."""
    from epistem.nets.restore import restore
    from epistem.nets.train import device_or_best

    weights = open_weights(path)
    if weights.network != "cavity-maskrcnn":
        raise RecordError(
            f"{path} holds a {weights.network}, wanted a cavity-maskrcnn; choose --detector {weights.network}, or "
            "give other weights"
        )
    return restore(weights).to(device_or_best(device))


def _limit_reached(objects: Instances) -> int | None:
    return objects.provenance.settings["limit_reached"] if objects.provenance else None


def _down_to(reading: stars.Reading, min_score: float) -> stars.Reading:
    """Peaks are read down to the score asked for, and no further: what goes cannot take a neighbour with it."""
    if min_score <= 0:
        return reading
    if min_score >= 1:
        return replace(reading, least_logit=np.inf)
    wanted = (np.log(min_score / (1 - min_score)) - reading.shift) / reading.scale
    return replace(reading, least_logit=max(float(wanted) - 1e-6, reading.least_logit))


def _stars(
    micrograph: Micrograph, scale: Scale, maps: Maps, reading: stars.Reading, tile_px: int, binning: int
) -> Iterator[stars.Stars]:
    """Peaks of each window's core, found in the binned image, in pixels of the image."""
    shape = (micrograph.shape[0] // binning, micrograph.shape[1] // binning)
    if min(shape) < 1:
        return
    # Windows begin where the network's deepest cells begin, so that the same pixel meets the same filters.
    tile_px = -(-tile_px // stars.ALIGNMENT) * stars.ALIGNMENT
    if max(shape) <= tile_px + 2 * HALO_PX:
        tile_px = tile_px + 2 * HALO_PX
    for tile in tiles(shape, tile_px=tile_px, halo_px=HALO_PX):
        outer = (slice(part.start * binning, part.stop * binning) for part in tile.outer)
        window = _binned(normalize_part(micrograph, scale, *outer), binning)
        found = stars.decode(maps(window), least_logit=reading.least_logit)
        if binning > 1:
            found = found.take(found.diameters() >= reading.least_binned_px)
        start = [part.start // stars.STRIDE for part in tile.inner]
        stop = [-(-part.stop // stars.STRIDE) for part in tile.inner]
        kept = found.take(np.flatnonzero(((found.cells >= start) & (found.cells < stop)).all(axis=1)))
        origin = np.array([part.start for part in tile.outer])
        yield kept._replace(
            centres=(kept.centres + origin) * binning,
            radii=kept.radii * binning,
            cells=(kept.cells + origin // stars.STRIDE) * binning,
        )


def _binned(image: NDArray[np.float32], binning: int) -> NDArray[np.float32]:
    """Means of `binning` by `binning` pixels; sides are multiples of it."""
    rows, cols = (n // binning for n in image.shape)
    means: NDArray[np.float32] = image.reshape(rows, binning, cols, binning).mean(axis=(1, 3))
    return means


def _joined(parts: list[stars.Stars]) -> stars.Stars:
    """All of them, best first; of equal ones the upper left first, as in a whole image."""
    together = stars.Stars(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    rows, cols = together.cells.T
    return together.take(np.lexsort((cols, rows, -together.scores)))


def _finished(
    objects: Instances,
    min_diameter_px: float,
    micrograph: Micrograph,
    detector: object,
    settings: dict[str, Any],
    weights: Weights,
) -> Instances:
    """Without what is too small or no image, and with where it came from."""
    area = np.array([mask.crop.sum() for mask in objects.masks()], float)
    kept = area >= np.pi / 4 * min_diameter_px**2
    if micrograph.valid is not None:
        kept &= np.array(
            [bool(micrograph.valid[m.rows, m.cols][m.crop].mean() >= 0.5) for m in objects.masks()], bool
        )
    maker = f"epistem.detect.{type(detector).__name__}"
    settings["weights"] = weights.path.stem
    made = Provenance(maker, __version__, settings, inputs=(micrograph.id,), weights=weights.hash)
    return replace(objects[np.flatnonzero(kept)], provenance=made)
