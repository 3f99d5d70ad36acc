"""The measures of `benchmarks/realism.py` on fields whose answer is known."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from epistem.core import SettingsError


@pytest.fixture(scope="module")
def realism() -> ModuleType:
    path = Path(__file__).resolve().parents[1]
    if not (path / "benchmarks" / "realism.py").is_file():
        pytest.skip("benchmarks are not here")
    sys.path.insert(0, str(path))
    try:
        return importlib.import_module("benchmarks.realism")
    finally:
        sys.path.remove(str(path))


def white(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(100, 10, (512, 512))


def with_slope(slope: float) -> NDArray[np.float64]:
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512))
    frequency[0, 0] = 1
    return np.fft.irfft2(np.fft.rfft2(white()) * frequency ** (slope / 2), s=(512, 512))


def test_white_noise_has_a_flat_spectrum_and_is_all_noise(realism: ModuleType) -> None:
    found = realism.texture(white())
    assert found.spectrum_slope == pytest.approx(0, abs=0.1)
    assert found.noise_share == pytest.approx(1, abs=0.02)
    assert found.noise_grain == pytest.approx(1, abs=0.02)
    assert found.local_contrast == pytest.approx(1, abs=0.02)
    assert found.tails == pytest.approx(2.906, abs=0.03)
    assert found.skewness == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("slope", [-1.0, -2.0, -3.0])
def test_the_spectrum_slope_is_that_of_the_field(realism: ModuleType, slope: float) -> None:
    assert realism.texture(with_slope(slope)).spectrum_slope == pytest.approx(slope, abs=0.1)


def test_brightness_and_gain_change_nothing(realism: ModuleType) -> None:
    field = with_slope(-2)
    np.testing.assert_allclose(realism.texture(3 * field + 7), realism.texture(field), rtol=1e-6, atol=1e-9)


def test_stripes_are_anisotropic_however_they_are_turned(realism: ModuleType) -> None:
    striped = ndimage.gaussian_filter(white(), (8, 1))
    plain, down, across = (realism.texture(x).anisotropy for x in (white(), striped, striped.T))
    assert plain < 0.05 < 0.5 < down
    assert across == pytest.approx(down, rel=1e-6)


def test_dark_features_make_the_skewness_negative(realism: ModuleType) -> None:
    assert realism.texture(white(1) / 1000 - np.maximum(with_slope(-3) / with_slope(-3).std(), 0)).skewness < -0.2


def test_noise_blurred_after_counting_is_grainy(realism: ModuleType) -> None:
    assert realism.texture(ndimage.gaussian_filter(white(), 0.6)).noise_grain > 1.5


def test_a_radial_profile_is_read_at_its_radii(realism: ModuleType) -> None:
    rows, cols = np.mgrid[:201, :201] - 100.0
    cone = np.hypot(rows, cols)
    np.testing.assert_allclose(realism.radial_profile(cone, 50.0), 50 * realism.RHO, atol=0.3)


def test_half_the_amplitude_is_told_and_leaves_the_correlation(realism: ModuleType) -> None:
    theirs = 1 + np.sin(6 * realism.RHO)
    found = realism.agreement(1 + 0.5 * (theirs - 1), theirs)
    assert found.correlation == pytest.approx(1)
    assert found.amplitude == pytest.approx(0.5)


def test_fields_of_one_kind_are_within_and_not_told_apart(realism: ModuleType) -> None:
    rng = np.random.default_rng(0)
    real, alike = rng.normal(size=(80, 3)), rng.normal(size=(120, 3))
    areas = [f"area {i // 8}" for i in range(80)]
    assert realism.within(real, alike).mean() == pytest.approx(0.9, abs=0.05)
    assert realism.told_apart(real, alike, areas)[1] == pytest.approx(0.5, abs=0.12)
    assert realism.told_apart(real, alike + 9, areas)[1] == 1


def test_fields_of_one_area_share_its_name(realism: ModuleType) -> None:
    files = ["1_focus.png", "1_115K.png", "11_39K.png", "1_TEM-BF_94K_defocus_0_um.png", "2_focus_x352.32_y1.png"]
    assert [realism.specimen_area(file) for file in files] == ["1", "1", "11", "TEM-BF", "x350"]


def test_without_the_images_it_says_so(
    realism: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EPISTEM_STUDY_DATA", raising=False)
    assert realism.main([]) == 0
    assert "skipped" in capsys.readouterr().out


def test_unlabelled_images_of_a_family_left_out_are_never_opened(realism: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = [
        "file,family",
        "04.png,crops",
        "04_02.png,crops",
        "5-1_59K.png,whole",
        "seen.png,shared",
        "gone.png,crops",
    ]
    (tmp_path / "images.csv").write_text("\n".join(rows), "utf-8")
    for i, name in enumerate(("04.png", "04_02.png", "5-1_59K.png")):
        Image.fromarray(white(i).astype(np.uint8)).save(tmp_path / "images" / name)
    (tmp_path / "images" / "seen.png").write_bytes(b"not to be read")
    found, areas = realism.unlabelled_fields(tmp_path, ["shared"])
    assert found.shape == (3, len(realism.Texture._fields))
    assert areas == ["crops 04", "crops 04", "whole 5"]
    with pytest.raises(SettingsError, match="no image is of the family other; there are crops, shared, whole"):
        realism.unlabelled_fields(tmp_path, ["other"])


def test_unlabelled_images_are_compared_with_fields_that_hold_cavities(
    realism: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def simulate(scene: Any, **more: Any) -> Any:
        seen.append(scene)
        raise KeyboardInterrupt

    monkeypatch.setattr(realism, "simulate", simulate)
    for name in ("cavities", "wide"):
        with pytest.raises(KeyboardInterrupt):
            realism.simulated_fields(name, [])
    assert seen[0].number > 0
    assert seen[0].defocus_nm != 0
    assert (seen[1].number, seen[1].defocus_nm) == (0, 0)
