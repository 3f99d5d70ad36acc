from __future__ import annotations

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError

torch = pytest.importorskip("torch")
from epistem.nets.saliency import gradient_saliency, randomised, smooth_gradient  # noqa: E402

SHAPE = (12, 16)
REGION = np.zeros(SHAPE, bool)
REGION[5, 7] = True


class Weighs(torch.nn.Module):
    """Logits 0 and the weighted sum of 3 × 3 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
        with torch.no_grad():
            self.weigh.weight.copy_(torch.arange(9.0).view(1, 1, 3, 3) - 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.weigh(images)
        return torch.cat([torch.zeros_like(seen), seen], dim=1)


def test_the_gradient_of_a_weighted_sum_is_its_weights_at_the_region():
    image = np.zeros((1, *SHAPE), np.float32)
    saliency = gradient_saliency(Weighs(), image, REGION, of_class=1)
    # A sigmoid at 0 has slope 1/4.
    assert np.allclose(saliency[4:7, 6:9], np.abs(np.arange(9).reshape(3, 3) - 3) / 4)
    assert saliency.sum() == pytest.approx(saliency[4:7, 6:9].sum())


def test_smoothing_over_no_noise_changes_nothing_and_over_noise_is_the_same_for_the_same_seed():
    image = np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)
    plain = gradient_saliency(Weighs(), image, REGION, of_class=1)
    assert np.allclose(smooth_gradient(Weighs(), image, REGION, of_class=1, noise=0, draws=2), plain)
    a, b, c = (smooth_gradient(Weighs(), image, REGION, of_class=1, draws=3, seed=s) for s in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_randomised_network_is_a_copy_with_the_same_weights_in_other_places():
    network = Weighs()
    forgotten = randomised(network)
    before, after = (one.weigh.weight.detach().flatten() for one in (network, forgotten))
    assert torch.equal(before, torch.arange(9.0) - 3)
    assert not torch.equal(after, before)
    assert torch.equal(after.sort().values, before.sort().values)


def test_variances_of_batch_normalisation_stay_variances():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8))
    network(torch.randn(4, 1, 9, 9, generator=torch.Generator().manual_seed(0)))
    forgotten = randomised(network)
    assert torch.equal(forgotten[1].running_var.sort().values, network[1].running_var.sort().values)


def test_questions_without_meaning_are_refused():
    image = np.zeros((1, *SHAPE), np.float32)
    with pytest.raises(SettingsError, match="holds no pixel"):
        gradient_saliency(Weighs(), image, np.zeros(SHAPE, bool), of_class=1)
    with pytest.raises(SettingsError, match="there is no class 2"):
        gradient_saliency(Weighs(), image, REGION, of_class=2)
    with pytest.raises(ShapeError, match=r"the region \(3, 3\)"):
        gradient_saliency(Weighs(), image, np.ones((3, 3), bool), of_class=1)
    with pytest.raises(SettingsError, match="at least 1 draw"):
        smooth_gradient(Weighs(), image, REGION, of_class=1, draws=0)
