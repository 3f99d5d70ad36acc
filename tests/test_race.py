"""The table of claims of speed, and what counts as slower."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def module(name: str) -> ModuleType:
    if not (ROOT / "benchmarks" / f"{name}.py").is_file():
        pytest.skip("benchmarks are not here")
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.{name}")
    finally:
        sys.path.remove(str(ROOT))


def row(value: float, low: float | None = None, high: float | None = None, target: str = ">= 5") -> dict[str, Any]:
    return {"name": "x", "value": value, "low": low, "high": high, "target": target, "data": "d", "commit": "c"}


def claim(better: str = "more", kind: str = "ratio", name: str = "x") -> Any:
    return module("claims").Claim(name, "what", "peer", better, "run", kind)


def judged(new: dict[str, Any], old: dict[str, Any], *, machines: tuple[float, ...] = (), **of: str) -> Any:
    sides = [{"x": old}, {"x": new}]
    for side, gflops in zip(sides, machines, strict=False):
        side["race.machine.gflops"] = row(gflops)
    return module("race").judge(claim(**of), *sides)


@pytest.mark.parametrize(("new", "worse"), [(7.19, True), (7.21, False), (20.0, False)])
def test_a_ratio_is_slower_below_the_old_low_end_by_more_than_the_margin_however_good_its_best_turn(
    new: float, worse: bool
) -> None:
    assert module("race").is_worse(claim(), row(9.0, 8.0, 10.0), row(new, 1.0, 30.0)) is worse


@pytest.mark.parametrize(("seconds", "worse"), [(2.4, False), (2.6, True), (1.0, False)])
def test_of_seconds_more_is_worse(seconds: float, worse: bool) -> None:
    assert module("race").is_worse(claim("less", "absolute"), row(1.5, 1.0, 2.0), row(seconds)) is worse
    assert module("race").is_worse(claim("less", "absolute"), row(2.0), row(seconds)) is worse


@pytest.mark.parametrize(("ms", "worse"), [(140.0, False), (160.0, True)])
def test_requests_that_all_take_longer_are_slower_whatever_the_slowest_one_took(ms: float, worse: bool) -> None:
    requests = next(one for one in module("claims").CLAIMS if one.name == "app.request_ms_p95")
    assert module("race").is_worse(requests, row(120.0, 20.0, 4000.0), row(ms, 60.0, 5000.0)) is worse


def test_a_slower_claim_that_still_holds_is_bad() -> None:
    verdict = judged(row(6.0), row(9.0))
    assert verdict.bad
    assert "reached; SLOWER, was 9" in verdict.words


def test_a_claim_that_misses_its_target_is_bad_though_it_is_no_slower() -> None:
    assert judged(row(4.9), row(4.9)).bad
    assert not judged(row(5.0), row(5.0)).bad


def test_seconds_of_another_or_an_unknown_machine_are_not_compared() -> None:
    new, old = row(4.0, target="<= 10"), row(1.0, target="<= 10")
    for machines in ((100.0, 50.0), (100.0,), ()):
        verdict = judged(new, old, machines=machines, better="less", kind="absolute")
        assert not verdict.bad
        assert "another or an unknown machine" in verdict.words
    assert judged(new, old, machines=(100.0, 95.0), better="less", kind="absolute").bad


def test_a_claim_that_was_not_measured_is_bad() -> None:
    assert module("race").judge(claim(), {}, {}).bad


def test_a_new_claim_has_nothing_to_compare_with() -> None:
    verdict = module("race").judge(claim(), {}, {"x": row(6.0)})
    assert not verdict.bad
    assert "nothing to compare with" in verdict.words


def ran_by(race: ModuleType, monkeypatch: pytest.MonkeyPatch, root: Path, *, fails: str = "") -> list[list[str]]:
    """What follows `python -m` in each process that is begun from here on, in a repository of its own."""
    ran = []

    def run(words: Sequence[str], **_: Any) -> Any:
        assert list((root / race.BUILD).iterdir()) == []
        ran.append(list(words[2:]))
        return race.subprocess.CompletedProcess(words, int(words[2] == fails))

    monkeypatch.setattr(race, "ROOT", root)
    monkeypatch.setattr(race.subprocess, "run", run)
    return ran


def test_one_that_fails_stops_no_other_and_each_runs_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    race = module("race")
    ran = ran_by(race, monkeypatch, tmp_path, fails="benchmarks.match_speed")
    chosen = [one for one in race.CLAIMS if one.run in ("match_speed", "region_speed", "atoms_render")]
    assert race.run_all(chosen, whole=False) == ["match_speed"]
    assert [words[0] for words in ran] == [
        f"benchmarks.{name}" for name in ("match_speed", "region_speed", "atoms_render", "limits")
    ]
    assert ran[-1][2:] == [one.name for one in chosen]


def test_a_claim_whose_benchmark_failed_is_not_told_as_reached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    race = module("race")
    monkeypatch.setattr(race, "run_all", lambda chosen, whole: ["match_speed"])
    assert race.main(["--only", "main.match_speed_ratio", "main.region_speed_ratio"]) == 1
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("main."))
    assert told["main.match_speed_ratio"].startswith("not measured")
    assert "reached" in told["main.region_speed_ratio"]


def test_a_whole_run_measures_the_limits_of_what_stands_apart_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    race = module("race")
    ran = ran_by(race, monkeypatch, tmp_path)
    race.run_all(race.choose(None, quick=False), whole=True)
    assert not any(words[0] in ("benchmarks.scale", "benchmarks.soak") for words in ran)
    assert set(ran[-1][2:]) == set(module("bounds").BOUNDS)


def test_what_a_run_before_left_is_not_taken_up_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    race = module("race")
    checkpoint = tmp_path / race.BUILD / "detect" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    ran = ran_by(race, monkeypatch, tmp_path)
    race.run_all(race.choose(["main.detect_speed_ratio"], quick=False), whole=False)
    assert len(ran) == 2
    assert not checkpoint.exists()


def test_quick_leaves_out_the_slow_and_only_a_name_brings_what_stands_apart() -> None:
    race = module("race")
    assert not any(one.slow or one.apart for one in race.choose(None, quick=True))
    assert not any(one.apart for one in race.choose(None, quick=False))
    assert [one.name for one in race.choose(["scale.soak_growth"], quick=True)] == ["scale.soak_growth"]


@pytest.mark.parametrize("attribute", ["name", "run"])
def test_every_claim_has_its_row_and_its_benchmark(attribute: str) -> None:
    claims = module("claims").CLAIMS
    if attribute == "run":
        files = [ROOT / "benchmarks" / f"{one.run.split()[0]}.py" for one in claims]
        assert [path.name for path in files if not path.is_file()] == []
    else:
        known = module("race_table").rows_of(ROOT / "results")
        assert [one.name for one in claims if one.name not in known and not one.apart] == []
        assert set(module("bounds").BOUNDS) == {one.name for one in claims if one.bounded}


def test_the_table_says_what_does_not_hold_and_what_is_not_measured(tmp_path: Path) -> None:
    rows = [row(4.0, 3.0, 4.5) | {"name": "main.match_speed_ratio"},
            row(0.25) | {"name": "race.main.match_speed_ratio.limit_share", "data": "a|b"}]  # fmt: skip
    (tmp_path / "main.json").write_text(json.dumps(rows), "utf-8")
    lines = module("race_table").race_table(tmp_path).splitlines()
    assert lines[2].endswith("| pycocotools | 4 | 3–4.5 | >= 5 | **no** | 0.25 | a\\|b | `c` |")
    assert "*not measured yet*" in lines[3]
    assert len(lines) == 2 + len(module("claims").CLAIMS)


def test_a_limit_is_a_share_of_the_time_ours_took() -> None:
    bounds, machine = module("bounds"), module("machine")
    share = bounds._least(0.5, machine.Times(1.0, 0.8, 2.0), "reading")
    assert share[:3] == (0.5, 0.25, 0.625)
    assert share.words == "reading: 500 ms at least, ours 1000 ms"
