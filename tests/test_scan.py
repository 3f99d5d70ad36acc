"""What `make check` scans: secrets in every kind of file that holds text, and known holes of what is pinned."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("detect_secrets")

ROOT = Path(__file__).parents[1]
# In pieces, for the scan of this file to find none.
PRIVATE = "-----BEGIN RSA " + "PRIVATE KEY-----"
PLAIN = "pass" + 'word = "' + 'correct horse battery"'


@pytest.fixture(scope="module")
def scan() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scan", ROOT / "scripts" / "scan.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(scan: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, with nothing that was looked at and found to be no secret."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "known.json").write_text("[]", "utf-8")
    monkeypatch.setattr(scan, "ROOT", tmp_path)
    monkeypatch.setattr(scan, "BASELINE", tmp_path / "known.json")
    return tmp_path


def test_keys_and_passwords_are_noticed_with_their_line(scan: ModuleType, tmp_path: Path) -> None:
    lines = ["x = 1", PLAIN, "y = 2", "# " + "gh" + "p_" + "aB3d" * 9]
    (tmp_path / "a.py").write_text("\n".join(lines), "utf-8")
    (tmp_path / "b.md").write_text(f"{PRIVATE}\n", "utf-8")

    found = sorted((Path(one.file).name, one.line, one.kind) for one in scan.seen(sorted(tmp_path.iterdir())))

    assert found == [("a.py", 2, "Secret Keyword"), ("a.py", 4, "GitHub Token"), ("b.md", 1, "Private Key")]


def test_code_without_secrets_is_let_through(scan: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("token = read_token(path)\nkey = job.key\npassword_length = len(password)\n", "utf-8")

    assert list(scan.seen([path])) == []


def test_secrets_are_looked_for_whatever_a_file_is_called(scan: ModuleType, repository: Path) -> None:
    bare = "pass" + "word = Correct8Horse\n"
    written = {
        "server.key": PRIVATE, "server.PEM": PRIVATE, "credentials.json": f'{{"private_key": "{PRIVATE}\\n"}}',
        "notes.ipynb": PRIVATE, "page.j2": PRIVATE, "page.css": PRIVATE, "id_rsa": PRIVATE, "results/a.json": PRIVATE,
        ".env": bare, ".env.local": bare, "settings.ini": f"[page]\n{bare}",
    }  # fmt: skip
    for name, text in written.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(text, "utf-8")
    (repository / "LICENSE").write_text("The key words of this text are none.\n", "utf-8")

    assert {one.file for one in scan.seen(scan.tracked())} == set(written)


def test_a_committed_key_fails_and_a_picture_or_an_ignored_file_does_not(
    scan: ModuleType, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "ours.key"):
        (repository / name).write_text(PRIVATE, "utf-8")
    (repository / ".gitignore").write_text("ours.key\n", "utf-8")
    assert scan.secrets()
    assert capsys.readouterr().out == ""

    (repository / "server.key").write_text(PRIVATE, "utf-8")
    assert not scan.secrets()
    assert "server.key:1: looks like a secret (Private Key)" in capsys.readouterr().out


def test_a_file_that_is_too_large_to_look_through_is_said(
    scan: ModuleType, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "all.csv").write_text("1,2,3\n" * 60_000, "utf-8")

    assert scan.secrets()
    assert capsys.readouterr().out.startswith("all.csv was not looked through for secrets")


def test_packages_that_could_not_be_asked_about_are_said_and_holes_fail(
    scan: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    unasked = {"name": "numpy", "skip_reason": "not found"}
    fine = {"name": "scipy", "version": "1.0", "vulns": []}
    holed = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-0", "fix_versions": ["2.0"]}]}

    assert scan.told([unasked, fine])
    assert "1 of 2 packages not checked" in capsys.readouterr().out
    assert scan.told([fine])
    assert capsys.readouterr().out == ""
    assert not scan.told([unasked, holed])
    assert "pillow 1.0 has a known hole, CVE-0; mended in 2.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    "complained",
    [
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
        "requests.exceptions.ConnectionError: Max retries exceeded",
        "pip_audit._service.interface.ServiceError",
    ],
)
def test_a_database_that_does_not_answer_is_said(
    scan: ModuleType, capsys: pytest.CaptureFixture[str], complained: str
) -> None:
    assert scan.audited("", complained)
    assert "not checked" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["constraints.txt", "scripts/weights.txt"])
def test_pins_that_cannot_be_read_fail(
    scan: ModuleType, repository: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    pytest.importorskip("pip_audit")
    (repository / "scripts").mkdir()
    for name in ("constraints.txt", "scripts/weights.txt"):
        (repository / name).write_text("numpy = = 1\n" if name == broken else "# none\n", "utf-8")

    assert not scan.holes()
    assert "pip-audit did not come to an end" in capsys.readouterr().out
