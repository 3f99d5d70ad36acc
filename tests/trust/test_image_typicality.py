from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from epistem.core import Micrograph, SettingsError, ShapeError
from epistem.trust import forte_file, image_typicality
from epistem.trust.image_typicality import fit, judge, windows


class Texture:
    """Spread of neighbours and of values: enough for white and for smooth noise."""

    key, width = "texture", 2

    def __call__(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        found = [[np.diff(one, axis=0).std() / one.std(), np.diff(one, axis=1).std() / one.std()] for one in tiles]
        return np.array(found, np.float32).reshape(len(tiles), 2)


def noise(seed: int, sigma: float = 0.0) -> Micrograph:
    return Micrograph(ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(512, 512)), sigma))


@pytest.fixture(scope="module")
def reference() -> image_typicality.TypicalityReference:
    return fit([noise(seed) for seed in range(21)], encoder=Texture())


def test_an_image_of_the_kind_is_typical_and_a_blurred_one_is_not(
    reference: image_typicality.TypicalityReference,
) -> None:
    own = [judge(reference, noise(100 + i), encoder=Texture()) for i in range(6)]
    assert np.mean([one.untypical_share or 0 for one in own]) < 0.15
    assert 0.3 < np.mean([one.share_less_typical or 0 for one in own]) < 0.7
    blurred = judge(reference, noise(100, 1.0), encoder=Texture())
    assert blurred.untypical_share == 1
    assert blurred.in_words() == (
        "Texture: 16 of 16 windows are unlike the reference images (5 % would be by chance over many images; windows "
        "of one image are alike)."
    )


def test_windows_lie_from_border_to_border_and_at_most_sixteen() -> None:
    rows = np.arange(600)[:, None] * np.ones(1000)
    found = windows(Micrograph(rows))
    assert len(found) == 16
    assert all(one.shape == (128, 128) for one in found)
    assert (found[0][0, 0], found[-1][-1, 0]) == (0, 599)
    assert len(windows(Micrograph(rows[:200, :140]))) == 1
    assert windows(Micrograph(rows[:127])) == []


def test_a_window_on_a_data_strip_is_left_out_and_a_speck_is_filled() -> None:
    pixels, valid = np.random.default_rng(0).normal(size=(256, 256)), np.ones((256, 256), bool)
    valid[200:], valid[5, 5] = False, False
    pixels[5, 5] = 1e6
    found = windows(Micrograph(pixels, valid=valid))
    assert len(found) == 2
    assert found[0].max() < 10


def test_a_small_image_is_unscored_with_its_size(reference: image_typicality.TypicalityReference) -> None:
    one = judge(reference, Micrograph(np.zeros((100, 300))), encoder=Texture())
    assert one.share_less_typical is None
    assert "100 × 300" in one.in_words()


def test_too_few_images_leave_all_unscored() -> None:
    few = fit([noise(seed) for seed in range(3)], encoder=Texture())
    one = judge(few, noise(9), encoder=Texture())
    assert one.untypical_share is None
    assert "100 are needed" in one.in_words("3 images")


def test_images_too_small_for_a_window_are_told_as_that() -> None:
    small = [Micrograph(np.zeros((100, 100), np.float32)) for _ in range(5)]
    with pytest.raises(ShapeError, match=r"5 of 5 images have no window of 128 px"):
        image_typicality.fit(small)


def test_groups_must_fit_the_images() -> None:
    with pytest.raises(SettingsError, match="each of 2 images; got 1"):
        fit([noise(0), noise(1)], ["a"], encoder=Texture())


def test_a_stored_reference_of_descriptors_is_small_and_says_the_same(tmp_path: Path) -> None:
    made = fit([noise(seed) for seed in range(19)])
    forte_file.save(made, tmp_path / "typicality.npz")
    assert (tmp_path / "typicality.npz").stat().st_size < 500_000
    image = noise(50)
    assert judge(forte_file.load(tmp_path / "typicality.npz"), image) == judge(made, image)
