from __future__ import annotations

import pytest

from epistem.core import SettingsError, ShapeError, TrainingError, UnknownName

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
import segmentation_models_pytorch as smp  # noqa: E402

from epistem.nets.segmenters import build_segmenter  # noqa: E402


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_segmenter("resnet18", "unet", classes=3).eval()


@pytest.mark.parametrize("shape", [(32, 32), (33, 32), (64, 96), (41, 127)])
@torch.no_grad()
def test_each_pixel_gets_its_logits_whatever_the_size(small, shape):
    assert small(images(2, 1, *shape)).shape == (2, 3, *shape)


@torch.no_grad()
def test_an_image_that_the_stride_divides_is_not_padded(small):
    image = images(1, 1, 64, 64)
    features = small.encoder(image)
    torch.testing.assert_close(small(image), small.decoder(features), rtol=0, atol=0)


@torch.no_grad()
def test_an_image_is_continued_by_reflection_below_and_to_the_right(small):
    image = images(1, 1, 64, 60)
    whole = torch.cat([image, image[..., -5:-1].flip(-1)], -1)
    torch.testing.assert_close(small(image), small(whole)[..., :60], rtol=0, atol=0)
    torch.testing.assert_close(small.embed(image), small.embed(whole), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(1, 1, 31, 64), (1, 2, 64, 64), (1, 64, 64)])
def test_what_it_was_not_built_for_is_refused(small, shape):
    with pytest.raises(ShapeError, match=r"32 × 32 px|\(B, 1, H, W\)"):
        small(images(*shape))


@torch.no_grad()
def test_the_embedding_is_the_mean_of_the_last_features(small):
    image = images(2, 1, 64, 96)
    torch.testing.assert_close(small.embed(image), small.encoder(image)[-1].mean((2, 3)))
    assert small.embed(image).shape == (2, 512)


@pytest.mark.filterwarnings("ignore:`timm-` encoders:DeprecationWarning")
@torch.no_grad()
def test_a_canonical_network_is_that_of_the_library():
    torch.manual_seed(1)
    ours = build_segmenter("tf_efficientnet_lite0", "deeplabv3plus", channels=2).eval()
    torch.manual_seed(1)
    theirs = smp.DeepLabV3Plus("timm-tf_efficientnet_lite0", encoder_weights=None, in_channels=2, classes=2).eval()
    torch.testing.assert_close(ours(images(1, 2, 64, 64)), theirs(images(1, 2, 64, 64)), rtol=0, atol=0)


@pytest.mark.parametrize("variant", ["canonical", "paper"])
def test_the_same_seed_gives_the_same_new_weights(variant):
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(build_segmenter("resnet18", "deeplabv3", variant=variant).state_dict())
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())


@pytest.mark.parametrize("encoder", ["tf_efficientnet_lite0", "efficientnet-b0", "mobilenet_v2", "resnet18"])
def test_every_weight_learns(encoder):
    network = build_segmenter(encoder, "unet").train()
    network(images(2, 1, 64, 64)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(("decoder", "side"), [("deeplabv3", 64), ("deeplabv3plus", 64), ("unet", 32)])
def test_one_image_a_step_is_refused_where_a_batch_norm_would_see_one_value(decoder, side):
    network = build_segmenter("resnet18", decoder).train()
    with pytest.raises(TrainingError, match=f"one image of {side} × {side} px.*two images a step"):
        network(images(1, 1, side, side))
    assert network(images(2, 1, side, side)).shape == (2, 2, side, side)
    assert network.eval()(images(1, 1, side, side)).shape == (1, 2, side, side)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownName, match=r"no encoder is called 'resnet51'; did you mean 'resnet50'"):
        build_segmenter("resnet51", "unet")
    with pytest.raises(UnknownName, match=r"no decoder is called 'u-net'; did you mean 'unet'"):
        build_segmenter("resnet18", "u-net")
    with pytest.raises(UnknownName, match="there is resnet18, resnet34"):
        build_segmenter("dinosaur", "unet")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"variant": "repo"}, "variant is canonical or paper, not 'repo'"),
        ({"weights": "coco"}, "weights is none, imagenet or micronet, not 'coco'"),
        ({"channels": 0}, "channels is a whole number of at least 1, not 0"),
        ({"classes": True}, "classes is a whole number of at least 1, not True"),
    ],
)
def test_other_settings_outside_what_there_is_are_named(wrong, said):
    with pytest.raises(SettingsError, match=said):
        build_segmenter("resnet18", "unet", **wrong)


def test_what_cannot_be_combined_says_what_to_take_instead():
    with pytest.raises(SettingsError, match="take resnet50 with deeplabv3, unet or fpn with vgg16_bn"):
        build_segmenter("vgg16_bn", "deeplabv3")
    with pytest.raises(SettingsError, match="mit_b0 has none; take unet or segformer"):
        build_segmenter("mit_b0", "unetplusplus")
    with pytest.raises(SettingsError, match="the paper has unet, deeplabv3, deeplabv3plus, and no fpn"):
        build_segmenter("resnet18", "fpn", variant="paper")
