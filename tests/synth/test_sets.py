from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from epistem.core.errors import SettingsError, UnknownName
from epistem.synth.cavities import CavityScene, simulate
from epistem.synth.sets import SetName, Severity, _speckle_rad, draw_scene
from epistem.synth.shapes import Cavities


def scenes(name: SetName, severity: Severity = "any", n: int = 150) -> list[CavityScene]:
    return [draw_scene(name, severity, rng=np.random.default_rng(seed), shape=(128, 128)) for seed in range(n)]


def diameters_px(drawn: list[CavityScene]) -> list[float]:
    return [scene.diameter_nm / scene.pixel_nm for scene in drawn]


def at_the_camera_e_per_px(scene: CavityScene) -> float:
    beam = scene.dose_e_per_A2 * (10 * scene.pixel_nm) ** 2
    return float(beam * np.exp(-scene.thickness_nm / scene.mean_free_path_nm))


def overfocus(drawn: list[CavityScene]) -> float:
    return float(np.mean([scene.defocus_nm > 0 for scene in drawn]))


def test_set_a_is_over_or_underfocus_as_its_name_says() -> None:
    assert overfocus(scenes("A:over")) == 1.0
    assert overfocus(scenes("A:under")) == 0.0


def test_the_two_halves_of_set_a_differ_in_the_sign_of_the_defocus_alone() -> None:
    over, under = asdict(scenes("A:over", n=1)[0]), asdict(scenes("A:under", n=1)[0])
    assert over.pop("defocus_nm") == -under.pop("defocus_nm")
    assert over == under


def test_small_bubbles_are_mostly_in_underfocus_and_the_other_sets_in_either() -> None:
    assert 0.05 < overfocus(scenes("B")) < 0.35
    assert 0.35 < overfocus(scenes("C")) < 0.65
    assert 0.3 < overfocus(scenes("wide")) < 0.6


@pytest.mark.parametrize(
    ("name", "least_px", "most_px"), [("A:over", 10, 60), ("A:under", 10, 60), ("B", 4.5, 11), ("C", 6, 25)]
)
def test_cavities_are_as_large_as_the_set_says(name: SetName, least_px: float, most_px: float) -> None:
    sizes = diameters_px(scenes(name))
    assert least_px <= min(sizes) < 1.3 * least_px
    assert most_px / 1.3 < max(sizes) <= most_px * 1.001


def test_the_wide_set_goes_beyond_all_the_others() -> None:
    wide, others = scenes("wide", n=400), [*scenes("A:over"), *scenes("B"), *scenes("C")]
    assert min(diameters_px(wide)) < min(diameters_px(others))
    assert max(diameters_px(wide)) > max(diameters_px(others))
    assert min(scene.pixel_nm for scene in wide) < min(scene.pixel_nm for scene in others)
    assert max(scene.pixel_nm for scene in wide) > max(scene.pixel_nm for scene in others)


def test_bubbles_are_many_and_in_situ_pixels_coarse() -> None:
    number = {name: np.median([scene.number for scene in scenes(name)]) for name in ("A:over", "B")}
    assert number["B"] > 3 * number["A:over"]
    assert min(scene.pixel_nm for scene in scenes("C")) >= 0.4


@pytest.mark.parametrize(("name", "least_e", "most_e"), [("A:over", 60, 2000), ("B", 40, 600), ("C", 200, 4000)])
def test_the_camera_gets_the_dose_of_the_set_and_hard_scenes_the_lower_half(
    name: SetName, least_e: float, most_e: float
) -> None:
    middle_e = np.sqrt(least_e * most_e) * 1.001
    clear, hard, some = (
        [at_the_camera_e_per_px(scene) for scene in scenes(name, severity)]  # type: ignore[arg-type]
        for severity in ("clear", "hard", "any")
    )
    assert least_e * 0.999 <= min(hard) < max(hard) <= middle_e
    assert middle_e / 1.01 <= min(clear) < max(clear) <= most_e * 1.001
    assert min(some) < middle_e / 2 < 2 * middle_e < max(some)


def test_hard_scenes_have_more_of_everything_in_the_way() -> None:
    clear, hard = scenes("wide", "clear"), scenes("wide", "hard")
    for setting in ("clouds", "background", "mottle", "grains", "dislocations", "wedge", "speckle_rad", "drift_px"):
        sums = [sum(getattr(scene, setting) for scene in drawn) for drawn in (clear, hard)]
        assert sums[1] > 1.5 * sums[0]
    assert max(scene.drift_px for scene in clear) == 0


@pytest.mark.parametrize("name", ["A:over", "A:under", "B", "C"])
def test_cavities_are_harder_to_see_in_hard_scenes_than_in_the_clear_ones_of_the_same_seeds(name: SetName) -> None:
    seen = []
    for severity in ("clear", "hard"):
        drawn = [draw_scene(name, severity, rng=np.random.default_rng(s), shape=(112, 112)) for s in range(6)]  # type: ignore[arg-type]
        truths = [simulate(scene, seed=s, judge=True).truth for s, scene in enumerate(drawn)]
        seen.append(np.median(np.concatenate([truth.columns["d_prime"] for truth in truths])))
    assert seen[1] < 0.7 * seen[0]


def test_grain_leaves_the_mean_cavity_of_speckled_scenes_a_d_prime_as_asked_for() -> None:
    microscope = {"beam_keV": 200.0, "mean_inner_potential_V": 20.0, "diameter_nm": 3.0}
    scene = CavityScene(
        shape=(160, 160), pixel_nm=0.2, number=0, background=0, thickness_sd=0, camera_blur_px=0, cs_mm=0,
        defocus_nm=500, semiangle_mrad=0.1, mean_free_path_nm=1e9, dose_e_per_A2=1e7, mean_inner_potential_V=20,
    )  # fmt: skip
    alone = Cavities(np.array([16.0]), np.array([16.0]), np.array([50.0]), np.array([3.0]))

    def seen(asked: float) -> float:
        grainy = replace(scene, speckle_rad=_speckle_rad(asked, microscope))
        truths = [simulate(grainy, seed=s, cavities=alone, judge=True).truth for s in range(6)]
        return float(np.mean([truth.columns["d_prime"][0] for truth in truths]))

    assert 0.4 * 12 < seen(12.0) < 12
    assert seen(24.0) == pytest.approx(2 * seen(12.0), rel=0.2)


def test_an_unknown_set_or_severity_is_refused_with_those_there_are() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UnknownName, match="no set 'A'; there are A:over, A:under, B, C, wide"):
        draw_scene("A", "clear", rng=rng)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="severity is clear, hard or any, not 'easy'"):
        draw_scene("B", "easy", rng=rng)  # type: ignore[arg-type]
