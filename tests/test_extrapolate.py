"""Costs of large sets from measured numbers."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.extrapolate import CORES, Costs, cost_table, costs_of_images, costs_of_patches, wall_s

COSTS = Costs(1.0, 0.02, 0.004, 0.05, 0.9, 2.0)


def rows(**values: float) -> list[dict[str, Any]]:
    return [{"name": f"scale.{name}", "value": value} for name, value in values.items()]


MEASURED = {
    "images_per_s": 0.8, "cluster_overhead_ms": 20.0, "cluster_items_per_s": 250.0, "tables_ms": 50.0,
    "two_worker_ratio": 1.8, "result_mb": 2.0,
}  # fmt: skip


def test_an_image_is_what_one_worker_takes_less_its_share_of_the_tables() -> None:
    costs = costs_of_images(rows(**MEASURED))
    assert costs == pytest.approx((1.2, 0.02, 0.004, 0.05, 0.9, 2.0))
    assert wall_s(1000, 1, Costs(*costs)) == pytest.approx(1000 / 0.8)


def test_twice_the_images_take_twice_as_long_and_twice_the_cores_at_best_half() -> None:
    for cores in CORES:
        assert wall_s(2000, cores, COSTS) == pytest.approx(2 * wall_s(1000, cores, COSTS))
        assert wall_s(1000, cores, COSTS) / 2 < wall_s(1000, 2 * cores, COSTS) <= wall_s(1000, cores, COSTS)


def test_beyond_what_the_coordinator_hands_out_more_cores_are_of_no_use() -> None:
    assert wall_s(1000, 10_000, COSTS) == wall_s(1000, 100_000, COSTS) == pytest.approx(1000 * (0.004 + 0.05))


def test_a_number_that_is_not_measured_gives_no_costs() -> None:
    assert costs_of_images(rows(**{name: v for name, v in MEASURED.items() if name != "result_mb"})) is None
    assert costs_of_patches([]) is None
    assert all("not measured yet" in line for line in cost_table({})[2:])


def test_the_table_has_a_cell_for_each_number_of_cores() -> None:
    patches = [{"name": "atoms.patches_per_s", "value": 10_000}]
    head, rule, *lines = cost_table({"scale": rows(**MEASURED), "atoms": patches})
    assert {line.count("|") for line in (head, rule, *lines)} == {len(CORES) + 5}
    # 55 million at 5,000 a second on one core; 264 bytes more than none.
    assert "3.06 h" in lines[1]
    assert "14.5 days" in lines[0]
