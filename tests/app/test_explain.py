from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epistem.app.explain import (
    Asked,
    affordable,
    explain,
    looked_at,
    passes,
    record,
    region_of,
    write_explanation,
)
from epistem.core import SettingsError, ShapeError
from epistem.trust.counterfactual import How


def spot(images: np.ndarray) -> np.ndarray:
    """Class 1 where the mean of a row's first four pixels is high: the answer hangs on the left edge alone."""
    left = 1 / (1 + np.exp(-4 * images[:, :, :, :4].mean((1, 3), keepdims=True)))
    here = np.broadcast_to(left, (len(images), 1, *images.shape[2:]))
    return np.concatenate([1 - here, here], axis=1).astype(np.float32)


@pytest.fixture
def asked() -> Asked:
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.3, (1, 48, 48)).astype(np.float32)
    image[:, :, :4] += np.linspace(-1, 3, 48, dtype=np.float32)[None, :, None]
    region = np.zeros((48, 48), bool)
    region[30:40, 30:40] = True
    return Asked(spot, image, region, 1, 48, "class pore by a test")


def test_a_region_is_corners_or_a_painted_mask(tmp_path: Path) -> None:
    square = region_of("2,2 2,6 6,6 6,2", (10, 10))
    assert square[3, 3]
    assert not square[8, 8]
    Image.fromarray(np.eye(10, dtype=np.uint8) * 200).save(tmp_path / "roi.png")
    assert region_of(str(tmp_path / "roi.png"), (10, 10)).sum() == 10


@pytest.mark.parametrize(
    ("drawn", "error", "said"),
    [
        (np.zeros((10, 10), np.uint8), SettingsError, "is empty: paint the region"),
        (np.ones((9, 10), np.uint8), ShapeError, "9 × 10, the image 10 × 10"),
    ],
)
def test_a_mask_that_does_not_fit_is_told(tmp_path: Path, drawn, error, said: str) -> None:
    Image.fromarray(drawn).save(tmp_path / "roi.png")
    with pytest.raises(error, match=said):
        region_of(str(tmp_path / "roi.png"), (10, 10))


def test_a_mask_file_that_is_not_there_is_said_so() -> None:
    with pytest.raises(SettingsError, match=r"--roi nowhere\.png: there is no such file"):
        region_of("nowhere.png", (10, 10))


@pytest.mark.parametrize("text", ["3,4 and 5", "1,1 2,2"])
def test_a_region_that_is_neither_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match=r"mask file or corners|polygon of at least 3"):
        region_of(text, (10, 10))


def test_the_map_is_hot_where_the_answer_hangs_and_the_test_says_so(asked: Asked, tmp_path: Path) -> None:
    made = explain(asked, kernel="mean", patch_px=8, check=True, told=lambda *_: None)
    values = made.heat.values
    assert values[:, :6].mean() > 10 * values[:, 16:].mean()
    told = write_explanation(made, tmp_path)
    assert told == record(made)
    assert (tmp_path / "heatmap.svg").read_text("utf-8").startswith("<")
    assert {"heatmap.svg", "heatmap.tif", "explain.json"} <= {path.name for path in tmp_path.iterdir()}


def test_a_class_that_is_nowhere_in_the_region_is_mapped_but_not_tested(asked: Asked) -> None:
    image = asked.image - 5
    made = explain(
        Asked(spot, image, asked.region, 1, 48, ""), kernel="mean", patch_px=8, check=True, told=lambda *_: None
    )
    assert made.deletion is None
    assert record(made)["deletion_p"] is None


def test_how_far_it_is_and_how_long_it_takes_is_told_to_the_end(asked: Asked) -> None:
    told: list[tuple[int, int, str]] = []
    explain(asked, kernel="mean", patch_px=8, check=True, told=lambda *one: told.append(one))
    done, of, words = told[-1]
    assert (done, words) == (of, "about 0 s left")
    assert all(done < of and "left" in words for done, of, words in told[:-1])


@pytest.mark.parametrize(("side", "patch_px"), [(128, 32), (320, 64), (512, 128)])
def test_patches_grow_with_what_is_looked_at_so_that_a_map_stays_affordable(side: int, patch_px: int) -> None:
    region, how = np.ones((side, side), bool), How()
    assert affordable(region, how, check=True) == patch_px
    assert affordable(region, how, check=False) <= patch_px


def test_the_passes_foreseen_are_not_fewer_than_those_made(asked: Asked) -> None:
    made = explain(asked, kernel="mean", patch_px=8, check=False, told=lambda *_: None)
    # Where nearly nothing changes no closer look is taken, so there may be fewer.
    assert 1 <= passes(asked.region, made.heat.how, check=False) / made.heat.forwards < 4
    assert looked_at(asked.region, made.heat.how) == (48, 48)
