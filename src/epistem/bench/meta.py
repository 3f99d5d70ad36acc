"""What a dataset is like, from its training images and their labels alone.

==============  ============================================================================================
foreground      log10 of the share of pixels that are no background
rim_per_px      log10 of the length of boundary per foreground pixel [px⁻¹]: high for thin or small parts
size_10 … 90    log10 of the diameter [px] of the part that the 10 %, 50 %, 90 % pixel of all foreground is in
parts_per_Mpx   log10 of the number of parts per million pixels
contrast        difference of mean grey of foreground and background over their spread (Cohen's d), unsigned
snr             log10 of the image's spread over the noise of a pixel
psd_slope       slope of log power over log frequency: −2 is smooth, 0 is white
n_train         log10 of the number of training images
classes         background included
side_px         log2 of the shorter side of an image [px]
==============  ============================================================================================

A part is what hangs together, corners included, in one class. Medians over images where not said otherwise; a number
that does not exist is NaN.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from epistem.bench.examples import read_example
from epistem.bench.masks import IGNORED
from epistem.bench.plan import Plan
from epistem.bench.profile import Profile
from epistem.core import SettingsError, ShapeError
from epistem.trust.quality import pixel_noise

META = (
    "foreground", "rim_per_px", "size_10", "size_50", "size_90", "parts_per_Mpx", "contrast", "snr", "psd_slope",
    "n_train", "classes", "side_px",
)  # fmt: skip
Floats = NDArray[np.float64]
_WITH_CORNERS = np.ones((3, 3), int)
_BINS = 24


class _Image(NamedTuple):
    """Counts and numbers of one image; sizes [px] are of its parts' areas."""

    pixels: int
    foreground: int
    rim: int
    areas: Floats
    contrast: float
    snr: float
    psd_slope: float
    side_px: int


def meta_features(examples: Iterable[tuple[NDArray[Any], NDArray[Any]]], *, classes: int) -> dict[str, float]:
    """The numbers of the module's table.

    Args:
        examples: image (C, H, W) or (H, W) and labels (H, W), 0 the background, `IGNORED` not counted.
        classes: how many, background included.

    Raises:
        SettingsError: no example.
        ShapeError: image and labels of different size.
    """
    seen = [_looked_at(image if image.ndim == 3 else image[None], labels) for image, labels in examples]
    if not seen:
        raise SettingsError("meta-features are of training images, and there is none; check training.split")
    pixels, foreground, rim = (sum(getattr(one, name) for one in seen) for name in ("pixels", "foreground", "rim"))
    areas = np.concatenate([one.areas for one in seen])
    return {
        "foreground": _log10(foreground, pixels),
        "rim_per_px": _log10(rim, foreground),
        **_spectrum(areas),
        "parts_per_Mpx": _log10(1e6 * len(areas), pixels),
        "contrast": _median([one.contrast for one in seen]),
        "snr": _median([one.snr for one in seen]),
        "psd_slope": _median([one.psd_slope for one in seen]),
        "n_train": float(np.log10(len(seen))),
        "classes": float(classes),
        "side_px": float(np.log2(np.median([one.side_px for one in seen]))),
    }


def training_meta(profile: Profile, plan: Plan) -> dict[str, float]:
    """The same of a study's training images, read from its files; raises as `examples.read_example`."""
    folder, wanted = profile.folder(), {(one.image, one.slice) for one in plan.split.train}
    pairs = [pair for pair in profile.dataset.pairs if (pair.image, pair.slice) in wanted]
    read = (read_example(profile, pair, folder) for pair in pairs)
    return meta_features(((one.image, one.labels) for one in read), classes=len(profile.task.classes))


def _looked_at(image: NDArray[Any], labels: NDArray[Any]) -> _Image:
    if image.shape[1:] != labels.shape:
        raise ShapeError(f"an image is {image.shape[1:]} and its labels are {labels.shape}; give those of this image")
    counted = (labels != IGNORED) & np.isfinite(image).all(0)
    front = counted & (labels > 0)
    grey = np.where(np.isfinite(image), image, 0).astype(np.float64)
    channels = [_standard(one, counted) for one in grey]
    contrasts = [abs(_cohen(one[front], one[counted & ~front])) for one in channels]
    # Of several channels the one that shows the classes best: a network will use it.
    best = channels[int(np.nanargmax(contrasts))] if np.isfinite(contrasts).any() else channels[0]
    noise = pixel_noise(best.astype(np.float32))
    return _Image(
        int(counted.sum()), int(front.sum()), _rim(labels, counted), _areas(labels, counted),
        float(np.nanmax(contrasts)) if np.isfinite(contrasts).any() else np.nan,
        float(-np.log10(noise)) if noise > 0 else np.nan, _psd_slope(best), min(labels.shape),
    )  # fmt: skip


def _standard(grey: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Mean 0 and spread 1 over the pixels that count; all else 0."""
    if not counted.any():
        return np.zeros(grey.shape)
    middle, spread = float(grey[counted].mean()), float(grey[counted].std())
    return np.where(counted, (grey - middle) / (spread or 1.0), 0.0)


def _cohen(a: Floats, b: Floats) -> float:
    if len(a) < 2 or len(b) < 2:
        return np.nan
    pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2))
    return float((a.mean() - b.mean()) / pooled) if pooled > 0 else np.nan


def _rim(labels: NDArray[Any], counted: NDArray[np.bool_]) -> int:
    """Sides of pixels between two classes."""
    down = (labels[1:] != labels[:-1]) & counted[1:] & counted[:-1]
    right = (labels[:, 1:] != labels[:, :-1]) & counted[:, 1:] & counted[:, :-1]
    return int(down.sum() + right.sum())


def _areas(labels: NDArray[Any], counted: NDArray[np.bool_]) -> Floats:
    areas = []
    for one in np.unique(labels[counted & (labels > 0)]):
        parts, n = ndimage.label(counted & (labels == one), _WITH_CORNERS)
        areas.append(np.bincount(parts.ravel(), minlength=n + 1)[1:])
    return np.concatenate([np.empty(0), *areas]).astype(float)


def _spectrum(areas: Floats) -> dict[str, float]:
    """Diameters by area, so that specks of one pixel do not hide what the area is made of."""
    if not len(areas):
        return dict.fromkeys(("size_10", "size_50", "size_90"), np.nan)
    ordered = np.sort(areas)
    share = np.cumsum(ordered) / ordered.sum()
    # Rounding may leave the last share below 1.
    at = np.minimum(np.searchsorted(share, [0.1, 0.5, 0.9]), len(ordered) - 1)
    diameters = 2 * np.sqrt(ordered[at] / np.pi)
    return dict(zip(("size_10", "size_50", "size_90"), np.log10(diameters).tolist(), strict=True))


def _psd_slope(z: Floats) -> float:
    """Least squares over radial means between a wavelength of half the shorter side and 2 px, evenly in log f."""
    if min(z.shape) < 16 or not z.any():
        return np.nan
    window = np.hanning(z.shape[0])[:, None] * np.hanning(z.shape[1])
    power = np.abs(fft.rfft2(z * window)) ** 2
    radius = np.hypot(fft.fftfreq(z.shape[0])[:, None], fft.rfftfreq(z.shape[1]))
    edges = np.geomspace(2 / min(z.shape), 0.5, _BINS + 1)
    ring = np.digitize(radius.ravel(), edges) - 1
    inside = (ring >= 0) & (ring < _BINS)
    count = np.bincount(ring[inside], minlength=_BINS)
    total = np.bincount(ring[inside], power.ravel()[inside], _BINS)
    at = np.bincount(ring[inside], radius.ravel()[inside], _BINS)
    kept = (count > 0) & (total > 0)
    if kept.sum() < 3:
        return np.nan
    return float(np.polyfit(np.log(at[kept] / count[kept]), np.log(total[kept] / count[kept]), 1)[0])


def _log10(part: float, whole: float) -> float:
    return float(np.log10(part / whole)) if part > 0 and whole > 0 else np.nan


def _median(values: list[float]) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        return float(np.nanmedian(values))
