"""Named sets of simulated cavity images, each a spread of foils and microscopes to draw scenes from.

=========  ==================================================================================
A:over     cavities of 10-60 px in overfocus, as in most published sets
A:under    the same in underfocus
B          many small bubbles, noisy, mostly underfocus
C          in-situ work: coarse pixels, thick foil, drift, either focus
speckled   foils under a strong amorphous skin, whose grain looks like bubbles: for training
wide       all of these and what lies between and beyond: for training
=========  ==================================================================================

Severity `clear` is good microscopy; `hard` has weak contrast, noise, texture and everything else in the way; `any`
is a draw between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from epistem.core.errors import SettingsError, UnknownName
from epistem.synth.cavities import CavityScene
from epistem.synth.optics import interaction_rad_per_V_nm

SetName = Literal["A:over", "A:under", "B", "C", "wide", "speckled"]
Severity = Literal["clear", "hard", "any"]
SETS: tuple[SetName, ...] = ("A:over", "A:under", "B", "C")
SEVERITIES: tuple[Severity, ...] = ("clear", "hard")


@dataclass(frozen=True)
class _Spread:
    """Bounds that a set's scenes are drawn between.

    Attributes:
        pixel_nm: pixel size [nm].
        diameter_px: mean diameter of the cavities [px].
        cover: share of the image under cavities.
        most: expected cavities at most.
        defocus_nm: distance from focus [nm].
        overfocus: share of the scenes in overfocus.
        dose_e_per_px: electrons that reach the camera [e/px].
        thickness_nm: foil besides what the cavities need [nm].
        drift_px: longest way during the exposure [px].
        keV: beams to choose from [keV].
        speckle_d_prime: largest d′ that the mean cavity can have in the grain of an amorphous skin; None is weak
            grain, the more the harder the scene.
        bubbles: share of the scenes with cavities of 12 px and more that have small bubbles besides.
    """

    pixel_nm: tuple[float, float]
    diameter_px: tuple[float, float]
    cover: tuple[float, float]
    most: int
    defocus_nm: tuple[float, float]
    overfocus: float
    dose_e_per_px: tuple[float, float]
    thickness_nm: tuple[float, float]
    drift_px: float
    keV: tuple[float, ...]
    speckle_d_prime: tuple[float, float] | None = None
    bubbles: float = 0.15


_SPREADS: dict[str, _Spread] = {
    "speckled": _Spread(
        pixel_nm=(0.1, 0.8),
        diameter_px=(5, 70),
        cover=(0.01, 0.3),
        most=400,
        defocus_nm=(400, 2500),
        overfocus=0.5,
        dose_e_per_px=(150, 5000),
        thickness_nm=(30, 150),
        drift_px=2.0,
        keV=(200.0, 300.0),
        speckle_d_prime=(4, 40),
        bubbles=0.5,
    ),
    "A": _Spread(
        pixel_nm=(0.1, 0.7),
        diameter_px=(10, 60),
        cover=(0.02, 0.25),
        most=120,
        defocus_nm=(300, 1500),
        overfocus=0.0,
        dose_e_per_px=(60, 2000),
        thickness_nm=(40, 150),
        drift_px=1.0,
        keV=(200.0,),
    ),
    "B": _Spread(
        pixel_nm=(0.08, 0.4),
        diameter_px=(4.5, 11),
        cover=(0.03, 0.2),
        most=500,
        defocus_nm=(200, 1200),
        overfocus=0.2,
        dose_e_per_px=(40, 600),
        thickness_nm=(30, 100),
        drift_px=1.0,
        keV=(200.0, 300.0),
    ),
    "C": _Spread(
        pixel_nm=(0.4, 1.2),
        diameter_px=(6, 25),
        cover=(0.02, 0.2),
        most=300,
        defocus_nm=(500, 3000),
        overfocus=0.5,
        dose_e_per_px=(200, 4000),
        thickness_nm=(80, 200),
        drift_px=3.0,
        keV=(300.0,),
    ),
    "wide": _Spread(
        pixel_nm=(0.05, 1.6),
        diameter_px=(4, 130),
        cover=(0.01, 0.35),
        most=500,
        defocus_nm=(150, 3000),
        overfocus=0.45,
        dose_e_per_px=(20, 6000),
        thickness_nm=(30, 200),
        drift_px=3.0,
        keV=(100.0, 200.0, 300.0),
        bubbles=0.4,
    ),
}


def draw_scene(
    name: SetName, severity: Severity, *, rng: np.random.Generator, shape: tuple[int, int] = (512, 512)
) -> CavityScene:
    """One scene of a set.

    Raises:
        UnknownName: no such set.
        SettingsError: no such severity.
    """
    if name not in get_args(SetName):
        raise UnknownName(f"no set {name!r}; there are {', '.join(get_args(SetName))}")
    if severity not in get_args(Severity):
        raise SettingsError(f"severity is clear, hard or any, not {severity!r}")
    spread = _SPREADS[name.split(":")[0]]
    hard = {"clear": 0.0, "hard": 1.0, "any": float(rng.random()) ** 1.5}[severity]
    over = {"A:over": 1.0, "A:under": 0.0}.get(name, spread.overfocus)
    settings = _microscope(spread, hard, over, rng)
    settings |= _cavities(spread, settings, shape, rng)
    settings |= _foil(spread, hard, settings, rng)
    # The spread's dose is what reaches the camera; the foil keeps the rest.
    settings["dose_e_per_A2"] *= float(np.exp(settings["thickness_nm"] / settings["mean_free_path_nm"]))
    return CavityScene(shape=shape, **settings)


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def _microscope(spread: _Spread, hard: float, over: float, rng: np.random.Generator) -> dict[str, Any]:
    pixel_nm = _log_uniform(spread.pixel_nm, rng)
    low, high = spread.dose_e_per_px
    middle = float(np.sqrt(low * high))
    dose_e_per_px = _log_uniform((low if hard else middle, middle if hard == 1 else high), rng)
    return {
        "pixel_nm": pixel_nm,
        "oversample": 1 if pixel_nm < 0.3 else 2,
        "beam_keV": float(rng.choice(spread.keV)),
        "defocus_nm": _log_uniform(spread.defocus_nm, rng) * (1 if rng.random() < over else -1),
        "cs_mm": float(rng.uniform(0.0, 2.5)),
        "semiangle_mrad": _log_uniform((0.1, 1.0), rng),
        "focal_spread_nm": float(rng.uniform(3, 15)),
        "camera_blur_px": float(rng.uniform(0.3, 0.9 + 0.5 * hard)),
        "drift_px": float(hard * rng.uniform(0, spread.drift_px)) if rng.random() < 0.5 else 0.0,
        "drift_deg": float(rng.uniform(0, 180)),
        "scintillator": _log_uniform((0.15, 0.6), rng) if rng.random() < 0.75 else 0.0,
        "readout_e": float(rng.uniform(0.02, 0.12) * np.sqrt(dose_e_per_px)),
        "counts_per_electron": 1.0 if dose_e_per_px > 300 else 8.0,
        "dose_e_per_A2": dose_e_per_px / (10 * pixel_nm) ** 2,
    }


def _cavities(
    spread: _Spread, microscope: dict[str, Any], shape: tuple[int, int], rng: np.random.Generator
) -> dict[str, Any]:
    pixel_nm = microscope["pixel_nm"]
    # Cavities beyond 80 nm are rare in irradiated metals and would need a foil no beam goes through.
    diameter_px = min(_log_uniform(spread.diameter_px, rng), 80 / pixel_nm)
    diameter_nm = diameter_px * pixel_nm
    share = rng.uniform(0.08, 0.5)
    area_px = np.pi / 4 * diameter_px**2 * (1 + share**2)
    cover = _log_uniform(spread.cover, rng)
    bubbles = rng.random() < spread.bubbles and diameter_px > 12
    return {
        "diameter_nm": diameter_nm,
        "diameter_sd_nm": share * diameter_nm,
        "number": float(np.clip(cover * shape[0] * shape[1] / area_px, 1, spread.most)),
        "bubbles": float(rng.uniform(20, 150)) if bubbles else 0.0,
        "bubble_diameter_nm": float(rng.uniform(3.5, 7)) * pixel_nm,
        "thickness_nm": float(rng.uniform(*spread.thickness_nm)) + (1 + share) * diameter_nm,
        "faceted": float(rng.choice([0.0, 0.0, 0.5, 1.0])),
        "orientation_deg": tuple(float(angle) for angle in rng.uniform(0, 360, 3)),
        "truncation": float(rng.uniform(0.95, 1.4)),
        "mean_inner_potential_V": float(rng.uniform(12, 29)),
        "mean_free_path_nm": _log_uniform((30, 250), rng),
    }


def _foil(spread: _Spread, hard: float, settings: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The harder, the more of everything is in the way; a clear image has a little of some."""
    strength = 0.2 + 0.5 * hard

    def sometimes(share: float, value: float) -> float:
        return float(value) if rng.random() < share * strength else 0.0

    pixel_nm, diameter_nm = settings["pixel_nm"], settings["diameter_nm"]
    return {
        "thickness_sd": float(strength * rng.uniform(0, 0.1)),
        "texture_scale": float(np.clip(_log_uniform((0.5, 3.0), rng) * pixel_nm / 0.3, 0.2, 8)),
        "background": float(strength * rng.choice([0, 1]) * rng.uniform(0.1, 1.0)),
        "speckle_rad": (
            _speckle_rad(_log_uniform(spread.speckle_d_prime, rng), settings)
            if spread.speckle_d_prime
            else float(strength * _log_uniform((0.005, 0.12), rng)) * min(pixel_nm / 0.2, 1.0)
        ),
        "speckle_length_nm": sometimes(0.5, _log_uniform((0.5, 3), rng) * pixel_nm),
        "wedge": sometimes(0.6, rng.uniform(0.1, 0.8)),
        "edge": sometimes(0.08, rng.uniform(0.05, 0.4)),
        "clouds": strength * _log_uniform((0.01, 0.6), rng),
        "grains": sometimes(0.3, _log_uniform((0.03, 0.4), rng)),
        "mottle": sometimes(0.5, strength * _log_uniform((0.02, 0.3), rng)),
        "mottle_nm": _log_uniform((0.8, 8), rng) * pixel_nm,
        "fringes": sometimes(0.25, rng.uniform(0.1, 0.8)),
        "dislocations": sometimes(0.4, rng.uniform(0.5, 6)),
        "precipitates": sometimes(0.3, _log_uniform((1, 40), rng)),
        "precipitate_nm": _log_uniform((0.4, 1.5), rng) * diameter_nm,
    }


def _speckle_rad(d_prime: float, settings: dict[str, Any]) -> float:
    """Grain against which a sphere of the mean diameter has this d′ at most, whatever the lens does to both.

    A matched filter of the sphere's phase φ₀·√(1 − (2r/d)²) has d′² = ∫φ² / s² = φ₀²·π·d²/8 / s² in white noise of s
    over 1 nm². `visibility.d_prime` gives about half of it: it knows the noise from the image itself. Above 0.3 rad,
    where it ends, it would be no weak phase.
    """
    diameter_nm: float = settings["diameter_nm"]
    phase = interaction_rad_per_V_nm(settings["beam_keV"]) * settings["mean_inner_potential_V"] * diameter_nm
    return float(min(np.sqrt(np.pi / 8) * phase * diameter_nm / d_prime, 0.3))
