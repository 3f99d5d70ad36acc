"""What the code must not do: unpickle, run text as code, ask a shell. Read off the syntax tree of every file.

Dask and multiprocessing pass work between processes of ours by pickle, and a checkpoint of torch is one inside, which
torch opens without running anything (`weights_only=True`): docs/security.md. Here it is about all that is written in
this repository.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "benchmarks", "scripts", "examples", "docs", "tests")
MODULES = frozenset(
    {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "pickletools"}
)
CALLS = frozenset(
    {"eval", "exec", "builtins.eval", "os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.unsafe_load"}
    | {"yaml.full_load", "torch.hub.load", "torch.jit.load"}
)
METHODS = frozenset({"read_pickle", "to_pickle"})
# Each must be said, whatever the default of this or another version is.
WANTED = {"torch.load": ("weights_only", True), "torch.serialization.load": ("weights_only", True)}
FORBIDDEN = (("allow_pickle", True), ("shell", True), ("trust_remote_code", True))
# Names that only ask or only are raised.
HARMLESS = {"joblib": {"cpu_count"}, "pickle": {"UnpicklingError"}}
# Tests that show a pickle refused have to make one.
MAKES_ONE = {
    "tests/app/web/test_segment.py": {"imports pickle"},
    "tests/ask/test_chat.py": {"imports pickle"},
    "tests/detect/test_adapters.py": {"np.save with allow_pickle not plainly False"},
}


def files() -> list[Path]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "_build" not in path.parts)


def offences(source: str) -> Iterator[str]:
    """Line and offence."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            named = [] if {one.name for one in node.names} <= HARMLESS.get(module, set()) else [module]
        else:
            named = []
        yield from (f"{node.lineno}: imports {name}" for name in named if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {why}" for why in _of_call(node))


def _of_call(node: ast.Call) -> Iterator[str]:
    name = _dotted(node.func)
    given = {one.arg: one.value for one in node.keywords if one.arg}
    if name in CALLS or (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
        yield f"calls {name}"
    if name in WANTED:
        argument, value = WANTED[name]
        if not _is(given.get(argument), value):
            yield f"{name} without {argument}={value}"
    for argument, value in FORBIDDEN:
        if argument in given and not _is(given[argument], not value):
            yield f"{name} with {argument} not plainly {not value}"


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id if isinstance(node, ast.Name) else "…"]))


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_no_file_unpickles_or_runs_text_or_asks_a_shell() -> None:
    found = {path.relative_to(ROOT).as_posix(): list(offences(path.read_text("utf-8"))) for path in files()}
    assert len(found) > 500  # it has looked
    for name, allowed in MAKES_ONE.items():
        assert {one.partition(": ")[2] for one in found.pop(name)} == allowed, f"{name} makes none any more"
    assert {name: told for name, told in found.items() if told} == {}


def test_no_shipped_array_holds_a_pickle() -> None:
    shipped = sorted((ROOT / "src").rglob("*.np[yz]"))
    assert shipped
    for path in shipped:
        with np.load(path, allow_pickle=False) as held:
            assert all(held[name].dtype != object for name in held.files), path


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from joblib import load", "import cloudpickle as c", "torch.load(path)",
        "torch.load(path, weights_only=False)", "torch.load(path, weights_only=a)", "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=flag)", "pd.read_pickle(p)", "table.to_pickle(p)", "yaml.load(text, Loader=x)",
        "eval(text)", "exec(text)", "subprocess.run(text, shell=True)", "os.system(text)", "torch.jit.load(path)",
        "AutoModel.from_pretrained(p, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_each_of_them_is_noticed(line: str) -> None:
    assert len(list(offences(line))) == 1


@pytest.mark.parametrize(
    "line",
    ["network.eval()", "torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "yaml.safe_load(t)"],
)
def test_what_is_safe_is_let_through(line: str) -> None:
    assert list(offences(line)) == []


# ---- what `make check` scans


@pytest.fixture(scope="module")
def scan() -> ModuleType:
    pytest.importorskip("detect_secrets")
    spec = importlib.util.spec_from_file_location("scan", ROOT / "scripts" / "scan.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_keys_and_passwords_are_noticed_with_their_line(scan: ModuleType, tmp_path: Path) -> None:
    # In pieces, for the scan of this file to find none.
    lines = ["x = 1", "pass" + 'word = "' + 'correct horse battery"', "y = 2", "# " + "gh" + "p_" + "aB3d" * 9]
    (tmp_path / "a.py").write_text("\n".join(lines), "utf-8")
    (tmp_path / "b.md").write_text("-----BEGIN RSA " + "PRIVATE KEY-----\n", "utf-8")

    found = sorted((Path(one.file).name, one.line, one.kind) for one in scan.seen(sorted(tmp_path.iterdir())))

    assert found == [("a.py", 2, "Secret Keyword"), ("a.py", 4, "GitHub Token"), ("b.md", 1, "Private Key")]


def test_code_without_secrets_is_let_through(scan: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("token = read_token(path)\nkey = job.key\npassword_length = len(password)\n", "utf-8")

    assert list(scan.seen([path])) == []


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


def test_a_database_that_does_not_answer_is_said(
    scan: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scan, "_tool", lambda name: sys.executable)  # it knows none of the options

    assert scan.holes()
    assert "not checked" in capsys.readouterr().out
