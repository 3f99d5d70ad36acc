"""A dense one-pass detector: a U-Net on EfficientNet-lite0 that says of every 2nd pixel whether a centre lies there.

::

    image -> asinh -> lite0 at strides 2, 4, 8, 16, 32 -> back up to stride 2 -> centre | way to it, log radii

One pass costs the same for one object and for a thousand. What the maps mean is in `stars.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from epistem.core.errors import SettingsError
from epistem.core.instances import Instances
from epistem.nets import lite0
from epistem.nets.sample import Sample
from epistem.nets.stars import CHANNELS, Reading, Targets, pad, read, targets


@dataclass(frozen=True)
class DenseSettings(Reading):
    """How the network is built, and how its maps are read (`Reading`).

    Attributes:
        pretrained: begin from ImageNet weights.
        widths: channels on the way up, at strides 16, 8, 4 and 2.

    Raises:
        SettingsError: a value outside what is meaningful; it is named.
    """

    pretrained: bool = False
    widths: tuple[int, int, int, int] = (96, 64, 48, 32)

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or min(self.widths) < 1:
            raise SettingsError(f"widths are four numbers of at least 1, not {self.widths}")
        if not self.binnings or min(self.binnings) < 1:
            raise SettingsError(f"binnings are one or more whole numbers of at least 1, not {self.binnings}")
        for name in ("scale", "shift", "least_logit"):
            if not np.isfinite(getattr(self, name)):
                raise SettingsError(f"{name} is a finite number, not {getattr(self, name)!r}")
        for name in ("iou", "inside"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingsError(f"{name} is above 0 and at most 1, not {getattr(self, name)!r}")
        if not 0 <= self.least_binned_px < np.inf:
            raise SettingsError(f"least_binned_px is at least 0, not {self.least_binned_px!r}")


class CavityDense(nn.Module):
    """Centres and star-shaped outlines of every object in one pass."""

    Settings = DenseSettings
    settings: DenseSettings

    def __init__(self, settings: DenseSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or DenseSettings()
        self.encoder = lite0.encoder(self.settings.pretrained)
        below = lite0.CHANNELS[-1]
        self.up = nn.ModuleList()
        for skip, width in zip(lite0.CHANNELS[-2::-1], self.settings.widths, strict=True):
            self.up.append(_Up(below, skip, width))
            below = width
        self.centre = _head(below, 1)
        self.shape = _head(below, CHANNELS - 1)
        # A centre lies in about one cell of a thousand: begin there and not at a half.
        nn.init.constant_(_last_bias(self.centre), -5.0)
        nn.init.constant_(_last_bias(self.shape)[2:], 2.0)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) z-scores, sides multiples of 32 -> (B, CHANNELS, H/2, W/2)."""
        skips = self.encoder(torch.asinh(image))
        x = skips[-1]
        for up, skip in zip(self.up, skips[-2::-1], strict=True):
            x = up(x, skip)
        return torch.cat([self.centre(x), self.shape(x)], dim=1)

    @staticmethod
    def collate(batch: Sequence[Sample]) -> tuple[Tensor, Targets]:
        """Images (B, 1, H, W) and the maps they should give, stacked; runs where the samples are made."""
        images = torch.from_numpy(np.stack([one.image for one in batch])[:, None])
        wanted = [targets(one.truth) for one in batch]
        return images, Targets(*(torch.from_numpy(np.stack(parts)) for parts in zip(*wanted, strict=True)))  # type: ignore[arg-type]

    def losses(self, batch: Sequence[Sample] | tuple[Tensor, Any]) -> dict[str, Tensor]:
        """Focal loss of the centres, smooth L1 of ways and log radii near them.

        Source: Zhou et al., arXiv:1904.07850, eq. 1 (α = 2, β = 4).
        """
        images, wanted = batch if isinstance(batch, tuple) else self.collate(batch)
        device = next(self.parameters()).device
        heat, regression, weight, asked = (part.to(device) for part in wanted)
        maps = self(images.to(device)).float()
        logit, given = maps[:, 0], maps[:, 1:]
        positive = heat == 1
        p = torch.sigmoid(logit)
        hit = -F.logsigmoid(logit) * (1 - p) ** 2 * positive
        false = -F.logsigmoid(-logit) * p**2 * (1 - heat) ** 4 * (asked * ~positive)
        # Mean over the batch's objects; an empty batch still pays for what it invents.
        number = positive.sum().clamp(min=len(images))
        # A pixel off matters for a bubble and not for a void: ways count over the mean radius.
        radius = regression[:, 2:].mean(1, keepdim=True).exp()
        way = F.smooth_l1_loss(given[:, :2] / radius, regression[:, :2] / radius, reduction="none", beta=0.1).sum(1)
        size = F.smooth_l1_loss(given[:, 2:], regression[:, 2:], reduction="none", beta=0.1).mean(1)
        total = weight.sum().clamp(min=1)
        return {
            "centre": (hit.sum() + false.sum()) / number,
            "way": 0.5 * (weight * way).sum() / total,
            "radii": 2.0 * (weight * size).sum() / total,
        }

    @torch.inference_mode()
    def maps(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) -> (CHANNELS, ⌈H/2⌉, ⌈W/2⌉)."""
        device = next(self.parameters()).device
        padded = torch.from_numpy(pad(image))[None, None].to(device)
        h, w = (-(-n // 2) for n in image.shape)
        result: NDArray[np.float32] = self(padded)[0, :, :h, :w].float().cpu().numpy()
        return result

    def detect(self, image: NDArray[np.float32]) -> Instances:
        """Objects of one window, by falling calibrated score."""
        return read(self.maps(image), (image.shape[0], image.shape[1]), self.settings)


class _Up(nn.Module):
    """Twice the size, joined with the encoder's map, two convolutions."""

    def __init__(self, below: int, skip: int, width: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(below, width, 1)
        self.join = nn.Sequential(_convolution(width + skip, width), _convolution(width, width))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(self.narrow(x), scale_factor=2.0, mode="nearest")
        joined: Tensor = self.join(torch.cat([x, skip], dim=1))
        return joined


def _convolution(below: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(below, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True))


def _head(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(_convolution(width, width), nn.Conv2d(width, out, 1))


def _last_bias(head: nn.Sequential) -> Tensor:
    last = head[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    return last.bias
