"""Segmentation networks by name: an encoder, a decoder, what the encoder begins with.

::

    build_segmenter("resnet50", "unet", weights="imagenet", channels=1, classes=3)

    variant     canonical   as segmentation_models_pytorch builds them
                paper       unet, deeplabv3, deeplabv3plus as the published framework has them, `paper_decoders`
    weights     none        random; the same after the same torch.manual_seed, and nothing is fetched
                imagenet    micronet: `pretrained`
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torch.nn import functional as F

from epistem.core import SettingsError, ShapeError, TrainingError, UnknownName
from epistem.core.registry import Table
from epistem.nets.pretrained import load_pretrained

Variant = Literal["canonical", "paper"]
Start = Literal["none", "imagenet", "micronet"]

_RENAMED = {"tf_efficientnet_lite0": "timm-tf_efficientnet_lite0"}
_NAMES = (
    *(f"resnet{n}" for n in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "se_resnet50", "se_resnext50_32x4d", "se_resnext101_32x4d"),
    *(f"efficientnet-b{n}" for n in range(8)),
    *("tf_efficientnet_lite0", "mobilenet_v2", "vgg16_bn", "densenet121", "densenet169"),
    *(f"mit_b{n}" for n in range(6)),
)
ENCODERS = {name: _RENAMED.get(name, name) for name in _NAMES}
"""Our name → that in segmentation_models_pytorch."""

DECODERS = Table(
    "decoder",
    {
        "unet": "segmentation_models_pytorch:Unet",
        "unetplusplus": "segmentation_models_pytorch:UnetPlusPlus",
        "fpn": "segmentation_models_pytorch:FPN",
        "deeplabv3": "segmentation_models_pytorch:DeepLabV3",
        "deeplabv3plus": "segmentation_models_pytorch:DeepLabV3Plus",
        "segformer": "segmentation_models_pytorch:Segformer",
    },
)
PAPER_DECODERS = Table(
    "decoder of the paper",
    {
        "unet": "epistem.nets.paper_decoders:PaperUnet",
        "deeplabv3": "epistem.nets.paper_decoders:PaperDeepLabV3",
        "deeplabv3plus": "epistem.nets.paper_decoders:PaperDeepLabV3Plus",
    },
)

STRIDE_PX = 32
_POOLED = ("vgg", "densenet")
_DILATED = ("deeplabv3", "deeplabv3plus")
# Layers for classification that the library keeps and does not run.
_UNUSED = ("conv_head", "bn2", "_conv_head", "_bn1")


class Segmenter(nn.Module):
    """Logits of the classes for each pixel of an image.

    Attributes:
        channels: C of the images it takes.
        start: in words, what the encoder began with.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, channels: int, start: str) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.channels, self.start = channels, start

    def forward(self, images: Tensor) -> Tensor:
        """Logits.

        Args:
            images: (B, C, H, W), robust z-scores; H and W at least 32 px. Within the network they are continued to
                multiples of 32 px by reflection, below and to the right, so that strides start at the first pixel.

        Returns:
            (B, K, H, W).

        Raises:
            ShapeError: smaller than 32 px, or other channels than those it was built for.
            TrainingError: in training, one image where a batch norm needs two.
        """
        rows, cols = images.shape[-2:]
        try:
            logits: Tensor = self.decoder(self._features(images))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrainingError(
                f"a batch of one image of {rows} × {cols} px leaves a batch norm a single value (DeepLab pools the "
                "whole image into one): train with two images a step or more, or call eval()"
            ) from error
        return logits[..., :rows, :cols]

    def embed(self, images: Tensor) -> Tensor:
        """The encoder's last features, averaged over the image.

        Args:
            images: as in `forward`.

        Returns:
            (B, D).

        Raises:
            ShapeError: as in `forward`.
        """
        return self._features(images)[-1].float().mean((2, 3))

    def _features(self, images: Tensor) -> list[Tensor]:
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ShapeError(f"images are (B, {self.channels}, H, W) for this network, not {tuple(images.shape)}")
        features: list[Tensor] = self.encoder(_padded(images))
        return features


def build_segmenter(
    encoder: str,
    decoder: str,
    *,
    variant: Variant = "canonical",
    weights: Start = "none",
    channels: int = 1,
    classes: int = 2,
) -> Segmenter:
    """A segmentation network ready to be trained; with `weights="none"`, one to load trained weights into.

    Args:
        encoder: in `ENCODERS`.
        decoder: in `DECODERS`.
        variant: "paper" for the decoders as the published framework has them.
        weights: what the encoder begins with; the decoder is random always.
        channels: C of the images.
        classes: K, background among them.

    Raises:
        UnknownName: no such encoder or decoder; offers the nearest.
        SettingsError: the two cannot be combined; says what to take instead.
        DependencyMissing: the pretrained weights can be had nowhere.
        RecordError: they do not fit.
    """
    check_pair(encoder, decoder, variant)
    _check_choice("weights", weights, get_args(Start))
    for what, number in (("channels", channels), ("classes", classes)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise SettingsError(f"{what} is a whole number of at least 1, not {number!r}")
    name = ENCODERS[encoder]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`timm-` encoders are deprecated", DeprecationWarning)
        built, head = (_paper if variant == "paper" else _canonical)(name, decoder, channels, classes)
    start = "random initialisation" if weights == "none" else load_pretrained(built, name, weights)
    for unused in _UNUSED:
        if isinstance(getattr(built, unused, None), nn.Module):
            setattr(built, unused, nn.Identity())
    return Segmenter(built, head, channels=channels, start=start)


def check_pair(encoder: str, decoder: str, variant: Variant = "canonical") -> None:
    """Refuse what cannot be combined, without building it.

    Raises:
        UnknownName: no such encoder or decoder; offers the nearest.
        SettingsError: the two cannot be combined; says what to take instead.
    """
    _check_choice("variant", variant, get_args(Variant))
    _check_name("encoder", encoder, ENCODERS)
    _check_name("decoder", decoder, DECODERS)
    if variant == "paper":
        _check_paper(encoder, decoder)
    elif decoder in _DILATED and encoder.startswith(_POOLED):
        raise SettingsError(
            f"{decoder} dilates its encoder, and {encoder} shrinks by pooling, which cannot be dilated; take "
            f'resnet50 with {decoder}, unet or fpn with {encoder}, or variant "paper"'
        )
    elif decoder == "unetplusplus" and encoder.startswith("mit"):
        raise SettingsError(f"unetplusplus needs features at stride 2 and {encoder} has none; take unet or segformer")


def _check_paper(encoder: str, decoder: str) -> None:
    if decoder not in list(PAPER_DECODERS):
        raise SettingsError(
            f"the paper has {', '.join(PAPER_DECODERS)}, and no {decoder}; take one of these or "
            'variant "canonical"'
        )  # fmt: skip
    if encoder.startswith("mit") and decoder != "deeplabv3":
        raise SettingsError(
            f"the paper's {decoder} needs features at stride 2 and {encoder} has none; take resnet50 or "
            'variant "canonical"'
        )  # fmt: skip


def _canonical(name: str, decoder: str, channels: int, classes: int) -> tuple[nn.Module, nn.Module]:
    model = DECODERS[decoder](name, encoder_weights=None, in_channels=channels, classes=classes)
    return model.encoder, nn.Sequential(model.decoder, model.segmentation_head)


def _paper(name: str, decoder: str, channels: int, classes: int) -> tuple[nn.Module, nn.Module]:
    encoder = get_encoder(name, in_channels=channels, weights=None)
    return encoder, PAPER_DECODERS[decoder](encoder.out_channels, classes)


def _padded(images: Tensor) -> Tensor:
    rows, cols = images.shape[-2:]
    if min(rows, cols) < STRIDE_PX:
        raise ShapeError(
            f"images are at least {STRIDE_PX} × {STRIDE_PX} px here, not {rows} × {cols}; pad or enlarge"
        )
    below, right = -rows % STRIDE_PX, -cols % STRIDE_PX
    return F.pad(images, (0, right, 0, below), mode="reflect") if below or right else images


def _check_choice(what: str, came: str, choices: Sequence[str]) -> None:
    if came not in choices:
        raise SettingsError(f"{what} is {', '.join(choices[:-1])} or {choices[-1]}, not {came!r}")


def _check_name(kind: str, name: str, names: Iterable[str]) -> None:
    there = list(names)
    if name not in there:
        near = difflib.get_close_matches(name, there, 3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there is {', '.join(there)}"
        raise UnknownName(f"no {kind} is called {name!r}; {hint}")
