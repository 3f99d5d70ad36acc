"""What a million images, and the 55 million patches of the atoms paper, would take: from results/*.json alone.

    wall = max(n · (image + overhead) / (cores · efficiency), n · coordinator) + n · tables

`image` is one image on one core, `overhead` what Dask adds to it, `coordinator` the time that the one process which
hands out the items needs for each, `tables` what it writes at the end; `efficiency` is that of two workers, half of
their ratio, and is taken to hold for more of them: an assumption. So is the price of a core hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PRICE_PER_CORE_HOUR = 0.05  # an assumption; euros, as rented machines without a GPU cost about
CORES = (1, 16, 256)
IMAGES = 1_000_000
PATCHES = 55_000_000  # of the atoms paper's set
PATCH_BYTES = 2 * 66 * 4  # 66 moments of two detectors, single precision


class Costs(NamedTuple):
    """What one item takes.

    Attributes:
        item_s: on one core.
        overhead_s: of the cluster, on that core.
        coordinator_s: of the process that hands the items out.
        tables_s: afterwards, in one process.
        efficiency: of each of several workers, 0 to 1.
        item_mb: on disk.
    """

    item_s: float
    overhead_s: float
    coordinator_s: float
    tables_s: float
    efficiency: float
    item_mb: float


def wall_s(number: int, cores: int, costs: Costs) -> float:
    """From the first item to the last table [s]; on one core without a cluster.

    >>> wall_s(1000, 1, Costs(1.0, 0.1, 0.01, 0.1, 0.5, 2.0))
    1100.0
    >>> wall_s(1000, 10, Costs(1.0, 0.1, 0.01, 0.1, 0.5, 2.0))
    320.0
    >>> wall_s(1000, 1000, Costs(1.0, 0.1, 0.01, 0.1, 0.5, 2.0))  # the coordinator cannot hand out faster
    110.0
    """
    if cores == 1:
        return number * (costs.item_s + costs.tables_s)
    workers = number * (costs.item_s + costs.overhead_s) / (cores * costs.efficiency)
    return max(workers, number * costs.coordinator_s) + number * costs.tables_s


def costs_of_images(rows: Sequence[Mapping[str, Any]]) -> Costs | None:
    """From the numbers of results/scale.json; None where one is not measured."""
    value = {row["name"].removeprefix("scale."): row["value"] for row in rows}
    wanted = (
        "images_per_s", "cluster_overhead_ms", "cluster_items_per_s", "tables_ms", "two_worker_ratio", "result_mb",
    )  # fmt: skip
    if not all(name in value for name in wanted):
        return None
    tables_s = value["tables_ms"] / 1000
    # Two workers that are a hair faster than twice one are no more than twice as fast.
    efficiency = min(1.0, value["two_worker_ratio"] / 2)
    return Costs(
        1 / value["images_per_s"] - tables_s, value["cluster_overhead_ms"] / 1000, 1 / value["cluster_items_per_s"],
        tables_s, efficiency, value["result_mb"],
    )  # fmt: skip


def costs_of_patches(rows: Sequence[Mapping[str, Any]]) -> Costs | None:
    """From results/atoms.json, whose rate is of two processes; fields of many patches are handed out, so that
    neither cluster nor coordinator count."""
    rate = {row["name"]: row["value"] for row in rows}.get("atoms.patches_per_s")
    return None if rate is None else Costs(2 / rate, 0.0, 0.0, 0.0, 1.0, PATCH_BYTES / 1e6)


def cost_table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Markdown: what is asked for against wall time on some cores, core hours, money and disk."""
    jobs = (
        (f"{IMAGES:,} images, analysed", IMAGES, costs_of_images(results.get("scale", ()))),
        (f"{PATCHES:,} patches, simulated and described", PATCHES, costs_of_patches(results.get("atoms", ()))),
    )
    head = " | ".join(f"{cores} core{'s' if cores > 1 else ''}" for cores in CORES)
    lines = [f"| | {head} | core hours | euros | disk |", "|---" + "|--:" * (len(CORES) + 3) + "|"]
    for what, number, costs in jobs:
        if costs is None:
            lines.append(f"| {what} | {'not measured yet | ' * len(CORES)}– | – | – |")
            continue
        walls = " | ".join(_time(wall_s(number, cores, costs)) for cores in CORES)
        hours = number * (costs.item_s + costs.overhead_s + costs.tables_s) / costs.efficiency / 3600
        disk = f"{number * costs.item_mb / 1e6:.3g} TB"
        lines.append(f"| {what} | {walls} | {hours:,.3g} | {hours * PRICE_PER_CORE_HOUR:,.3g} | {disk} |")
    return lines


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
