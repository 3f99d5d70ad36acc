from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from epistem.app.reproduce_bench import data_folder, keep_study, kept_study, read_study
from epistem.bench.profile import Profile, profile_of
from epistem.bench.study import BenchStudy, study_numbers
from epistem.core import RecordError, SettingsError
from epistem.segment.summary import FOREGROUND


@pytest.fixture
def study() -> BenchStudy:
    """Four data sets, two networks, two seeds, four images."""
    jobs, scores, sets = [], [], ("films", "grains", "pores", "steel")
    for dataset, decoder, seed in product(sets, ("unet", "deeplabv3"), (0, 1)):
        keys = {"dataset": dataset, "job": f"{dataset}{decoder}{seed}", "encoder": "resnet50", "decoder": decoder}
        keys |= {"variant": "canonical", "weights": "none", "seed": seed}
        jobs.append(keys | {"undertrained": False, "macs": 10**9, "latency_ms": 5.0, "start": "random", "steps": 9})
        for i in range(4):
            value = 0.5 + 0.1 * (decoder == "unet") + 0.02 * i + 0.01 * seed
            row = {"image": f"{dataset}{i}", "name": str(i), "group": str(i), "class": FOREGROUND, "metric": "iou"}
            scores.append(keys | row | {"value": value, "empty": 0, "undefined": 0})
    profiles = {name: profile_of({"dataset": {"id": name, "root": f"/home/me/{name}"}}) for name in sets}
    meta = pd.DataFrame({"side_px": [8.0, 9, 10, 11]}, index=list(sets))
    return BenchStudy(pd.DataFrame(jobs), pd.DataFrame(scores), profiles, meta)


def test_a_kept_study_says_the_same_and_names_no_folder_of_this_machine(study: BenchStudy, tmp_path: Path) -> None:
    keep_study(study, tmp_path)
    again = kept_study(tmp_path)
    assert study_numbers(again) == study_numbers(study)
    assert all("/home" not in path.read_text("utf-8") for path in tmp_path.glob("*.json"))
    assert isinstance(again.profiles["steel"], Profile)


def test_a_folder_without_a_study_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="--budget-minutes"):
        kept_study(tmp_path)
    with pytest.raises(RecordError, match="no network of the study is done"):
        read_study(tmp_path)


def test_without_the_images_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPISTEM_STUDY_DATA", raising=False)
    with pytest.raises(SettingsError, match="EPISTEM_STUDY_DATA"):
        data_folder()
