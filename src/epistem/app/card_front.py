"""The front of a card: a few lines of YAML that model hubs and `epistem models` read.

::

    ---
    license: gpl-3.0                as the hub spells it; left out where nobody said
    library_name: epistem
    pipeline_tag: object-detection
    tags: [electron microscopy, …]
    epistem: {name, job, network, licence, trained_on}
    model-index: …                  the card's scores, one result a data set
    ---
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from epistem.core import RecordError

LIBRARY = "epistem"
_FENCE = "---\n"
# SPDX → the hub's own word for it; of any other the SPDX name is told beside "other".
_HUB_LICENCES = {
    "GPL-3.0-or-later": "gpl-3.0",
    "GPL-3.0-only": "gpl-3.0",
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "BSD-3-Clause": "bsd-3-clause",
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
}


class Kind(NamedTuple):
    """What the networks of a name are for: epistem's job, the hub's task, words to find them by."""

    job: str
    task: str
    tags: tuple[str, ...]


_CAVITIES = ("transmission electron microscopy", "cavities", "instance segmentation")
KINDS: Mapping[str, Kind] = {
    "cavity-dense": Kind("detect", "object-detection", _CAVITIES),
    "cavity-maskrcnn": Kind("detect", "object-detection", _CAVITIES),
    "forecast": Kind("forecast", "tabular-regression", ("expected F1", "uncertainty")),
    "segmenter": Kind("segment", "image-segmentation", ("semantic segmentation",)),
    "context-classifier": Kind("atoms", "image-classification", ("STEM", "atomic columns", "dichalcogenides")),
    "columns": Kind("atoms", "other", ("STEM", "multislice", "simulated")),
    "llava-assistant": Kind("ask", "image-text-to-text", ("visual question answering",)),
    "decline": Kind("ask", "text-classification", ("unanswerable questions",)),
}


def front_of(network: str, card: Mapping[str, Any], *, name: str, licence: str | None = None) -> dict[str, Any]:
    """What stands in the front of the card of a network.

    Args:
        network: a name in `KINDS`, or any other, of which less is said.
        card: of its weights file.
        name: that the weights go by.
        licence: SPDX name; the card's own where None.
    """
    kind = KINDS.get(network, Kind("other", "other", ()))
    licence = licence or licence_of(card)
    front: dict[str, Any] = {}
    if licence is not None:
        known = _HUB_LICENCES.get(licence)
        front |= {"license": known} if known else {"license": "other", "license_name": licence}
    front |= {"library_name": LIBRARY, "pipeline_tag": kind.task, "tags": ["microscopy", *kind.tags]}
    said = {"name": name, "job": kind.job, "network": network, "licence": licence, "trained_on": trained_on(card)}
    front["epistem"] = {key: value for key, value in said.items() if value is not None}
    if results := _results(kind.task, card):
        front["model-index"] = [{"name": name, "results": results}]
    return front


def name_of(stem: str, card: Mapping[str, Any]) -> str:
    """What weights go by: the file's name; of a network of the bench, whose files are all called alike, what it is.

    >>> name_of("model", {"dataset": "pores", "settings": {"encoder": "resnet50", "decoder": "unet"}})
    'pores-resnet50-unet'
    """
    built = card.get("settings") or {}
    parts = [card.get("dataset"), built.get("encoder"), built.get("decoder")]
    return "-".join(map(str, parts)) if all(parts) else stem


def licence_of(card: Mapping[str, Any]) -> str | None:
    """SPDX name of the licence that a card gives its weights, or None.

    >>> licence_of({"licences": {"weights": "GPL-3.0-or-later, as epistem"}})
    'GPL-3.0-or-later'
    """
    said = dict(card.get("licences") or {}).get("weights")
    return str(said).split(",")[0].strip() if said else None


def trained_on(card: Mapping[str, Any]) -> str | None:
    """What the weights learned from, in a few words, as far as their card says so."""
    data = card.get("data")
    if isinstance(data, Mapping) and isinstance(data.get("fields"), Mapping):
        number = sum(int(recipe["number"]) for recipe in data["fields"].values())
        recorded = f", some on {len(data['backgrounds'])} recorded cavity-free fields" if data["backgrounds"] else ""
        return f"{number} simulated fields{recorded}"
    if isinstance(data, Mapping) and "learned_from" in data:
        return f"{len(data['learned_from'])} labelled images, from weights {card.get('from')}"
    if "dataset" in card:
        return f"{card['dataset']} (licence: {card.get('licence') or 'unknown'})"
    if isinstance(fields := card.get("fields"), Mapping) and "hosts" in fields:
        return f"simulated fields of {', '.join(fields['hosts'])}"
    if "captions" in card and "images" in card:
        return f"{card['images']} simulated scenes"
    said = card.get("trained_on")
    return None if said is None else str(said)


def with_front(front: Mapping[str, Any], text: str) -> str:
    """A card with its front, in place of the one that it had."""
    said: str = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=110)
    return _FENCE + said + _FENCE + body(text)


def body(text: str) -> str:
    """A card without its front."""
    return text.split(_FENCE, 2)[2] if text.startswith(_FENCE) and text.count(_FENCE) > 1 else text


def read_front(text: str, source: str) -> dict[str, Any]:
    """The front of a card; empty where it has none.

    Raises:
        RecordError: one that is not YAML of names and values.
    """
    if not text.startswith(_FENCE) or text.count(_FENCE) < 2:
        return {}
    try:
        front = yaml.safe_load(text.split(_FENCE, 2)[1])
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise RecordError(f"{source}: the lines between --- are no YAML ({why}); correct them") from error
    if not isinstance(front, dict):
        raise RecordError(f"{source}: wanted names and values between the --- lines, not {front!r}")
    return front


def _results(task: str, card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The card's scores in the hub's form."""
    return [
        {
            "task": {"type": task},
            "dataset": {"name": where, "type": "simulated" if simulated else "own images"},
            "metrics": [{"type": name, "value": round(value, 4)} for name, value in values.items()],
        }
        for where, simulated, values in _scores(card)
    ]


def _scores(card: Mapping[str, Any]) -> list[tuple[str, bool, dict[str, float]]]:
    """(data set, whether it was simulated, scores by name) of those scores that another tool can read."""
    scores = card.get("scores") or {}
    if validation := card.get("validation"):
        values = {name: value for name, value in validation.items() if name != "step" and value is not None}
        return [(f"{card.get('dataset')}, validation", False, values)] if values else []
    rows = {name: row for name, row in scores.items() if isinstance(row, Mapping) and _of(row, "f1", "mae")}
    if rows:
        own = "learned_from" in dict(card.get("data") or {})
        names = ("f1", "precision", "recall", "mae", "r2")
        # "before" are the scores of the weights that these began from.
        return [(where, not own, _of(row, *names)) for where, row in rows.items() if not where.endswith("before")]
    if found := _of(scores, "accuracy", "nll_after", "ece_after"):
        where = f"{scores.get('fields')} other simulated fields, seed {scores.get('seed')}"
        return [(where, True, {name.removesuffix("_after"): value for name, value in found.items()})]
    return []


def _of(row: Mapping[str, Any], *names: str) -> dict[str, float]:
    return {name: float(row[name]) for name in names if isinstance(row.get(name), int | float)}
