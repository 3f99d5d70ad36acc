from __future__ import annotations

import math

import pytest

from epistem.core import SettingsError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from epistem.nets.judge import PLATEAU, Judge, Judged  # noqa: E402


def judged(*scores: float) -> Judged:
    """Judgements at steps 1, 2, … of a network whose weight is the step."""
    found, network = Judged(), nn.Linear(1, 1)
    for step, score in enumerate(scores, 1):
        weights = {name: torch.full_like(value, step) for name, value in network.state_dict().items()}
        found.look(Judge(lambda _, score=score: score, every=1), network, weights, step)
    return found


def kept(found: Judged) -> float | None:
    return None if found.best is None else float(found.best["weight"])


def test_the_weights_of_the_first_highest_score_are_kept():
    found = judged(0.2, 0.7, 0.5, 0.7)
    assert found.best_step == kept(found) == 2


def test_before_the_first_judgement_there_is_no_best():
    assert (Judged().best_step, Judged().best, Judged().waited(), Judged().slowed()) == (None, None, 0, 1.0)


def test_a_score_that_is_no_number_is_the_lowest():
    found = judged(math.nan, -3.0, math.nan)
    assert found.best_step == kept(found) == 2
    assert [score for _, score in found.scores] == [-math.inf, -3.0, -math.inf]


def test_without_any_score_the_last_weights_are_kept_and_patience_still_ends():
    found = judged(math.nan, math.nan, math.nan)
    assert found.best_step == kept(found) == 3
    assert found.over(Judge(lambda _: 0.0, 1, patience=2))


@pytest.mark.parametrize(
    ("scores", "over"),
    [((0.5, 0.4, 0.3), True), ((0.5, 0.4, 0.6), False), ((0.5, 0.5, 0.5), True), ((0.5, 0.4), False)],
)
def test_patience_counts_judgements_without_gain(scores, over):
    assert judged(*scores).over(Judge(lambda _: 0.0, 1, patience=2)) == over
    assert not judged(*scores).over(Judge(lambda _: 0.0, 1))


def test_the_rate_is_halved_after_each_plateau_and_never_falls_to_nothing():
    flat = [0.5] * (PLATEAU + 1)
    assert judged(*flat).slowed() == 1.0
    assert judged(*flat, 0.5).slowed() == 0.5
    assert judged(*flat, 0.6).slowed() == 1.0
    assert judged(*[0.5] * (1 + 2 * (PLATEAU + 1))).slowed() == 0.25
    assert judged(*[0.5] * 400).slowed() == 1e-3


def test_a_network_is_judged_ready_for_use_and_learns_on_untouched():
    network, seen = nn.Sequential(nn.Linear(1, 1), nn.Dropout()).train(), []
    weights = {name: torch.full_like(value, 3.0) for name, value in network.state_dict().items()}

    def score(looked: nn.Module) -> float:
        seen.append((looked.training, looked[0].weight.item(), torch.is_inference_mode_enabled()))
        return 0.0

    before = network[0].weight.item()
    Judged().look(Judge(score, 1), network, weights, 1)
    assert seen == [(False, 3.0, True)]
    assert network.training
    assert network[0].weight.item() == before


def test_what_a_checkpoint_holds_gives_the_same_judgements():
    found, again = judged(0.2, 0.7, 0.5), Judged()
    again.take(found.state())
    assert (again.scores, again.best_step, kept(again)) == (found.scores, 2, 2.0)


@pytest.mark.parametrize(("every", "patience"), [(0, None), (1, 0)])
def test_less_than_one_step_or_judgement_is_refused(every, patience):
    with pytest.raises(SettingsError, match="every and patience are at least 1"):
        Judge(lambda _: 0.0, every, patience)
