"""Results as JSON: records become objects, and what is not known is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any


def named_values(value: Any) -> Any:
    """Plain values for JSON; fields of dataclasses and named tuples keep their names, NaN is None.

    >>> named_values({"f1": float("nan"), "of": (1, 2)})
    {'f1': None, 'of': [1, 2]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return named_values(asdict(value))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return named_values(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): named_values(one) for key, one in value.items()}
    return [named_values(one) for one in value] if isinstance(value, list | tuple) else value


def print_json(value: Any) -> None:
    """The same on the terminal."""
    print(json.dumps(named_values(value), indent=1, ensure_ascii=False))
