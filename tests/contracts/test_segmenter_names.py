"""Every encoder and decoder that a profile may name is built, or refused with what to take instead."""

from __future__ import annotations

import functools

import pytest

from epistem.bench import names
from epistem.core import SettingsError

torch = pytest.importorskip("torch")
smp = pytest.importorskip("segmentation_models_pytorch")
from epistem.nets.segmenters import DECODERS, ENCODERS, PAPER_DECODERS, build_segmenter, check_pair  # noqa: E402

REFUSED = {
    **{encoder: {"deeplabv3", "deeplabv3plus"} for encoder in ("vgg16_bn", "densenet121", "densenet169")},
    **{f"mit_b{n}": {"unetplusplus"} for n in range(6)},
}


@pytest.fixture(autouse=True)
def on_no_device(monkeypatch):
    """Nothing is computed: shapes alone. While it is built, mit_b… reads numbers, and these need a device."""
    monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        yield


def answers(encoder: str, decoder: str, variant: str) -> bool:
    """Whether the pair may be combined, and then that it answers for each pixel of two channels by three classes."""
    try:
        check_pair(encoder, decoder, variant)
    except SettingsError:
        with pytest.raises(SettingsError, match="take "):
            build_segmenter(encoder, decoder, variant=variant)
        return False
    network = build_segmenter(encoder, decoder, variant=variant, channels=2, classes=3).eval()
    assert network(torch.empty(1, 2, 64, 96)).shape == (1, 3, 64, 96)
    assert network.start == "random initialisation"
    return True


def test_the_names_of_a_profile_are_those_of_the_networks():
    assert tuple(ENCODERS) == names.ENCODERS
    assert tuple(DECODERS) == names.DECODERS


def test_every_encoder_is_one_of_the_library_with_imagenet_weights():
    known = smp.encoders.encoders
    assert [ours for ours, theirs in ENCODERS.items() if "imagenet" not in known[theirs]["pretrained_settings"]] == []


@pytest.mark.parametrize("encoder", names.ENCODERS)
def test_every_pair_is_built_or_refused_with_what_to_take_instead(encoder):
    refused = {decoder for decoder in names.DECODERS if not answers(encoder, decoder, "canonical")}
    assert refused == REFUSED.get(encoder, set())


@pytest.mark.parametrize("encoder", names.ENCODERS)
def test_every_pair_in_the_papers_variant_is_built_or_refused(encoder):
    built = {decoder for decoder in names.DECODERS if answers(encoder, decoder, "paper")}
    assert built == ({"deeplabv3"} if encoder.startswith("mit") else set(PAPER_DECODERS))
