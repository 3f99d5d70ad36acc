from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
import weakref
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import PathDistribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from epistem.app import doctor, doctor_libraries, doctor_machine, doctor_source, doctor_trials
from epistem.app.cli import app
from epistem.app.doctor import Finding, guarded, tried, works
from epistem.app.doctor_cli import advice
from epistem.app.records import Records
from epistem.core import DependencyMissing, Micrograph
from epistem.imaging import READERS, read
from epistem.nets import weights
from epistem.nets.engine import load_dense

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {"analyze": "onnxruntime", "ask": "onnxruntime", "onnxruntime": "onnxruntime", "torch": "torch"}


def one(found: Iterator[Finding] | list[Finding], name: str) -> Finding:
    (finding,) = (finding for finding in found if finding.name == name)
    return finding


def installed(folder: Path, *requires: str, files: dict[str, bytes] | None = None) -> PathDistribution:
    """epistem as pip would have left it in a folder."""
    info = folder / "epistem-0.1.0.dist-info"
    info.mkdir()
    about = [
        "Metadata-Version: 2.1",
        "Name: epistem",
        "Version: 0.1.0",
        *(f"Requires-Dist: {one}" for one in requires),
    ]
    (info / "METADATA").write_text("\n".join(about) + "\n", "utf-8")
    lines = []
    for name, content in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    (info / "RECORD").write_text("\n".join(lines) + "\n", "utf-8")
    return PathDistribution(info)


# ---- jobs ----


@pytest.mark.parametrize("name", sorted(set(doctor.TRIALS) - {"serve"}))
def test_every_job_that_can_run_here_is_found_to_work(name: str) -> None:
    if importlib.util.find_spec(NEEDS.get(name, "numpy")) is None:
        pytest.skip(f"no {NEEDS[name]} here")
    came = doctor_trials.outcome(doctor_trials.TRIALS[name])
    assert came["state"] == "ok", came
    assert came["said"]


def test_the_page_answers_from_a_process_of_its_own() -> None:
    pytest.importorskip("nicegui")
    found = tried("serve")
    assert found.state == "ok", found.said
    assert "the page answers at 127.0.0.1" in found.said


def test_every_job_is_tried_and_has_a_title() -> None:
    assert set(doctor.TRIALS) == set(doctor_trials.TRIALS)


def test_a_trial_without_an_end_is_given_up_and_told() -> None:
    found = tried("segment", limit_s=0.01)
    assert found.state == "broken"
    assert "no end after 0.01 s" in found.said
    assert found.mend


def test_a_trial_whose_process_ends_early_is_told_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.TRIALS, "nothing", "nothing")
    found = tried("nothing")
    assert found.state == "broken"
    assert found.said == "ended with status 1: KeyError: 'nothing'"


def test_a_machine_that_starts_no_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "devnull", "/nowhere/null")
    found = tried("formats")
    assert (found.state, found.said) == (
        "broken",
        "no process could be started: [Errno 2] No such file or directory: '/nowhere/null'",
    )


def test_a_crash_is_told_by_its_name() -> None:
    assert doctor._ended(-11) == "by signal SIGSEGV"
    assert doctor._ended(0xC0000005) == "with status 0xC0000005"


def test_damaged_weights_are_told_with_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    for name in ("cavity-dense.safetensors", "cavity-dense.onnx"):
        shutil.copy(weights.SHIPPED / name, tmp_path / name)
    with (tmp_path / "cavity-dense.onnx").open("r+b") as file:
        file.truncate(100_000)
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    load_dense.cache_clear()
    try:
        came = doctor_trials.outcome(doctor_trials.analyze)
    finally:
        load_dense.cache_clear()
    assert came["state"] == "broken"
    assert "cavity-dense.onnx" in came["said"]
    assert "pip install" in came["mend"]


def test_without_a_runtime_the_job_is_done_by_the_plain_detector_and_lite_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def analyzed(detector: str) -> str:
        if detector != "log":
            raise DependencyMissing('pip install "epistem[lite]"')
        return "8 cavities found"

    monkeypatch.setattr(doctor_trials, "_analyzed", analyzed)
    came = doctor_trials.outcome(doctor_trials.analyze)
    assert (came["state"], came["mend"]) == ("missing", 'pip install "epistem[lite]"')
    assert "by the detector log" in came["said"]


def test_nothing_of_a_trial_is_open_when_its_folder_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows removes no folder with an open file in it."""
    made: list[weakref.ref[Records]] = []
    left: list[bool] = []

    class Kept(Records):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            made.append(weakref.ref(self))

    class Removed(tempfile.TemporaryDirectory[str]):
        def cleanup(self) -> None:
            left.extend(one() is not None for one in made)
            super().cleanup()

    monkeypatch.setattr("epistem.app.batch.Records", Kept)
    monkeypatch.setattr(doctor_trials, "tempfile", SimpleNamespace(TemporaryDirectory=Removed))
    doctor_trials._analyzed("log")
    assert left == [False]


def test_a_format_that_fails_is_named_and_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def reading(path: Path) -> None:
        if path.suffix == ".dm3":
            raise RuntimeError("a broken library")
        if path.suffix == ".ibw":
            raise DependencyMissing('pip install "epistem[afm]"')

    monkeypatch.setattr("epistem.imaging.read", reading)
    came = doctor_trials.outcome(doctor_trials.formats)
    assert came["state"] == "broken"
    assert came["said"] == "10 of 12 formats are read; digitalmicrograph: RuntimeError: a broken library"


def test_the_sample_of_every_format_holds_the_pixels_it_was_made_with(tmp_path: Path) -> None:
    pixels = (np.arange(54, dtype=np.uint16).reshape(6, 9) * 37) % 251
    with zipfile.ZipFile(doctor_trials.SAMPLES) as archive:
        archive.extractall(tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == set(READERS)
    for name in READERS:
        (sample,) = (tmp_path / name).iterdir()
        try:
            found = read(sample)
        except DependencyMissing:
            continue
        assert isinstance(found, Micrograph)
        np.testing.assert_array_equal(found.pixels, pixels)


# ---- libraries ----


def test_every_extra_of_the_project_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(doctor_libraries.EXTRAS) == set(project["optional-dependencies"]) - {"dev", "docs"}
    lines = (ROOT / "scripts" / "weights.txt").read_text("utf-8").splitlines()
    assert {line.partition("==")[0] for line in lines if not line.startswith("#")} == set(
        doctor_libraries.WEIGHT_PACKAGES
    )


def test_an_extra_that_is_missing_comes_with_the_line_that_adds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = installed(tmp_path, "numpy>=2.0", 'no-such-library>=3; extra == "nets"', 'numpy>=2.0; extra == "lite"')
    monkeypatch.setattr(doctor_libraries, "distribution", lambda name: there)
    found = list(doctor_libraries.extras())
    nets = one(found, "nets")
    assert (nets.state, nets.mend) == ("missing", 'pip install "epistem[nets]"')
    assert "no-such-library not installed" in nets.said
    assert one(found, "lite").state == "ok"
    assert one(list(doctor_libraries.base()), "base").state == "ok"


def test_a_library_older_than_wanted_is_told_with_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = installed(tmp_path, "numpy>=999", 'scipy>=999; extra == "lite"')
    monkeypatch.setattr(doctor_libraries, "distribution", lambda name: there)
    base, lite = one(list(doctor_libraries.base()), "base"), one(list(doctor_libraries.extras()), "lite")
    assert (base.state, lite.state) == ("broken", "broken")
    assert f"numpy is {np.__version__}, wanted >=999" in base.said
    assert (base.mend, lite.mend) == ('pip install "numpy>=999"', 'pip install "epistem[lite]"')


def test_an_old_library_of_an_extra_that_nobody_installed_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = installed(tmp_path, 'numpy>=999; extra == "nets"', 'no-such-library; extra == "nets"')
    monkeypatch.setattr(doctor_libraries, "distribution", lambda name: there)
    assert one(list(doctor_libraries.extras()), "nets").state == "missing"


def test_a_file_that_is_not_as_it_was_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"epistem/nets/shipped/a.onnx": b"weights", "epistem/report/b.js": b"script", "epistem/c.py": b"code"}
    there = installed(tmp_path, files=held)
    monkeypatch.setattr(doctor_libraries, "distribution", lambda name: there)
    monkeypatch.setattr(doctor_libraries, "PACKAGE", tmp_path / "epistem")
    whole = one(list(doctor_libraries.files()), "epistem")
    assert whole.state == "ok"
    assert "its 3 files are as they were installed" in whole.said
    (tmp_path / "epistem/nets/shipped/a.onnx").write_bytes(b"Weights")
    (tmp_path / "epistem/c.py").unlink()
    changed = one(list(doctor_libraries.files()), "epistem")
    assert changed.state == "broken"
    assert changed.said.endswith("not as installed: nets/shipped/a.onnx, c.py")
    assert changed.mend
    assert "--force-reinstall" in changed.mend


def test_every_line_that_installs_epistem_again_says_from_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name alone would be looked for on an index, where epistem is not, or is somebody else's."""
    held = {"epistem/c.py": b"code"}
    there = installed(tmp_path, "numpy>=999", 'numpy>=999; extra == "nets"', files=held)
    wheel = (tmp_path / "epistem.whl").as_uri()
    (tmp_path / "epistem-0.1.0.dist-info" / "direct_url.json").write_text(json.dumps({"url": wheel}), "utf-8")
    monkeypatch.setattr(doctor_source, "distribution", lambda name: there)
    monkeypatch.setattr(doctor_libraries, "distribution", lambda name: there)
    monkeypatch.setattr(doctor_libraries, "PACKAGE", tmp_path / "epistem")
    (tmp_path / "epistem/c.py").write_bytes(b"Code")

    def fails() -> str:
        raise ValueError

    found = [*doctor_libraries.base(), *doctor_libraries.files(), *guarded("machine", "x", fails)]
    mends = [one.mend or "" for one in found] + [doctor_trials.outcome(fails)["mend"]]

    again = [mend for mend in mends if "--force-reinstall" in mend]
    assert len(again) == 3
    assert all(f'"{tmp_path / "epistem.whl"}"' in mend for mend in again)
    assert not [mend for mend in mends if re.search(r"install\b.* epistem\b", mend)]


# ---- machine ----


def test_a_cache_that_cannot_be_written_is_noted_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file where the folder should be", "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    found = list(doctor_machine.folders())
    cache = one(found, "cache")
    assert cache.state == "note"
    assert "cannot be written to" in cache.said
    assert cache.mend
    assert "XDG_CACHE_HOME" in cache.mend
    assert works(found)
    assert not list(tmp_path.glob("**/*.tmp"))


def test_no_folder_for_temporary_files_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file" / "tmp"))
    temporary = one(list(doctor_machine.folders()), "temporary files")
    assert temporary.state == "broken"
    assert temporary.mend
    assert "TMPDIR" in temporary.mend


def test_a_user_without_a_home_is_told_and_the_other_folders_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    found = guarded("machine", "folders", doctor_machine.folders)
    assert [finding.name for finding in found] == ["this folder", "temporary files", "cache"]
    cache = one(found, "cache")
    assert (cache.state, works([cache])) == ("note", True)
    assert "no home folder" in cache.said


def test_a_folder_that_was_removed_while_in_it_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Path:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "cwd", gone)
    found = guarded("machine", "folders", doctor_machine.folders)
    assert [finding.name for finding in found] == ["this folder", "temporary files", "cache"]
    assert one(found, "this folder").state == "note"


def test_a_folder_that_may_not_even_be_looked_at_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", forbidden)
    assert [finding.state for finding in doctor_machine.folders()] == ["note", "broken", "note"]


def test_as_many_cores_are_told_as_a_batch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dask.system.CPU_COUNT", 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert one(list(doctor_machine.cores()), "cores").said.startswith("3 of 8 may be used")


def test_a_disk_that_is_nearly_full_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "LEAST_DISK", 1e18)
    assert one(list(doctor_machine.folders()), "this folder").state == "note"


def test_a_terminal_without_our_signs_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    noted = one(list(doctor_machine.terminal()), "terminal")
    assert noted.state == "note"
    noted.said.encode("ascii")


def test_what_can_be_known_of_this_machine_is_told() -> None:
    found = [finding for check in doctor_machine.MACHINE.values() for finding in check()]
    names = {finding.name for finding in found}
    assert names == {"Python", "system", "cores", "memory", "this folder", "temporary files", "cache", "terminal"}
    assert re.match(r"[1-9]\d* ", one(found, "cores").said)


# ---- the command ----


def test_a_check_that_fails_is_a_finding_and_not_the_end() -> None:
    def check() -> Iterator[Finding]:
        raise RuntimeError("no such\nlibrary")
        yield

    (found,) = guarded("machine", "memory", check)
    assert (found.state, found.said) == ("broken", "RuntimeError: no such library")


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("missing", 0), ("broken", 1)])
def test_only_what_is_broken_makes_the_command_end_with_1(
    state: doctor.State, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = Finding("jobs", "analyze", state, "what was seen [x]", "what to do")
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    told = CliRunner().invoke(app, ["doctor", "--json"])
    assert told.exit_code == code
    record = json.loads(told.stdout)
    assert record["works"] is (code == 0)
    assert record["findings"][0]["mend"] == "what to do"
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == code
    assert "what was seen [x]" in shown.stdout


def test_what_is_broken_comes_first_and_what_is_missing_last() -> None:
    found = [
        Finding("libraries", "nets", "missing", "", 'pip install "epistem[nets]"'),
        Finding("machine", "memory", "note", "", "close other programs"),
        Finding("jobs", "analyze", "broken", "", "install again"),
    ]
    assert advice(found) == [
        "Broken: analyze. The lines below say what to do.",
        "  analyze: install again",
        "  memory: close other programs",
        "Not installed; each line adds one, none is needed for what works above:",
        '  nets: pip install "epistem[nets]"',
    ]
    assert advice([Finding("machine", "Python", "ok", "")]) == ["All that is installed works."]
