from __future__ import annotations

import pytest

from epistem.core import SettingsError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from epistem.nets import cost  # noqa: E402
from epistem.nets.cost import cost_of  # noqa: E402


def test_one_convolution_costs_what_it_costs_by_hand():
    found = cost_of(nn.Conv2d(2, 5, 3, padding=1), channels=2, side_px=16)
    assert found.parameters == 5 * 2 * 9 + 5
    assert found.macs == 16 * 16 * 5 * 2 * 9
    weights, image, result = 95, 2 * 16 * 16, 5 * 16 * 16
    assert found.peak_mb == pytest.approx(4 * (weights + image + result) / 1e6)


def test_grouped_and_strided_convolutions_and_matrix_products_are_counted():
    network = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4), nn.Flatten(), nn.Linear(8 * 64, 3))
    assert cost_of(network, channels=4, side_px=16).macs == 8 * 8 * 8 * 1 * 9 + 8 * 64 * 3


def test_what_is_given_up_on_the_way_is_not_held():
    def chain(length: int) -> nn.Module:
        return nn.Sequential(*(nn.AvgPool2d(3, 1, 1) for _ in range(length)), nn.Conv2d(1, 1, 1))

    image = 4 * 64 * 64
    short, long = (cost_of(chain(n), channels=1, side_px=64).peak_mb for n in (2, 9))
    # The image, what a layer takes and what it gives, and the two numbers of the convolution.
    assert short == long == pytest.approx((3 * image + 8) / 1e6)


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = self.conv(x)
        return self.conv(self.conv(kept)) + kept


def test_what_a_skip_connection_keeps_is_held():
    image = 4 * 64 * 64
    # The image, what is kept, and what the second or third layer takes and gives.
    assert cost_of(Skip(), channels=1, side_px=64).peak_mb == pytest.approx((4 * image + 4) / 1e6)


def test_the_latency_is_the_median_after_a_first_that_does_not_count(monkeypatch):
    clock = iter([0, 9, 10, 10.001, 20, 20.005, 30, 30.002])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    found = cost_of(nn.Conv2d(1, 1, 1), channels=1, side_px=8, repeats=3)
    assert found.latency_ms == pytest.approx(2)
    assert found.frames_per_s == pytest.approx(500)


class Watched(nn.Module):
    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.conv, self.frozen, self.fails, self.seen = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), fails, set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add((torch.get_num_threads(), self.training))
        if self.fails:
            raise RuntimeError("broken")
        return self.frozen(self.conv(x))


@pytest.mark.parametrize("fails", [False, True])
def test_it_is_measured_on_one_thread_at_rest_and_all_is_as_before_afterwards(fails):
    network = Watched(fails).train()
    network.frozen.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        if fails:
            with pytest.raises(RuntimeError, match="broken"):
                cost_of(network, channels=1, side_px=8)
        else:
            cost_of(network, channels=1, side_px=8)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert network.seen == {(1, False)}
    assert (network.training, network.frozen.training) == (True, False)
    assert network.frozen.num_batches_tracked == 0


@pytest.mark.parametrize("wrong", ["channels", "side_px", "repeats"])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{wrong} is at least 1, not 0"):
        cost_of(nn.Conv2d(1, 1, 1), **({"channels": 1, "side_px": 8, "repeats": 1} | {wrong: 0}))
