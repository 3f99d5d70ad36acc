"""What the code must not do: unpickle, run text as code, ask a shell. Read off the syntax tree of every file.

Dask and multiprocessing pass work between processes of ours by pickle, and a checkpoint of torch is one inside, which
torch opens without running anything (`weights_only=True`): docs/security.md. Here it is about all that is written in
this repository.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "benchmarks", "scripts", "examples", "docs", "tests")
MODULES = frozenset(
    {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "pickletools"}
)
NAMES = frozenset(
    {"eval", "exec", "builtins.eval", "builtins.exec", "os.system", "os.popen", "subprocess.getoutput"}
    | {"subprocess.getstatusoutput", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all"}
    | {"yaml.full_load", "yaml.full_load_all", "torch.hub.load", "torch.jit.load"}
)
METHODS = frozenset({"read_pickle", "to_pickle", "create_subprocess_shell", "subprocess_shell"})
# Each must be said, whatever the default of this or another version is.
WANTED = {"torch.load": ("weights_only", True), "torch.serialization.load": ("weights_only", True)}
FORBIDDEN = (("allow_pickle", True), ("shell", True), ("trust_remote_code", True))
PLACES = {"numpy.load": (2, "allow_pickle"), "numpy.save": (2, "allow_pickle")}
"""Where one of FORBIDDEN can be given without its name."""
IMPORTERS = frozenset({"import_module", "__import__", "importorskip"})
# Names that only ask or only are raised.
HARMLESS = {"joblib": {"cpu_count"}, "pickle": {"UnpicklingError"}}
# Tests that show a pickle refused have to make one; one starts workers of joblib.
MAKES_ONE = {
    "tests/core/test_cluster.py": {"imports joblib"},
    "tests/app/web/test_segment.py": {"imports pickle"},
    "tests/ask/test_chat.py": {"imports pickle"},
    "tests/detect/test_adapters.py": {"numpy.save with allow_pickle not plainly False"},
}
_LAST = {name.rpartition(".")[2] for name in NAMES | METHODS | WANTED.keys()}


def files() -> list[Path]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "_build" not in path.parts)


def offences(source: str) -> Iterator[str]:
    """Line and offence."""
    nodes = list(ast.walk(ast.parse(source)))
    meant = imported(nodes)
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found = _of_import(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            found = _of_name(node, meant, id(node) in called)
        elif isinstance(node, ast.Call):
            found = _of_call(node, meant)
        else:
            continue
        yield from (f"{node.lineno}: {why}" for why in found)


def imported(nodes: Iterable[ast.AST]) -> dict[str, set[str]]:
    """Name → what it stands for by the imports of the file, wherever in it they are: t → torch."""
    meant: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for one in node.names:
                whole = one.name if one.asname else one.name.partition(".")[0]
                meant.setdefault(one.asname or whole, set()).add(whole)
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                meant.setdefault(one.asname or one.name, set()).add(f"{node.module or ''}.{one.name}")
    return meant


def _of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = {one.name for one in node.names}
    if isinstance(node, ast.Import):
        yield from (f"imports {name}" for name in names if _unpickles(name))
    elif _unpickles(node.module or ""):
        if not names <= HARMLESS.get(node.module or "", set()):
            yield f"imports {node.module}"
    else:
        whole = {name: f"{node.module}.{name}" for name in names}
        # One that is called by its last name alone reads as something else.
        yield from (
            f"imports {whole[name]}" for name in names if whole[name] in NAMES | WANTED.keys() or name in METHODS
        )


def _of_name(node: ast.Name | ast.Attribute, meant: Mapping[str, set[str]], called: bool) -> Iterator[str]:
    if (node.attr if isinstance(node, ast.Attribute) else node.id) not in _LAST:
        return
    for name in whole_names(node, meant):
        if name in NAMES or (isinstance(node, ast.Attribute) and node.attr in METHODS):
            yield f"names {name}"
        if name in WANTED and not called:
            yield f"hands {name} on"


def _of_call(node: ast.Call, meant: Mapping[str, set[str]]) -> Iterator[str]:
    names = whole_names(node.func, meant)
    given = {one.arg: one.value for one in node.keywords if one.arg}
    for name in names:
        if name in WANTED:
            argument, value = WANTED[name]
            if not _is(given.get(argument), value):
                yield f"{name} without {argument}={value}"
        if name in PLACES and len(node.args) > PLACES[name][0]:
            given[PLACES[name][1]] = node.args[PLACES[name][0]]
    for argument, value in FORBIDDEN:
        if argument in given and not _is(given[argument], not value):
            yield f"{' or '.join(sorted(names))} with {argument} not plainly {not value}"
    if node.args and any(name.rpartition(".")[2] in IMPORTERS for name in names):
        first = node.args[0]
        if isinstance(first, ast.Constant) and _unpickles(str(first.value)):
            yield f"imports {first.value}"


def whole_names(node: ast.expr, meant: Mapping[str, set[str]]) -> set[str]:
    """torch.load of `t.load`, where the file imports torch as t; … for what has no name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    starts = meant.get(node.id, {node.id}) if isinstance(node, ast.Name) else {"…"}
    return {".".join([start, *reversed(parts)]) for start in starts}


def _unpickles(module: str) -> bool:
    return module.partition(".")[0] in MODULES


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
        "AutoModel.from_pretrained(p, trust_remote_code=True)", "subprocess.getoutput(text)", "builtins.exec(text)",
        "asyncio.create_subprocess_shell(text)", "from os import system", "from yaml import load as l",
        "from torch import load", "from pandas import read_pickle", "import torch as t; t.load(p)",
        "import yaml as y; y.load(t)", "from torch import hub; hub.load(name)", "map(eval, texts)",
        "functools.partial(torch.load, path)", "import numpy as np; np.load(p, None, True)",
        "from numpy import load; load(p, None, flag)", "import_module('pickle')", "__import__('pickle')",
        "from importlib import import_module as take; take('joblib.numpy_pickle')",
    ],
)  # fmt: skip
def test_each_of_them_is_noticed(line: str) -> None:
    assert len(list(offences(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "network.eval()", "torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "yaml.safe_load(t)",
        "import torch as t; t.load(p, weights_only=True)", "import numpy as np; np.load(p, None, False)",
        "from json import load; load(file)", "from ours import system; system(a)", "import_module('torch')",
        "from joblib import cpu_count",
    ],
)  # fmt: skip
def test_what_is_safe_is_let_through(line: str) -> None:
    assert list(offences(line)) == []
