"""`benchmarks/` that score detectors, on images whose answer is known."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epistem.core import Calibration, Instances, Micrograph
from epistem.synth.cavities import Simulated
from epistem.synth.fields import save_field

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (60, 80)
TRUE = [[10, 10, 30, 30], [10, 50, 18, 58], [40, 40, 50, 50]]


def module(name: str) -> ModuleType:
    if not (ROOT / "benchmarks" / f"{name}.py").is_file():
        pytest.skip("benchmarks are not here")
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.{name}")
    finally:
        sys.path.remove(str(ROOT))


@dataclass(frozen=True)
class Fake:
    """Finds the same boxes in every image, from a score on."""

    min_score: float = 0.0
    more: tuple[tuple[int, ...], ...] = ()

    def __call__(self, micrograph: Micrograph) -> Instances:
        # Two true ones, the second by less than half; one that is not there; a true one too faint to be shown.
        boxes = [TRUE[0], [44, 40, 54, 50], [40, 5, 50, 15], TRUE[1], *self.more]
        found = Instances.from_boxes(micrograph.shape, boxes, [0.9, 0.8, 0.6, 0.3] + [0.7] * len(self.more))
        return found[found.score >= self.min_score]


def fake(word: str = "cavity-dense", *more: tuple[int, ...]) -> Any:
    label = Path(word.partition("=")[2] or word).stem
    return module("contest").Contestant(label, Fake(0.5, more), Fake(0.0, more), 0.5, word)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}

    def keep(name: str, value: float, **rest: Any) -> None:
        assert name not in rows, f"{name} twice"
        rows[name] = {"value": value, **rest}

    monkeypatch.setattr(module("contest"), "record", keep)
    monkeypatch.setattr(module("contest"), "forget", lambda name: rows.pop(name, None))
    return rows


def labelled(name: str, focus: str) -> Any:
    study = module("study")
    view = study.Labelled(
        Instances.from_boxes(SHAPE, TRUE), Instances.from_boxes(SHAPE, [[0, 0, 5, 5]]), (0, 0, 70, 60), focus
    )
    other = study.Labelled(Instances.from_boxes(SHAPE, TRUE[:1]), view.ambiguous, view.window, focus)
    pixels = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    return study.Crop(name, Micrograph(pixels), {"A": view, "B": other})


@pytest.fixture
def two_crops(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    real = module("real_f1")
    monkeypatch.setattr(real, "labelled_cavities", lambda: [labelled("one", "under"), labelled("two", "over")])
    # What an annotator was not sure of, and what lies where he did not look, count neither way.
    monkeypatch.setattr(real, "contestant", lambda word: fake("cavity-dense", (0, 0, 5, 5), (20, 70, 30, 80)))
    monkeypatch.setattr(real, "BASELINES", ("log",))
    return real


def test_real_crops_are_scored_by_annotator_focus_size_and_crop(
    two_crops: ModuleType, recorded: dict[str, dict[str, Any]]
) -> None:
    assert two_crops.main([]) == 0
    value = {name: row["value"] for name, row in recorded.items()}
    # Of three true ones two are found and one invented, in each crop.
    for name in ("real_f1", "real_f1_underfocus", "real_f1_overfocus", "real_precision", "real_recall"):
        assert value[f"main.{name}"] == pytest.approx(2 / 3, abs=1e-4)
    assert value["main.real_f1_iou50"] == pytest.approx(1 / 3, abs=1e-4)
    assert value["main.real_f1.B"] == pytest.approx(2 / (2 + 2), abs=1e-4)
    assert value["main.real_recall_small"] == 0
    assert value["main.real_recall.10_to_20_px"] == value["main.real_recall.20_to_40_px"] == 1
    assert "main.real_recall.40_px_up" not in value
    # From 0.3 on the small one is found too: 3 right, 1 invented.
    assert value["main.real_f1_oracle"] == pytest.approx(6 / 7, abs=1e-4)
    assert value["main.real_crop.one"] == value["main.real_crop.two"] == pytest.approx(2 / 3, abs=1e-4)
    assert value["main.annotator_f1"] == pytest.approx(1 / 2, abs=1e-4)
    assert {"main.baseline_real_f1", "main.baseline_real_f1.log.A", "main.baseline_real_f1.log.B"} <= set(value)
    targets = {name: row["target"] for name, row in recorded.items() if row["target"] != "reported"}
    assert targets == {
        "main.real_f1": ">= 0.80",
        "main.real_f1_overfocus": ">= 0.70",
        "main.real_recall_small": ">= 0.55",
    }


def test_one_crop_has_no_interval_and_two_have(two_crops: ModuleType, recorded: dict[str, dict[str, Any]]) -> None:
    two_crops.main([])
    assert recorded["main.real_f1_overfocus"]["low"] is None
    assert recorded["main.real_f1"]["low"] == recorded["main.real_f1"]["high"] == recorded["main.real_f1"]["value"]


def test_what_is_not_the_default_gets_its_name_and_no_target(
    two_crops: ModuleType, recorded: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_crops, "contestant", lambda word: fake("mine"))
    two_crops.main(["mine"])
    assert recorded["main.real_f1.mine"]["target"] == "reported"
    assert "main.real_f1" not in recorded


def test_dry_records_nothing(
    two_crops: ModuleType, recorded: dict[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    two_crops.main(["--dry"])
    assert recorded == {}
    assert "main.real_f1 = 0.6667" in capsys.readouterr().out


def test_what_can_no_longer_be_measured_leaves_no_old_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module("record"), "ROOT", tmp_path)
    path = tmp_path / "results" / "main.json"
    path.parent.mkdir()
    path.write_text('[{"name": "main.a"}, {"name": "main.a.b"}]', "utf-8")
    rest = {"target": "reported", "command": "c", "data": "d"}
    module("contest").told("main.a", None, **rest, dry=True)
    assert len(json.loads(path.read_text("utf-8"))) == 2
    module("contest").told("main.a", None, **rest, dry=False)
    assert json.loads(path.read_text("utf-8")) == [{"name": "main.a.b"}]


def test_objects_of_a_size_say_in_how_many_crops_they_lie(
    two_crops: ModuleType, recorded: dict[str, dict[str, Any]]
) -> None:
    two_crops.main([])
    said = recorded["main.real_recall_small"]["data"]
    assert "0 of 2 true objects of 0 to 10 px (mean side of the box), in 2 of the crops" in said


def test_pictures_show_right_missed_invented_and_ambiguous(two_crops: ModuleType, tmp_path: Path) -> None:
    two_crops.main(["--dry", "--pictures", str(tmp_path / "seen")])
    picture = np.asarray(Image.open(tmp_path / "seen" / "one.png"))
    zoom = picture.shape[0] // SHAPE[0]
    pictures = module("pictures")
    corners = {
        pictures.RIGHT: (10, 10),
        pictures.MISSED: (10, 50),
        pictures.INVENTED: (40, 5),
        pictures.AMBIGUOUS: (0, 0),
    }
    for colour, (row, col) in corners.items():
        assert tuple(picture[row * zoom, col * zoom]) == colour
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["one.png", "two.png"]


@pytest.mark.parametrize("inside", ["", "results/pictures", "../{0}/docs"])
def test_pictures_are_refused_a_folder_in_the_repository(inside: str) -> None:
    folder = ROOT / inside.format(ROOT.name)
    assert not module("pictures").outside_repository(folder)
    with pytest.raises(SystemExit):
        module("real_f1").main(["--pictures", str(folder)])
    with pytest.raises(ValueError, match="study only"):
        module("pictures").draw_pictures(folder, [])


def test_pictures_are_refused_a_folder_in_another_checkout(tmp_path: Path) -> None:
    outside = module("pictures").outside_repository
    assert outside(tmp_path / "a" / "b")
    (tmp_path / ".git").mkdir()
    assert not outside(tmp_path / "a" / "b")


def test_a_way_round_into_the_repository_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = module("pictures")
    monkeypatch.setattr(pictures, "ROOT", tmp_path / "here")
    assert pictures.outside_repository(tmp_path / "there")
    assert not pictures.outside_repository(tmp_path / "there" / ".." / "here" / "results")


@pytest.mark.parametrize("name", ["real_f1", "empty_fields"])
def test_without_the_images_it_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EPISTEM_STUDY_DATA", raising=False)
    assert module(name).main([]) == 0
    assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["real_f1", "sim_f1", "empty_fields", "ablation", "detect_speed", "lite_size"])
def test_help_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name in ("ablation", "detect_speed"):
        pytest.importorskip("torch")
        pytest.importorskip("timm")
    with pytest.raises(SystemExit) as end:
        module(name).main(["--help"])
    assert end.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_weights_that_are_not_there_are_skipped_with_a_word(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("safetensors")
    assert module("contest").contestant(f"cavity-dense={tmp_path / 'none.safetensors'}") is None
    assert "skipped cavity-dense" in capsys.readouterr().out


def test_a_contestant_knows_its_own_threshold_and_keeps_all_beside(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    from epistem.nets.weights import save_weights

    path = tmp_path / "tried.safetensors"
    save_weights(path, {"a": np.zeros(3, np.float32)}, network="cavity-dense", settings={}, min_score=0.4, card={})
    who = module("contest").contestant(f"cavity-dense={path}")
    assert (who.label, who.min_score, who.as_used.min_score, who.keeps_all.min_score) == ("tried", 0.4, None, 0.0)


def test_a_detector_without_weights_takes_part_as_it_is() -> None:
    who = module("contest").contestant("log")
    assert (who.label, who.min_score, who.keeps_all) == ("log", 0.0, who.as_used)


def saved(folder: Path, contrast: float = 9.0, seen: float = 9.0) -> Path:
    crops = tuple(np.ones((b[2] - b[0], b[3] - b[1]), bool) for b in TRUE)
    columns = {"diameter_nm": [20.0, 8.0, 10.0], "d_prime": [seen] * 3, "contrast_to_noise": [contrast] * 3}
    truth = Instances.from_boxes(SHAPE, TRUE, crops=crops, columns={k: np.array(v) for k, v in columns.items()})
    path = folder / f"{contrast}-{seen}.npz"
    save_field(path, Simulated(Micrograph(np.zeros(SHAPE, np.uint16), Calibration(1, 1, "simulation")), truth))
    return path


@pytest.fixture
def with_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], ModuleType]:
    sim = module("sim_f1")
    easy, faint, unseen = saved(tmp_path), saved(tmp_path, contrast=1.0), saved(tmp_path, seen=4.0)
    held_out = [
        sim.Group("A:over", "clear", [easy, easy]),
        sim.Group("B", "clear", [easy, faint]),
        sim.Group("B", "hard", [unseen, unseen]),
    ]
    monkeypatch.setattr(sim, "groups", lambda folder, number: held_out)
    return sim


def test_simulation_is_scored_by_set_and_the_worst_clear_one_is_the_result(
    with_groups: ModuleType, recorded: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(with_groups, "contestant", lambda word: fake(word))
    with_groups.main(["cavity-dense", "log"])
    value = {name: row["value"] for name, row in recorded.items()}
    # In a faint field nothing is asked for: what meets the faint ones is neither, one is invented.
    assert value["main.sim_f1.A-over.clear"] == pytest.approx(2 / 3, abs=1e-4)
    assert value["main.sim_f1.B.clear"] == pytest.approx(4 / 7, abs=1e-4)
    assert value["main.sim_f1.B.hard"] == 0
    assert value["main.sim_f1"] == value["main.sim_f1.B.clear"]
    assert recorded["main.sim_f1"]["target"] == ">= 0.90"
    assert "B" in recorded["main.sim_f1"]["data"]
    assert recorded["main.sim_f1.log"]["target"] == recorded["main.sim_f1.log.B.clear"]["target"] == "reported"
    assert "recall 0.667" in recorded["main.sim_f1.A-over.clear"]["data"]


def test_weights_a_person_names_never_become_the_headline_though_called_alike(
    with_groups: ModuleType, recorded: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    word = "cavity-dense=mine/cavity-dense.safetensors"
    monkeypatch.setattr(with_groups, "contestant", fake)
    with_groups.main([word])
    assert "main.sim_f1" not in recorded
    assert recorded["main.sim_f1.cavity-dense"]["command"].endswith(f" {word}")
    assert recorded["main.sim_f1.cavity-dense"]["target"] == "reported"


def test_the_calibration_error_is_that_of_all_held_out_objects(
    with_groups: ModuleType, recorded: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(with_groups, "contestant", lambda word: fake(word))
    with_groups.main(["cavity-dense"])
    # 0.9 and 0.8 are right in the 3 easy fields; 0.6 is wrong in all 6.
    shown = (3 * 0.1 + 3 * 0.2 + 6 * 0.6) / 12
    assert recorded["main.score_ece"]["value"] == pytest.approx(shown, abs=1e-4)
    assert recorded["main.score_ece.all"]["value"] == pytest.approx((shown * 12 + 3 * 0.7) / 15, abs=1e-4)


def test_held_out_fields_are_of_their_own_seeds_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = module("sim_f1")
    made = []

    def make(place: Path, recipe: Any) -> list[Path]:
        made.append((place.name, recipe))
        return [place]

    monkeypatch.setattr(sim, "make_fields", make)
    held_out = sim.groups(tmp_path, 40)
    assert [one.key for one in held_out[:3]] == ["A-over.clear", "A-over.hard", "A-under.clear"]
    assert sorted(recipe.seed for _, recipe in made) == list(range(1000, 1008))
    assert len({name for name, _ in made}) == 8
    assert all(recipe.number == 40 and recipe.shape == (512, 512) for _, recipe in made)


def test_objects_in_empty_fields_are_counted_apart_by_training(
    recorded: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = module("empty_fields")
    (tmp_path / "images").mkdir()
    for name, shape in (("1_115K.png", (1000, 1000)), ("1_focus.png", (1000, 1000)), ("5_focus.png", (2000, 1000))):
        Image.fromarray(np.full(shape, 90, np.uint8)).save(tmp_path / "images" / name)
    monkeypatch.setattr(empty, "study_data", lambda folder: tmp_path)
    monkeypatch.setattr(empty, "contestant", lambda word: fake(word))
    monkeypatch.setattr(empty, "trained_on", lambda: {"1_115K.png"})
    empty.main(["cavity-dense", "log"])
    value = {name: row["value"] for name, row in recorded.items()}
    assert value["main.false_per_empty_field"] == value["main.false_per_empty_field.seen"] == 3
    assert value["main.false_per_empty_megapixel"] == 2
    assert value["main.false_per_empty_megapixel.seen"] == 3
    assert value["main.false_per_empty_field.log"] == value["main.false_per_empty_field.log.seen"] == 3
    assert "1 of a specimen area used in training" in recorded["main.false_per_empty_field"]["data"]


def test_the_fields_trained_on_are_those_of_the_spec(tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text('[[backgrounds.files]]\nname = "a.png"\n[[backgrounds.files]]\nname = "b.png"\n', "utf-8")
    assert module("empty_fields").trained_on(spec) == {"a.png", "b.png"}


def test_a_gain_in_f1_is_that_of_the_same_fields_and_can_be_a_loss() -> None:
    contest = module("contest")
    good, poor = [[2, 0, 0], [1, 1, 1]], [[1, 1, 1], [0, 1, 2]]
    gain = contest.f1_gain(good, poor)
    assert gain.value == pytest.approx(6 / 8 - 2 / 7, abs=1e-4)
    # Drawn together: either field alone gives 0.5, which fields drawn apart would not.
    assert (gain.low, gain.high) == (pytest.approx(6 / 8 - 2 / 7, abs=1e-4), 0.5)
    assert contest.f1_gain(poor, good).value == -gain.value
    assert contest.f1_gain([], []) is None


@pytest.mark.parametrize("name", ["texture", "camera", "speckle"])
def test_what_recorded_fields_bring_is_left_out_with_them(name: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    ablation = module("ablation")
    spec = ablation.read_spec(ablation.SPEC)
    changed = ablation.VARIANTS[name](spec)
    assert any(recipe.on_backgrounds for recipe in spec.fields.values())
    assert all(recipe.on_backgrounds == 0 for recipe in (*changed.fields.values(), *changed.calibration.values()))


def test_a_pooled_share_is_that_of_the_sums_and_skips_images_that_say_nothing() -> None:
    contest = module("contest")
    share = contest.pooled_share([1, 0, 3], [2, 0, 4])
    assert share.value == pytest.approx(4 / 6, abs=1e-4)
    assert (share.low, share.high) == (0.5, 0.75)
    assert contest.pooled_share([0, 0], [0, 0]) is None
    assert contest.pooled_share([1, 0], [2, 0]) == (0.5, None, None)
