"""Promises that every entry of SCENES keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epistem.synth import SCENES
from epistem.synth.cavities import CavityScene, simulate


@pytest.fixture(params=list(SCENES))
def scene(request: pytest.FixtureRequest) -> CavityScene:
    return replace(SCENES[request.param], shape=(120, 90))


def test_same_seed_same_bytes_and_another_seed_another_image(scene: CavityScene) -> None:
    first, again, other = (simulate(scene, seed=seed).micrograph for seed in (5, 5, 6))
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.id != other.id


def test_truth_lies_inside_the_image_and_says_how_it_was_made(scene: CavityScene) -> None:
    micrograph, truth = simulate(scene, seed=1)
    assert truth.shape == micrograph.shape == (120, 90)
    assert all(mask.crop.any() for mask in truth.masks())
    assert truth.provenance is not None
    assert truth.provenance.seed == 1


def test_number_0_is_an_empty_truth(scene: CavityScene) -> None:
    assert len(simulate(replace(scene, number=0), seed=0).truth) == 0


def test_strength_0_of_everything_is_a_flat_image(scene: CavityScene) -> None:
    nothing = replace(scene, number=0, background=0, thickness_sd=0, speckle_rad=0, dose_e_per_A2=1000)
    pixels = simulate(replace(nothing, counts_per_electron=0.1), seed=0).micrograph.pixels.astype(float)
    shot = np.sqrt(0.1 / pixels.mean())
    assert pixels.std() / pixels.mean() == pytest.approx(shot, rel=0.1)


def test_pixel_size_and_conditions_travel_with_the_image(scene: CavityScene) -> None:
    micrograph = simulate(scene, seed=0).micrograph
    assert micrograph.pixels.dtype == np.uint16
    assert micrograph.needs_calibration().row_nm == scene.pixel_nm
    assert micrograph.needs_calibration().source == "simulation"
    assert micrograph.context.defocus_nm == scene.defocus_nm
    assert micrograph.context.thickness_nm == scene.thickness_nm
    assert micrograph.context.beam_keV == scene.beam_keV
