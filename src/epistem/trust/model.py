"""A fitted forecast as a file: arrays and a line of settings; nothing is run when it is read.

docs/decisions/0016.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import RecordError
from epistem.core.files import written_whole
from epistem.trust.forecast import TARGETS, Forecaster, How
from epistem.trust.objects import ObjectModel
from epistem.trust.regressors import Regressor, Spans
from epistem.trust.trees import Trees
from epistem.trust.typicality import Typicality

VERSION = 4
SHIPPED = Path(__file__).parent / "shipped"
_ENDS = ("edges", "below", "above")

Arrays = Mapping[str, NDArray[Any]]


def save(forecaster: Forecaster, path: Path) -> None:
    """The whole file or none; the same forecast gives the same bytes.

    Raises:
        RecordError: it cannot be written.
    """
    typical = [(score, one.as_dict()) for score, one in forecaster.typicality.items()]
    about = {
        "epistem_forecast": VERSION,
        "how": asdict(forecaster.how),
        "about": forecaster.about,
        "reference_n": forecaster.reference_n,
        "columns": forecaster.columns,
        "spans": list(forecaster.spans),
        "typicality": [
            {"score": score} | {name: value for name, value in one.items() if not isinstance(value, np.ndarray)}
            for score, one in typical
        ],
    }
    arrays: dict[str, Any] = _below("objects", forecaster.objects.trees)
    for target, one in forecaster.regressors.items():
        arrays |= _below(f"{target}.boosted", one.boosted) | _below(f"{target}.randomised", one.randomised)
    for target, span in forecaster.spans.items():
        arrays |= _below(f"{target}.error", span.error)
        arrays |= {f"{target}.{name}": getattr(span, name) for name in _ENDS}
    for number, (_, values) in enumerate(typical):
        arrays |= {f"typicality{number}.{n}": value for n, value in values.items() if isinstance(value, np.ndarray)}
    with written_whole(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)


def load(path: Path) -> Forecaster:
    """A saved forecast.

    Raises:
        RecordError: not there, damaged, of another version, or holding what no forecast holds.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays["about"])) if "about" in arrays else None
    except OSError as error:
        raise RecordError(
            f"{path}: wanted a fitted forecast (epistem forecast fit); {error.strerror or error}"
        ) from error
    except Exception as error:
        raise RecordError(f"{path} is no fitted forecast, or is damaged ({error}); fit it again") from error
    if not isinstance(about, dict) or "epistem_forecast" not in about:
        raise RecordError(f"{path} holds something else than a fitted forecast; give one of epistem forecast fit")
    if (found := about["epistem_forecast"]) != VERSION:
        raise RecordError(f"{path} is of version {found}, this epistem reads {VERSION}; fit it again")
    try:
        return _forecaster(about, arrays)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} lacks a part of a forecast ({error}); fit it again") from error


def _forecaster(about: Mapping[str, Any], arrays: Arrays) -> Forecaster:
    how = about["how"]
    made = Forecaster(How(**how | {"scores": tuple(how["scores"]), "parts": tuple(how["parts"])}), about["about"])
    made.reference_n, made.columns = int(about["reference_n"]), tuple(about["columns"])
    made.objects = ObjectModel.of(_trees("objects", arrays))
    for target in TARGETS:
        boosted, randomised = (_trees(f"{target}.{name}", arrays) for name in ("boosted", "randomised"))
        made.regressors[target] = Regressor.of(boosted, randomised, f"e_{target}")
    for target in about["spans"]:
        ends = (np.asarray(arrays[f"{target}.{name}"], np.float64) for name in _ENDS)
        made.spans[target] = Spans(_trees(f"{target}.error", arrays), *ends)
    for number, plain in enumerate(about["typicality"]):
        score = float(plain.pop("score"))
        made.typicality[score] = Typicality.from_dict(plain | _above(f"typicality{number}", arrays))
    return made


def _trees(name: str, arrays: Arrays) -> Trees:
    return Trees.of_arrays(_above(name, arrays))


def _below(name: str, trees: Trees | None) -> dict[str, NDArray[Any]]:
    if trees is None:
        return {}
    return {f"{name}.{part}": array for part, array in trees.as_arrays().items()}


def _above(name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {part.removeprefix(f"{name}."): arrays[part] for part in arrays if part.startswith(f"{name}.")}
