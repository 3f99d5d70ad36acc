"""What every entry of DETECTORS promises."""

from __future__ import annotations

import numpy as np
import pytest

from epistem.core import Instances, Micrograph, RecordError, SettingsError
from epistem.detect import DEFAULT, DETECTORS, detect, make_detector, weights_hash
from epistem.detect.match import match
from epistem.synth.cavities import OVERFOCUS, UNDERFOCUS, CavityScene, simulate


def can_run(name: str) -> bool:
    """Whether a detector needs no weights, or its weights are shipped."""
    try:
        weights_hash(make_detector(name))
    except RecordError:
        return False
    return True


READY = [name for name in DETECTORS if can_run(name)]
WITHOUT_TRAINING = ["log", "otsu-watershed"]
LEARNED = [name for name in READY if name not in WITHOUT_TRAINING]


def discs(
    shape: tuple[int, int], centres: list[tuple[float, float]], radius: float, noise: float = 0.05
) -> Micrograph:
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    image = np.random.default_rng(1).normal(0, noise, shape)
    for row, col in centres:
        image += 1 / (1 + np.exp((np.hypot(rows - row, cols - col) - radius) / 0.5))
    return Micrograph((1000 + 200 * image).astype(np.uint16))


def easy(shape: tuple[int, int] = (160, 224), *, shift: int = 0) -> tuple[Micrograph, np.ndarray]:
    centres = [
        (row + shift, col + shift) for row in range(24, shape[0] - 16, 32) for col in range(24, shape[1] - 16, 32)
    ]
    return discs(shape, centres, 6.0), np.array(centres, float)


def hits(found: Instances, centres: np.ndarray) -> int:
    """Centres with exactly one object within 2 px."""
    near = np.hypot(*(found.centres[:, None] - centres[None]).transpose(2, 0, 1)) < 2
    return int((near.sum(axis=0) == 1).sum())


def test_the_default_needs_nothing_but_what_is_shipped() -> None:
    assert DEFAULT in READY


@pytest.mark.parametrize("name", [name for name in DETECTORS if name not in READY])
def test_a_detector_whose_weights_are_not_shipped_says_what_to_do(name: str) -> None:
    with pytest.raises(RecordError, match=r"no weights are shipped for .*epistem train"):
        detect(easy()[0], name)


@pytest.mark.parametrize("scene", [UNDERFOCUS, OVERFOCUS], ids=["underfocus", "overfocus"])
@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_detector_measures_simulated_cavities_to_ten_percent(name: str, scene: CavityScene) -> None:
    micrograph, truth = simulate(scene, seed=3)
    found = detect(micrograph, name)
    pairs = np.array(match(found, truth).pairs)
    assert len(pairs) > 30
    across = [np.sqrt([mask.crop.sum() for mask in one.masks()]) for one in (found, truth)]
    assert np.median(across[0][pairs[:, 0]] / across[1][pairs[:, 1]]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", WITHOUT_TRAINING)
def test_sizes_of_discs_are_right_to_ten_percent(name: str) -> None:
    # Of the learned ones not asked: a disc without a fringe is no cavity.
    image, _ = easy()
    areas = [mask.crop.sum() for mask in detect(image, name).masks()]
    assert np.median(2 * np.sqrt(np.array(areas) / np.pi)) == pytest.approx(12.0, rel=0.1)


@pytest.mark.parametrize("name", READY)
class TestEveryDetector:
    def test_constant_image_has_no_objects(self, name: str) -> None:
        found = detect(Micrograph(np.full((70, 90), 7, np.uint8)), name)
        assert len(found) == 0
        assert found.shape == (70, 90)

    def test_one_pixel_has_no_objects(self, name: str) -> None:
        assert len(detect(Micrograph(np.zeros((1, 1), np.uint8)), name)) == 0

    def test_noise_alone_is_nearly_empty(self, name: str) -> None:
        noise = np.random.default_rng(0).normal(100, 10, (256, 200)).astype(np.float32)
        assert len(detect(Micrograph(noise), name)) <= 5

    def test_easy_scene_is_found_with_f1_of_095(self, name: str) -> None:
        image, centres = easy()
        found = detect(image, name)
        assert 2 * hits(found, centres) / (len(found) + len(centres)) >= 0.95

    def test_dark_objects_are_found_as_bright_ones_are(self, name: str) -> None:
        image, centres = easy()
        inverted = Micrograph((3000 - image.pixels.astype(np.int32)).astype(np.uint16))
        assert hits(detect(inverted, name), centres) == hits(detect(image, name), centres)

    def test_same_image_same_objects(self, name: str) -> None:
        image, _ = easy()
        first, second = detect(image, name), detect(image, name)
        np.testing.assert_array_equal(first.boxes, second.boxes)
        np.testing.assert_array_equal(first.score, second.score)

    def test_objects_move_with_the_image(self, name: str) -> None:
        here, centres = easy()
        there, moved = easy(shift=3)
        assert hits(detect(here, name), centres) == hits(detect(there, name), moved) == len(centres)

    def test_masked_pixels_hold_no_objects(self, name: str) -> None:
        image, _ = easy()
        valid = np.ones(image.shape, bool)
        valid[:, 112:] = False
        found = detect(Micrograph(image.pixels, valid=valid), name)
        assert len(found) > 0
        assert (found.centres[:, 1] < 112).all()

    def test_scores_lie_between_0_and_1(self, name: str) -> None:
        score = detect(easy()[0], name).score
        assert ((score >= 0) & (score <= 1)).all()

    def test_provenance_names_the_maker_the_image_and_every_setting(self, name: str) -> None:
        image, _ = easy()
        made = detect(image, name, min_diameter_px=5.0).provenance
        assert made is not None
        assert made.inputs == (image.id,)
        assert made.settings["min_diameter_px"] == 5.0
        if name in WITHOUT_TRAINING:
            assert made.settings["contrast_used"] == "bright"
        else:
            assert made.weights == weights_hash(make_detector(name))
            assert made.settings["min_score"] > 0

    def test_unknown_setting_is_refused_with_the_known_ones(self, name: str) -> None:
        with pytest.raises(SettingsError, match=r"no setting sigma; it has .*min_diameter_px"):
            make_detector(name, sigma=3)

    @pytest.mark.parametrize(
        "bad",
        [
            {"contrast": "grey"},
            {"min_diameter_px": "abc"},
            {"min_diameter_px": None},
            {"max_diameter_px": float("inf")},
            {"tile_px": 100.5},
            {"min_diameter_px": 50, "max_diameter_px": 10},
            {"tile_px": 2},
        ],
    )
    def test_meaningless_settings_are_refused(self, name: str, bad: dict[str, object]) -> None:
        with pytest.raises(SettingsError):
            make_detector(name, **bad)
