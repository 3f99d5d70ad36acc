from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epistem.core import Micrograph
from epistem.detect import detect
from epistem.detect.match import match
from epistem.detect.measure import measure
from epistem.detect.rims import Outline, not_covered, outlined, usual_slope
from epistem.detect.scalespace import Blobs
from epistem.synth.cavities import CavityScene, simulate


@pytest.mark.parametrize("defocus_nm", [-1000.0, -500.0])
def test_diameters_of_simulated_cavities_are_right_to_five_percent_in_the_median(defocus_nm: float) -> None:
    field = simulate(replace(CavityScene(), defocus_nm=defocus_nm), seed=11)
    found = measure(detect(field.micrograph), field.micrograph)
    pairs = match(found, field.truth, method="optimal", iou=0.3).pairs
    size = found.columns["equivalent_diameter_nm"][pairs[:, 0]] / field.truth.columns["diameter_nm"][pairs[:, 1]]
    assert len(size) > 20
    assert np.median(size) == pytest.approx(1, abs=0.05)


def blob(row: float, col: float, radius: float) -> Blobs:
    one = np.ones(1)
    return Blobs(one * row, one * col, one * radius / np.sqrt(2), one, one * 20)


def noisy(image: np.ndarray) -> np.ndarray:
    return (image + np.random.default_rng(0).normal(0, 0.02, image.shape)).astype(np.float32)


def disc_image(radius: float = 10) -> np.ndarray:
    rows, cols = np.mgrid[:80, :80] + 0.5
    return noisy((np.hypot(rows - 40, cols - 40) < radius).astype(float))


def test_a_sharp_disc_without_fringe_keeps_its_radius() -> None:
    image = disc_image()
    (one,) = outlined(image, blob(40, 40, 10), 1, usual_slope(image), 1.0)
    assert one.disc[2] == pytest.approx(10, abs=0.5)
    assert one.crop.sum() == pytest.approx(np.pi * 100, rel=0.06)


def test_a_step_on_one_side_is_no_rim() -> None:
    rows, _ = np.mgrid[:80, :80]
    step = noisy((rows < 44).astype(float))
    slope = usual_slope(disc_image())
    closed = outlined(disc_image(), blob(40, 40, 10), 1, slope, 0.1)[0].rim
    open_rims = [one.rim for one in outlined(step, blob(40, 40, 6), 1, slope, 0.0)]
    assert all(rim < 0.3 * closed for rim in open_rims)


def test_blobs_of_the_other_sign_are_not_outlined() -> None:
    image = disc_image()
    assert outlined(image, blob(40, 40, 10), -1, usual_slope(image), 0.0) == []


def outline(row: int, col: int, size: int, rim: float) -> Outline:
    crop = np.ones((size, size), bool)
    return Outline(row, col, crop, rim, 10.0, (row + size / 2, col + size / 2, size / 2))


def test_what_lies_in_a_stronger_rim_is_dropped_and_what_stands_apart_is_kept() -> None:
    big, inside, apart = outline(10, 10, 20, 50.0), outline(14, 14, 4, 40.0), outline(60, 60, 6, 12.0)
    assert not_covered((80, 80), [inside, apart, big]) == [big, apart]


def test_a_faint_neighbour_is_a_fringe_and_a_strong_one_an_object() -> None:
    big = outline(10, 10, 20, 50.0)
    assert not_covered((80, 80), [big, outline(18, 35, 4, 15.0)]) == [big]
    assert len(not_covered((80, 80), [big, outline(18, 35, 4, 45.0)])) == 2


def test_an_image_of_one_value_has_no_slope() -> None:
    assert usual_slope(np.zeros((20, 30), np.float32)) == 0
    assert len(detect(Micrograph(np.zeros((20, 30))))) == 0
