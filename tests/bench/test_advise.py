"""Advice on made-up datasets of which it is known what suits them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from epistem.bench.advise import AVERAGE, SIMILAR, UNET, advise, leave_one_out, regret_words
from epistem.core import RecordError

MODELS = ["resnet50 + unet", "resnet50 + deeplabv3plus"]


def past(n: int = 12, *, lead: float = 0.1, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where foreground is rare (below 0) DeepLabV3+ leads, elsewhere U-Net does; the other feature means nothing."""
    rng = np.random.default_rng(seed)
    rare = np.where(np.arange(n) % 2 == 0, -1.0, 1.0)
    names = [f"d{i}" for i in range(n)]
    meta = pd.DataFrame({"foreground": 3 * rare + rng.normal(0, 0.1, n), "side_px": rng.normal(0, 0.1, n)}, names)
    unet = 0.6 + rng.normal(0, 0.01, n)
    return meta, pd.DataFrame({MODELS[0]: unet, MODELS[1]: unet - lead * rare}, names)


def test_where_meta_features_tell_what_suits_similar_datasets_advise() -> None:
    meta, quality = past()
    few, many = (advise({"foreground": at, "side_px": 0.0}, meta, quality) for at in (-3.0, 3.0))
    assert (few.model, few.by) == (MODELS[1], SIMILAR)
    assert (many.model, many.by) == (MODELS[0], SIMILAR)
    assert sum(share for name, share in few.similar.items() if int(name[1:]) % 2 == 0) > 0.75
    assert few.regret is not None
    assert few.regret.mean[SIMILAR] == pytest.approx(0, abs=1e-9)
    # Six of twelve datasets want the other one, and lose 0.1 with U-Net.
    assert few.regret.mean[UNET] == pytest.approx(0.05, abs=1e-9)
    assert sum(few.similar.values()) == pytest.approx(1)


def test_where_they_tell_nothing_the_best_on_average_is_advised_and_said_so() -> None:
    meta, quality = past(lead=0.0)
    noise = np.random.default_rng(1).normal(0, 0.02, len(quality))
    quality[MODELS[1]] = quality[MODELS[0]] + 0.01 + noise
    found = advise({"foreground": 0.0, "side_px": 0.0}, meta, quality)
    assert (found.model, found.by) == (MODELS[1], AVERAGE)
    assert "not shown to help" in found.reasons[1]
    assert "12 datasets" in found.reasons[0]


def test_with_three_past_datasets_nothing_is_advised() -> None:
    meta, quality = past(3)
    found = advise({"foreground": 0.0, "side_px": 0.0}, meta, quality)
    assert (found.model, found.by, found.regret) == (None, None, None)
    assert "3 past datasets" in found.reasons[0]


def test_a_held_out_dataset_s_own_scores_do_not_choose_for_it() -> None:
    meta, quality = past(5)
    before = leave_one_out(meta, quality).table.set_index("dataset")
    quality.loc["d2"] = quality.loc["d2"].to_numpy()[::-1]
    after = leave_one_out(meta, quality).table.set_index("dataset")
    assert after.loc["d2", SIMILAR] == before.loc["d2", SIMILAR]
    assert after.loc["d2", f"{SIMILAR} regret"] != before.loc["d2", f"{SIMILAR} regret"]


def test_models_and_datasets_that_are_not_on_both_sides_are_left_out_and_named() -> None:
    meta, quality = past(6)
    quality["resnet50 + fpn"] = [0.9, np.nan, 0.9, 0.9, 0.9, 0.9]
    quality.loc["unknown"] = 0.5
    found = advise({"foreground": 0.0, "side_px": 0.0}, meta, quality)
    assert "resnet50 + fpn" not in found.expected
    assert found.reasons[-2:] == ("no meta-features: unknown", "not on all datasets: resnet50 + fpn")


def test_a_feature_unknown_of_the_new_dataset_is_left_out_of_its_distance() -> None:
    meta, quality = past()
    found = advise({"foreground": -3.0, "side_px": np.nan}, meta, quality)
    assert found.model == MODELS[1]
    with pytest.raises(RecordError, match="side_px"):
        advise({"foreground": -3.0}, meta, quality)


def test_without_a_unet_only_the_average_is_a_habit() -> None:
    meta, quality = past(6)
    found = leave_one_out(meta, quality.rename(columns={MODELS[0]: "resnet50 + fpn"}))
    assert set(found.mean) == {SIMILAR, AVERAGE}
    assert UNET not in " ".join(regret_words(found))


def test_the_gain_of_similar_datasets_is_a_mean_with_the_90_percent_interval_of_few_values() -> None:
    gain = (found := leave_one_out(*past(6))).gain
    habit = min((AVERAGE, UNET), key=lambda way: found.mean[way])
    gains = (found.table[f"{habit} regret"] - found.table[f"{SIMILAR} regret"]).to_numpy(float)
    assert gain is not None
    assert gain.coverage == 0.9
    assert gain.value == pytest.approx(gains.mean())
    # Student's t of 5 degrees of freedom at 95 %: 2.015.
    assert gain.high - gain.value == pytest.approx(2.015 * gains.std(ddof=1) / np.sqrt(6), rel=1e-3)
