from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
from torch import nn  # noqa: E402

from epistem.nets.paper_decoders import PaperDeepLabV3, PaperDeepLabV3Plus, PaperUnet  # noqa: E402
from epistem.nets.segmenters import build_segmenter  # noqa: E402

CHANNELS = (1, 64, 256, 512, 1024, 2048)
"""Of ResNet50, from stride 1 to 32."""


def features(side: int = 64) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(1, width, side >> i, side >> i, generator=rng) for i, width in enumerate(CHANNELS)]


def convolutions(network: nn.Module) -> list[tuple[int, int, int, int]]:
    """(in, out, side, dilation) of each, in order."""
    return [
        (part.in_channels, part.out_channels, part.kernel_size[0], part.dilation[0])
        for part in network.modules()
        if isinstance(part, nn.Conv2d) and not isinstance(part, nn.ConvTranspose2d)
    ]


@pytest.mark.parametrize("kind", [PaperUnet, PaperDeepLabV3, PaperDeepLabV3Plus])
@torch.no_grad()
def test_every_decoder_answers_for_each_pixel(kind):
    assert kind(CHANNELS, 3).eval()(features()).shape == (1, 3, 64, 64)


def test_the_unet_doubles_four_times_to_256_128_64_and_32_channels():
    decoder = PaperUnet(CHANNELS, 2)
    assert [(up.in_channels, up.out_channels, up.kernel_size) for up in decoder.ups] == [
        (2048, 256, (2, 2)),
        (256, 128, (2, 2)),
        (128, 64, (2, 2)),
        (64, 32, (2, 2)),
    ]
    joined = [(256 + 1024, 256), (128 + 512, 128), (64 + 256, 64), (32 + 64, 32)]
    blocks = [layer for i, width in joined for layer in ((i, width, 3, 1), (width, width, 3, 1))]
    assert convolutions(decoder) == [*blocks, (32, 2, 1, 1)]


def test_deeplab_looks_at_stride_32_with_rates_of_6_12_and_18():
    dilated = [(2048, 256, 3, rate) for rate in (6, 12, 18)]
    pyramid = [(2048, 256, 1, 1), *dilated, (2048, 256, 1, 1), (1280, 256, 1, 1)]
    assert convolutions(PaperDeepLabV3(CHANNELS, 2)) == [*pyramid, (256, 2, 1, 1)]
    low = [(64, 48, 1, 1), (304, 256, 3, 1), (256, 256, 3, 1), (256, 2, 1, 1)]
    assert convolutions(PaperDeepLabV3Plus(CHANNELS, 2)) == [*pyramid, *low]
    dropouts = [part.p for part in PaperDeepLabV3(CHANNELS, 2).modules() if isinstance(part, nn.Dropout)]
    assert dropouts == [0.1]


@torch.no_grad()
def test_deeplabv3_answers_from_the_coarsest_features_alone():
    decoder, given = PaperDeepLabV3(CHANNELS, 2).eval(), features()
    others = [torch.zeros_like(part) for part in given[:-1]]
    assert torch.equal(decoder(given), decoder([*others, given[-1]]))


@torch.no_grad()
def test_deeplabv3plus_uses_the_stem_and_no_other_level_between():
    decoder, given = PaperDeepLabV3Plus(CHANNELS, 2).eval(), features()
    between = [given[0], given[1], *(torch.zeros_like(part) for part in given[2:-1]), given[-1]]
    assert torch.equal(decoder(given), decoder(between))
    assert not torch.equal(decoder(given), decoder([given[0], torch.zeros_like(given[1]), *given[2:]]))


def test_the_papers_encoder_is_not_dilated_and_the_canonical_one_is():
    strides = {}
    for variant in ("paper", "canonical"):
        network = build_segmenter("resnet18", "deeplabv3", variant=variant).eval()
        strides[variant] = 64 // network.encoder(torch.zeros(1, 1, 64, 64))[-1].shape[-1]
    assert strides == {"paper": 32, "canonical": 8}
