from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from epistem.core.errors import ReadError, RecordError, SettingsError
from epistem.core.instances import Instances
from epistem.core.micrograph import Micrograph
from epistem.synth import fields
from epistem.synth.cavities import Simulated
from epistem.synth.fields import Recipe, draw_field, load_field, make_fields, save_field

RECIPE = Recipe((("C", "any", 2.0), ("B", "clear", 1.0)), number=3, shape=(64, 80), seed=5)
BACKGROUNDS = (
    np.full((90, 100), 50, np.float32),
    np.random.default_rng(0).normal(80, 5, (130, 100)).astype(np.float32),
)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_fields(folder, RECIPE)
    return folder


def settings(field: Simulated) -> dict[str, object]:
    assert field.truth.provenance is not None
    return dict(field.truth.provenance.settings)


def test_same_recipe_same_files_and_another_seed_others(made: Path, tmp_path: Path) -> None:
    make_fields(tmp_path / "again", RECIPE)
    assert files(tmp_path / "again") == files(made)
    assert list(files(made)) == ["00000.npz", "00001.npz", "00002.npz"]
    (path,) = make_fields(tmp_path / "other", replace(RECIPE, number=1, seed=6))
    assert path.read_bytes() != (made / "00000.npz").read_bytes()


def test_a_field_does_not_depend_on_how_many_there_are_or_which_others_are_made(made: Path, tmp_path: Path) -> None:
    save_field(tmp_path / "alone.npz", draw_field(replace(RECIPE, number=900), 2))
    assert (tmp_path / "alone.npz").read_bytes() == (made / "00002.npz").read_bytes()


def test_a_run_that_was_cut_short_goes_on_and_keeps_what_is_there(made: Path, tmp_path: Path) -> None:
    make_fields(tmp_path, RECIPE)
    (tmp_path / "00001.npz").unlink()
    (tmp_path / "00000.npz").write_bytes(b"kept, whatever it is")
    told: list[tuple[int, int]] = []
    paths = make_fields(tmp_path, RECIPE, told=lambda done, of: told.append((done, of)))
    assert [path.name for path in paths] == list(files(made))
    assert told == [(3, 3)]
    assert files(tmp_path) == files(made) | {"00000.npz": b"kept, whatever it is"}


def test_two_workers_make_the_same_files_as_one(tmp_path: Path) -> None:
    mixed = replace(RECIPE, on_backgrounds=0.5)
    told: list[tuple[int, int]] = []
    alone = make_fields(tmp_path / "alone", mixed, BACKGROUNDS)
    both = make_fields(
        tmp_path / "both", mixed, BACKGROUNDS, workers=2, told=lambda done, of: told.append((done, of))
    )
    assert files(tmp_path / "both") == files(tmp_path / "alone")
    assert [path.name for path in both] == [path.name for path in alone]
    assert told == [(1, 3), (2, 3), (3, 3)]


ORPHANS = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from epistem.synth.fields import Recipe, make_fields
recipe = Recipe((("C", "any", 1.0),), number=100_000, shape=(32, 32))
if __name__ == "__main__":
    make_fields(Path(sys.argv[1]), recipe, workers=2, told=lambda done, of: print(done, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a worker there cannot see that its parent is gone")
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(ORPHANS, "utf-8")
    with subprocess.Popen([sys.executable, str(script), str(tmp_path / "f")], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"1\n"
        run.kill()
        run.communicate(timeout=30)  # the pipe ends when nobody holds it, the workers included


def test_what_a_worker_cannot_make_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="too small"):
        make_fields(tmp_path, replace(RECIPE, on_backgrounds=1.0), (np.ones((9, 9), np.float32),), workers=2)
    assert files(tmp_path) == {}


def test_no_field_is_an_empty_folder(tmp_path: Path) -> None:
    assert make_fields(tmp_path / "new" / "folder", replace(RECIPE, number=0)) == []
    assert files(tmp_path / "new" / "folder") == {}


@pytest.mark.parametrize("on_backgrounds", [0.0, 1.0])
def test_a_saved_field_comes_back_with_masks_and_columns(tmp_path: Path, on_backgrounds: float) -> None:
    field = draw_field(replace(RECIPE, empty=0.0, on_backgrounds=on_backgrounds), 0, BACKGROUNDS)
    save_field(tmp_path / "field.npz", field)
    pixels, truth, pixel_nm = load_field(tmp_path / "field.npz")
    assert len(truth) > 0
    assert pixel_nm == field.micrograph.needs_calibration().row_nm
    assert np.array_equal(pixels, field.micrograph.pixels)
    assert pixels.dtype == np.uint16
    assert truth.shape == field.truth.shape
    assert np.array_equal(truth.boxes, field.truth.boxes)
    pairs = list(zip(truth.masks(), field.truth.masks(), strict=True))
    assert all(np.array_equal(back.crop, crop.crop) for back, crop in pairs)
    assert sum(back.crop.sum() for back, _ in pairs) > 0
    assert set(truth.columns) == {"diameter_nm", "depth_nm", "d_prime", "contrast_to_noise"}
    for name, column in field.truth.columns.items():
        assert np.array_equal(truth.columns[name], column)


def test_an_empty_field_comes_back_empty(tmp_path: Path) -> None:
    field = draw_field(replace(RECIPE, empty=1.0), 0)
    save_field(tmp_path / "field.npz", field)
    pixels, truth, _ = load_field(tmp_path / "field.npz")
    assert pixels.shape == truth.shape == RECIPE.shape
    assert len(truth) == 0
    assert set(truth.columns) == set(field.truth.columns)


def test_a_file_tells_its_pixel_size_and_how_it_was_made(made: Path) -> None:
    with np.load(made / "00001.npz") as file:
        told = json.loads(str(file["made"]))
        pixel_nm = float(file["pixel_nm"])
    assert told["settings"]["pixel_nm"] == pixel_nm
    assert told["settings"]["shape"] == [64, 80]
    assert told["maker"] == "epistem.synth.cavities.simulate"


def test_half_a_file_never_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: object, **arrays: NDArray[np.float64]) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("no space left")

    seen: list[list[str]] = []
    whole = fields.np.savez

    def watched(file: object, **arrays: NDArray[np.float64]) -> None:
        whole(file, **arrays)  # type: ignore[arg-type]
        seen.append([path.name for path in tmp_path.glob("*.npz")])

    monkeypatch.setattr(fields.np, "savez", watched)
    field = Simulated(draw_field(RECIPE, 0).micrograph, Instances.empty(RECIPE.shape))
    save_field(tmp_path / "a.npz", field)
    assert seen == [[]]
    monkeypatch.setattr(fields.np, "savez", broken)
    with pytest.raises(RecordError, match="no space left"):
        save_field(tmp_path / "b.npz", field)
    assert list(files(tmp_path)) == ["a.npz"]


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "text", "other arrays"])
def test_a_damaged_file_is_refused_and_told_what_to_do(made: Path, tmp_path: Path, harm: str) -> None:
    path, data = tmp_path / "field.npz", (made / "00000.npz").read_bytes()
    middle = len(data) // 3
    flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    path.write_bytes({"cut": data[: len(data) // 2], "flipped": flipped, "text": b"not a field"}.get(harm, b""))
    if harm == "other arrays":
        np.savez(path, image=np.zeros((2, 2)))
    with pytest.raises(ReadError, match=r"field\.npz is no whole field: .*; delete it and it is made again"):
        load_field(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="is no whole field"):
        load_field(tmp_path / "none.npz")


def test_a_field_needs_its_pixel_size(tmp_path: Path) -> None:
    field = Simulated(Micrograph(np.zeros((4, 4), np.uint16)), Instances.empty((4, 4)))
    with pytest.raises(Exception, match="has no pixel size"):
        save_field(tmp_path / "field.npz", field)
    assert files(tmp_path) == {}


def test_an_ingredient_can_be_left_out_of_every_field() -> None:
    without = replace(RECIPE, without=("clouds", "faceted", "scintillator"))
    whole = [settings(draw_field(RECIPE, i)) for i in range(4)]
    left = [settings(draw_field(without, i)) for i in range(4)]
    for name in without.without:
        assert any(one[name] for one in whole)
        assert not any(one[name] for one in left)
    off = dict.fromkeys(without.without, 0.0)
    assert left == [one | off for one in whole]


def test_weights_choose_the_set_and_0_never() -> None:
    recipe = Recipe(
        (("A:over", "clear", 3.0), ("A:under", "clear", 1.0), ("wide", "hard", 0.0)), 0, (32, 32), empty=1.0
    )
    drawn = [settings(draw_field(recipe, i)) for i in range(30)]
    assert all(one["drift_px"] == 0 for one in drawn)  # `wide`, hard, would drift
    over = np.mean([one["defocus_nm"] > 0 for one in drawn])  # type: ignore[operator]
    assert 0.55 < over < 0.95


def test_the_share_of_empty_fields_is_kept() -> None:
    recipe = Recipe((("C", "clear", 1.0),), number=0, shape=(32, 32), empty=0.3)
    empty = [settings(draw_field(recipe, i))["number"] == 0 for i in range(40)]
    assert 0.1 < np.mean(empty) < 0.5


def test_fields_lie_on_backgrounds_as_often_as_asked_and_never_without_any() -> None:
    recipe = replace(RECIPE, shape=(48, 48), on_backgrounds=0.5, empty=1.0)
    makers = [draw_field(recipe, i, BACKGROUNDS).truth.provenance.maker for i in range(24)]  # type: ignore[union-attr]
    assert 0.2 < np.mean([maker.endswith("paste") for maker in makers]) < 0.8
    alone = draw_field(replace(recipe, on_backgrounds=1.0), 0).truth.provenance
    assert alone is not None
    assert alone.maker.endswith("simulate")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shares": ()}, "weights of at least 0, one of them above"),
        ({"shares": (("B", "clear", -1.0),)}, r"these are \[-1.0\]"),
        ({"shares": (("B", "clear", 0.0),)}, "one of them above"),
        ({"shares": (("B", "clear", float("nan")),)}, "one of them above"),
        ({"number": -1}, "and -1"),
        ({"empty": 1.5}, "empty is a share from 0 to 1, not 1.5"),
        ({"on_backgrounds": -0.1}, "on_backgrounds is a share from 0 to 1"),
        ({"seed": -1}, "seed is a whole number from 0 to 2.63 - 1, not -1"),
        ({"seed": 2**63}, "seed is a whole number"),
        ({"without": ("clouds", "shape", "pixel_nm", "material")}, "shape, pixel_nm, material may not, leave it out"),
        (
            {"without": ("clouds", "cloudz", "haze")},
            "a scene has no setting cloudz, haze; CavityScene names them all",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        replace(RECIPE, **change)  # type: ignore[arg-type]


WITH_A_DEATH = """
import os, signal, sys, threading, time
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from epistem.app.cli import _end
from epistem.synth import fields

def kill_one():
    while len(list(folder.glob("*.npz"))) < 2:
        time.sleep(0.05)
    os.kill(list(pools[0]._processes)[1], signal.SIGKILL)

class Seen(fields.ProcessPoolExecutor):
    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        pools.append(self)

if __name__ == "__main__":
    folder, pools = Path(sys.argv[1]), []
    fields.ProcessPoolExecutor = Seen
    signal.signal(signal.SIGTERM, partial(_end, os.getpid()))  # as the command line has it
    threading.Thread(target=kill_one, daemon=True).start()
    recipe = fields.Recipe((("C", "any", 1.0),), number=5000, shape=(64, 80), seed=5)
    try:
        fields.make_fields(folder, recipe, workers=2)
    except BrokenProcessPool:
        print("told")
"""


def test_a_worker_that_dies_under_the_command_line_is_told_and_nobody_waits_for_it(tmp_path: Path) -> None:
    script = tmp_path / "with_a_death.py"
    script.write_text(WITH_A_DEATH, "utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "fields")], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.returncode) == ("told\n", 0), done.stderr
