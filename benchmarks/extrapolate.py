"""What a million images, and the 55 million patches of the atoms paper, would take: from results/*.json alone.

    wall = n · listing + max(n · (image + overhead) / (cores · efficiency), n · coordinator) + n · tables

`listing` is what one process takes to find and hash a file before any work, `image` one image on one core, `overhead`
what Dask adds to it, `coordinator` what the one process that hands out the items needs for each, `tables` what it
writes at the end; `efficiency` is that of two workers, half of their ratio, and is taken to hold for more of them: an
assumption, as is the price of a core hour. Core hours are those of all cores from the first file to the last table.
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
        listing_s: before all of them, in one process.
        tables_s: after all of them, in one process.
        efficiency: of each of several workers, 0 to 1.
        item_mb: on disk.
    """

    item_s: float
    overhead_s: float
    coordinator_s: float
    listing_s: float
    tables_s: float
    efficiency: float
    item_mb: float


def wall_s(number: int, cores: int, costs: Costs) -> float:
    """From the first file that is looked for to the last table [s]; on one core without a cluster.

    >>> costs = Costs(1.0, 0.1, 0.01, 0.25, 0.5, 0.5, 2.0)
    >>> wall_s(1000, 1, costs)
    1750.0
    >>> wall_s(1000, 10, costs)
    970.0
    >>> wall_s(1000, 1000, costs)  # the coordinator cannot hand out faster
    760.0
    """
    alone = number * (costs.listing_s + costs.tables_s)
    if cores == 1:
        return alone + number * costs.item_s
    workers = number * (costs.item_s + costs.overhead_s) / (cores * costs.efficiency)
    return alone + max(workers, number * costs.coordinator_s)


def costs_of_images(rows: Sequence[Mapping[str, Any]]) -> Costs | None:
    """From the numbers of results/scale.json; None where one is not measured."""
    value = {row["name"].removeprefix("scale."): row["value"] for row in rows}
    try:
        listing_s, tables_s = value["listing_ms"] / 1000, value["tables_ms"] / 1000
        return Costs(
            item_s=1 / value["images_per_s"] - listing_s - tables_s,
            overhead_s=value["cluster_overhead_ms"] / 1000,
            coordinator_s=1 / value["cluster_items_per_s"],
            listing_s=listing_s,
            tables_s=tables_s,
            # Two workers that are a hair faster than twice one are no more than twice as fast.
            efficiency=min(1.0, value["two_worker_ratio"] / 2),
            item_mb=value["result_mb"],
        )
    except KeyError:
        return None


def costs_of_patches(rows: Sequence[Mapping[str, Any]]) -> Costs | None:
    """From results/atoms.json, whose rate is of two processes in memory: nothing else is known of patches, and taken
    as nothing."""
    rate = {row["name"]: row["value"] for row in rows}.get("atoms.patches_per_s")
    if rate is None:
        return None
    return Costs(2 / rate, 0.0, 0.0, 0.0, 0.0, efficiency=1.0, item_mb=PATCH_BYTES / 1e6)


def cost_table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Markdown: what is asked for on some cores, against wall time, core hours, money and disk."""
    jobs = (
        (f"{IMAGES:,} images, analysed", IMAGES, costs_of_images(results.get("scale", ()))),
        (f"{PATCHES:,} patches, simulated and described", PATCHES, costs_of_patches(results.get("atoms", ()))),
    )
    lines = ["| | cores | by the clock | core hours | euros | disk |", "|---" + "|--:" * 5 + "|"]
    for what, number, costs in jobs:
        if costs is None:
            lines.append(f"| {what} | – | not measured yet | – | – | – |")
            continue
        for cores in CORES:
            seconds = wall_s(number, cores, costs)
            hours = seconds * cores / 3600
            euros = _three_digits(hours * PRICE_PER_CORE_HOUR)
            disk = f"{number * costs.item_mb / 1e6:.3g} TB"
            lines.append(f"| {what} | {cores} | {_time(seconds)} | {_three_digits(hours)} | {euros} | {disk} |")
    return lines


def _three_digits(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
