from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epistem import __version__
from epistem.app.batch import list_files, make_jobs, run_batch
from epistem.app.settings import make_settings
from epistem.app.terminal import tell_batch


def epistem(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "epistem", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_some_failed_is_1_and_the_rest_is_done(folder: Path, tmp_path: Path) -> None:
    done = epistem("analyze", folder, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 1
    assert "30 objects in 3 images, 1 failed" in done.stdout
    assert "broken.tif: is called .tif but holds text" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "report.html").is_file()


def test_what_becomes_of_an_earlier_runs_results_is_told_before_the_work(folder: Path, tmp_path: Path) -> None:
    def told(*words: object) -> list[str]:
        done = epistem("analyze", *words, "--detector", "log", "--out", tmp_path / "out", "--workers", 1)
        return [line for line in done.stderr.splitlines() if "earlier run" in line]

    (folder / "broken.tif").unlink()
    first, kept = told(folder), told(folder)
    assert first == []
    assert kept == [f"Results of an earlier run in {tmp_path / 'out'}: 3 files kept."]
    (replaced,) = told(folder / "im0.tif", "--min-score", "0.2")
    assert "1 file replaced, as the image, the settings or the version differ; 2 files not asked for now" in replaced


def test_all_good_is_0_and_json_is_whole(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.tif").unlink()
    done = epistem("analyze", folder, "--out", tmp_path / "out", "--workers", 1, "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert [image["n_objects"] for image in told["images"]] == [9, 10, 11]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["analyze", "FOLDER", "--out", "x", "--detector", "lug"], "Did you mean 'log'"),
        (["analyze", "nowhere", "--out", "x"], "none of that name"),
        (["analyze", "FOLDER", "--out", "x", "--pixel-size", "3 kg"], "3 kg"),
        (["analyze", "FOLDER", "--out", "x", "--set", "min_diameter_px"], "name=value"),
        (["analyze", "FOLDER", "--out", "x", "--thickness-nm", "-5"], "thickness_nm"),
        (["analyze", "FOLDER"], "--out"),
        (["analyze", "FOLDER", "--out", "x", "--set", "min_diameter_px=abc"], "min_diameter_px"),
        (["analyze", "FOLDER", "--out", "x", "--seed", "-1"], "seed"),
        (["analyze", "FOLDER", "--out", "x", "--samples", "nowhere.csv"], "nowhere.csv"),
        (["analyze", "FOLDER", "--out", "x", "--found", "nowhere"], "none of that name"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_a_wrong_command_is_2_and_one_clear_line(folder: Path, words: list[str], says: str) -> None:
    done = epistem(*(folder if word == "FOLDER" else word for word in words))
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_with_json_a_wrong_command_is_told_as_json_too(tmp_path: Path) -> None:
    done = epistem("analyze", "nowhere", "--out", tmp_path / "out", "--json")
    assert done.returncode == 2
    assert "none of that name" in json.loads(done.stdout)["error"]


def test_read_prints_shape_type_and_pixel_size_with_its_source(folder: Path) -> None:
    done = epistem("read", folder / "im0.tif")
    assert done.returncode == 0
    assert "160 × 224 pixels, uint16" in done.stdout
    assert "pixel size 0.5 nm (metadata" in done.stdout


def test_read_as_json_names_the_file_that_fails(folder: Path) -> None:
    done = epistem("read", folder / "im0.tif", folder / "broken.tif", "--json")
    assert done.returncode == 1
    good, bad = json.loads(done.stdout)
    assert good["shape"] == [160, 224]
    assert good["col_nm"] == pytest.approx(0.5)
    assert "broken.tif" in bad["error"]


def test_score_of_results_against_themselves_is_1(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    epistem("analyze", folder, "--out", out, "--workers", 1)
    done = epistem("score", out, out, "--by", "mask", "--iou", 0.99, "--json")
    told = json.loads(done.stdout)
    assert told["pooled"]["f1"] == 1
    assert [image["tp"] for image in told["images"]] == [9, 10, 11]


def test_one_image_is_told_in_the_singular(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], discs: Callable[..., None]
) -> None:
    (tmp_path / "images").mkdir()
    for n, says in ((9, "9 objects in 1 image."), (0, "1 object in 1 image.")):  # of the noise alone
        discs(tmp_path / "images" / "a.tif", n=n)
        settings = make_settings(detector="log")
        jobs = make_jobs(list_files([tmp_path / "images"], tmp_path / "out"), settings)
        result = run_batch(jobs, settings, tmp_path / "out", workers=1)
        tell_batch(result, tmp_path / "out", as_json=False)
        assert says in capsys.readouterr().out


def test_no_part_of_a_help_text_is_lost_as_markup() -> None:
    from rich.text import Text
    from typer.main import get_command

    from epistem.app.cli import app

    def helps(command: Any) -> list[str]:
        own = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
        return own + [text for each in getattr(command, "commands", {}).values() for text in helps(each)]

    texts = helps(get_command(app))
    assert len(texts) > 50
    for text in texts:
        assert Text.from_markup(text).plain == text


def test_the_command_of_make_demo_stands_in_the_examples() -> None:
    root = Path(__file__).parents[2]
    (demo,) = re.findall(r"\$\(BIN\)/(epistem analyze examples.*)", (root / "Makefile").read_text("utf-8"))
    assert f"`{demo}`" in (root / "examples" / "README.md").read_text("utf-8")


def test_help_loads_no_heavy_library() -> None:
    heavy = ("torch", "scipy", "matplotlib", "pandas", "dask", "distributed", "skimage", "pyarrow", "rsciio")
    code = (
        "import sys; sys.argv = ['epistem', '--help']\n"
        "from epistem.app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "analyze" in done.stdout


def test_import_epistem_loads_nothing_heavy() -> None:
    code = "import sys, epistem; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("broken", [False, True])
def test_what_a_scheduler_sends_before_it_kills_ends_a_watch_as_ctrl_c_does_and_failures_count(
    broken: bool, folder: Path, tmp_path: Path
) -> None:
    if not broken:
        (folder / "broken.tif").unlink()
    words = [
        sys.executable,
        "-m",
        "epistem",
        "watch",
        str(folder),
        "--detector",
        "log",
        "--out",
        str(tmp_path / "out"),
    ]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "Watching" in running.stderr.readline()
        waiting = {path.name for path in folder.iterdir()}
        while waiting:
            line = running.stderr.readline()
            assert line, "it ended by itself"
            waiting.discard(line.partition(":")[0])
        running.terminate()
        assert running.wait(60) == int(broken)


def test_the_version_is_printed() -> None:
    done = epistem("--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__)
