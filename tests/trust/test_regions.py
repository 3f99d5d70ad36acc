from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from scipy import ndimage

from epistem.core import Instances, Micrograph, SettingsError
from epistem.detect import make_detector
from epistem.imaging.normalize import normalize
from epistem.synth.fields import Recipe, draw_field
from epistem.trust.counterfactual import Floats, How, heatmap, minimal_change
from epistem.trust.regions import detector_predict, measured_reach, object_region, polygon_region

SHAPE = (32, 40)


def two_squares() -> Instances:
    labels = np.zeros(SHAPE, int)
    labels[4:10, 6:14], labels[20:24, 30:33] = 1, 2
    return Instances.from_labels(labels, score=[0.9, 0.4])


def test_the_region_of_an_object_is_its_mask():
    assert np.array_equal(np.argwhere(object_region(two_squares(), 1))[[0, -1]], [[20, 30], [23, 32]])
    with pytest.raises(SettingsError, match="2 objects were found, counted from 0; there is no object 2"):
        object_region(two_squares(), 2)


def test_a_polygon_holds_the_pixels_whose_centre_is_inside():
    region = polygon_region([(2, 3), (2, 7), (5, 7), (5, 3)], SHAPE)
    assert region.sum() == 12
    assert region[2:5, 3:7].all()
    for corners in ([(2, 3), (4, 5)], [(50, 50), (50, 60), (60, 60)]):
        with pytest.raises(SettingsError, match="at least 3 corners"):
            polygon_region(corners, SHAPE)


def test_the_reach_of_a_mean_of_five_by_five_is_two_pixels():
    def local(images: Floats) -> Floats:
        return np.stack([ndimage.uniform_filter(images[:, 0], (0, 5, 5))] * 2, axis=1)

    image = np.random.default_rng(0).standard_normal((1, 1, 48, 48)).astype(np.float32)
    reach = measured_reach(local, image, kernel="noise", patch_px=8, tolerance=1e-6, spots=4)
    assert reach.px == 2
    assert reach.beyond <= 1e-6
    assert reach.spots == 4
    assert reach.forward_px == (1 + 4 * 5) * 48 * 48
    assert measured_reach(local, image, kernel="noise", patch_px=8, tolerance=0.5, spots=4).px < 2


def test_a_network_that_answers_nothing_has_no_reach():
    with pytest.raises(SettingsError, match="no patch changed the answer"):
        measured_reach(lambda images: np.zeros_like(images), np.ones((1, 1, 16, 16), np.float32), patch_px=8)
    with pytest.raises(SettingsError, match="a tolerance is above 0"):
        measured_reach(lambda images: images, np.ones((1, 1, 16, 16), np.float32), tolerance=0)


class Bright:
    """Whatever is above half the image's range, with a score that is its height."""

    def __call__(self, micrograph: Micrograph) -> Instances:
        labels, n = ndimage.label(micrograph.pixels > 50)
        score = ndimage.maximum(micrograph.pixels, labels, range(1, n + 1)) if n else []
        return Instances.from_labels(labels, score=np.clip(np.asarray(score) / 100, 0, 1))


def test_a_detectors_answer_is_the_score_of_the_best_object_at_each_pixel():
    pixels = np.random.default_rng(0).uniform(0, 5, SHAPE)
    pixels[4:10, 6:14], pixels[20:24, 30:33] = 90, 70
    micrograph = Micrograph(pixels)
    answer = detector_predict(Bright(), micrograph)(normalize(micrograph)[None, None])
    assert answer.shape == (1, 2, *SHAPE)
    assert answer[0, 1, 5, 7] == pytest.approx(0.9, abs=1e-3)
    assert answer[0, 1, 21, 31] == pytest.approx(0.7, abs=1e-3)
    assert answer[0, 1, 15, 20] == 0
    assert np.allclose(answer.sum(axis=1), 1)


def test_objects_without_a_score_count_as_one():
    class Scoreless:
        def __call__(self, micrograph: Micrograph) -> Instances:
            return Instances.from_boxes(SHAPE, [[0, 0, 2, 2]], crops=(np.ones((2, 2), bool),))

    answer = detector_predict(Scoreless(), Micrograph(np.eye(32, 40)))(np.zeros((1, 1, *SHAPE), np.float32))
    assert answer[0, 1].sum() == 4


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_the_shipped_detector_finds_a_cavity_by_what_is_at_the_cavity():
    field = draw_field(Recipe((("B", "clear", 1.0),), 1, shape=(96, 96), empty=0.0), 0)
    found = make_detector()(field.micrograph)
    which = int(np.argmax(found.score))
    region = object_region(found, which)
    predict = detector_predict(make_detector(engine="onnx"), field.micrograph)
    image = normalize(field.micrograph)[None]
    heat = heatmap(predict, image, region, how=How(patch_px=24, kernel="mean", coarse_to_fine=False))
    rows, cols = np.nonzero(region)
    top = np.unravel_index(heat.values.argmax(), heat.values.shape)
    assert np.hypot(top[0] - rows.mean(), top[1] - cols.mean()) < 24
    least = minimal_change(predict, heat, least=0.5)
    assert least is not None
    assert least.share < 0.5
