"""Tools of the assistant say what `epistem analyze` and `epistem segment` say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from epistem.app.analyze import analyze_image
from epistem.app.ask_tools import is_coloured, segmenter_tools, tools_for
from epistem.app.settings import Settings
from epistem.ask.answer import answer
from epistem.core import Context, Micrograph, RecordError, SettingsError
from epistem.imaging import read
from tests.app.conftest import write_discs

CLASSES = ["background", "Pores", "gamma_prime"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Micrograph:
    path = tmp_path_factory.mktemp("image") / "discs.tif"
    write_discs(path)
    found = read(path)
    assert isinstance(found, Micrograph)
    return found


def tool_for(thing: str, micrograph: Micrograph, *segmenters: Path):
    return next(tool for tool in tools_for(micrograph, segmenters) if thing in tool.finds)


def test_cavities_come_with_the_forecast_and_verdict_of_analyze(image):
    own = analyze_image(image, Settings(), Settings().looker())
    said = answer(image, "How many cavities are there?", tools=tools_for(image)).statements[0]
    assert own.reliability.f1 is not None
    assert (said.value, said.expected["f1"]) == (len(own.found), own.reliability.f1)
    assert (said.verdict, said.reasons) == (own.reliability.verdict, own.reliability.reasons)
    assert f"expected F1 {own.reliability.f1.value:.2f}" in said.text


def test_sizes_and_shares_are_those_of_analyze(image):
    settings = Settings(detector="otsu-watershed", detector_settings={"contrast": "bright"})
    own = analyze_image(image, settings, settings.looker()).quantities
    for question, name in (
        ("What is the mean diameter of the particles?", "mean_diameter_nm"),
        ("What is the median particle diameter?", "median_diameter_nm"),
        ("What area fraction do the particles cover?", "area_fraction_percent"),
        ("What is the number density of the particles?", "density_per_um2"),
    ):
        said = answer(image, question, tools=tools_for(image)).statements[0]
        assert own[name].value is not None
        assert (said.value, said.low, said.high) == (own[name].value, own[name].low, own[name].high)


def test_a_threshold_says_that_nothing_forecasts_its_errors(image):
    said = answer(image, "How many particles are there?", tools=tools_for(image)).statements[0]
    assert "No forecast of F1 exists for this detector" in said.text
    assert (said.verdict, said.expected) == (None, {})


def test_transmission_images_have_no_dark_pores(image):
    thin = replace(image, context=Context(modality="TEM"))
    assert [tool.finds for tool in tools_for(thin)] == [("cavity",)]


# ---------------------------------------------------------------- in colour


def coloured(folder: Path) -> Micrograph:
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (80, 90, 3)).astype(np.uint8)).save(folder / "photo.png")
    found = read(folder / "photo.png")
    assert not isinstance(found, Micrograph)
    return found[1]


def test_a_threshold_does_not_count_in_a_picture_in_colour_unless_its_channel_is_chosen(tmp_path):
    green = coloured(tmp_path)
    assert is_coloured(green)
    said = answer(green, "How many pores are there?", tools=tools_for(green))
    assert said.abstained
    assert said.statements[0].value is None
    assert "--image 1 is red, 2 green, 3 blue" in said.text
    chosen = answer(green, "How many pores are there?", tools=tools_for(green, chosen=True))
    assert chosen.statements[0].source == "measured"


def test_a_grey_image_is_not_in_colour(image):
    assert not is_coloured(image)


# ---------------------------------------------------------------- segmenters


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job's folder with a network of random weights."""
    torch = pytest.importorskip("torch")
    from epistem.nets.segment_use import MODEL, NETWORK
    from epistem.nets.segmenters import build_segmenter
    from epistem.nets.weights import save_weights

    build = {"encoder": "tf_efficientnet_lite0", "decoder": "unet", "channels": 1, "classes": 3}
    torch.manual_seed(0)
    tensors = {name: value.numpy() for name, value in build_segmenter(**build, weights="none").state_dict().items()}
    card = {"classes": CLASSES, "channels": ["image"], "look": {"tile_px": 64, "shrink": 1}, "job": "j",
            "settings": {"data": "0123456789"}}  # fmt: skip
    folder = tmp_path_factory.mktemp("run")
    save_weights(folder / MODEL, tensors, network=NETWORK, settings=build, min_score=0.5, card=card)
    return folder


def labels_of(run: Path, micrograph: Micrograph) -> np.ndarray:
    from epistem.detect.segmented import Segmented
    from epistem.nets.segment_use import open_segmenter

    seen = Segmented(weights=str(run / "model.safetensors")).seen(micrograph)
    return open_segmenter(run).segment(seen, micrograph.shape)


@pytest.mark.filterwarnings("ignore")
def test_the_share_of_a_class_is_that_of_the_label_map(run, image):
    labels = labels_of(run, image)
    for question, k in (("What area fraction do the pores cover?", 1),
                        ("What area fraction does gamma prime cover?", 2)):  # fmt: skip
        share = 100 * float((labels == k).mean())
        said = answer(image, question, tools=tools_for(image, [run])).statements[0]
        assert share > 0
        assert said.value == pytest.approx(share)


@pytest.mark.filterwarnings("ignore")
def test_a_segmenter_is_asked_before_the_threshold_and_says_what_is_known_of_it(run, image):
    from scipy import ndimage

    assert tool_for("pore", image, run).name == f"segmenter {run.name}"
    assert "threshold" in tool_for("pore", image).name
    said = answer(image, "How many pores are there?", tools=tools_for(image, [run])).statements[0]
    assert said.value == ndimage.label(labels_of(run, image) == 1, np.ones((3, 3)))[1]
    assert "No forecast of quality exists for a segmentation network" in said.text
    assert said.text.endswith(f"Network: {run / 'model.safetensors'}.")


def test_classes_are_things_that_questions_name_or_are_asked_for_by_their_own_name(run):
    assert [tool.finds for tool in segmenter_tools(run)] == [("pore",), ("gamma prime",)]


def test_what_is_no_run_is_refused(tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(SettingsError, match="is no run"):
        segmenter_tools(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RecordError):
        segmenter_tools(tmp_path)
