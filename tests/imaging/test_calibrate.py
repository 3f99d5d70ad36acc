from __future__ import annotations

import numpy as np
import pytest

from epistem.core import Calibration, Micrograph, SettingsError
from epistem.imaging import calibrate, ocr
from epistem.imaging.calibrate import parse_pixel_size, settle
from epistem.imaging.scalebar import ScaleBar

REAL = np.random.default_rng(0).integers(20, 230, (100, 200)).astype(np.uint8)


def micrograph(nm: float | None = None, *warnings: str) -> Micrograph:
    known = None if nm is None else Calibration(nm, nm, "metadata", detail="tag X")
    return Micrograph(REAL, known, warnings=warnings)


def person(nm: float) -> Calibration:
    return Calibration(nm, nm, "user")


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch):
    """Puts a bar of so many nm over 100 px into every image."""

    def put(nm: float | None, text: str = "x nm", px: float = 100.0) -> None:
        found = ScaleBar(slice(80, 84), slice(20, 120), px, text, nm)
        monkeypatch.setattr(calibrate, "find_scale_bar", lambda pixels: found)

    return put


@pytest.mark.parametrize(
    ("text", "rows", "cols"),
    [
        ("0.38", 0.38, 0.38),
        (" 0.38 nm ", 0.38, 0.38),
        ("1.2 µm", 1200, 1200),
        ("1.2 \u03bcm", 1200, 1200),
        ("1.2um", 1200, 1200),
        ("3.8 Å", 0.38, 0.38),
        ("3.8 A\u030a", 0.38, 0.38),
        ("3.8 A", 0.38, 0.38),
        ("50 pm", 0.05, 0.05),
        ("5 NM", 5, 5),
        ("0,38 nm", 0.38, 0.38),
        ("0,380", 0.38, 0.38),
        ("1,25", 1.25, 1.25),
        ("2e-3 µm", 2, 2),
        ("0.38x0.40 nm", 0.38, 0.40),
        ("0.38 × 0.40", 0.38, 0.40),
        ("380 pm x 0.4 nm", 0.38, 0.40),
    ],
)
def test_a_typed_length_is_a_pixel_size(text: str, rows: float, cols: float) -> None:
    size = parse_pixel_size(text)
    assert (size.row_nm, size.col_nm) == pytest.approx((rows, cols))
    assert size.source == "user"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nm",
        "0",
        "-1",
        "0 nm",
        "1 px",
        "1 inch",
        "5 1/nm",
        "1,200",
        "1.2.3",
        "nan",
        "inf",
        "1e400",
        "1e-400",
        "1 x",
        "1x2x3",
        "1 m",
        "5 mrad",
        "1 nm nm",
    ],
)
def test_what_is_no_pixel_size_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse_pixel_size(text)
    assert "\n" not in str(refusal.value)
    assert repr(text) in str(refusal.value)


def test_without_bar_and_strip_nothing_changes() -> None:
    before = micrograph(0.5)
    after = settle(before)
    assert (after.calibration, after.valid, after.warnings) == (before.calibration, None, ())


def test_nothing_known_stays_unknown() -> None:
    assert settle(micrograph()).calibration is None


def test_file_and_bar_that_agree_keep_the_file_and_say_so(bar) -> None:
    bar(50.5)
    settled = settle(micrograph(0.5))
    assert settled.calibration == Calibration(0.5, 0.5, "metadata", detail="tag X, confirmed by the scale bar")
    assert settled.warnings == ()


def test_file_and_bar_that_disagree_leave_no_pixel_size_and_both_values(bar) -> None:
    bar(52.0)
    settled = settle(micrograph(0.5))
    assert settled.calibration is None
    (warning,) = settled.warnings
    assert all(words in warning for words in ("0.5 nm", "0.52 nm", "--pixel-size"))


def test_a_bar_too_short_to_tell_does_not_contradict(bar) -> None:
    bar(15.6, px=30.0)
    assert settle(micrograph(0.5)).calibration is not None


def test_a_bar_speaks_of_columns_only(bar) -> None:
    bar(50.0)
    tall = Micrograph(REAL, Calibration(0.9, 0.5, "metadata"))
    settled = settle(tall).calibration
    assert settled is not None
    assert (settled.row_nm, settled.col_nm) == (0.9, 0.5)


def test_a_bar_alone_gives_the_pixel_size_with_its_error(bar) -> None:
    bar(50.0)
    settled = settle(micrograph()).calibration
    assert settled is not None
    assert (settled.row_nm, settled.col_nm, settled.source) == (0.5, 0.5, "scale bar")
    assert settled.relative_error == pytest.approx(np.sqrt(2 / 3) / 100)


def test_a_longer_bar_is_more_certain(bar) -> None:
    bar(50.0, px=100.0)
    short = settle(micrograph()).calibration
    bar(50.0, px=200.0)
    long = settle(micrograph()).calibration
    assert short is not None
    assert long is not None
    assert long.relative_error == pytest.approx(short.relative_error / 2)


def test_the_person_wins_over_file_and_bar_and_is_told(bar) -> None:
    bar(60.0)
    settled = settle(micrograph(0.5), person(0.7))
    assert settled.calibration == person(0.7)
    assert len(settled.warnings) == 2
    assert "0.7 nm" in settled.warnings[0]
    assert "0.5 nm" in settled.warnings[0]
    assert "0.6 nm" in settled.warnings[1]


def test_the_person_resolves_a_contradiction(bar) -> None:
    bar(60.0)
    settled = settle(micrograph(0.5), person(0.5))
    assert settled.calibration == person(0.5)
    assert len(settled.warnings) == 1


def test_a_person_who_agrees_hears_nothing(bar) -> None:
    bar(50.0)
    assert settle(micrograph(0.5), person(0.505)).warnings == ()


def test_an_unread_label_gives_no_pixel_size_and_a_warning(bar) -> None:
    bar(None, text="S0 nm")
    settled = settle(micrograph())
    assert settled.calibration is None
    assert "'S0 nm'" in settled.warnings[0]


def test_an_unread_label_does_not_withhold_what_the_file_says(bar) -> None:
    bar(None)
    settled = settle(micrograph(0.5))
    assert settled.calibration == micrograph(0.5).calibration


def test_without_ocr_the_warning_names_the_extra(bar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "available", lambda: False)
    bar(None, text="")
    assert "epistem[ocr]" in settle(micrograph()).warnings[0]


def test_reciprocal_space_gets_no_nm_from_bar_or_person(bar) -> None:
    bar(50.0)
    pattern = micrograph(None, "reciprocal space (pixels in 1/nm): lengths in nm have no meaning here")
    assert settle(pattern).calibration is None
    refused = settle(pattern, person(0.5))
    assert refused.calibration is None
    assert "0.5 nm is not used" in refused.warnings[-1]


def test_the_bar_is_masked_and_what_was_masked_stays(bar) -> None:
    bar(50.0)
    valid = np.ones(REAL.shape, bool)
    valid[0, 0] = False
    settled = settle(Micrograph(REAL, valid=valid))
    assert settled.valid is not None
    assert not settled.valid[80:84, 20:120].any()
    assert not settled.valid[0, 0]
    assert settled.valid[:70].sum() == 70 * 200 - 1
    assert valid.sum() == REAL.size - 1


def test_not_looking_leaves_the_pixels_alone(bar) -> None:
    bar(50.0)
    settled = settle(micrograph(), look=False)
    assert (settled.calibration, settled.valid) == (None, None)


@pytest.mark.parametrize("pixels", [np.zeros((1, 1)), np.full((50, 70), 3.0), np.full((50, 70), np.nan)])
def test_an_image_without_contrast_settles_quietly(pixels: np.ndarray) -> None:
    assert settle(Micrograph(pixels)).warnings == ()
