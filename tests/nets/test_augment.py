from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from epistem.core import Calibration, Instances, Micrograph
from epistem.nets.augment import Augment, FromFields, ignored_of, sample
from epistem.nets.sample import Sample
from epistem.synth.fields import save_field

PLAIN = Augment(window_px=64, enlarge=1.0, shrink=1.0, marks=0.0, jitter=0.0)
ZOOM = replace(PLAIN, enlarge=2.5, shrink=2.5)
ALL = Augment(window_px=64)


def field(*places: tuple[float, float, float], shape: tuple[int, int] = (160, 130), **columns: object):
    """Bright discs at (row, col) with a radius in faint noise, and their truth."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, int)
    for i, (row, col, radius) in enumerate(places, 1):
        labels[np.hypot(rows + 0.5 - row, cols + 0.5 - col) < radius] = i
    noise = np.random.default_rng(0).normal(1000, 10, shape)
    truth = Instances.from_labels(labels).with_columns(**{name: np.array(value) for name, value in columns.items()})
    return (noise + 300 * (labels > 0)).astype(np.uint16), truth


DISCS = ((30.0, 40.0, 9.0), (80.0, 90.0, 14.0), (120.0, 30.0, 5.0), (60.0, 20.0, 4.0), (140.0, 110.0, 12.0))


def samples(settings: Augment, number: int, *places: tuple[float, float, float], **columns: object) -> list[Sample]:
    pixels, truth = field(*(places or DISCS), **columns)
    return [sample(pixels, truth, settings, np.random.default_rng(seed)) for seed in range(number)]


@pytest.mark.parametrize("settings", [PLAIN, ZOOM], ids=["turned", "zoomed"])
def test_masks_lie_on_the_objects_whichever_way_the_window_is_turned(settings):
    number = 0
    for one in samples(settings, 40):
        bright = one.image > 15  # half of what the discs are brighter by
        drawn = one.truth.to_labels() > 0
        if drawn.sum() > 200:
            number += 1
            assert (bright & drawn).sum() / (bright | drawn).sum() > 0.85
    assert number > 15


@pytest.mark.parametrize("settings", [PLAIN, ZOOM], ids=["turned", "zoomed"])
def test_boxes_lie_on_whole_objects_to_a_pixel(settings):
    number = 0
    for one in samples(settings, 40):
        for box, mask in zip(one.truth.boxes, one.truth.masks(), strict=True):
            if (box[:2] <= 0).any() or (box[2:] >= 64).any():
                continue
            number += 1
            rows, cols = np.nonzero(mask.crop)
            hull = [rows.min() + mask.rows.start, cols.min() + mask.cols.start]
            hull += [rows.max() + mask.rows.start + 1, cols.max() + mask.cols.start + 1]
            np.testing.assert_allclose(box, hull, atol=1)
    assert number > 15


def test_every_mark_leaves_the_objects_bright_and_the_image_finite():
    for one in samples(replace(ALL, marks=1.0), 20):
        assert one.image.dtype == np.float32
        assert one.image.shape == (64, 64)
        assert np.isfinite(one.image).all()
        drawn = one.truth.to_labels() > 0
        if drawn.sum() > 50:
            assert np.median(one.image[drawn]) > np.median(one.image[~drawn])


def test_the_same_generator_gives_the_same_sample_and_another_another():
    pixels, truth = field(*DISCS)
    first, second, other = (sample(pixels, truth, ALL, np.random.default_rng(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.truth.boxes, second.truth.boxes)
    assert not np.array_equal(first.image, other.image)


def test_inputs_are_not_changed():
    pixels, truth = field(*DISCS)
    before, boxes = pixels.copy(), truth.boxes.copy()
    for seed in range(10):
        sample(pixels, truth, replace(ALL, marks=1.0), np.random.default_rng(seed))
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(truth.boxes, boxes)


def test_values_are_robust_z_scores_of_the_whole_field():
    one = samples(PLAIN, 1)[0]
    background = one.image[one.truth.to_labels() == 0]
    assert np.median(background) == pytest.approx(0, abs=0.2)
    assert background.std() == pytest.approx(1, abs=0.25)


def test_with_everything_off_a_window_of_the_fields_size_is_the_field_turned():
    pixels, truth = field((20, 30, 6), shape=(64, 64))
    one = sample(pixels, truth, PLAIN, np.random.default_rng(3))
    assert np.sort(one.image, axis=None)[-1] == pytest.approx((pixels.max() - np.median(pixels)) / 10, rel=0.2)
    assert one.truth.to_labels().astype(bool).sum() == truth.to_labels().astype(bool).sum()


@pytest.mark.parametrize("shape", [(40, 50), (20, 64), (200, 30)])
def test_a_field_smaller_than_the_window_is_enlarged_with_its_objects(shape):
    pixels, truth = field((12, 14, 5), shape=shape)
    for seed in range(10):
        one = sample(pixels, truth, PLAIN, np.random.default_rng(seed))
        assert one.image.shape == one.truth.shape == (64, 64)
        drawn = one.truth.to_labels() > 0
        if drawn.any():
            assert one.image[drawn].mean() > one.image[~drawn].mean() + 3


def test_windows_whose_edge_is_no_power_of_two_hold_objects_cut_by_their_border():
    # 187·(96/187) is a rounding error more than 96.
    pixels, truth = field((93, 180, 20), shape=(187, 187))
    for seed in range(30):
        one = sample(
            pixels, truth, replace(PLAIN, window_px=96, enlarge=8.0, shrink=8.0), np.random.default_rng(seed)
        )
        assert one.truth.shape == (96, 96)


def test_a_field_without_objects_gives_windows_without_objects():
    pixels, truth = field(shape=(100, 80))
    one = sample(pixels, truth, ALL, np.random.default_rng(0))
    assert len(one.truth) == 0
    assert one.truth.crops == ()
    assert one.truth.columns["ignored"].shape == (0,)


def test_a_constant_field_stays_finite():
    pixels = np.full((80, 80), 7, np.uint8)
    one = sample(pixels, Instances.empty((80, 80)), replace(ALL, marks=1.0), np.random.default_rng(0))
    assert np.isfinite(one.image).all()


def test_what_the_window_cuts_to_less_than_a_third_is_ignored():
    seen = set()
    for one in samples(PLAIN, 60, (80, 65, 15)):
        whole = np.pi * 15**2
        for mask, ignored in zip(one.truth.masks(), one.truth.columns["ignored"], strict=True):
            if abs(mask.crop.sum() / whole - 1 / 3) > 0.03:
                assert ignored == (mask.crop.sum() < whole / 3)
                seen.add(bool(ignored))
    assert seen == {True, False}


def test_what_was_ignored_stays_so_and_what_was_not_does_not_become_so():
    for one in samples(PLAIN, 20, (60, 40, 8), (100, 90, 11), ignored=[True, False]):
        for mask, ignored in zip(one.truth.masks(), one.truth.columns["ignored"], strict=True):
            if mask.crop.sum() > 250:
                assert not ignored
            elif mask.crop.sum() > 190 and 0 < mask.rows.start and mask.rows.stop < 64:
                assert ignored == (max(mask.crop.shape) <= 16)


def test_too_faint_is_not_there_faint_is_ignored_and_plain_is_asked_for():
    _, truth = field((30, 40, 8), (80, 90, 8), (120, 30, 8), (60, 20, 1.2), d_prime=[3.0, 4.0, 30.0, 30.0])
    order = np.argsort(truth.boxes[:, 0])
    assert truth.boxes[order][:, 0].tolist() == [22, 59, 72, 112]
    by_row = {int(box[0]): int(state) for box, state in zip(truth.boxes, ignored_of(truth), strict=True)}
    d_prime = {int(box[0]): d for box, d in zip(truth.boxes, truth.columns["d_prime"], strict=True)}
    assert {row: by_row[row] for row in (22, 72, 112)} == {
        row: 2 if d_prime[row] < 3.5 else 1 if d_prime[row] < 5 else 0 for row in (22, 72, 112)
    }
    assert by_row[59] == 1  # plain, and too small to ask for
    drawn = {len(one.truth) for one in samples(replace(PLAIN, window_px=128), 10, (60, 60, 8), d_prime=[3.0])}
    assert drawn == {0}


def test_how_plain_an_object_must_be_can_be_set():
    _, truth = field((30, 40, 8), (80, 90, 8), d_prime=[8.0, 8.0])
    assert ignored_of(truth, 10.0).tolist() == [1, 1]
    assert ignored_of(truth, 7.0).tolist() == [0, 0]


def test_shrunk_below_3_px_an_object_is_ignored():
    seen = set()
    for one in samples(ZOOM, 60, (80, 65, 2.2)):
        for box, ignored in zip(one.truth.boxes, one.truth.columns["ignored"], strict=True):
            if (box[:2] > 0).all() and (box[2:] < 64).all():
                assert ignored == (np.sqrt(np.prod(box[2:] - box[:2])) < 3)
                seen.add(bool(ignored))
    assert seen == {True, False}


def test_windows_are_laid_towards_objects_as_often_as_asked():
    settings = replace(PLAIN, window_px=32)
    never, always = (
        np.mean([len(one.truth) > 0 for one in samples(replace(settings, towards=share), 60, (80, 65, 4))])
        for share in (0.0, 1.0)
    )
    assert always == 1
    assert never < 0.4


def saved(folder, name: str, *places: tuple[float, float, float]):
    pixels, truth = field(*places)
    micrograph = Micrograph(pixels, calibration=Calibration(0.5, 0.5, "simulation"))
    save_field(folder / name, SimpleNamespace(micrograph=micrograph, truth=truth))
    return folder / name


def test_samples_come_from_all_saved_fields_and_each_is_read_once(tmp_path):
    few, many = saved(tmp_path, "0.npz", DISCS[0]), saved(tmp_path, "1.npz", *DISCS)
    make = FromFields([few, many], replace(PLAIN, window_px=128))
    first = [len(make(np.random.default_rng(seed), 1).truth) for seed in range(12)]
    few.unlink()
    many.unlink()
    assert [len(make(np.random.default_rng(seed), 1).truth) for seed in range(12)] == first
    assert min(first) <= 1
    assert max(first) >= 3
