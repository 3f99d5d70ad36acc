"""The three decoders of the published framework as its code has them, on features of strides 2 to 32.

What differs from the papers they are named after: no encoder is dilated, so DeepLab's dilated convolutions look at
features of stride 32 and DeepLabV3 enlarges its answer 32 times, which loses what is thin; DeepLabV3+ takes its low
level at stride 2 instead of 4; U-Net answers at stride 2.

Source: the published framework, methods.md §2.3, which see for what was read from its code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP
from torch import Tensor, nn
from torch.nn import functional as F

_WIDTHS = (256, 128, 64, 32)
_RATES = (6, 12, 18)
_WIDE, _LOW = 256, 48


class PaperUnet(nn.Module):
    """Four times doubled by a transposed convolution and joined with the encoder; logits at stride 2, enlarged.

    Args:
        channels: of the encoder's features at strides 1, 2, …, 32.
        classes: K.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        skips = list(channels[-2:0:-1])  # strides 16, 8, 4, 2
        inputs = [channels[-1], *_WIDTHS[:-1]]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(i, w, 2, stride=2) for i, w in zip(inputs, _WIDTHS, strict=True))
        self.blocks = nn.ModuleList(
            nn.Sequential(_convolved(width + skip, width, 3), _convolved(width, width, 3))
            for width, skip in zip(_WIDTHS, skips, strict=True)
        )
        self.logits = nn.Conv2d(_WIDTHS[-1], classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]  # (B, C, H/32, W/32)
        for up, block, skip in zip(self.ups, self.blocks, features[-2:0:-1], strict=True):
            x = block(torch.cat([up(x), skip], 1))  # twice the rows and columns
        return _enlarged(self.logits(x), 2)  # (B, K, H, W)


class PaperDeepLabV3(nn.Module):
    """Dilated convolutions at stride 32 and a 32-fold enlargement.

    Args: as `PaperUnet`.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.aspp = _pyramid(channels[-1])
        self.logits = nn.Conv2d(_WIDE, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return _enlarged(self.logits(self.aspp(features[-1])), 32)  # (B, K, H, W)


class PaperDeepLabV3Plus(nn.Module):
    """Dilated convolutions at stride 32, joined with the stem's features at stride 2.

    Args: as `PaperUnet`.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.aspp = _pyramid(channels[-1])
        self.low = _convolved(channels[1], _LOW, 1)
        self.joined = nn.Sequential(_convolved(_WIDE + _LOW, _WIDE, 3), _convolved(_WIDE, _WIDE, 3))
        self.logits = nn.Conv2d(_WIDE, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        high = _enlarged(self.aspp(features[-1]), 16)  # (B, 256, H/2, W/2)
        x = self.joined(torch.cat([high, self.low(features[1])], 1))
        return _enlarged(self.logits(x), 2)  # (B, K, H, W)


def _pyramid(channels: int) -> nn.Module:
    pyramid: nn.Module = ASPP(channels, _WIDE, _RATES, separable=False, dropout=0.1)
    return pyramid


def _convolved(channels: int, width: int, side: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, side, padding=side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _enlarged(x: Tensor, times: int) -> Tensor:
    return F.interpolate(x, scale_factor=times, mode="bilinear", align_corners=False)
