"""Writes measured numbers where the docs find them: results/<topic>.json."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

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
    path = ROOT / "results" / f"{name.partition('.')[0]}.json"
    rows = json.loads(path.read_text("utf-8")) if path.exists() else []
    rows = [row for row in rows if row["name"] != name]
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
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".json.part")
    partial.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(partial, path)
    print(f"{name} = {value:.4g}  (wanted {target})")


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks", "scripts")
    return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
