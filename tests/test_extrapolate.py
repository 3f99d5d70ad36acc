"""Costs of large sets from measured numbers."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.extrapolate import CORES, Costs, cost_table, costs_of_images, costs_of_patches, wall_s

COSTS = Costs(1.0, 0.02, 0.004, 0.01, 0.05, 0.9, 2.0)


def rows(**values: float) -> list[dict[str, Any]]:
    return [{"name": f"scale.{name}", "value": value} for name, value in values.items()]


MEASURED = {
    "images_per_s": 0.8, "cluster_overhead_ms": 20.0, "cluster_items_per_s": 250.0, "listing_ms": 10.0,
    "tables_ms": 50.0, "two_worker_ratio": 1.8, "result_mb": 2.0,
}  # fmt: skip
PATCHES = [{"name": "atoms.patches_per_s", "value": 10_000}]


def test_an_image_is_what_one_worker_takes_less_its_share_of_listing_and_tables() -> None:
    costs = costs_of_images(rows(**MEASURED))
    assert costs == pytest.approx((1.19, 0.02, 0.004, 0.01, 0.05, 0.9, 2.0))
    assert wall_s(1000, 1, Costs(*costs)) == pytest.approx(1000 / 0.8)


def test_twice_the_images_take_twice_as_long_and_twice_the_cores_at_best_half() -> None:
    for cores in CORES:
        assert wall_s(2000, cores, COSTS) == pytest.approx(2 * wall_s(1000, cores, COSTS))
        assert wall_s(1000, cores, COSTS) / 2 < wall_s(1000, 2 * cores, COSTS) <= wall_s(1000, cores, COSTS)


def test_beyond_what_the_coordinator_hands_out_more_cores_are_of_no_use() -> None:
    at_most = pytest.approx(1000 * (0.004 + 0.01 + 0.05))
    assert wall_s(1000, 10_000, COSTS) == wall_s(1000, 100_000, COSTS) == at_most


@pytest.mark.parametrize("missing", MEASURED)
def test_a_number_that_is_not_measured_gives_no_costs(missing: str) -> None:
    assert costs_of_images(rows(**{name: value for name, value in MEASURED.items() if name != missing})) is None


def test_a_table_without_numbers_says_so() -> None:
    assert costs_of_patches([]) is None
    lines = cost_table({})[2:]
    assert len(lines) == 2
    assert all("not measured yet" in line for line in lines)


def test_the_table_has_a_line_for_each_number_of_cores_which_are_paid_for_until_the_last_table_is_written() -> None:
    head, rule, *lines = cost_table({"scale": rows(**MEASURED), "atoms": PATCHES})
    assert {line.count("|") for line in (head, rule, *lines)} == {7}
    cells = [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]
    # A million at 0.8 a second; on more cores 1.21 s / (cores · 0.9) each, and 60 ms each in one process.
    assert cells[:3] == [
        ["1", "14.5 days", "347", "17.4", "2 TB"],
        ["16", "40 h", "640", "32", "2 TB"],
        ["256", "18.1 h", "4,640", "232", "2 TB"],
    ]
    # 55 million at 5,000 a second and core, 528 bytes each.
    assert cells[3] == ["1", "3.06 h", "3.06", "0.153", "0.029 TB"]
    assert [cell[2] for cell in cells[4:]] == ["3.06", "3.06"]
