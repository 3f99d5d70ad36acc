"""How many electrons made an image, and how noisy that is: estimated from the image itself.

The noise is taken as white, and estimated from the image's finest grain.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from epistem.core.errors import SettingsError
from epistem.core.micrograph import Micrograph
from epistem.stats.robust import mad_sd
from epistem.synth.pixels import Grey, valid_pixels, whole_pixels


def before_counting(
    micrograph: Micrograph, transfer: Callable[[Grey, Grey], Grey], *, reach_px: float, rng: np.random.Generator
) -> Grey:
    """The image through a transfer function of (row, col) frequency [1/px], with the noise it had.

    The transfer takes 1 − T² of the noise's power away, and that much is put in again: the electrons are counted
    after the lens. Where T is above 1 the noise grows with the signal. Beyond the border the image is mirrored.
    """
    image = whole_pixels(micrograph)
    mean = valid_pixels(micrograph, image).mean()
    counts = mean_count(micrograph, image)
    brightness = 1.0 if counts is None else np.sqrt(np.maximum(image, 0) / counts)
    noise = noise_sd(micrograph, image) * brightness * white_noise(image, rng)
    margins = [min(math.ceil(reach_px), n) for n in image.shape]
    sizes = [fft.next_fast_len(n + 2 * m, real=True) for n, m in zip(image.shape, margins, strict=True)]
    sides = [(m, size - n - m) for n, m, size in zip(image.shape, margins, sizes, strict=True)]
    through = transfer(fft.fftfreq(sizes[0])[:, None], fft.rfftfreq(sizes[1])[None]).astype(image.dtype)
    signal, lost = (fft.rfft2(np.pad(part, sides, "symmetric")) for part in (image - mean, noise))
    seen: Grey = fft.irfft2(signal * through + lost * np.sqrt(np.maximum(1 - through**2, 0)), sizes)
    (top, left), (rows, cols) = margins, image.shape
    cut: Grey = mean + seen[top : top + rows, left : left + cols]
    return cut


def noise_sd(micrograph: Micrograph, image: Grey) -> float:
    """Standard deviation of white noise where the image is as bright as its mean, in grey values.

    Slopes and straight edges cancel in second differences of both ways. Where grey values are counts the noise goes
    with the root of the brightness.

    Source: Immerkær, Comput. Vis. Image Underst. 64 (1996) 300.
    """
    if min(image.shape) < 3:
        return 0.0
    inner = np.s_[1:-1, 1:-1]
    valid = np.ones(image.shape, bool)[inner] if micrograph.valid is None else micrograph.valid[inner]
    grain = np.abs(np.diff(np.diff(image, 2, axis=0), 2, axis=1))[valid] / 6
    if not grain.size:
        return 0.0
    noise = math.sqrt(math.pi / 2) * float(grain.mean(dtype=np.float64))
    counts = mean_count(micrograph, image)
    if counts is None:
        return noise
    roots = np.sqrt(np.maximum(ndimage.uniform_filter(image, 3)[inner][valid], 0))
    return noise * math.sqrt(counts) / float(roots.mean(dtype=np.float64))


def mean_count(micrograph: Micrograph, image: Grey) -> float | None:
    """Mean grey value if grey values can be counts of electrons: none below 0, not all 0."""
    values = valid_pixels(micrograph, image)
    mean = float(values.mean(dtype=np.float64))
    return mean if values.min() >= 0 and mean > 0 else None


def most_electrons(micrograph: Micrograph) -> float:
    """How many electrons a known dose sends to one pixel; endless if it is not known."""
    sent, scale = micrograph.context.dose_e_per_A2, micrograph.calibration
    return 100 * scale.pixel_area_nm2 * sent if sent and scale else math.inf


def robust_spread(values: Grey) -> float:
    spread = mad_sd(values - np.median(values))
    return spread or float(values.std())


def white_noise(image: Grey, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal(image.shape, np.float32)


def known_value(micrograph: Micrograph, name: str) -> float:
    value: float | None = getattr(micrograph.context, name)
    if value is None:
        raise SettingsError(f"{micrograph.name} does not say its {name}; give it a Context with {name}")
    return value
