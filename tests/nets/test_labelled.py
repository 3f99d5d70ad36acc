from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epistem.core import Instances, Micrograph, TrainingError
from epistem.imaging.normalize import normalize
from epistem.nets.augment import Augment
from epistem.nets.labelled import FromImages, Labelled, mirrored, split

PLAIN = Augment(window_px=64, enlarge=1.0, shrink=1.0, marks=0.0, jitter=0.0, towards=0.0)


def image(name: str, *places: tuple[int, int], shape: tuple[int, int] = (96, 80), ignored: bool = False) -> Labelled:
    """Squares of 8 pixels from (row, col) on, brighter than the noise around them."""
    labels = np.zeros(shape, int)
    for i, (row, col) in enumerate(places, 1):
        labels[row : row + 8, col : col + 8] = i
    pixels = np.random.default_rng(len(name)).normal(size=shape) + 5 * (labels > 0)
    truth = Instances.from_labels(labels)
    return Labelled(name, Micrograph(pixels), truth.with_columns(ignored=np.full(len(truth), ignored)))


def images(n: int) -> list[Labelled]:
    return [image(f"im{i}", (10, 20)) for i in range(n)]


@pytest.mark.parametrize(("n", "held"), [(1, 0), (3, 0), (4, 2), (7, 2), (8, 2), (20, 5)])
def test_a_quarter_is_held_out_at_least_two_and_none_of_three(n: int, held: int):
    parts = split(images(n), seed=0)
    assert len(parts.held_out) == held
    assert {one.name for part in parts for one in part} == {f"im{i}" for i in range(n)}
    assert len(parts.learn) == n - held


def test_the_seed_chooses_what_is_held_out():
    names = [[one.name for one in split(images(20), seed=seed).held_out] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_images_without_objects_lie_on_both_sides():
    bare = [image(f"bare{i}") for i in range(4)]
    parts = split([*images(4), *bare], seed=3)
    assert [sum("bare" in one.name for one in part) for part in parts] == [3, 1]


def test_no_object_at_all_is_nothing_to_learn():
    with pytest.raises(TrainingError, match="no object is labelled in any of the 4 images"):
        split([image(f"bare{i}") for i in range(4)], seed=0)


def test_objects_in_one_image_only_cannot_be_both_learned_and_checked():
    with pytest.raises(TrainingError, match="only 1 of the 4 images have labelled objects, and 2 are held out"):
        split([image("one", (5, 5)), *(image(f"bare{i}") for i in range(3))], seed=0)


def test_a_small_image_is_continued_by_its_mirror_image():
    small = image("small", (10, 20), (32, 20), shape=(40, 100))
    pixels, truth = mirrored(normalize(small.micrograph), small.truth, 64)
    assert pixels.shape == (80, 100)
    assert (pixels[:40] == pixels[:39:-1]).all()
    assert truth.boxes.tolist() == [[10, 20, 18, 28], [32, 20, 40, 28], [62, 20, 70, 28], [40, 20, 48, 28]]
    assert truth.columns["ignored"].tolist() == [False, True, False, True]


def test_an_image_as_large_as_the_window_stays_as_it_is():
    big = image("big", (10, 20))
    pixels, truth = mirrored(normalize(big.micrograph), big.truth, 64)
    assert truth is big.truth
    assert pixels.shape == (96, 80)


@pytest.mark.parametrize("shape", [(20, 33), (64, 64), (200, 90)])
def test_samples_of_any_image_have_the_window_s_size_and_their_objects_lie_on_bright_pixels(shape: tuple[int, int]):
    make = FromImages([image("a", (3, 5), shape=shape)], replace(PLAIN, towards=1.0))
    drawn = [make(np.random.default_rng(i)) for i in range(8)]
    assert {one.image.shape for one in drawn} == {(64, 64)}
    inside = [one.image[mask.rows, mask.cols][mask.crop].mean() for one in drawn for mask in one.truth.masks()]
    assert len(inside) >= 2
    assert min(inside) > 3


def test_an_edge_on_the_middle_of_a_zoomed_window_outlives_being_flipped():
    many = image("many", *((i, i) for i in range(0, 248, 4)), shape=(256, 256))
    make = FromImages([many], Augment(marks=0.0))
    # 98·(256/196) is a rounding error less than 128, and what is left of it after 256 - 128 is not.
    assert len(make(np.random.default_rng(138)).truth) > 10


def test_the_same_generator_draws_the_same_sample():
    make = FromImages(images(2), Augment(window_px=64))
    one, two = (make(np.random.default_rng(4)) for _ in range(2))
    assert (one.image == two.image).all()


def test_what_is_no_image_becomes_the_median():
    valid = np.ones((64, 64), bool)
    valid[48:] = False
    pixels = np.random.default_rng(0).normal(100, 5, (64, 64))
    pixels[48:] = 1e6
    labelled = Labelled("strip", Micrograph(pixels, valid=valid), image("a", (5, 5), shape=(64, 64)).truth)
    drawn = FromImages([labelled], PLAIN)(np.random.default_rng(0)).image
    assert abs(drawn).max() < 6
    assert (abs(drawn) < 1e-3).mean() > 0.2
