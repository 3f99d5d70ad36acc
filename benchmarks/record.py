"""Writes measured numbers where the docs find them: results/<topic>.json."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def record(
    name: str,
    value: float,
    *,
    low: float | None = None,
    high: float | None = None,
    target: str,
    command: str,
    data: str,
) -> None:
    """Put one number into results/<topic>.json, in place of the last one of that name.

    Args:
        name: "topic.what", as the issue names it.
        value: the number as measured.
        low, high: its spread; the data line says of what.
        target: what was asked for, in words or as ">= 5".
        command: what to type to measure it again.
        data: what it was measured on.
    """
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"{name}: {value} does not lie between {low} and {high}")
    rows = [row for row in _rows(name) if row["name"] != name]
    rows.append(
        {
            "name": name,
            "value": value,
            "low": low,
            "high": high,
            "target": target,
            "command": command,
            "data": data,
            "commit": _commit(),
        }
    )
    rows.sort(key=lambda row: row["name"])
    _write(name, rows)
    print(f"{name} = {value:.4g}  (wanted {target})")


def forget(name: str) -> None:
    """Take out the number of that name, if there is one: an old one beside new ones would pass for new."""
    rows = _rows(name)
    kept = [row for row in rows if row["name"] != name]
    if len(kept) < len(rows):
        _write(name, kept)
        print(f"{name}: the number measured before is taken out")


def _rows(name: str) -> list[dict[str, Any]]:
    path = _path(name)
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return rows


def _write(name: str, rows: list[dict[str, Any]]) -> None:
    path = _path(name)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".json.part")
    partial.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(partial, path)


def _path(name: str) -> Path:
    return ROOT / "results" / f"{name.partition('.')[0]}.json"


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks", "scripts")
    return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
