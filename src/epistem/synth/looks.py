"""Four instruments' looks: what each makes of a specimen, and what goes wrong while it does.

=========  ====================================================  ===============================================
look       sees                                                  disturbed by
=========  ====================================================  ===============================================
SEM        secondary electrons: material, slope, edges; 8 bit    charging, shot noise, uneven scan lines
AFM        height under a parabolic tip [nm], float              tilt, offset of each line, noise, scars
XCT        attenuation with bright phase fringes; 16 bit         beam hardening, rings, streaks, filtered noise
optical    reflected light in three colours, made grey; 8 bit    vignetting, scratches, photon noise
=========  ====================================================  ===============================================

They are models of looks, with amounts as in common recordings, and no simulation of a given instrument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from epistem.core.micrograph import Micrograph
from epistem.synth.degrade import charging
from epistem.synth.foil import rough_field
from epistem.synth.pixels import Grey, as_recorded
from epistem.synth.specimens import Specimen

XCT_GREY = 20_000  # grey values of attenuation 1
COLOURS = ((630.0, 0.299), (532.0, 0.587), (465.0, 0.114))  # wavelength [nm], weight in grey (ITU-R BT.601)
BEST_APERTURE = 0.9  # of a dry objective


@dataclass(frozen=True)
class Look:
    """One instrument.

    Attributes:
        modality: for the Context.
        unit: of the values; empty where they are grey values.
        dtype: that is recorded.
        see: called with specimen, pixel size [nm] and rng; the image without anything that disturbs.
        disturb: called with that image, a strength above 0 (1 is common) and rng; all it does fades with strength.
    """

    modality: str
    unit: str
    dtype: np.dtype[Any]
    see: Callable[[Specimen, float, np.random.Generator], Grey]
    disturb: Callable[[Grey, float, np.random.Generator], Grey]

    def __call__(
        self, specimen: Specimen, pixel_nm: float, strength: float, *, rng: np.random.Generator
    ) -> NDArray[Any]:
        """The recorded image (H, W); at strength 0 it is what is seen, bit for bit."""
        image = self.see(specimen, pixel_nm, rng)
        return as_recorded(self.disturb(image, strength, rng) if strength else image, self.dtype)


def _see_sem(specimen: Specimen, pixel_nm: float, rng: np.random.Generator) -> Grey:
    """Yield rises as 1/cos of the slope, and on the side of the detector.

    Source: Reimer, Scanning Electron Microscopy (1998), ch. 4 and 6.
    """
    down, across = np.gradient(specimen.relief_px + _rough(specimen, 0.25, rng))
    way = rng.uniform(0, 2 * np.pi)
    steep = np.minimum(np.sqrt(1 + down**2 + across**2), 3) - 1
    towards = np.clip(np.sin(way) * down + np.cos(way) * across, -1.5, 1.5)
    signal = 0.5 + 0.3 * specimen.emission + rng.uniform(0.12, 0.3) * steep + rng.uniform(0.02, 0.08) * towards
    signal = ndimage.gaussian_filter(signal.astype(np.float32), rng.uniform(0.5, 0.9))
    return _exposed(np.maximum(signal, 0.03), rng)


def _disturb_sem(image: Grey, strength: float, rng: np.random.Generator) -> Grey:
    charge, electrons, uneven = rng.uniform(0, 0.5), np.exp(rng.uniform(np.log(25), np.log(400))), rng.uniform(0.5, 3)
    charged = charging(Micrograph(image), strength * charge, rng=rng).pixels
    counted = _counted(charged / 255, electrons / strength**2, rng) * 255
    return counted + strength * uneven * rng.standard_normal((len(image), 1))


def _see_afm(specimen: Specimen, pixel_nm: float, rng: np.random.Generator) -> Grey:
    """Dilation by the tip: valleys narrower than it stay shallow, whatever stands up looks wider.

    A parabolic tip works along rows and along columns, one after the other.

    Source: van den Boomgaard et al., Proc. ISMM (1996) 147, quadratic structuring functions separate.
    """
    height_nm = (pixel_nm * (specimen.relief_px + _rough(specimen, 0.15, rng))).astype(np.float32)
    drop_nm = pixel_nm**2 / (2 * np.exp(rng.uniform(np.log(2), np.log(12))))  # at one pixel from the apex
    reach_px = min(int(np.sqrt(np.ptp(height_nm) / drop_nm)), 24)
    for axis in (0, 1):
        seen = np.moveaxis(height_nm.copy(), axis, 0)
        below = np.moveaxis(height_nm, axis, 0)
        for k in range(1, min(reach_px, len(seen) - 1) + 1):
            np.maximum(seen[k:], below[:-k] - np.float32(drop_nm * k**2), out=seen[k:])
            np.maximum(seen[:-k], below[k:] - np.float32(drop_nm * k**2), out=seen[:-k])
        height_nm = np.moveaxis(seen, 0, axis)
    seen_nm: Grey = height_nm - height_nm.min()
    return seen_nm


def _disturb_afm(image: Grey, strength: float, rng: np.random.Generator) -> Grey:
    span = float(np.subtract(*np.percentile(image, [99, 1]))) or 1.0
    rows, cols = (np.linspace(-0.5, 0.5, n) for n in image.shape)
    tilt = rng.normal(0, 0.4, 2)
    plane = tilt[0] * rows[:, None] + tilt[1] * cols
    jumps, walk = rng.standard_normal((2, len(rows)))
    lines = rng.uniform(0.005, 0.03) * (jumps + 0.3 * np.cumsum(walk))
    disturbed = plane + lines[:, None] + rng.uniform(0.005, 0.02) * rng.standard_normal(image.shape)
    for _ in range(rng.poisson(len(rows) / 80)):  # the tip loses the surface for a part of a line
        row, start = int(rng.integers(len(rows))), int(rng.integers(len(cols)))
        disturbed[row, start : start + int(rng.uniform(0.05, 0.4) * len(cols))] += rng.normal(0, 0.2)
    disturbed_nm: Grey = image + strength * span * disturbed
    return disturbed_nm


def _see_xct(specimen: Specimen, pixel_nm: float, rng: np.random.Generator) -> Grey:
    """Attenuation, blurred by the detector; in-line phase contrast adds a share of the negative Laplacian.

    Source: Paganin et al., J. Microsc. 206 (2002) 33, for the Laplacian.
    """
    attenuation = 0.6 + rng.uniform(0.08, 0.3) * specimen.density + 0.01 * _rough(specimen, 1.0, rng)
    attenuation = ndimage.gaussian_filter(attenuation.astype(np.float32), rng.uniform(0.8, 1.5))
    seen: Grey = XCT_GREY * np.maximum(attenuation - rng.uniform(0, 0.6) * ndimage.laplace(attenuation), 0)
    return seen


def _disturb_xct(image: Grey, strength: float, rng: np.random.Generator) -> Grey:
    rows, cols = np.indices(image.shape, np.float32)
    radius = np.hypot(*(at - n * rng.uniform(-0.5, 1.5) for at, n in zip((rows, cols), image.shape, strict=True)))
    cupping = rng.uniform(0, 0.1) * ((radius / max(image.shape)) ** 2 - 0.5)
    bins = int(radius.max()) + 2
    bad = rng.standard_normal(bins) * (0.25 + 2 * (rng.random(bins) < 0.04))  # detector pixels of another gain
    rings = rng.uniform(0.01, 0.04) * np.interp(radius, np.arange(bins), bad)
    streaks = np.zeros(image.shape, np.float32)
    for angle in rng.uniform(0, np.pi, 1 + rng.poisson(2)):  # a bad projection is smeared back along its direction
        along = rows * np.sin(angle) + cols * np.cos(angle)
        along -= along.min()
        projection = ndimage.gaussian_filter1d(rng.standard_normal(int(along.max()) + 2), 1.5)
        streaks += np.interp(along, np.arange(len(projection)), projection)
    noise = rng.uniform(0.02, 0.07) * _filtered_noise(image.shape, rng)
    wrong: Grey = cupping + rings + rng.uniform(0.01, 0.04) * streaks + noise
    return image + strength * XCT_GREY * 0.6 * wrong


def _see_optical(specimen: Specimen, pixel_nm: float, rng: np.random.Generator) -> Grey:
    """Each colour through its own point spread, at best that of a dry objective of aperture 0.9.

    Source: Zhang et al., Appl. Opt. 46 (2007) 1819, Gaussian in place of the Airy disc, σ = √2·λ/(2π·NA).
    """
    sharpest = np.sqrt(2) / (2 * np.pi * BEST_APERTURE) / pixel_nm  # σ over wavelength [px/nm]
    blur = max(sharpest, rng.uniform(0.5, 1.0) / 532)
    polished = specimen.reflection + 0.03 * _rough(specimen, 1.0, rng)
    tint = rng.normal(0, 0.08, len(COLOURS))
    grey = np.zeros(polished.shape, np.float32)
    for (wavelength, weight), more in zip(COLOURS, tint, strict=True):
        reflected = (0.5 + (0.35 + more) * polished).astype(np.float32)
        grey += weight * ndimage.gaussian_filter(np.maximum(reflected, 0.02), blur * wavelength)
    return _exposed(grey, rng)


def _disturb_optical(image: Grey, strength: float, rng: np.random.Generator) -> Grey:
    rows, cols = (np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape)
    off = rng.uniform(-0.3, 0.3, 2)
    away2 = ((rows[:, None] - off[0]) ** 2 + (cols - off[1]) ** 2) / 2
    light = np.maximum(1 - strength * rng.uniform(0.03, 0.25) * away2, 0)
    for _ in range(rng.poisson(3)):
        angle, width = rng.uniform(0, np.pi), rng.uniform(0.5, 1.2) / max(image.shape)
        across = np.cos(angle) * rows[:, None] + np.sin(angle) * cols - rng.uniform(-1, 1)
        along = np.sin(angle) * rows[:, None] - np.cos(angle) * cols - rng.uniform(-1, 1)
        scratch = np.exp(-0.5 * (across / (2 * width)) ** 2) * (abs(along) < rng.uniform(0.2, 1.5))
        light = light * np.maximum(1 - strength * rng.uniform(0.03, 0.2) * scratch, 0)
    electrons = np.exp(rng.uniform(np.log(1000), np.log(10_000)))  # in a full pixel
    return _counted(image / 255 * light, electrons / strength**2, rng) * 255


def _rough(specimen: Specimen, amount: float, rng: np.random.Generator) -> Grey:
    """Fine texture of every real surface: self-affine, without a size of its own."""
    shape = specimen.depth_px.shape
    field: Grey = rng.uniform(0.2, 1) * amount * rough_field(
        (shape[0], shape[1]), 1.0, longest_nm=max(shape) / 20, shortest_nm=0.6, slope=2.5, rng=rng
    )  # fmt: skip
    return field


def _exposed(image: Grey, rng: np.random.Generator) -> Grey:
    """Grey values of 8 bit, set by contrast and brightness so that little is cut off."""
    low, high = np.percentile(image, [0.5, 99.5])
    black, white = rng.uniform(10, 50), rng.uniform(190, 245)
    grey: Grey = np.clip(black + (white - black) * (image - low) / (high - low or 1.0), 0, 255).astype(np.float32)
    return grey


def _counted(share: NDArray[Any], most: float, rng: np.random.Generator) -> Grey:
    """The share of `most` electrons after they were counted."""
    most = min(most, 1e12)  # more is no noise, and no whole number of 64 bit
    counted: Grey = (rng.poisson(np.maximum(share, 0) * most) / most).astype(np.float32)
    return counted


def _filtered_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Grey:
    """Noise of a filtered back projection, of variance 1: its power rises with the frequency, up to the filter's end.

    Source: Riederer et al., Phys. Med. Biol. 23 (1978) 446.
    """
    frequency = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])).astype(np.float32)
    ramp = np.sqrt(frequency) * np.exp(-((frequency / rng.uniform(0.15, 0.3)) ** 2))
    noise: Grey = fft.irfft2(fft.rfft2(rng.standard_normal(shape, np.float32)) * ramp, s=shape)
    return noise / max(float(noise.std()), 1e-12)


SEM = Look("SEM", "", np.dtype(np.uint8), _see_sem, _disturb_sem)
AFM = Look("AFM", "nm", np.dtype(np.float32), _see_afm, _disturb_afm)
XCT = Look("XCT", "", np.dtype(np.uint16), _see_xct, _disturb_xct)
OPTICAL = Look("Optical", "", np.dtype(np.uint8), _see_optical, _disturb_optical)
