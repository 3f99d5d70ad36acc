"""Encoders that are networks; it needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from epistem.core import DependencyMissing, RecordError, SettingsError
from epistem.nets import lite0
from epistem.nets.tiles import network_input
from epistem.trust.descriptors import robust

Single = NDArray[np.float32]
_CLIP_MEAN, _CLIP_STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Network:
    """Tiles of one size go through together; the others one size after the other."""

    key: str
    width: int

    def __call__(self, tiles: Sequence[NDArray[Any]]) -> Single:
        """(n, D)."""
        out = np.empty((len(tiles), self.width), np.float32)
        sizes: dict[tuple[int, ...], list[int]] = {}
        for i, tile in enumerate(tiles):
            sizes.setdefault(tile.shape, []).append(i)
        with torch.inference_mode():
            for rows in sizes.values():
                z = np.stack([self._normalised(tiles[i]) for i in rows])
                out[rows] = self._vectors(torch.as_tensor(z[:, None], dtype=torch.float32)).float().numpy()
        return out

    def _normalised(self, tile: NDArray[Any]) -> NDArray[Any]:
        return robust(np.asarray(tile, float))

    def _vectors(self, z: Tensor) -> Tensor:
        """Of robust z-scores (B, 1, H, W), (B, D)."""
        raise NotImplementedError


class Lite0(_Network):
    """Mean and spread over the tile of every map of every stage, after ImageNet; D = 1024."""

    key = "lite0 imagenet 1"
    width = 2 * sum(lite0.CHANNELS)

    @cached_property
    def _net(self) -> nn.Module:
        return lite0.encoder(True).eval()

    def _vectors(self, z: Tensor) -> Tensor:
        maps = self._net((z / 3).clamp(-1, 1))  # (B, C, H/s, W/s) for each stride
        return torch.cat([part for one in maps for part in (one.mean((2, 3)), one.std((2, 3), correction=0))], dim=1)


class Bottleneck(_Network):
    """What a trained segmenter hands to its decoder, averaged over the tile.

    Args:
        network: with `embed`, (B, 1, H, W) → (B, D).
        identity: of its weights: their hash, or the run's id. Vectors are kept under it.
    """

    def __init__(self, network: Any, identity: str) -> None:
        if not identity:
            raise SettingsError("the segmenter's weights need a name: pass identity, their hash for one")
        self._net = network.eval()
        self.key = f"segmenter {identity}"
        with torch.inference_mode():
            self.width = int(network.embed(torch.zeros(1, 1, 64, 64)).shape[1])

    def _normalised(self, tile: NDArray[Any]) -> NDArray[Any]:
        seen: NDArray[Any] = network_input(tile[None])[0]  # as in its training
        return seen

    def _vectors(self, z: Tensor) -> Tensor:
        found: Tensor = self._net.embed(z)
        return found


class _Hub(_Network):
    """A network whose weights come from a hub; grey is shown as three equal channels of 224 px."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    load: Callable[[], Callable[[Tensor], Tensor]]

    def __init__(self) -> None:
        name = type(self).__name__
        try:
            self._net = type(self).load()
        except ImportError as error:
            raise DependencyMissing(
                f"{name} needs {error.name}, which is not installed; install it, or take descriptors or lite0"
            ) from error
        # A hub that is out of reach shows in a different error in each library and release.
        except Exception as error:
            raise RecordError(
                f"the weights of {name} are not here and their hub cannot be reached ({type(error).__name__}: "
                f"{error}); fetch them once where it can, or take descriptors or lite0"
            ) from error

    def _vectors(self, z: Tensor) -> Tensor:
        unit = ((z + 4) / 8).clamp(0, 1)
        shown = functional.interpolate(unit, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(one)[:, None, None] for one in (self.mean, self.std))
        return self._net((shown - mean) / std)  # (B, 3, 224, 224)


def _timm(name: str, **settings: Any) -> Callable[[Tensor], Tensor]:
    import timm

    net: Callable[[Tensor], Tensor] = timm.create_model(name, pretrained=True, **settings).eval()
    return net


def _clip() -> Callable[[Tensor], Tensor]:
    return _timm("vit_base_patch32_clip_224.openai")  # its head is CLIP's projection to 512


def _dinov2() -> Callable[[Tensor], Tensor]:
    return _timm("vit_base_patch14_dinov2.lvd142m", num_classes=0, img_size=224)


def _vit_msn() -> Callable[[Tensor], Tensor]:
    from transformers import ViTMSNModel  # type: ignore[import-not-found,unused-ignore]

    net = ViTMSNModel.from_pretrained("facebook/vit-msn-base").eval()
    return lambda x: net(pixel_values=x).last_hidden_state[:, 0]  # the class token


class Clip(_Hub):
    """CLIP's image vector. Source: Radford et al., ICML 2021."""

    key, width, load = "clip openai vit-b/32", 512, staticmethod(_clip)
    mean, std = _CLIP_MEAN, _CLIP_STD


class DinoV2(_Hub):
    """DINOv2's class token. Source: Oquab et al., TMLR 2024."""

    key, width, load = "dinov2 vit-b/14", 768, staticmethod(_dinov2)
    mean, std = _IMAGENET_MEAN, _IMAGENET_STD


class VitMsn(_Hub):
    """ViT-MSN's class token. Source: Assran et al., ECCV 2022."""

    key, width, load = "vit-msn base", 768, staticmethod(_vit_msn)
    mean, std = _IMAGENET_MEAN, _IMAGENET_STD
