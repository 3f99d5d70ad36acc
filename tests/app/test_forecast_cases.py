"""Plans of cases, and cases made from them."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epistem.app.forecast_plan import PLANS, Plan, Trial, published, shipped
from epistem.core import Instances, Micrograph, Provenance, RecordError, SettingsError, TrainingError
from epistem.detect import DETECTORS
from epistem.synth.fields import Recipe
from epistem.trust.cases import FOREIGN, LEAST_CANDIDATE, Cases

# Table 1 of the paper: train_test, of sets A (over- and underfocused), B and C.
TABLE_1 = {
    "A&B_C": ({"A", "B"}, {"C"}), "A:over_under": ({"A:over"}, {"A:under"}),
    "A:under_over": ({"A:under"}, {"A:over"}), "B_A": ({"B"}, {"A"}), "A_B": ({"A"}, {"B"}),
    "A&B_A&B": ({"A", "B"}, {"A", "B"}), "A_A": ({"A"}, {"A"}), "B_B": ({"B"}, {"B"}),
    "A:under_under": ({"A:under"}, {"A:under"}), "A:over_over": ({"A:over"}, {"A:over"}),
}  # fmt: skip
GROUPED = {"A&B_C", "A:over_under", "A:under_over", "B_A", "A_B"}
ROOT = Path(__file__).parents[2]


def seeds_in(values: Any) -> set[int]:
    """Every recipe's seed anywhere in a table."""
    if isinstance(values, Mapping):
        own = {values["seed"]} if "seed" in values and "number" in values else set()
        return own.union(*(seeds_in(one) for one in values.values()))
    return set()


def sources_of(plan: Plan, split: str) -> set[str]:
    names = {name for trial in plan.trials if trial.split == split for name, *_ in trial.recipe.shares}
    both = {"A:over", "A:under"}
    return (names - both) | {"A"} if both <= names else names


def learnt(plan: Plan, split: str) -> set[str]:
    (name,) = {trial.detector for trial in plan.trials if trial.split == split}
    shares = plan.detectors[name]["fields"][name]["shares"]
    names = {source for source, _, weight in shares if weight > 0}
    both = {"A:over", "A:under"}
    return (names - both) | {"A"} if both <= names else names


def test_the_splits_are_those_of_the_papers_table() -> None:
    plan = published()
    assert {trial.split for trial in plan.trials} == set(TABLE_1)
    for split, (train, test) in TABLE_1.items():
        assert learnt(plan, split) == train, split
        assert sources_of(plan, split) == test, split
    assert set(plan.grouped) == GROUPED == {split for split, (train, test) in TABLE_1.items() if train != test}


def test_there_are_as_many_images_as_in_the_paper_and_100_a_split() -> None:
    number: Counter[str] = Counter()
    for trial in published().trials:
        number[trial.split] += trial.recipe.number
    assert sum(number.values()) >= 833
    assert min(number.values()) >= 100


@pytest.mark.parametrize("name", PLANS)
def test_no_image_is_in_two_trials_and_none_was_learnt_from(name: str) -> None:
    plan: Plan = PLANS[name]()
    tried = [trial.recipe.seed for trial in plan.trials]
    assert len(set(tried)) == len(tried)
    trained = [seeds_in(spec) for spec in plan.detectors.values()]
    assert all(len(seeds) == 2 for seeds in trained)  # fields and calibration
    assert len(set().union(*trained)) == 2 * len(trained)
    assert not set(tried) & set().union(*trained)


def test_no_image_is_of_another_plan_of_the_shipped_training_or_of_a_benchmark() -> None:
    toml = ROOT / "scripts" / "shipped" / "cavity-dense.toml"
    training = seeds_in(tomllib.loads(toml.read_text("utf-8")))
    assert {2, 3, 4, 500} <= training
    ours = [{trial.recipe.seed for trial in plan().trials} for plan in (published, shipped)]
    for plan in (published, shipped):
        ours.append(set().union(*(seeds_in(spec) for spec in plan().detectors.values())))
    assert sum(len(seeds) for seeds in ours) == len(set().union(*ours))
    assert not training & set().union(*ours)
    # The benchmarks of simulated fields draw from 1000 and 2000 on, and from 3000.
    assert min(set().union(*ours)) >= 6000


@pytest.mark.parametrize("name", PLANS)
def test_every_detector_of_a_plan_can_be_made_or_trained(name: str) -> None:
    plan: Plan = PLANS[name]()
    assert {trial.detector for trial in plan.trials} >= set(plan.detectors)
    assert {trial.detector for trial in plan.trials} - set(plan.detectors) <= set(DETECTORS)
    if plan.detectors:
        pytest.importorskip("torch")
        from epistem.nets.spec import spec_of

        budgets = {str(spec_of(spec).schedule) for spec in plan.detectors.values()}
        assert len(budgets) == 1


# ---------------------------------------------------------------- making them


@dataclass(frozen=True)
class Everywhere:
    """Finds something wherever it looks; how sure it is follows from the image."""

    min_score: float | None = None
    seen = 0

    def __call__(self, micrograph: Micrograph) -> Instances:
        Everywhere.seen += 1
        rng = np.random.default_rng(int(micrograph.id[-6:], 16))
        boxes = [[r, c, r + 12, c + 12] for r in range(0, 52, 13) for c in range(0, 52, 13)]
        made = Provenance("everywhere", "1", {"min_score": self.min_score})
        return Instances.from_boxes(micrograph.shape, boxes, rng.random(16), provenance=made)


class Silent:
    """Told all, says nothing; breaks off after some images."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.detected = stop_after, 0

    def part(self, what: str, done: int, of: int) -> None:
        self.detected += what.startswith("Detecting")
        if self.stop_after is not None and self.detected > self.stop_after:
            raise KeyboardInterrupt

    def step(self, step: Any, of: int) -> None: ...

    def say(self, text: str) -> None: ...


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    monkeypatch.setitem(DETECTORS._entries, "everywhere", f"{Everywhere.__module__}:Everywhere")
    monkeypatch.setattr(Everywhere, "seen", 0)


def tiny(*, harmed: float = 0.5, number: int = 2) -> Plan:
    trials = []
    for k, name in enumerate(("A:over", "B")):
        recipe = Recipe(((name, "hard", 1.0),), number, shape=(64, 64), seed=10 + k, empty=0.0)
        trials.append(Trial(f"to_{name}", "everywhere", name, recipe, "hard", harmed))
    return Plan(tuple(trials))


def make(plan: Plan, out: Path, stop_after: int | None = None) -> Cases:
    from epistem.app.forecast_cases import make_cases

    return make_cases(plan, out, told=Silent(stop_after), device="cpu")


def same(one: Cases, other: Cases) -> bool:
    about = [json.dumps(cases.provenance, sort_keys=True) for cases in (one, other)]
    return one.images.equals(other.images) and one.objects.equals(other.objects) and about[0] == about[1]


def test_every_image_of_a_plan_is_a_case_that_names_where_it_is_from(everywhere: None, tmp_path: Path) -> None:
    cases = make(tiny(), tmp_path)
    assert cases.images["image"].tolist() == ["00/00000", "00/00001", "01/00000", "01/00001"]
    assert cases.images["source"].tolist() == ["A:over"] * 2 + ["B"] * 2
    assert cases.images["split"].tolist() == ["to_A:over"] * 2 + ["to_B"] * 2
    assert set(cases.images["detector"]) == {"everywhere"}
    assert cases.counts(0.5).sum() > 0
    assert cases.images[["q_noise", "pixel_nm"]].notna().all(axis=None)
    assert cases.objects["score"].min() >= LEAST_CANDIDATE
    assert same(Cases.load(tmp_path), cases)


def test_cases_count_as_calibration_does_on_the_same_fields(everywhere: None, tmp_path: Path) -> None:
    from epistem.detect.calibrate import ASKED, collect, counts_at, saved_field

    plan = tiny(harmed=0.0)
    cases = make(plan, tmp_path)
    fields = [
        saved_field(path, ASKED["hard"])
        for number in range(len(plan.trials))
        for path in sorted((tmp_path / "fields" / f"{number:02d}").glob("*.npz"))
    ]
    judged = collect(Everywhere(), fields)
    assert judged.right.any()
    assert judged.neither.any()
    for least in (0.1, 0.5, 0.8):
        assert cases.counts(least).tolist() == counts_at(judged, least).tolist()


def test_provenance_has_plan_and_weights(everywhere: None, tmp_path: Path) -> None:
    about = make(tiny(), tmp_path).provenance
    assert about["weights"] == {"everywhere": None}
    assert [one["recipe"]["seed"] for one in about["trials"]] == [10, 11]
    assert json.dumps(about)


def test_a_run_that_was_stopped_goes_on_and_makes_the_same(everywhere: None, tmp_path: Path) -> None:
    whole = make(tiny(), tmp_path / "whole")
    assert Everywhere.seen == 4
    with pytest.raises(KeyboardInterrupt):
        make(tiny(), tmp_path / "parts", stop_after=2)
    assert Everywhere.seen == 7
    assert same(make(tiny(), tmp_path / "parts"), whole)
    assert Everywhere.seen == 9  # the first part was there
    assert same(make(tiny(), tmp_path / "parts"), whole)
    assert Everywhere.seen == 9


def test_a_folder_with_another_plan_is_refused_and_nothing_is_mixed(everywhere: None, tmp_path: Path) -> None:
    make(tiny(number=1), tmp_path)
    with pytest.raises(TrainingError, match=r"trials\.00\.recipe\.number was 1 and is now 2"):
        make(tiny(number=2), tmp_path)


def test_weights_that_changed_since_are_refused(
    everywhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tiny(number=1), tmp_path)
    monkeypatch.setattr("epistem.app.forecast_cases.weights_hash", lambda _: "0123")
    with pytest.raises(TrainingError, match=r"weights\.everywhere was None and is now '0123'"):
        make(tiny(number=1), tmp_path)


def test_a_part_that_is_damaged_is_refused(everywhere: None, tmp_path: Path) -> None:
    make(tiny(number=1), tmp_path)
    (tmp_path / "parts" / "00" / "images.parquet").write_text("text")
    with pytest.raises(RecordError, match="wanted a table of cases"):
        make(tiny(number=1), tmp_path)


def test_as_many_as_asked_for_are_harmed_and_always_the_same(everywhere: None, tmp_path: Path) -> None:
    from epistem.app.forecast_cases import _harmed
    from epistem.detect.calibrate import ASKED, saved_field
    from epistem.synth.fields import make_fields

    trial = tiny(number=1).trials[0]
    field = saved_field(make_fields(tmp_path, trial.recipe)[0], ASKED["hard"])
    assert _harmed(field, replace(trial, harmed=0.0), 0) is field
    made = [_harmed(field, replace(trial, harmed=0.5), k) for k in range(24)]
    again = [_harmed(field, replace(trial, harmed=0.5), k) for k in range(24)]
    assert [one.micrograph.id for one in made] == [one.micrograph.id for one in again]
    assert 6 <= sum(one.micrograph.id != field.micrograph.id for one in made) <= 18
    assert all(one.asked.shape == one.ambiguous.shape == one.micrograph.shape for one in made)
    assert all(len(one.asked) == len(field.asked) for one in made)


def test_each_image_is_looked_at_again_through_the_trials_views(everywhere: None, tmp_path: Path) -> None:
    plan = tiny(number=1)
    looked = Plan((replace(plan.trials[0], views=("flip-cols", "noise")), plan.trials[1]))
    images = make(looked, tmp_path).images
    assert images.loc[0, ["st_f1_flip_cols", "st_f1_noise", "st_iou"]].notna().all()
    assert images.loc[1, ["st_f1_flip_cols", "st_f1_noise", "st_iou"]].isna().all()


def test_in_drawings_of_other_kinds_all_that_is_found_is_false(everywhere: None, tmp_path: Path) -> None:
    trial = tiny().trials[0]
    drawn = make(Plan((replace(trial, foreign=True, source=FOREIGN, split=FOREIGN),)), tmp_path)
    assert drawn.images["asked"].tolist() == [0, 0]
    assert not drawn.objects["right"].any()
    assert len(drawn.own) == 0


def test_a_plan_on_recorded_fields_without_any_says_what_to_give(everywhere: None, tmp_path: Path) -> None:
    trial = tiny().trials[0]
    recorded = Plan((replace(trial, recipe=replace(trial.recipe, on_backgrounds=1.0)),))
    with pytest.raises(SettingsError, match="pass --spec"):
        make(recorded, tmp_path)
