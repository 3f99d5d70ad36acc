"""Promises that every entry of HARMS keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from epistem.core import Calibration, Context, Instances, Micrograph
from epistem.synth import HARMS
from epistem.synth.degrade import Harm

TAKEN = Context(modality="TEM", beam_keV=200.0, defocus_nm=-1000.0, dose_e_per_A2=50.0)
SCALE = Calibration(0.3, 0.3, "simulation")


@pytest.fixture(params=list(HARMS))
def harm(request: pytest.FixtureRequest) -> Harm:
    entry: Harm = HARMS[request.param]
    assert entry.name == request.param
    return entry


def discs(dtype: str = "uint16", shape: tuple[int, int] = (96, 128)) -> Micrograph:
    """Bright discs in noise, with all that a harm may need to know."""
    rows, cols = np.indices(shape)
    inside = np.hypot(rows % 32 - 16, cols % 32 - 16) < 7
    grey = np.random.default_rng(0).normal(100 + 60 * inside, 8)
    image = np.rint(grey).astype(dtype) if dtype != "float32" else (grey / 50 - 2).astype(dtype)
    return Micrograph(image, SCALE, TAKEN, metadata={"Pixel size": "0.3 nm"}, warnings=("bent foil",))


def on_old_pixels(image: NDArray[np.float64], shape: tuple[int, int], factor: float) -> NDArray[np.float64]:
    """The image at the centres of the old pixels, linear between the new ones."""
    for n in shape:
        at = (np.arange(n) + 0.5) * factor - 0.5
        image = np.array([np.interp(at, np.arange(len(line)), line) for line in image.T])
    return image


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
class TestEveryKindOfImage:
    def test_no_harm_changes_nothing(self, harm: Harm, dtype: str) -> None:
        whole = discs(dtype)
        same = harm(whole, harm.none, seed=3)
        assert same.pixels.tobytes() == whole.pixels.tobytes()
        assert (same.calibration, same.context, same.warnings) == (whole.calibration, whole.context, whole.warnings)
        assert same.metadata == whole.metadata

    def test_each_level_harms_more_than_the_one_before(self, harm: Harm, dtype: str) -> None:
        whole = discs(dtype)
        change = []
        for amount in harm.levels:
            harmed = harm(whole, amount, seed=3).pixels.astype(float)
            if harm.name == "rescale":
                harmed = on_old_pixels(harmed, whole.shape, amount)
            change.append(np.abs(harmed - whole.pixels).mean())
        assert change[0] > 0
        assert np.all(np.diff(change) > 0), change

    def test_the_input_stays_and_the_type_stays(self, harm: Harm, dtype: str) -> None:
        pixels = discs(dtype).pixels.copy()
        before = pixels.tobytes()
        harmed = harm(replace(discs(), pixels=pixels), harm.levels[2], seed=3)
        assert pixels.tobytes() == before
        assert harmed.pixels.dtype == dtype

    def test_a_constant_image_without_noise_stays_constant(self, harm: Harm, dtype: str) -> None:
        context = replace(TAKEN, dose_e_per_A2=None)
        flat = Micrograph(np.full((33, 47), 77, dtype), SCALE, context)
        harmed = harm(flat, harm.levels[4], seed=3).pixels
        assert np.ptp(harmed) == pytest.approx(0, abs=1e-4)
        if harm.name != "gamma":
            rounding = 5 if harm.name == "jpeg" else 1e-4  # of a block's mean, at quality 10
            assert harmed.mean() == pytest.approx(77, abs=rounding)


def test_same_seed_same_bytes_and_another_seed_another_image(harm: Harm) -> None:
    first, again, other = (harm(discs(), harm.levels[1], seed=seed) for seed in (5, 5, 6))
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert (first.id != other.id) == harm.by_chance


def test_amounts_move_away_from_no_harm(harm: Harm) -> None:
    assert len(harm.levels) == 5
    assert np.all(np.diff(np.abs(np.array(harm.levels) - harm.none)) > 0)


def test_what_is_no_image_stays_no_image(harm: Harm) -> None:
    pixels = discs("float32").pixels.copy()
    pixels[20:30, 40:50] = np.nan
    valid = np.ones(pixels.shape, bool)
    valid[-16:] = False
    pixels[-16:] = 7.0
    whole = replace(discs(), pixels=pixels, valid=valid)
    harmed = harm(whole, harm.levels[2], seed=3)
    assert harmed.valid is not None
    assert whole.valid is not None
    assert np.isfinite(harmed.pixels[harmed.valid]).all()
    if harm.name == "rescale":
        assert not harmed.valid[-8:].any()
        return
    assert np.array_equal(harmed.valid, whole.valid)
    assert np.array_equal(harmed.pixels[~whole.valid], pixels[~whole.valid], equal_nan=True)
    assert np.abs(harmed.pixels[harmed.valid]).max() < 7 * max(1.0, np.abs(pixels[whole.valid]).max())


def test_a_harmed_image_says_so_and_leaves_the_instruments_words_behind(harm: Harm) -> None:
    harmed = harm(discs(), harm.levels[0], seed=3)
    assert harmed.warnings[0] == "bent foil"
    assert harmed.warnings[-1].startswith("degraded on purpose: ")
    assert harmed.metadata == {}


def test_one_pixel_and_an_image_without_valid_pixels_can_be_harmed(harm: Harm) -> None:
    if harm.name != "rescale":
        one = harm(Micrograph(np.full((1, 1), 9, np.uint8), SCALE, TAKEN), harm.levels[1], seed=3)
        assert one.shape == (1, 1)
    blank = Micrograph(np.full((8, 9), np.nan), SCALE, TAKEN)
    harmed = harm(blank, harm.levels[1], seed=3)
    assert harmed.valid is not None
    assert not harmed.valid.any()


def test_the_truth_keeps_to_the_image(harm: Harm) -> None:
    truth = Instances.from_boxes((96, 128), [[9, 9, 23, 23]], crops=(np.ones((14, 14), bool),))
    assert harm.truth(truth, harm.none) is truth
    for amount in harm.levels:
        assert harm.truth(truth, amount).shape == harm(discs(), amount, seed=3).shape
