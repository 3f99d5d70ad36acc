from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epistem.core import DependencyMissing, RecordError, SettingsError, ShapeError, UnknownName
from epistem.trust.encoders import ENCODERS, content_id, embed, make_encoder


class Counting:
    """Mean and spread; how many tiles it was shown."""

    def __init__(self, key: str = "counting", width: int = 2) -> None:
        self.key, self.width, self.seen = key, width, 0

    def __call__(self, given: Sequence[np.ndarray]) -> np.ndarray:
        self.seen += len(given)
        return np.array([[one.mean(), one.std()][: self.width] for one in given], np.float32)


def some(n: int = 5, px: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(n, px, px)))


def test_an_unknown_encoder_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'dinov2'"):
        make_encoder("dino2")


def test_descriptors_need_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, epistem.trust.encoders as e; e.make_encoder('descriptors'); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_follow_the_tiles_and_none_gives_none() -> None:
    encoder = make_encoder("descriptors")
    table = embed(some(3), encoder)
    assert table.shape == (3, encoder.width)
    np.testing.assert_array_equal(table[1], embed(some(3)[1:2], encoder)[0])
    assert embed([], encoder).shape == (0, encoder.width)


def test_what_was_computed_once_is_not_computed_again(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    table = embed(some(), first, tmp_path / "kept" / "v.sqlite")
    again = embed([*some()[::-1], some(6)[5]], second, tmp_path / "kept" / "v.sqlite")
    assert (first.seen, second.seen) == (5, 1)
    np.testing.assert_array_equal(again[:5], table[::-1])


def test_the_same_image_twice_is_computed_once(tmp_path: Path) -> None:
    encoder = Counting()
    table = embed([*some(2), *some(2)], encoder, tmp_path / "v.sqlite")
    assert encoder.seen == 2
    np.testing.assert_array_equal(table[:2], table[2:])


def test_other_weights_have_vectors_of_their_own(tmp_path: Path) -> None:
    embed(some(), Counting("a"), tmp_path / "v.sqlite")
    other = Counting("b")
    embed(some(), other, tmp_path / "v.sqlite")
    assert other.seen == 5


def test_an_identity_is_of_content_shape_and_type() -> None:
    tile = np.arange(12.0).reshape(3, 4)
    assert content_id(tile) == content_id(np.asfortranarray(tile))
    assert (
        len({content_id(one) for one in (tile, tile.T, tile.reshape(4, 3), tile.astype(np.float32), tile + 1)}) == 5
    )


def test_a_cache_that_is_something_else_is_said(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    path.write_text("no database at all, but long enough to be taken for one" * 20)
    with pytest.raises(RecordError, match=r"v\.sqlite cannot keep vectors"):
        embed(some(), Counting(), path)


def test_a_colour_tile_is_refused() -> None:
    with pytest.raises(ShapeError, match="tile 1 is"):
        embed([np.zeros((64, 64)), np.zeros((64, 64, 3))], Counting())


# ---------------------------------------------------------------- networks


@pytest.fixture
def deep() -> Any:
    pytest.importorskip("torch")
    from epistem.trust import deep_encoders

    return deep_encoders


def test_tiles_of_different_sizes_keep_their_order(deep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Small(deep._Network):
        key, width = "small", 2

        def _vectors(self, z: Any) -> Any:
            return torch.stack([z.amax((1, 2, 3)), torch.full((len(z),), float(z.shape[-1]))], dim=1)

    tiles = [np.random.default_rng(i).normal(size=(64, 64 + 32 * (i % 2))) for i in range(4)]
    np.testing.assert_array_equal(Small()(tiles)[:, 1], [64, 96, 64, 96])


def test_lite0_tells_a_tile_from_another_and_has_its_width(deep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from epistem.nets import lite0

    real = lite0.encoder
    monkeypatch.setattr(lite0, "encoder", lambda pretrained: real(False))
    encoder = deep.Lite0()
    table = encoder(some(2))
    assert table.shape == (2, 1024)
    assert np.abs(table[0] - table[1]).max() > 0


def test_a_segmenter_gives_its_own_bottleneck_of_what_it_was_trained_on(deep: Any) -> None:
    import torch

    class Stand(torch.nn.Module):
        def embed(self, x: Any) -> Any:
            return torch.stack([x.mean((1, 2, 3)), x.flatten(1).median(dim=1).values, x.amax((1, 2, 3))], dim=1)

    encoder = make_encoder("segmenter", network=Stand(), identity="run 3")
    assert (encoder.width, encoder.key) == (3, "segmenter run 3")
    table = encoder([7 + 3 * some(1)[0]])
    assert table[0, 1] == pytest.approx(0, abs=0.01)  # robust z-scores
    with pytest.raises(SettingsError, match="identity"):
        make_encoder("segmenter", network=Stand(), identity="")


@pytest.mark.parametrize("name", ["clip", "dinov2", "vit-msn"])
def test_a_hub_that_is_out_of_reach_is_said_with_what_to_take_instead(
    name: str, deep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable() -> Any:
        raise OSError("no route")

    kind = ENCODERS[name]
    monkeypatch.setattr(kind, "load", staticmethod(unreachable))
    with pytest.raises(RecordError, match="take descriptors or lite0"):
        make_encoder(name)


def test_a_hub_without_its_package_is_said(deep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise ImportError("no transformers", name="transformers")

    monkeypatch.setattr(deep.VitMsn, "load", staticmethod(absent))
    with pytest.raises(DependencyMissing, match="needs transformers"):
        make_encoder("vit-msn")


@pytest.mark.parametrize("name", ["clip", "dinov2", "vit-msn"])
def test_a_hub_network_sees_three_equal_channels_of_224_px(
    name: str, deep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    shown = []
    kind = ENCODERS[name]

    def stand_in(x: Any) -> Any:
        shown.append(x)
        return torch.zeros(len(x), kind.width)

    monkeypatch.setattr(kind, "load", staticmethod(lambda: stand_in))
    assert make_encoder(name)(some(2)).shape == (2, kind.width)
    assert shown[0].shape == (2, 3, 224, 224)
    grey = shown[0] * torch.tensor(kind.std)[:, None, None] + torch.tensor(kind.mean)[:, None, None]
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)
    assert 0 <= float(grey.min())
    assert float(grey.max()) <= 1


def test_the_hub_networks_are_the_published_ones(deep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm
    import torch

    asked = []

    def made(name: str, **settings: Any) -> Any:
        asked.append((name, settings["pretrained"]))
        return torch.nn.Identity()

    monkeypatch.setattr(timm, "create_model", made)
    deep._clip(), deep._dinov2()
    assert asked == [("vit_base_patch32_clip_224.openai", True), ("vit_base_patch14_dinov2.lvd142m", True)]
