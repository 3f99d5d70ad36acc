"""rdf.yaml of bioimage.io (format 0.5): a network as ONNX, what goes in and comes out, and a test of both.

What the format has no form for is said in words, in README.md and under `config`: our z-scores rest on the median,
and it knows the mean only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from epistem import __version__
from epistem.core import DependencyMissing
from epistem.core.files import write_text
from epistem.nets.stars import ALIGNMENT, CHANNELS, RAYS, STRIDE
from epistem.nets.weights import Weights

FORMAT = "0.5.4"
NETWORKS = ("cavity-dense", "segmenter")
RDF, TEST_INPUT, TEST_OUTPUT = "rdf.yaml", "test_input.npy", "test_output.npy"
_TEST_PX = (128, 160)  # not square, so that rows and columns taken for each other would show
_OPSET = 17
_Z_SCORES = (
    "z-scores of the grey values as recorded, (grey − median) / (1.4826·MAD) over the whole image (where the MAD is "
    "0, over the standard deviation); pixels that are no image (data strip, scale bar) are 0. No processing of "
    "bioimage.io does this, so rdf.yaml lists none: scale before."
)
_SHORT = {  # of at most 128 letters
    "image": "(grey - median) / (1.4826 MAD) of the whole image: scale before, bioimage.io has no such processing",
    "maps": "of each 2 x 2 px: logit of a centre, way to it, log radii; README.md says how objects come of them",
    "probability": "of each class at each pixel",
}


class Ends(NamedTuple):
    """What goes in and what comes out: in words, as rdf.yaml has it, and an input to test with, (B, C, H, W)."""

    given: str
    came: str
    image: dict[str, Any]
    found: dict[str, Any]
    test: NDArray[np.float32]


def write_rdf(weights: Weights, name: str, *, licence: str, summary: str, ours: bool) -> str:
    """The ONNX file, the test and rdf.yaml, beside weights and README.md.

    Args:
        weights: of a network in `NETWORKS`; its ONNX file is made where none lies beside it.
        name: that they go by.
        licence: SPDX name.
        summary: one sentence.
        ours: whether they ship with epistem; the authors of others are not known.

    Returns:
        What goes in and comes out, for README.md.

    Raises:
        DependencyMissing: no onnxruntime, or an ONNX file has to be made and there is no torch.
        RecordError: the network cannot be written as ONNX.
    """
    folder, onnx = weights.path.parent, weights.onnx
    ends = (_dense if weights.network == "cavity-dense" else _segmenter)(weights)
    np.save(folder / TEST_INPUT, ends.test)
    np.save(folder / TEST_OUTPUT, run_onnx(onnx, ends.test))
    for side, file in ((ends.image, TEST_INPUT), (ends.found, TEST_OUTPUT)):
        side["test_tensor"] = {"source": file, "sha256": _sha256(folder / file)}
    about = metadata("epistem")
    description = {
        "format_version": FORMAT,
        "type": "model",
        "name": re.sub(r"[^\w+() -]", "_", name, flags=re.ASCII),
        "description": summary,
        "version": __version__,
        "authors": [{"name": about["Author"]}] if ours else [],
        "cite": [{"text": f"epistem {__version__}", "url": about["Project-URL"].split(", ")[1]}],
        "license": licence,
        "tags": ["microscopy", "materials-science", "epistem", weights.network],
        "documentation": "README.md",
        "inputs": [ends.image],
        "outputs": [ends.found],
        "weights": {"onnx": {"source": onnx.name, "sha256": _sha256(onnx), "opset_version": _OPSET}},
        "config": {"epistem": {"input": ends.given, "output": ends.came}},
    }
    write_text(folder / RDF, yaml.safe_dump(description, sort_keys=False, allow_unicode=True, width=110))
    return f"In: {ends.given}\n\nOut: {ends.came}\n"


def run_onnx(path: Path, given: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network in an ONNX file makes of an input (B, C, H, W), on the CPU.

    Raises:
        DependencyMissing: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyMissing('a test of the ONNX file needs onnxruntime; pip install "epistem[lite]"') from error
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), quiet, providers=["CPUExecutionProvider"])
    came: NDArray[np.float32] = session.run(None, {"image": given})[0]
    return came


def _dense(weights: Weights) -> Ends:
    if not weights.onnx.is_file():
        _need_torch()
        from epistem.nets.restore import export_onnx

        export_onnx(weights)
    binnings = weights.settings.get("binnings", (1,))
    step = {"min": 2 * ALIGNMENT, "step": ALIGNMENT}
    names = ["centre_logit", "way_rows_px", "way_cols_px", *(f"log_radius_{k}_px" for k in range(RAYS))]
    assert len(names) == CHANNELS
    return Ends(
        f"{_Z_SCORES} Sides are multiples of {ALIGNMENT} px. Cut large images with an overlap of 448 px or more.",
        f"one cell for {STRIDE} × {STRIDE} px: the logit that an object's centre lies in the cell, the way from the "
        f"cell's middle to the centre [px], and natural logarithms of the radii [px] along {RAYS} directions, k at "
        f"the angle 2πk/{RAYS} from the columns towards growing rows. epistem makes objects, outlines and scores of "
        f"it; it looks so at the image in these binnings: {', '.join(map(str, binnings))}.",
        _tensor("image", _channels(["grey"]), [{"size": dict(step)}, {"size": dict(step)}]),
        _tensor("maps", _channels(names), [_like("y", STRIDE), _like("x", STRIDE)]),
        _field(_TEST_PX)[None, None],
    )


def _segmenter(weights: Weights) -> Ends:
    _need_torch()
    from epistem.nets.onnx_segmenter import export_segmenter

    side, shrink = int(weights.card["look"]["tile_px"]), int(weights.card["look"]["shrink"])
    number, classes = int(weights.settings["channels"]), [str(one) for one in weights.card["classes"]]
    named = [str(name) for name in weights.card["channels"]]
    channels = named if len(named) == number else [f"channel_{k}" for k in range(number)]
    export_segmenter(weights, weights.onnx, side)
    blocks = f"Then blocks of {shrink} × {shrink} px become their mean. " if shrink > 1 else ""
    sides = [{"size": side}, {"size": side}]
    test = np.repeat(_field((side, side)).clip(-10, 10)[None, None], number, axis=1)
    return Ends(
        f"{_Z_SCORES} Each channel has its own median and MAD, and is cut at ±10. {blocks}Windows have {side} px, as "
        "those that it learned with; epistem lets them overlap by a quarter.",
        "the probability of each class at each pixel.",
        _tensor("image", _channels(channels), sides),
        _tensor("probability", _channels(classes), sides),
        test,
    )


def _need_torch() -> None:
    missing = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyMissing(
            f"an ONNX file is made with torch and onnx, and {' and '.join(missing)} is not here; pip install "
            '"epistem[nets]"'
        )


def _tensor(name: str, channels: dict[str, Any], sides: list[dict[str, Any]]) -> dict[str, Any]:
    axes = [{"type": "space", "id": letter, **side} for letter, side in zip("yx", sides, strict=True)]
    return {
        "id": name,
        "description": _SHORT[name],
        "axes": [{"type": "batch"}, channels, *axes],
        "data": {"type": "float32"},
    }


def _channels(names: list[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": names}


def _like(axis: str, scale: int) -> dict[str, Any]:
    """An output's side that follows the input's, with so many pixels of it to one cell."""
    return {"size": {"tensor_id": "image", "axis_id": axis}, "scale": float(scale)}


def _field(shape: tuple[int, int]) -> NDArray[np.float32]:
    """z-scores (H, W) of simulated cavities, the same every time."""
    from epistem.imaging.normalize import normalize
    from epistem.synth.cavities import CavityScene, simulate

    return normalize(simulate(CavityScene(shape=shape), seed=0).micrograph)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
