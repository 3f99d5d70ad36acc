from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epistem.core import Instances

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from epistem.nets import train  # noqa: E402
from epistem.nets.dense import CavityDense, DenseSettings  # noqa: E402
from epistem.nets.sample import Sample  # noqa: E402
from epistem.nets.stars import CHANNELS, Targets  # noqa: E402

DISCS = ((16.0, 20.0, 6.0), (40.0, 46.0, 9.0)), ((30.0, 12.0, 7.0), (12.0, 44.0, 5.0), (50.0, 40.0, 8.0))


def discs(*places: tuple[float, float, float], shape: tuple[int, int] = (64, 64), ignored: bool = False) -> Sample:
    """Bright discs at (row, col) with a radius, in noise."""
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, int)
    for i, (row, col, radius) in enumerate(places, 1):
        labels[np.hypot(rows + 0.5 - row, cols + 0.5 - col) < radius] = i
    image[labels > 0] += 5
    truth = Instances.from_labels(labels)
    return Sample(image, truth.with_columns(ignored=np.full(len(truth), ignored)))


def fresh(settings: DenseSettings | None = None) -> CavityDense:
    torch.manual_seed(0)
    return CavityDense(settings)


class Says(CavityDense):
    """Gives the maps it is told to."""

    told: torch.Tensor

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.told


@pytest.fixture(scope="module")
def says() -> Says:
    torch.manual_seed(0)
    return Says()


def learned_by_heart(wanted: Targets) -> torch.Tensor:
    heat = wanted.heat.clamp(1e-4, 1 - 1e-4)
    return torch.cat([torch.logit(heat)[:, None], wanted.regression], dim=1)


def losses(says: Says, maps: torch.Tensor, batch: tuple[torch.Tensor, Targets]) -> dict[str, float]:
    says.told = maps
    return {name: float(loss) for name, loss in says.losses(batch).items()}


def test_two_images_of_discs_are_learned_by_heart():
    batch = [discs(*places) for places in DISCS]
    network = fresh().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    totals = []
    for _ in range(25):
        optimizer.zero_grad()
        total = torch.stack(list(network.losses(batch).values())).sum()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.2 * totals[0]
    # In training mode: the norms' running means lag far behind after so few steps.
    for sample in batch:
        found = network.detect(sample.image)
        sure = found[: len(sample.truth)]
        way = np.hypot(*(sure.centres[:, None] - sample.truth.centres[None]).transpose(2, 0, 1))
        assert (way.min(axis=0) < 3).all()
        assert (np.diff(found.score) <= 0).all()


def test_an_image_without_objects_trains_the_background_alone():
    given = fresh().train().losses([discs(), discs()])
    assert given["way"] == given["radii"] == 0
    assert 0 < given["centre"] < 10
    torch.stack(list(given.values())).sum().backward()


def test_maps_learned_by_heart_cost_next_to_nothing_and_others_more(says):
    batch = CavityDense.collate([discs(*DISCS[0])])
    maps = learned_by_heart(batch[1])
    best = losses(says, maps, batch)
    assert best["way"] == best["radii"] == 0
    assert best["centre"] < 0.05
    shifted, swollen, blind = maps.clone(), maps.clone(), maps.clone()
    shifted[:, 1] += 2
    swollen[:, 3:] += 0.3
    blind[:, 0] = -9
    assert losses(says, shifted, batch)["way"] > 0.1
    assert losses(says, swollen, batch)["radii"] > 0.1
    assert losses(says, blind, batch)["centre"] > 5


def test_a_pixel_off_costs_a_bubble_more_than_a_void(says):
    def cost(radius: float) -> float:
        batch = CavityDense.collate([discs((32, 32, radius))])
        maps = learned_by_heart(batch[1])
        maps[:, 1] += 1
        return losses(says, maps, batch)["way"]

    assert cost(4) > 3 * cost(20)


def test_what_is_invented_on_an_ignored_object_costs_nothing_and_beside_it_something(says):
    batch = CavityDense.collate([discs((32, 32, 8), ignored=True)])
    quiet = torch.full((1, CHANNELS, 32, 32), -9.0)
    inside, beside = quiet.clone(), quiet.clone()
    inside[0, 0, 16, 16] = beside[0, 0, 4, 4] = 5.0
    nothing = losses(says, quiet, batch)
    assert losses(says, inside, batch) == nothing
    assert losses(says, beside, batch)["centre"] > nothing["centre"] + 1


def test_samples_stacked_beforehand_give_the_losses_of_the_samples():
    batch = [discs(*places) for places in DISCS]
    network = fresh().train()
    stacked, loose = network.losses(CavityDense.collate(batch)), network.losses(batch)
    assert {name: float(loss.detach()) for name, loss in stacked.items()} == {
        name: float(loss.detach()) for name, loss in loose.items()
    }


def test_a_stacked_batch_is_cut_in_pieces_with_its_targets():
    batch = [discs(*DISCS[0]), discs(*DISCS[1]), discs()]
    pieces = train._pieces(CavityDense.collate(batch), 2)
    assert [len(images) for images, _ in pieces] == [2, 1]
    assert all(isinstance(wanted, Targets) for _, wanted in pieces)
    assert [int((wanted.heat == 1).sum()) for _, wanted in pieces] == [2, 3]
    np.testing.assert_array_equal(pieces[1][0][0, 0], batch[1].image)


@pytest.mark.parametrize("shape", [(64, 96), (33, 70), (1, 1), (31, 200)])
def test_maps_are_half_the_image_whatever_its_size(shape):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    maps = fresh().eval().maps(image)
    assert maps.shape == (CHANNELS, -(-shape[0] // 2), -(-shape[1] // 2))
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()


def test_an_image_with_a_glaring_pixel_keeps_finite_maps():
    image = np.zeros((64, 64), np.float32)
    image[32, 32] = 1e9
    assert np.isfinite(fresh().eval().maps(image)).all()


def test_a_new_network_expects_few_objects_of_a_few_pixels():
    network = fresh().eval()
    maps = network.maps(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32))
    assert maps[0].max() < -3
    assert np.median(np.exp(maps[3:])) == pytest.approx(np.exp(2), rel=0.5)
    assert len(network.detect(np.zeros((64, 64), np.float32))) == 0


def test_scores_are_read_as_the_settings_say():
    image = discs(*DISCS[0]).image
    network = fresh(DenseSettings(least_logit=-20.0)).eval()
    plain = network.detect(image)
    network.settings = replace(network.settings, scale=2.0, shift=1.0)
    np.testing.assert_allclose(np.log(network.detect(image).score), 2 * np.log(plain.score) + 1, atol=0.1)
    assert len(plain) > 3
