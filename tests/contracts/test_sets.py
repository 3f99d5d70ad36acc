"""Promises that every set of simulated scenes keeps at every severity."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from epistem.synth.cavities import CavityScene, simulate
from epistem.synth.sets import SETS, SEVERITIES, SetName, Severity, draw_scene


@pytest.fixture(params=get_args(SetName))
def name(request: pytest.FixtureRequest) -> SetName:
    chosen: SetName = request.param
    return chosen


@pytest.fixture(params=get_args(Severity))
def severity(request: pytest.FixtureRequest) -> Severity:
    chosen: Severity = request.param
    return chosen


def scenes(name: SetName, severity: Severity, n: int = 60) -> list[CavityScene]:
    """Each has been through the checks of CavityScene."""
    return [draw_scene(name, severity, rng=np.random.default_rng(seed), shape=(96, 120)) for seed in range(n)]


def test_what_is_offered_by_name_can_be_drawn() -> None:
    assert set(SETS) <= set(get_args(SetName))
    assert set(SEVERITIES) <= set(get_args(Severity))


def test_same_stream_same_scene_and_another_another(name: SetName, severity: Severity) -> None:
    first, again = scenes(name, severity, 5), scenes(name, severity, 5)
    assert first == again
    assert len(set(first)) == 5


def test_scenes_have_the_shape_asked_for_and_cavities(name: SetName, severity: Severity) -> None:
    for scene in scenes(name, severity):
        assert scene.shape == (96, 120)
        assert scene.number >= 1
        assert scene.diameter_nm <= 80.001
        assert 1.05 * scene.diameter_nm < scene.thickness_nm
        assert abs(scene.defocus_nm) >= 150


def test_a_set_is_a_spread_and_not_one_microscope(name: SetName, severity: Severity) -> None:
    drawn = scenes(name, severity)
    for setting in ("pixel_nm", "diameter_nm", "defocus_nm", "dose_e_per_A2", "thickness_nm"):
        values = np.abs([getattr(scene, setting) for scene in drawn])
        assert np.quantile(values, 0.9) > 1.5 * np.quantile(values, 0.1)


def test_its_images_hold_judged_cavities_and_are_no_white_or_black_sheet(name: SetName, severity: Severity) -> None:
    for seed in (1, 2):
        scene = draw_scene(name, severity, rng=np.random.default_rng(seed), shape=(96, 120))
        micrograph, truth = simulate(scene, seed=seed, judge=True)
        assert micrograph.shape == truth.shape == (96, 120)
        assert np.unique(micrograph.pixels).size > 10
        assert 0 < np.median(micrograph.pixels) < 65535
        for column in ("d_prime", "contrast_to_noise"):
            values = truth.columns[column]
            assert len(values) == len(truth)
            assert (np.isfinite(values) & (values >= 0)).all()
