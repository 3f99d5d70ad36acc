"""What `make check` scans beside the code: imports that are not declared, secrets, known holes of dependencies.

    python scripts/scan.py

The holes are asked of a public database. Where it does not answer, or does not know a package, that is said as "not
checked", and fails nothing: a machine without network can check the rest.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "scripts" / "known_secrets.json"
AUDIT_S = 45.0
PINS = ("constraints.txt", "scripts/weights.txt")
# Pictures, arrays and weights; everything else may hold a key, whatever its name ends in.
_NO_TEXT = frozenset({".emd", ".hspy", ".mrc", ".npz", ".onnx", ".parquet", ".png", ".safetensors", ".tif", ".zip"})
_LARGEST = 300_000
# Those that look for kinds of secrets; the ones that look for disorder find every hash of a data set.
_LEFT_OUT = {"Base64HighEntropyString", "HexHighEntropyString"}
# There are hundreds of these, and none is a file of settings.
_TOGETHER = (".py", ".md")
_CAN_HOLD = re.compile(r"(?i)key|pass|pwd|secret|token|://[^/\s]*@|begin|[a-z0-9]{16,}")
# What pip-audit says where the database, or the way to it, is at fault.
_NO_ANSWER = re.compile(
    r"(requests|urllib3)\.exceptions\.|ServiceError|Could not connect to PyPI|PyPI is not redirecting"
)


class Seen(NamedTuple):
    """Something that looks like a secret; of itself only the hash."""

    file: str
    line: int
    kind: str
    hash: str


def main() -> int:
    """Runs the three; how many found something."""
    found = [declared(), secrets(), holes()]
    return sum(not fine for fine in found)


def declared() -> bool:
    """Whether each import of the package is of something that pyproject.toml asks for."""
    run = subprocess.run([_tool("deptry"), "src", "--no-ansi"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        print(run.stderr or run.stdout)
    return run.returncode == 0


def secrets() -> bool:
    """Whether no file holds what looks like a key or a password, beyond those that were looked at."""
    known = {tuple(one) for one in json.loads(BASELINE.read_text("utf-8"))}
    paths = list(tracked())
    for path in paths:
        if path.stat().st_size > _LARGEST:
            print(f"{_name(path)} was not looked through for secrets: it is larger than {_LARGEST // 1000} kB.")
    fresh = [one for one in sorted(seen(paths)) if (one.file, one.hash) not in known]
    for one in fresh:
        print(f"{one.file}:{one.line}: looks like a secret ({one.kind}); take it out, or, where it is none, add")
        print(f'  ["{one.file}", "{one.hash}"] to {_name(BASELINE)}')
    return not fresh


def seen(paths: Iterable[Path]) -> Iterator[Seen]:
    """What looks like a secret in these files, but for those that are too large."""
    from detect_secrets import SecretsCollection
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.settings import transient_settings

    plugins = (kind.__name__ for kind in get_mapping_from_secret_type_to_class().values())
    wanted = [{"name": name} for name in sorted(plugins) if name not in _LEFT_OUT]
    with transient_settings({"plugins_used": wanted}) as settings, tempfile.TemporaryDirectory() as folder:
        # It takes some kinds of text, .css among them, for none.
        settings.disable_filters("detect_secrets.filters.heuristic.is_non_text_file")
        for (suffix, _), lines in _worth_a_look(paths).items():
            file = Path(folder, f"lines{suffix}")
            file.write_text("".join(f"{text}\n" for _, _, text in lines), "utf-8")
            found = SecretsCollection()
            found.scan_file(str(file))
            for _, one in found:
                name, number, _ = lines[one.line_number - 1]
                yield Seen(name, number, one.type, one.secret_hash)


def _worth_a_look(paths: Iterable[Path]) -> dict[tuple[str, str], list[tuple[str, int, str]]]:
    """File, number and text of the lines that can hold a secret, by what is scanned as one file: suffix and name.

    The scanner takes most of its time for lines that can hold nothing. Files of settings stay apart: it looks at what
    their keys are set to, and only where all of a file reads as settings.
    """
    lines: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
    for path in paths:
        if path.stat().st_size > _LARGEST:
            continue
        name = _name(path)
        together = path.suffix, "" if path.suffix in _TOGETHER else name
        for number, text in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if _CAN_HOLD.search(text):
                lines.setdefault(together, []).append((name, number, text))
    return lines


def tracked() -> Iterator[Path]:
    """Files of the repository, and those that git would take, that can hold text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in os.fsdecode(listed.stdout).split("\0"):
        path = ROOT / name
        if name and path.suffix.lower() not in _NO_TEXT and path.is_file():
            yield path


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def holes() -> bool:
    """Whether no pinned package has a known hole; what could not be asked is said."""
    command = [_tool("pip-audit"), "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    command += [word for name in PINS for word in ("--requirement", name)]
    try:
        run = subprocess.run(
            command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace", timeout=AUDIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return audited("", f"requests.exceptions.Timeout: none within {AUDIT_S:g} s")
    return audited(run.stdout, run.stderr)


def audited(said: str, complained: str) -> bool:
    """Whether pip-audit found no hole, by its output and its standard error; False where it failed by itself."""
    try:
        packages = json.loads(said)["dependencies"]
    except ValueError:
        if _NO_ANSWER.search(complained):
            print("Known holes of dependencies: not checked, the database does not answer from here.")
            return True
        print(f"Known holes of dependencies: pip-audit did not come to an end.\n{complained.strip()[-2000:]}")
        return False
    return told(packages)


def told(packages: Sequence[dict[str, Any]]) -> bool:
    """Whether none of those that were checked has a hole; how many were not is said."""
    unasked = [one["name"] for one in packages if "skip_reason" in one]
    if unasked:
        print(
            f"Known holes: {len(unasked)} of {len(packages)} packages not checked, the database did not tell of them."
        )
    holed = [(one, hole) for one in packages for hole in one.get("vulns", ())]
    for one, hole in holed:
        mended = ", ".join(hole["fix_versions"]) or "none yet"
        print(f"{one['name']} {one['version']} has a known hole, {hole['id']}; mended in {mended}")
    return not holed


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


if __name__ == "__main__":
    sys.exit(main())
