from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from epistem.ask.picture_kind import kind_of, parse_strip, read_strip, techniques_in
from epistem.imaging import ocr


def noise(low: int = 60, high: int = 180) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(low, high, (120, 160)).astype(np.uint8))


def plot() -> Image.Image:
    picture = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(picture).line((0, 0, 160, 120), fill=(200, 0, 0), width=2)
    return picture


def photograph() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (120, 160, 3)).astype(np.uint8))


def test_grey_with_a_strip_of_low_voltage_is_sem():
    assert kind_of(noise(), {"kV": "15.0"}) == ("SEM", "data strip")


def test_a_high_voltage_alone_does_not_tell():
    assert kind_of(noise(), {"kV": "200"}) == (None, None)


def test_the_closest_text_tells_what_the_picture_does_not():
    assert kind_of(noise(), {}, "TEM image of glass", "SEM and TEM images") == ("TEM", "caption")


def test_a_caption_with_two_techniques_tells_nothing():
    assert kind_of(noise(), {}, "SEM and TEM images") == (None, None)


def test_white_ground_is_a_plot_whatever_the_caption_says():
    assert kind_of(plot(), {}, "SEM images and plots") == ("plot", "white ground")


def test_a_colour_photograph_is_no_sem_even_if_the_caption_says_so():
    assert kind_of(photograph(), {}, "SEM image") == (None, "in colour, so not of electrons")
    assert kind_of(photograph(), {}, "Photograph of the glass") == ("photo", "caption")


def test_a_constant_picture_is_nothing():
    assert kind_of(Image.new("L", (50, 40), 90), {}, "SEM image").technique is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("FE-SEM image", {"SEM"}),
        ("Scanning electron micrographs", {"SEM"}),
        ("Scanning transmission electron microscopy", {"STEM"}),
        ("transmission electron microscopy", {"TEM"}),
        ("back-scattered electron image", {"SEM"}),
        ("electron backscatter diffraction map", {"EBSD"}),
        ("EDS maps of Si", {"EDS"}),
        ("The system seems small", set()),
    ],
)
def test_techniques_in_words(text, names):
    assert techniques_in(text) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("15.0kV 8.2mm x10.0k SE(M)", {"kV": "15.0", "working distance": "8.2 mm", "magnification": "10.0k"}),
        (
            "EHT = 5.00 kV  WD = 4.1 mm  Signal A = SE2",
            {"kV": "5.00", "working distance": "4.1 mm", "detector": "SE2"},
        ),
        ("20 kV X1,500 10µm", {"kV": "20", "magnification": "1,500", "scale bar": "10µm"}),
        ("glass after 5 h", {}),
    ],
)
def test_what_strips_of_makers_say(text, said):
    found = {name: value.replace("8.2mm", "8.2 mm") for name, value in parse_strip(text).items()}
    assert said.items() <= found.items()
    assert bool(found) == bool(said)


def test_without_a_strip_nothing_is_cut():
    assert read_strip(noise(), read=False).rows == slice(0, 120)


def test_a_huge_picture_is_looked_at_small():
    whole = Image.new("L", (6000, 5000), 90)
    assert read_strip(whole, read=False).rows == slice(0, 5000)


@pytest.mark.skipif(not ocr.available(), reason="needs the extra ocr")
@pytest.mark.parametrize("kind", ["pores", "particles"])
def test_a_strip_is_cut_away_and_read(kind):
    pdfs = pytest.importorskip("tests.ask.pdfs")
    strip = read_strip(pdfs.scene(kind, 710, True))
    assert 220 <= strip.rows.stop <= 242
    assert strip.said["kV"] == "15.0"
    assert strip.nm_per_px == pytest.approx(10_000 / 60, rel=0.02)
