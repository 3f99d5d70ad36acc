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
# What can be combined depends on the library's class: of each, one is built with every decoder.
CLASSES = {smp.encoders.encoders[theirs]["encoder"]: ours for ours, theirs in reversed(ENCODERS.items())}


@pytest.fixture
def on_no_device(monkeypatch):
    """Nothing is computed: shapes alone. While it is built, mit_b… reads numbers, and these need a device."""
    monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        yield


def accepted(encoder: str, variant: str) -> set[str]:
    """The decoders that it may be combined with; for others it is said what to take."""
    good = set()
    for decoder in names.DECODERS:
        try:
            check_pair(encoder, decoder, variant)
            good.add(decoder)
        except SettingsError:
            with pytest.raises(SettingsError, match="take "):
                build_segmenter(encoder, decoder, variant=variant)
    return good


def shape(encoder: str, decoder: str, variant: str) -> tuple[int, ...]:
    """Of its answer to an image of two channels, three classes asked for."""
    network = build_segmenter(encoder, decoder, variant=variant, channels=2, classes=3).eval()
    assert network.start == "random initialisation"
    return tuple(network(torch.empty(1, 2, 64, 96)).shape)


def test_the_names_of_a_profile_are_those_of_the_networks():
    assert tuple(ENCODERS) == names.ENCODERS
    assert tuple(DECODERS) == names.DECODERS


def test_every_encoder_is_one_of_the_library_with_imagenet_weights():
    known = smp.encoders.encoders
    assert [ours for ours, theirs in ENCODERS.items() if "imagenet" not in known[theirs]["pretrained_settings"]] == []


@pytest.mark.parametrize("encoder", names.ENCODERS)
def test_every_pair_is_accepted_or_refused_with_what_to_take_instead(encoder):
    assert accepted(encoder, "canonical") == set(names.DECODERS) - REFUSED.get(encoder, set())
    assert accepted(encoder, "paper") == ({"deeplabv3"} if encoder.startswith("mit") else set(PAPER_DECODERS))


@pytest.mark.parametrize("encoder", names.ENCODERS)
def test_every_encoder_answers_for_each_pixel(encoder, on_no_device):
    assert shape(encoder, "fpn", "canonical") == (1, 3, 64, 96)


@pytest.mark.parametrize("variant", ["canonical", "paper"])
@pytest.mark.parametrize("encoder", CLASSES.values())
def test_what_is_accepted_is_built_and_answers(encoder, variant, on_no_device):
    good = accepted(encoder, variant)
    assert {shape(encoder, decoder, variant) for decoder in good} == {(1, 3, 64, 96)}


@pytest.mark.parametrize("encoder", CLASSES.values())
def test_what_is_refused_the_library_cannot_build(encoder, on_no_device):
    for decoder in set(names.DECODERS) - accepted(encoder, "canonical"):
        with pytest.raises(ValueError, match="not support"):
            DECODERS[decoder](ENCODERS[encoder], encoder_weights=None)
