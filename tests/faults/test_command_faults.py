"""A disk that is full, a reader that leaves, a terminal without our signs, a home that cannot be written to."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("resource")  # Windows has no such limits

from epistem.app import ending
from tests.faults.running import epistem, files, small_disk

FIELD = """\
seed: 7
hosts: [WSe2]
dopants: [Ti]
per_field: [1, 1]
settings:
  - {keV: 80, semiangle_mrad: 30, detectors: [[40, 90], [85, 250]]}
size_A: 30
pixel_A: [0.25, 0.25]
dose_e_per_A2: [50000, 50000]
defects: [0.03, 0.04]
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc darker than its grain."""
    path = tmp_path_factory.mktemp("images") / "a.png"
    rows, cols = np.mgrid[:96, :128]
    grey = np.random.default_rng(0).normal(140, 8, rows.shape) - 60 * (np.hypot(rows - 40, cols - 50) < 12)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)
    return path


def command(name: str, image: Path, out: Path) -> list[str | Path]:
    if name == "analyze":
        own = ["--detector", "log", "--forecast", "none", "--pixel-size", "0.5 nm", "--workers", "1"]
        return ["analyze", image, *own, "-o", out]
    spec = image.with_name("field.yaml")
    spec.write_text(FIELD, "utf-8")
    return ["atoms", "simulate", spec, "-o", out]


# ---- the disk


@pytest.mark.parametrize("name", ["analyze", "atoms"])
def test_a_full_disk_is_told_in_words_and_the_next_run_makes_it_whole(name: str, image: Path, tmp_path: Path) -> None:
    epistem(*command(name, image, tmp_path / "undisturbed"))
    for most in (300, 3000, 20_000):
        with small_disk(most):
            ended = epistem(*command(name, image, tmp_path / "out"))
        assert ended.code in (1, 2), most
        assert "cannot write" in ended.said
        assert "Traceback" not in ended.said
        assert not [one for one in files(tmp_path / "out") if one.endswith(".part")]

    assert epistem(*command(name, image, tmp_path / "out")).code == 0
    assert files(tmp_path / "out") == files(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x.csv"), "/data/x.csv: the disk is full; make room"),
        (OSError(errno.EROFS, "Read-only file system"), "this disk cannot be written to; choose another folder"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "too many files are open; take fewer --workers, or have the system",
        ),
        (MemoryError(), "there is not enough memory; take fewer --workers"),
    ],
)
def test_what_the_system_refuses_is_a_line_and_no_traceback(
    error: BaseException, says: str, monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("epistem.imaging.read", refused)
    ended = epistem("read", image)

    assert ended.code == 1
    assert ended.said.startswith(f"epistem: {says}")


def test_any_other_error_of_the_system_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    def fault(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr("epistem.imaging.read", fault)
    with pytest.raises(FileNotFoundError):
        epistem("read", image)


def test_an_array_that_finds_no_room_is_told_to_make_room(tmp_path: Path) -> None:
    from epistem.core import RecordError
    from epistem.core.files import written_whole

    with (
        small_disk(1000),
        pytest.raises(RecordError, match="make room on the disk"),
        written_whole(tmp_path / "a") as part,
    ):
        np.zeros(10_000).tofile(part)


def test_a_training_that_cannot_begin_leaves_nothing_half_written(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from epistem.core import TrainingError
    from epistem.nets.runs import claim, release

    with small_disk(10), pytest.raises(TrainingError, match=r"cannot write .*run\.json"):
        claim(tmp_path, {"spec": "x" * 100})
    release(tmp_path)

    assert set(files(tmp_path)) <= {"run.lock"}


# ---- the terminal


def test_signs_that_the_terminal_has_not_are_written_as_json_writes_them() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "2 µm × 3".encode("ascii")
    assert ending._as_json(caught.value) == ("\\u00b5", 3)
    code = "from epistem.app.ending import any_sign; any_sign(); print('2 µm × 3 \\udcff')"
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ascii_only, text=True)
    assert told.stdout == "2 \\u00b5m \\u00d7 3 \\udcff\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_output_to_a_full_disk_is_a_line_and_no_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        told = subprocess.run(
            [sys.executable, "-m", "epistem", "formats"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert told.returncode == 1
    assert told.stderr == f"epistem: {ending._SYSTEM[errno.ENOSPC]}\n"


def test_a_reader_that_leaves_ends_the_command_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    told = subprocess.run(
        [sys.executable, "-m", "epistem", "formats"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (told.returncode, told.stderr) == (1, "")


class GonePipe(io.StringIO):
    """Standard output of Windows after `| more` was left: EINVAL for each write, and no BrokenPipeError."""

    def write(self, text: str) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    def flush(self) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


def silent() -> None:
    """Prints nothing itself; something earlier is still to be printed."""


def printing() -> None:
    sys.stdout.write("a table")


@pytest.mark.parametrize("command", [silent, printing])
def test_a_reader_that_leaves_on_windows_ends_the_command_without_a_word(
    command: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "stdout", GonePipe())
    with pytest.raises(SystemExit) as ended, ending.told_by_system():
        command()
    assert ended.value.code == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("platform", "stdout"), [("linux", GonePipe()), ("win32", io.StringIO())])
def test_any_other_invalid_argument_keeps_its_traceback(
    platform: str, stdout: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(OSError, match="Invalid argument"), ending.told_by_system():
        raise OSError(errno.EINVAL, "Invalid argument")


# ---- the home


def test_a_home_that_is_no_folder_hinders_no_analysis_and_nothing_is_kept_for_others(
    image: Path, tmp_path: Path
) -> None:
    """onnxruntime keeps a journal of its use in the home folder and sends it, unless it is told not to."""
    pytest.importorskip("onnxruntime")
    (tmp_path / "home").write_text("no folder")
    plain = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    words = [
        "analyze",
        image,
        "--forecast",
        "none",
        "--pixel-size",
        "0.5 nm",
        "--workers",
        "1",
        "-o",
        tmp_path / "out",
    ]

    told = subprocess.run(
        [sys.executable, "-m", "epistem", *map(str, words)],
        env={**plain, "HOME": str(tmp_path / "home")}, capture_output=True, text=True,
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    assert "elemetry" not in told.stderr
    assert (tmp_path / "out" / "report.html").is_file()
