from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epistem.core import SettingsError, TrainingError

pytest.importorskip("torch")
pytest.importorskip("timm")
from epistem.nets import runs
from epistem.nets.augment import Augment
from epistem.nets.backgrounds import Background, Backgrounds, load_backgrounds
from epistem.nets.runs import claim
from epistem.nets.spec import read_spec, spec_of

SHIPPED = Path(__file__).parents[2] / "scripts" / "shipped"


def values(**more: Any) -> dict[str, Any]:
    """The least that a spec needs."""
    recipe = {"shares": [["B", "clear", 1.0]], "number": 2}
    least = {"network": "cavity-dense", "fields": {"some": recipe}, "calibration": {"some": recipe}}
    return least | {"schedule": {"steps": 10}} | more


def test_what_a_spec_does_not_say_is_the_default():
    spec = spec_of(values())
    assert spec.augment == Augment()
    assert spec.schedule.batch == 8


def test_shipped_specs_can_be_read():
    specs = [read_spec(path) for path in sorted(SHIPPED.glob("*.toml"))]
    assert specs
    assert all(spec.settings.get("pretrained") for spec in specs)


def test_calibration_and_tests_draw_other_fields_than_the_training():
    for path in SHIPPED.glob("*.toml"):
        spec = read_spec(path)
        seeds = [recipe.seed for part in (spec.fields, spec.calibration, spec.tests) for recipe in part.values()]
        assert len(set(seeds)) == len(seeds)


BAD = [
    ({"frog": 1}, "the spec has no frog"),
    ({"network": "cavity-dens"}, "Did you mean 'cavity-dense'"),
    ({"settings": {"widths": [1, 2]}}, "settings.widths"),
    ({"settings": {"pretraned": True}}, "[settings] has no pretraned; it has"),
    ({"fields": {"some": {"shares": [["B", "clear", 1.0]]}}}, "[fields.some] lacks number; add it"),
    ({"fields": {"some": {"shares": [["B", "clear", 1.0]], "number": 0}}}, "fields.some.number is at least 1, not 0"),
    ({"fields": {"some": {"shares": [["B", "dull", 1.0]], "number": 2}}}, "fields.some.shares.0.1"),
    ({"fields": {"some": {"shares": [["B", "any", 1.0]], "number": 2, "empty": 1.0}}}, "nothing to learn"),
    ({"fields": {"some": {"shares": [["B", "any", 1.0]], "number": 2, "on_backgrounds": 0.5}}}, "add [backgrounds]"),
    ({"fields": {}}, "nothing to learn"),
    ({"calibration": {}}, "[calibration.NAME]"),
    ({"schedule": {"steps": "many"}}, "schedule.steps"),
    ({"schedule": {"steps": 0}}, "schedule: steps is a whole number of at least 1, not 0"),
    ({"schedule": 7}, "schedule is a table [schedule]"),
    ({"augment": {"zom": 2}}, "[augment] has no zom"),
    ({"augment": {"enlarge": 0.5}}, "enlarge of [augment] is a number from 1 to 16, not 0.5"),
    ({"augment": {"enlarge": float("nan")}}, "enlarge of [augment]"),
    ({"augment": {"enlarge": 1e9}}, "enlarge of [augment]"),
    ({"augment": {"shrink": 17.0}}, "shrink of [augment]"),
    ({"augment": {"jitter": float("inf")}}, "jitter of [augment]"),
    ({"augment": {"plain": float("nan")}}, "plain of [augment]"),
    ({"augment": {"window_px": 100}}, "multiple of 32 up to 4096, not 100"),
    ({"augment": {"window_px": 1048576}}, "multiple of 32 up to 4096, not 1048576"),
    ({"schedule": {"steps": True}}, "schedule.steps is a number, not true"),
    ({"schedule": {"steps": 10, "clip": 0}}, "schedule: clip is a number above 0, not 0"),
    ({"schedule": {"steps": 10, "learning_rate": float("inf")}}, "learning_rate is a number above 0, not inf"),
    ({"settings": {"iou": 7}}, "settings: iou is above 0 and at most 1, not 7"),
    ({"settings": {"inside": float("nan")}}, "settings: inside is above 0"),
    ({"settings": {"least_logit": float("nan")}}, "settings: least_logit is a finite number"),
    ({"network": 5}, "network is a name in quotes, one of cavity-dense"),
    ({"network": ["cavity-dense"]}, "network is a name in quotes"),
    ({"fields": {"some": {"shares": [["B", "any", 1.0]], "number": 2, "seed": -1}}}, "seed is a whole number from 0"),
    ({"fields": {"some": {"shares": [["B", "any", 1.0]], "number": 2, "without": ["shape"]}}}, "shape may not"),
    ({"backgrounds": {"licence": "MIT", "files": [{"name": "a", "url": "b", "sha256": "c"}]}}, "64 hexadecimal"),
    ({"backgrounds": {"licence": "MIT", "files": []}}, "names no file"),
]


@pytest.mark.parametrize(("more", "says"), BAD)
def test_what_is_wrong_in_a_spec_is_named(more: dict[str, Any], says: str):
    with pytest.raises(SettingsError) as caught:
        spec_of(values(**more))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_spec_that_is_no_toml_or_not_there_is_named(tmp_path: Path):
    (tmp_path / "a.toml").write_text("steps = = 3", "utf-8")
    with pytest.raises(SettingsError, match=r"a\.toml is not TOML"):
        read_spec(tmp_path / "a.toml")
    with pytest.raises(SettingsError, match=r"b\.toml: wanted the TOML"):
        read_spec(tmp_path / "b.toml")


def test_a_folder_with_another_run_is_refused_and_the_difference_named(tmp_path: Path):
    claim(tmp_path, {"spec": spec_of(values()).as_dict()})
    claim(tmp_path, {"spec": spec_of(values()).as_dict()})
    with pytest.raises(TrainingError, match=r"spec\.schedule\.steps was 10 and is now 11; choose another --out"):
        claim(tmp_path, {"spec": spec_of(values(schedule={"steps": 11})).as_dict()})


HOLDING = """
import sys
from pathlib import Path
from epistem.nets.runs import claim
claim(Path(sys.argv[1]), {})
print("held", flush=True)
sys.stdin.read()
"""


def test_two_runs_in_one_folder_are_refused_until_the_first_has_ended(tmp_path: Path):
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(
            TrainingError, match=r"another run is working in .*; wait for it, or choose another --out"
        ):
            claim(tmp_path, {})
        other.communicate()
    claim(tmp_path, {})
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other:
        assert b"another run is working" in other.communicate()[1]
    runs.release(tmp_path)
    done = subprocess.run(command, input="", capture_output=True, text=True)
    assert done.stdout == "held\n"


def test_a_disk_that_knows_no_locks_is_worked_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def none(file: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(runs, "_lock_file", none)
    claim(tmp_path, {})
    assert (tmp_path / "run.json").is_file()


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Background]:
    """A grey picture on disk, and the background that it is."""
    monkeypatch.delenv("EPISTEM_STUDY_DATA", raising=False)
    grey = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
    path = tmp_path / "there" / "a.png"
    path.parent.mkdir()
    Image.fromarray(grey).save(path)
    return path, Background("a.png", path.as_uri(), hashlib.sha256(grey.tobytes()).hexdigest())


def load(one: Background, cache: Path) -> Any:
    return load_backgrounds(Backgrounds((one,), "MIT", "study"), cache)[0]


def test_a_background_is_fetched_once(picture: tuple[Path, Background], tmp_path: Path):
    path, one = picture
    first = load(one, tmp_path / "cache")
    path.unlink()
    assert (load(one, tmp_path / "cache") == first).all()
    assert first.dtype == np.float32


def test_a_background_in_the_study_data_is_not_fetched(
    picture: tuple[Path, Background], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, one = picture
    (tmp_path / "study").mkdir()
    path.rename(tmp_path / "study" / "a.png")
    monkeypatch.setenv("EPISTEM_STUDY_DATA", str(tmp_path))
    assert load(one, tmp_path / "cache").shape == (20, 30)
    assert not (tmp_path / "cache").exists()


def test_another_picture_under_that_name_is_refused_and_not_kept(picture: tuple[Path, Background], tmp_path: Path):
    path, one = picture
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(path)
    with pytest.raises(TrainingError, match=r"is not the image that was meant.*save the right one as"):
        load(one, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_background_out_of_reach_says_where_to_put_it(picture: tuple[Path, Background], tmp_path: Path):
    path, one = picture
    path.unlink()
    with pytest.raises(TrainingError, match=r"could not be fetched.*save it as .*a\.png, or train without"):
        load(one, tmp_path / "cache")
