"""What Windows and macOS do not have, or do otherwise, is not used without asking first: rules over the source."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))

UNIX_MODULES = {"fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty"}
UNIX_CALLS = {
    "os.chown", "os.fchmod", "os.fchown", "os.fork", "os.forkpty", "os.getegid", "os.geteuid", "os.getgid",
    "os.getgroups", "os.getloadavg", "os.getpgid", "os.getpgrp", "os.getsid", "os.getuid", "os.killpg", "os.mkfifo",
    "os.mknod", "os.nice", "os.openpty", "os.pread", "os.pwrite", "os.sched_getaffinity", "os.sched_setaffinity",
    "os.setpgid", "os.setsid", "os.statvfs", "os.symlink", "os.sync", "os.sysconf", "os.uname", "os.wait",
    "os.WIFEXITED", "signal.alarm", "signal.pause", "signal.setitimer", "time.tzset",
}  # fmt: skip
SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "Signals", "SIG_DFL", "SIG_IGN"}
"""Of the signal module: what Windows has too."""
WRITERS = {"open", "read_text", "write_text"}
RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{i}" for kind in ("com", "lpt") for i in range(1, 10))}
LONGEST = 150
"""A checkout of Windows stands below a folder of the user's, and a path ends at 260 signs."""

Lines = Iterator[tuple[int, str]]


class Code(NamedTuple):
    """A file, taken apart once for all rules."""

    nodes: list[ast.AST]
    guarded: set[int]


def code_of(text: str) -> Code:
    nodes = list(ast.walk(ast.parse(text)))
    return Code(nodes, guarded_lines(nodes))


SUSPECT = re.compile(
    r"\b(import|from) (fcntl|grp|os|pwd|pty|resource|signal|syslog|termios|time|tty)|"
    r"\b(os|signal|select|time)\.[a-zA-Z]+|shell=|preexec_fn|new_session|process_group|subprocess|"
    r"[\"']/(tmp|dev|var|etc|usr)|\bPath\(|\bopen\(|(read|write)_text|"
    r"\.rename\(|multiprocessing|get_context|ProcessPool|%-|'epistem\[|zipfile|h5py|tarfile|mmap"
)
"""What a rule may stumble over: to take every file apart takes ten times as long."""


@pytest.fixture(scope="module")
def sources() -> dict[Path, Code]:
    texts = ((path, path.read_text("utf-8")) for path in SOURCES)
    return {path: code_of(text) for path, text in texts if SUSPECT.search(text)}


def dotted(node: ast.AST) -> str:
    """os.path.join of the node for it; what is no name is a ?."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def guarded_lines(nodes: list[ast.AST]) -> set[int]:
    """Lines that run on one system only, or where it is caught that something is not there."""
    lines: set[int] = set()
    for node in nodes:
        parts: list[ast.stmt] = []
        if isinstance(node, ast.If) and re.search(r"sys\.platform|os\.name|hasattr", ast.unparse(node.test)):
            parts = [*node.body, *node.orelse]
        elif isinstance(node, ast.Try) and any(
            handler.type is None or re.search(r"ImportError|AttributeError", ast.unparse(handler.type))
            for handler in node.handlers
        ):
            parts = node.body
        for part in parts:
            lines.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return lines


def unix_only(code: Code) -> Lines:
    for node in code.nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names if one.name in UNIX_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in UNIX_MODULES:
            names = [node.module]
        elif isinstance(node, ast.Attribute):
            name = dotted(node)
            names = [name] if name in UNIX_CALLS or _foreign(name) else []
        elif isinstance(node, ast.ImportFrom):
            named = [f"{node.module}.{one.name}" for one in node.names]
            names = [name for name in named if name in UNIX_CALLS or _foreign(name)]
        elif isinstance(node, ast.Call) and dotted(node.func) == "os.kill" and _is_zero(node.args[1:2]):
            names = ["os.kill(pid, 0), which ends the process on Windows instead of asking for it,"]
        for name in names:
            if node.lineno not in code.guarded:
                yield node.lineno, f"{name} is not on Windows; ask sys.platform or catch that it is not there"


def _foreign(name: str) -> bool:
    return name.startswith("signal.SIG") and name.removeprefix("signal.") not in SIGNALS


def _is_zero(given: list[ast.expr]) -> bool:
    return any(isinstance(one, ast.Constant) and one.value == 0 for one in given)


def shells(code: Code) -> Lines:
    for node in code.nodes:
        if isinstance(node, ast.Call):
            if dotted(node.func) in ("os.system", "os.popen"):
                yield node.lineno, f"{dotted(node.func)} asks a shell; use subprocess.run with a list"
            for word in node.keywords:
                if word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False):
                    yield node.lineno, "shell=True is another shell on Windows; pass a list"
                if word.arg in ("preexec_fn", "start_new_session", "process_group"):
                    yield node.lineno, f"{word.arg} is not on Windows"
            first = node.args[0] if node.args else None
            if isinstance(first, ast.List) and first.elts and isinstance(first.elts[0], ast.Constant):
                program = str(first.elts[0].value)
                if dotted(node.func).startswith("subprocess.") and program in ("bash", "sh", "cp", "mv", "rm", "ls"):
                    yield node.lineno, f"{program} is not on Windows"


def places(code: Code) -> Lines:
    """Folders that only Unix has, outside of texts for people; /proc is asked whether it is there."""
    for node in code.nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.match(r"/(tmp|dev|var|etc|usr)\b", node.value)
        ):
            yield node.lineno, f"{node.value!r} is on no Windows; tempfile, os.devnull or pathlib know the place"


def joined_paths(code: Code) -> Lines:
    for node in code.nodes:
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in ("Path", "open") and node.args:
            first = node.args[0]
            pieces = first.values if isinstance(first, ast.JoinedStr) else []
            slashed = any(isinstance(one, ast.Constant) and "/" in str(one.value) for one in pieces)
            added = isinstance(first, ast.BinOp) and isinstance(first.op, ast.Add) and "/" in ast.unparse(first)
            if slashed or added:
                yield node.lineno, "a path is put together with '/'; use Path(a) / b"


def encodings(code: Code) -> Lines:
    """Text files whose encoding is not said: on Windows it is not UTF-8."""
    for node in code.nodes:
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func).rpartition(".")[2]
        words = {word.arg for word in node.keywords}
        if None in words or "encoding" in words:
            continue
        if (name == "read_text" and not node.args) or (name == "write_text" and len(node.args) < 2):
            yield node.lineno, f"{name} without an encoding"
        elif name == "open" and "text" in modes(node):
            yield node.lineno, "open without an encoding"
        elif dotted(node.func) in ("subprocess.run", "subprocess.Popen", "subprocess.check_output") and words & {
            "text",
            "universal_newlines",
        }:
            yield node.lineno, "a process's text without an encoding"


def modes(node: ast.Call) -> str:
    """text or bytes, or "" for an open that is no file's."""
    func = node.func
    if isinstance(func, ast.Attribute) and dotted(func.value) in (
        "Image",
        "os",
        "zipfile",
        "webbrowser",
        "zarr",
        "direct",
        "tifffile",
        "wave",
    ):
        return ""
    builtin = isinstance(func, ast.Name)
    at = 1 if builtin else 0
    given = [word.value for word in node.keywords if word.arg == "mode"] + node.args[at : at + 1]
    if not given:
        # archive.open(member) and opener.open(address) give bytes; Path.open() and open(path) give text.
        return "text" if builtin or not node.args else ""
    mode = given[0].value if isinstance(given[0], ast.Constant) else ""
    return (
        "bytes"
        if isinstance(mode, str) and "b" in mode
        else "text"
        if isinstance(mode, str) and re.fullmatch(r"[rwax+t]+", mode)
        else ""
    )


def replacing(code: Code) -> Lines:
    """os.rename and Path.rename refuse on Windows where a file is there, and replace it elsewhere."""
    for node in code.nodes:
        if isinstance(node, ast.Call) and dotted(node.func) == "os.rename":
            yield node.lineno, "os.rename refuses on Windows what it replaces elsewhere; os.replace"
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "rename"
            and len(node.args) == 1 and not node.keywords and node.lineno not in code.guarded
            and f"rename({ast.unparse(node.args[0])})" not in INTO_NOTHING
        ):  # fmt: skip
            yield node.lineno, "Path.rename refuses on Windows what it replaces elsewhere; Path.replace"


INTO_NOTHING = {"rename(out)", "rename(folder)"}
"""Folders moved to a place where nothing is: fetched data and the made language model, where a refusal is wanted."""


def starts(code: Code) -> Lines:
    """Processes begun without saying how: macOS and Windows spawn, where Linux forks."""
    for node in code.nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "multiprocessing":
            for one in node.names:
                if one.name in ("Pool", "Process", "Manager"):
                    yield node.lineno, f"{one.name} starts as the system likes; get_context('spawn')"
        if not isinstance(node, ast.Call):
            continue
        name, words = dotted(node.func), {word.arg for word in node.keywords}
        if name in ("multiprocessing.Pool", "multiprocessing.Process", "multiprocessing.Manager"):
            yield node.lineno, f"{name} starts as the system likes; get_context('spawn')"
        elif name.endswith("get_context") and "'spawn'" not in ast.unparse(node):
            yield node.lineno, "get_context without 'spawn'"
        elif name.endswith("ProcessPoolExecutor") and "mp_context" not in words and len(node.args) < 2:
            yield node.lineno, "ProcessPoolExecutor without mp_context"


def clocks(code: Code) -> Lines:
    for node in code.nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search(r"%-[dmHIMSjy]\b", node.value)
        ):
            yield node.lineno, f"{node.value!r}: %-d is not on Windows"


def quotes(code: Code) -> Lines:
    """Single quotes are letters to cmd.exe, and bare brackets a pattern to zsh."""
    for node in code.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"'epistem\[", node.value):
            yield node.lineno, "pip install 'epistem[…]' fails in cmd.exe; use double quotes"


def waits(code: Code) -> Lines:
    for node in code.nodes:
        if isinstance(node, ast.Call) and dotted(node.func) in ("select.select", "select.poll", "os.mkfifo"):
            yield (
                node.lineno,
                f"{dotted(node.func)} waits for sockets only on Windows; multiprocessing.connection.wait",
            )


def held_files(code: Code) -> Lines:
    """Files read where they lie: on Windows one that is open cannot be replaced or deleted."""
    inside = {
        id(item.context_expr) for node in code.nodes if isinstance(node, ast.With | ast.AsyncWith)
        for item in node.items
    }  # fmt: skip
    for node in code.nodes:
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            held = name in ("zipfile.ZipFile", "h5py.File", "tarfile.open", "mmap.mmap") and id(node) not in inside
            mapped = any(word.arg == "mmap_mode" for word in node.keywords) or name == "np.memmap"
            if held or mapped:
                yield node.lineno, f"{name} stays open; use with, and close it before it is replaced"


RULES = {
    rule.__name__: rule
    for rule in (
        unix_only, shells, places, joined_paths, encodings, replacing, starts, clocks, quotes, waits, held_files,
    )
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_the_source_uses_nothing_that_only_one_system_has(rule: str, sources: dict[Path, Code]) -> None:
    broken = [
        f"{path.relative_to(ROOT)}:{line}: {why}" for path, code in sources.items() for line, why in RULES[rule](code)
    ]
    assert not broken, "\n".join(broken)


PLANTED = {
    "import fcntl": "unix_only",
    "from resource import getrusage": "unix_only",
    "os.fork()": "unix_only",
    "os.kill(pid, signal.SIGKILL)": "unix_only",
    "from signal import SIGHUP": "unix_only",
    "from os import fork": "unix_only",
    "os.pread(file, 4, 0)": "unix_only",
    "os.statvfs(folder).f_bavail": "unix_only",
    "os.kill(pid, 0)": "unix_only",
    "time.tzset()": "unix_only",
    "if a:\n    signal.signal(signal.SIGUSR1, b)": "unix_only",
    "subprocess.run(words, shell=True)": "shells",
    "os.system('ls')": "shells",
    "subprocess.run(['bash', 'x'])": "shells",
    "subprocess.Popen(words, start_new_session=True)": "shells",
    "Path('/tmp/x')": "places",
    "open('/dev/null', 'wb')": "places",
    "Path(f'{folder}/x.csv')": "joined_paths",
    "Path(a + '/x')": "joined_paths",
    "open(folder + '/x.csv', encoding='utf-8')": "joined_paths",
    "path.read_text()": "encodings",
    "path.write_text(text)": "encodings",
    "open(path)": "encodings",
    "open(path, 'w')": "encodings",
    "path.open()": "encodings",
    "path.open('a')": "encodings",
    "subprocess.run(words, text=True)": "encodings",
    "os.rename(a, b)": "replacing",
    "part.rename(path)": "replacing",
    "multiprocessing.Pool(2)": "starts",
    "from multiprocessing import Process": "starts",
    "get_context('fork').Pool(2)": "starts",
    "ProcessPoolExecutor(2)": "starts",
    "now.strftime('%-d.%m.')": "clocks",
    "raise E(\"pip install 'epistem[nets]'\")": "quotes",
    "select.select([pipe], [], [])": "waits",
    "archive = zipfile.ZipFile(path)": "held_files",
    "np.load(path, mmap_mode='r')": "held_files",
}


@pytest.mark.parametrize("code", PLANTED)
def test_each_rule_sees_what_it_is_for(code: str) -> None:
    planted = code_of(code)
    assert SUSPECT.search(code)
    assert {name for name, rule in RULES.items() if list(rule(planted))} == {PLANTED[code]}


@pytest.mark.parametrize(
    "code",
    [
        "if sys.platform == 'win32':\n    import msvcrt\nelse:\n    import fcntl",
        "try:\n    import resource\nexcept ImportError:\n    resource = None",
        "if hasattr(signal, 'SIGHUP'):\n    signal.signal(signal.SIGHUP, end)",
        "signal.signal(signal.SIGTERM, end)",
        "open(path, 'rb'); path.open('wb'); path.read_text('utf-8'); path.write_text(text, 'utf-8')",
        "open(path, encoding='utf-8'); path.open('w', encoding='utf-8'); archive.open(member)",
        "part.replace(path); os.replace(part, path); table.rename(columns=names)",
        "get_context('spawn').Pool(2); ProcessPoolExecutor(2, get_context('spawn'))",
        "with zipfile.ZipFile(path) as archive:\n    archive.extractall(folder)",
        "Path(folder) / 'x.csv'; f'{url}/api'; subprocess.run([sys.executable, '-m', 'epistem'])",
    ],
)
def test_what_every_system_has_is_left_alone(code: str) -> None:
    planted = code_of(code)
    assert [name for name, rule in RULES.items() if list(rule(planted))] == []


def wrong_names(paths: list[str]) -> list[str]:
    """Paths that a checkout on Windows or macOS cannot hold beside each other, or at all."""
    wrong = []
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(path.lower(), path)
        if other != path:
            wrong.append(f"{path} and {other} are one file on Windows and macOS")
        if len(path) >= LONGEST:
            wrong.append(f"{path} is {len(path)} signs long")
        for part in path.split("/"):
            if part.partition(".")[0].lower() in RESERVED or part[-1:] in (".", " "):
                wrong.append(f"{path}: {part!r} is no name on Windows")
            if re.search(r'[<>:"\\|?*\x00-\x1f]', part):
                wrong.append(f"{path} has a sign that Windows does not allow")
    return wrong


def tracked(root: Path = ROOT) -> list[tuple[str, str]]:
    """Mode and path of every file that git knows or would take; the mode of those it does not know yet is ""."""
    words = ["git", "ls-files", "-z", "--stage", "--others", "--exclude-standard"]
    try:
        held = subprocess.run(words, cwd=root, capture_output=True, encoding="utf-8", check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git here, or no checkout")
    parts = (re.fullmatch(r"(?:(\d{6}) [0-9a-f]+ \d\t)?(.+)", line, re.DOTALL) for line in held.split("\0"))
    return [(one[1] or "", one[2]) for one in parts if one]


def links(root: Path = ROOT) -> list[str]:
    """Symbolic links: on a disk of Windows those that git knows are plain files."""
    return [path for mode, path in tracked(root) if mode == "120000" or (root / path).is_symlink()]


def test_every_path_of_the_repository_is_one_on_windows_and_macos() -> None:
    assert wrong_names([path for _, path in tracked()]) == []


def test_the_repository_has_no_symbolic_link() -> None:
    assert links() == []


def test_a_file_that_is_not_yet_committed_is_looked_at(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    for name in ("a", "b c"):
        (tmp_path / name).write_text("", "utf-8")
    for words in (["init", "--quiet"], ["add", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert set(tracked(tmp_path)) == {("100644", "a"), ("", "b c")}
    (tmp_path / "l").symlink_to(tmp_path / "a")
    assert links(tmp_path) == ["l"]


@pytest.mark.parametrize(
    "paths",
    [["docs/A.md", "docs/a.md"], ["x/aux.py"], ["x/NUL"], ["a:b.txt"], ["what?.md"], ["x/end."], ["a" * LONGEST]],
)
def test_a_path_that_other_systems_refuse_is_seen(paths: list[str]) -> None:
    assert len(wrong_names(paths)) == 1
