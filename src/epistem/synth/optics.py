"""Electrons and the objective lens: wavelength, interaction constant, aberrations, partial coherence."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

PLANCK_TIMES_LIGHT_keV_nm = 1.23984198
ELECTRON_REST_keV = 510.99895


class Lens(NamedTuple):
    """Electron energy [keV], defocus (negative is underfocus) [nm], Cs [mm], illumination semi-angle [mrad] and
    the standard deviation of the defocus [nm]."""

    beam_keV: float
    defocus_nm: float
    cs_mm: float
    semiangle_mrad: float
    focal_spread_nm: float


def wavelength_nm(beam_keV: float) -> float:
    """Relativistic electron wavelength [nm].

    Source: Kirkland, Advanced Computing in Electron Microscopy (2010), eq. 2.5.

    >>> round(wavelength_nm(200) * 1000, 4)
    2.5079
    """
    return PLANCK_TIMES_LIGHT_keV_nm / math.sqrt(beam_keV * (2 * ELECTRON_REST_keV + beam_keV))


def interaction_rad_per_V_nm(beam_keV: float) -> float:
    """Phase that a potential of 1 V gives to the wave over 1 nm, relativistic [rad/(V·nm)].

    Source: Kirkland, Advanced Computing in Electron Microscopy (2010), eq. 5.6,
    σ = 2π/(λE)·(E0 + E)/(2·E0 + E).

    >>> round(interaction_rad_per_V_nm(200) * 1000, 3)
    7.288
    """
    relativistic = (ELECTRON_REST_keV + beam_keV) / (2 * ELECTRON_REST_keV + beam_keV)
    return 2 * math.pi / (wavelength_nm(beam_keV) * beam_keV * 1000) * relativistic


def through_lens(wave: NDArray[np.complex64], lens: Lens, *, step_nm: float) -> NDArray[np.complex64]:
    """The wave (H, W) on the camera, by the aberrations and the envelopes of partial coherence.

    The envelopes damp amplitudes, which is exact for weak objects and blurs strong ones a little too much.

    Source: Williams & Carter, Transmission Electron Microscopy (2009), ch. 28:
    χ = πλ·Δf·q² + ½π·Cs·λ³·q⁴, transfer exp(−iχ), E_s = exp(−(πα/λ)²·(Cs·λ³q³ + Δf·λq)²),
    E_t = exp(−½(πλδq²)²).
    """
    wavelength, cs_nm = wavelength_nm(lens.beam_keV), lens.cs_mm * 1e6
    q2 = np.add.outer(*(np.square(fft.fftfreq(n, step_nm).astype(np.float32)) for n in wave.shape))
    chi = np.pi * wavelength * q2 * (lens.defocus_nm + 0.5 * cs_nm * wavelength**2 * q2)
    angle = np.pi * lens.semiangle_mrad / 1000 * (lens.defocus_nm + cs_nm * wavelength**2 * q2)
    damping = angle**2 * q2 + 0.5 * (np.pi * wavelength * lens.focal_spread_nm * q2) ** 2
    spectrum = fft.fft2(wave) * np.exp(-damping - 1j * chi).astype(np.complex64)
    image: NDArray[np.complex64] = fft.ifft2(spectrum, overwrite_x=True)
    return image
