from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.app.analyze import analyze
from epistem.app.settings import make_settings
from epistem.app.texture import make_texture
from epistem.core import SettingsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four images of noise."""
    root = tmp_path_factory.mktemp("noise")
    for i in range(24):
        noise = np.random.default_rng(i).normal(100, 10, (512, 512))
        tifffile.imwrite(root / f"{i}.tif", noise.astype(np.float32))
    return root


@pytest.fixture(scope="module")
def reference(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "noise.npz"
    made = make_texture([folder], path)
    assert made["unscored"] is None
    assert made["images"] == 24
    return path


def card(image: np.ndarray, reference: Path, folder: Path):
    tifffile.imwrite(folder / "new.tif", image.astype(np.float32))
    settings = make_settings(detector="log", typicality=str(reference))
    return analyze(folder / "new.tif", settings)[0].reliability


def test_the_card_of_any_detector_says_how_many_windows_are_unlike_the_reference(
    reference: Path, tmp_path: Path
) -> None:
    like = card(np.random.default_rng(99).normal(100, 10, (512, 512)), reference, tmp_path)
    waves = 100 + 30 * np.sin(np.add.outer(np.arange(512), np.arange(512)) / 5)
    unlike = card(waves, reference, tmp_path)
    assert like.signals["untypical_texture"] < 0.5
    assert unlike.signals["untypical_texture"] == 1
    assert any("16 of 16 windows are unlike the images of noise.npz" in reason for reason in unlike.reasons)


def test_another_reference_is_another_result(reference: Path, tmp_path: Path) -> None:
    settings = make_settings(detector="log", typicality=str(reference))
    assert settings.key() != make_settings(detector="log").key()
    with pytest.raises(SettingsError, match="no such file"):
        make_settings(detector="log", typicality=str(tmp_path / "none.npz")).key()


def test_too_few_images_are_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((200, 200), np.float32))
    (tmp_path / "broken.tif").write_bytes(b"II*")
    with pytest.raises(SettingsError, match="1 files of 2 can be read"):
        make_texture([tmp_path], tmp_path / "out" / "r.npz")
