"""Which network of a run is used, and how typical an image is of those that it learned from."""

from __future__ import annotations

from pathlib import Path

from epistem.bench.plan import load_plan
from epistem.bench.store import records
from epistem.core import RecordError, SettingsError
from epistem.nets.segment_use import MODEL


def model_file(path: Path) -> tuple[Path, str]:
    """The weights to use, and why these, in words.

    Args:
        path: a .safetensors file, a job's folder, or a run: of a run the network that scored highest on validation.

    Raises:
        SettingsError: neither of these.
        RecordError: a run without a network that is trained and kept.
    """
    if path.is_file():
        return path, f"Network: {path}"
    if (path / MODEL).is_file():
        return path / MODEL, f"Network: {path / MODEL}"
    if not (path / "plan.json").is_file():
        raise SettingsError(
            f"{path} is no run, no job and no .safetensors file; make a run with `epistem bench run`, or train one "
            "network with `epistem train segmenter`"
        )
    plan = load_plan(path / "plan.json")
    done = [one for one in records(path, plan) if (path / "jobs" / one.job / MODEL).is_file()]
    if not done:
        raise RecordError(f"no network of {path} is trained and kept; run `epistem bench run` without --no-models")
    # Random weights and short trainings compete by the same score: validation decides, not what they began with.
    trained = [one for one in done if not one.undertrained] or done
    # Of equal ones the last by id, as in the report.
    best = max(trained, key=lambda one: (float("-inf") if one.best_score is None else one.best_score, one.job))
    short = ", UNDERTRAINED" if best.undertrained else ""
    score = f"{best.validated}, the highest of {len(trained)}{short}"
    return path / "jobs" / best.job / MODEL, f"Network: {plan.job(best.job).name} ({score})"
