"""The wheel holds all that runs and nothing else; scripts/try_wheel.py installs it in a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "epistem"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sources as they are."""
    out = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pip would lay it into an environment."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("epistem/")}
    ours = {
        f"epistem/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == ours
    kinds = {Path(name).suffix for name in held}
    wanted = {".py", ".js", ".css", ".html", ".j2", ".md", ".yaml", ".json", ".parquet", ".zip", ".typed"}
    assert kinds >= wanted | {".onnx", ".safetensors", ".npz"}


def test_nothing_but_the_package_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        tests = [name for name in archive.namelist() if "test" in Path(name).name.lower()]
    assert {top.partition("-")[0] for top in tops} == {"epistem"}
    assert tests == []


def test_the_wheel_is_for_every_system_and_brings_the_command_and_the_licence(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        (points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "epistem = epistem.app.cli:main" in archive.read(points).decode("utf-8")
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_what_the_wheel_holds_runs_from_another_folder_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(unpacked)},
            capture_output=True, encoding="utf-8", check=True,
        ).stdout  # fmt: skip

    assert Path(said("-c", "import epistem; print(epistem.__file__)").strip()).is_relative_to(unpacked)
    models = {model["name"] for model in json.loads(said("-m", "epistem", "models", "--json"))}
    assert {"cavity-dense", "cavity-dense-forecast", "assistant", "atoms-columns"} <= models
    assert json.loads(said("-m", "epistem.app.doctor_trials", "atoms"))["state"] == "ok"
