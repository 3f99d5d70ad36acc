"""A trained segmentation network as an ONNX file that other programs run."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from epistem.core import RecordError
from epistem.core.files import written_whole
from epistem.nets.segment_use import restore_segmenter
from epistem.nets.weights import Weights

OPSET = 17


class _Probabilities(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network(image), dim=1)


def export_segmenter(weights: Weights, path: Path, side_px: int) -> Path:
    """The network for windows of one size: z-scores (B, C, side, side) -> class probabilities (B, K, side, side).

    One size, because an encoder with global pooling answers by its whole window, and it learned with windows of that
    size.

    Raises:
        RecordError: not a segmentation network's weights, or one that ONNX cannot say.
    """
    network = _Probabilities(restore_segmenter(weights)).eval()
    example = torch.zeros(1, int(weights.settings["channels"]), side_px, side_px)
    try:
        # The older exporter: the newer one needs onnxscript and half a minute. It warns of its age and of sizes that
        # it takes for constant, which they are here.
        with written_whole(path) as part, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network, (example,), part, dynamo=False, opset_version=OPSET, input_names=["image"],
                output_names=["probability"], dynamic_axes={"image": {0: "images"}, "probability": {0: "images"}},
            )  # fmt: skip
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise RecordError(f"{weights.path.name} cannot be written as ONNX: {why}") from error
    return path
