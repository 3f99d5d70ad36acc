"""What `epistem papers clusters` computes and draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epistem.ask.clusters import cluster_papers, titled
from epistem.ask.leakage import independence, leakage
from epistem.core.protocols import ChatModel
from epistem.report.export import write_table
from epistem.report.words import counted


def clustered(
    texts: Mapping[str, str],
    splits: Mapping[str, str],
    out: Path,
    number: int | None,
    seed: int,
    chat: ChatModel | None = None,
) -> dict[str, Any]:
    """Clusters, whether the splits are dealt over them evenly, and the nearest training paper of each other one.

    Returns:
        For machines, with "lines" for people.
    """
    from epistem.report.ask_figures import cluster_map

    found = cluster_papers(texts, k=number, seed=seed)
    if chat is not None:
        found = titled(found, texts, chat)
    rows = found.rows(splits)
    write_table(out / "clusters.csv", rows)
    (out / "clusters.svg").write_bytes(cluster_map(rows))
    alike, near = independence(found, splits, seed=seed), leakage(found.vectors, texts, splits, seed=seed)
    lines = [f"{counted(len(found.clusters), 'cluster')} of {counted(len(texts), 'paper')}, by {found.vectors.by}."]
    if found.stable is False:
        lines.append("Other draws of papers give other clusters: take them for a view, not for a finding.")
    lines += [f"Without a title by {found.titled_by}: {why}" for why in found.untitled]
    if found.vectors.left_out:
        lines.append(f"Left out, without a word: {', '.join(found.vectors.left_out)}.")
    lines += [f"  {at}: {one.title} ({len(one.papers)})" for at, one in enumerate(found.clusters, 1)]
    if alike is not None:
        lines.append(f"Splits against clusters: p = {alike.p:.3f}; small means that they are about different things.")
    for one in near.duplicates:
        lines.append(f"{one.paper} ({one.split}) is nearly {one.copied_from or one.nearest} of the training papers.")
    if near.left_out:
        lines.append(
            f"{counted(near.left_out, 'paper')} without a split or without words: in none of what is said of splits."
        )
    if near.nearest and not near.duplicates:
        lines.append("No paper of another split is nearly a training paper.")
    lines.append(f"Map: {out / 'clusters.svg'}")
    return {
        "papers": rows, "clusters": [one._asdict() for one in found.clusters], "stable": found.stable,
        "vectors": found.vectors.by, "lines": lines,
        "independence": None if alike is None else {"chi2": alike.chi2, "p": alike.p, "v": alike.v},
        "nearest": [one._asdict() for one in near.nearest], "nearest_p": near.p,
    }  # fmt: skip
