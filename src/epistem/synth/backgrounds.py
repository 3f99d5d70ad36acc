"""Simulated cavities on recorded cavity-free fields: real texture and noise, exact truth."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem import __version__
from epistem.core.errors import SettingsError
from epistem.core.micrograph import Calibration, Context, Micrograph
from epistem.core.provenance import Provenance
from epistem.synth.cavities import (
    NO_CAVITIES,
    CavityScene,
    Simulated,
    draw_cavities,
    expected_electrons,
    make_foil,
    margin_px,
    true_instances,
)
from epistem.synth.visibility import contrast_to_noise, d_prime

_TEXTURE = (
    *("background", "thickness_sd", "speckle_rad", "wedge", "edge", "clouds"),
    *("mottle", "fringes", "grains", "dislocations", "precipitates"),
)
_BARE: dict[str, Any] = dict.fromkeys(_TEXTURE, 0.0)


def paste(scene: CavityScene, field: NDArray[np.float32], *, seed: int) -> Simulated:
    """The scene's cavities multiplied into a recorded field, which brings texture, noise and blur of its own.

    Args:
        scene: cavities and microscope; what else its foil would hold is left out.
        field: (H, W) grey values of a cavity-free image, of the scene's shape, proportional to the electrons.
        seed: of the cavities.

    Returns:
        The image as 16 bit, and the truth with `d_prime` and `contrast_to_noise` against the field.

    Raises:
        SettingsError: the field has another shape, or no light.
    """
    if field.shape != scene.shape:
        raise SettingsError(f"the scene is {scene.shape}, its background {field.shape}; cut the background to it")
    middle = float(np.median(field))
    if not middle > 0:
        raise SettingsError(f"a background has grey values above 0; the median of this one is {middle}")
    bare = replace(scene, **_BARE)
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)]
    cavities = draw_cavities(bare, margin_nm=margin_px(bare) * bare.pixel_nm, rng=streams[0])
    foil = make_foil(bare, *streams[1:])
    ratio = expected_electrons(bare, foil, cavities) / expected_electrons(bare, foil, NO_CAVITIES)
    without = field.astype(float) / middle
    truth = true_instances(bare, cavities)
    change = without * (ratio - 1)
    truth = truth.with_columns(
        d_prime=d_prime(truth, change, without, counted=False),
        contrast_to_noise=contrast_to_noise(truth, change, without, counted=False),
    )
    made = Provenance(
        "epistem.synth.backgrounds.paste", __version__, {**asdict(bare), "shape": list(bare.shape)}, seed=seed
    )
    pixels = np.clip(np.rint(8000 * (without + change)), 0, 65535).astype(np.uint16)
    calibration = Calibration(scene.pixel_nm, scene.pixel_nm, "simulation")
    context = Context(modality="TEM", beam_keV=scene.beam_keV, defocus_nm=scene.defocus_nm)
    micrograph = Micrograph(pixels, calibration, context, name=f"cavities on a recorded field, seed {seed}")
    return Simulated(micrograph, replace(truth, provenance=made))


def cut(background: NDArray[np.float32], shape: tuple[int, int], *, rng: np.random.Generator) -> NDArray[np.float32]:
    """A window of the background at a random place, scale and orientation, of that shape.

    Scales are 0.5 to 1.5, up to 2 where the background is smaller than the window; orientations are eight, four where
    the window is not square. Enlarging smooths the noise as another camera's scintillator would; the scale keeps the
    whole window inside.

    Raises:
        SettingsError: the background is less than half as wide or high.
    """
    largest = min(background.shape[0] / shape[0], background.shape[1] / shape[1], 2.0)
    if largest < 0.5:
        raise SettingsError(f"a background of {background.shape} is too small for {shape}")
    zoom = float(np.exp(rng.uniform(np.log(0.65), np.log(largest)))) if largest > 0.65 else largest
    rows, cols = (min(int(np.ceil(n * zoom)), have) for n, have in zip(shape, background.shape, strict=True))
    top, left = (int(rng.integers(have - n + 1)) for n, have in zip((rows, cols), background.shape, strict=True))
    window = background[top : top + rows, left : left + cols]
    if zoom > 1:  # fewer pixels: average what falls into one
        window = ndimage.gaussian_filter(window, 0.4 * (zoom - 1))
    at = np.meshgrid(*(np.linspace(0, n - 1, m) for n, m in zip(window.shape, shape, strict=True)), indexing="ij")
    scaled = ndimage.map_coordinates(window, at, order=1, output=np.float32)
    if shape[0] == shape[1] and rng.random() < 0.5:
        scaled = scaled.T
    turned: NDArray[np.float32] = np.ascontiguousarray(scaled[:: rng.choice([1, -1]), :: rng.choice([1, -1])])
    return turned
