from __future__ import annotations

import numpy as np
import pytest

from epistem.core import Micrograph, Provenance, SettingsError
from epistem.detect import make_detector
from epistem.detect.segmented import parts

MADE = Provenance("test", "0")
CLASSES = ["matrix", "pore", "grain"]


def answer(labels: np.ndarray, sure: float = 0.8) -> np.ndarray:
    """Probabilities of three classes: `sure` for the label, the rest shared."""
    one_hot = np.moveaxis(np.eye(3)[labels], -1, 0)
    return np.where(one_hot > 0, sure, (1 - sure) / 2)


def found(labels: np.ndarray, *, valid: np.ndarray | None = None, least: float = 0.0):
    micrograph = Micrograph(np.zeros(labels.shape, np.float32), valid=valid)
    return parts(answer(labels), CLASSES, micrograph, least, MADE)


def test_parts_that_touch_at_a_corner_are_one_and_classes_are_apart() -> None:
    labels = np.array([[1, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 2]])
    objects = found(labels)
    assert objects.label.tolist() == [0, 1]
    assert objects.classes == ("pore", "grain")
    assert [int(mask.crop.sum()) for mask in objects.masks()] == [2, 2]


def test_the_score_is_the_mean_probability_of_the_class_over_the_part() -> None:
    labels = np.array([[1, 1, 0, 0]])
    probability = answer(labels)
    probability[:, 0, 0] = [0.3, 0.6, 0.1]
    objects = parts(probability, CLASSES, Micrograph(np.zeros((1, 4), np.float32)), 0.0, MADE)
    assert objects.score.tolist() == pytest.approx([(0.6 + 0.8) / 2])


def test_small_parts_and_pixels_that_are_no_image_are_left_out() -> None:
    labels = np.array([[1, 0, 2, 2], [0, 0, 2, 2]])
    assert found(labels, least=1.5).label.tolist() == [1]  # one pixel is 1.13 px across, four are 2.26
    valid = np.array([[True, True, False, False]] * 2)
    assert found(labels, valid=valid).label.tolist() == [0]


def test_background_alone_is_no_object() -> None:
    assert len(found(np.zeros((3, 3), int))) == 0


def test_a_size_that_has_no_meaning_is_refused() -> None:
    with pytest.raises(SettingsError, match="min_diameter_px"):
        make_detector("segmenter", min_diameter_px=-1)
