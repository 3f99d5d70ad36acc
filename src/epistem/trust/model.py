"""A fitted forecast as a file: no pickle, nothing is run when it is read, and it says what it is for."""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor

from epistem.core import RecordError
from epistem.trust.forecast import TARGETS, Forecaster, How
from epistem.trust.objects import ObjectModel
from epistem.trust.regressors import Regressor, Spans
from epistem.trust.typicality import Typicality

VERSION = 3
SHIPPED = Path(__file__).parent / "shipped"

# Compiled parts of scikit-learn's trees; skops asks for anything that it does not know by heart.
_TRUSTED = (
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


def save(forecaster: Forecaster, path: Path) -> None:
    """The whole file or none; the same forecast gives the same bytes.

    Raises:
        RecordError: it cannot be written.
    """
    content = {
        "epistem_forecast": VERSION,
        "how": asdict(forecaster.how) | {"scores": list(forecaster.how.scores), "parts": list(forecaster.how.parts)},
        "about": forecaster.about,
        "reference_n": forecaster.reference_n,
        "columns": list(forecaster.columns),
        "objects": forecaster.objects.model,
        "regressors": {name: [one.boosted, one.randomised] for name, one in forecaster.regressors.items()},
        "spans": {name: [one.error, one.edges, one.below, one.above] for name, one in forecaster.spans.items()},
        "typicality": [[score, one.as_dict()] for score, one in forecaster.typicality.items()],
    }
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(_without_place_and_time(skops.io.dumps(content)))
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise RecordError(
            f"{path} could not be written: {error.strerror or error}; make room or choose another --out"
        ) from error


def _without_place_and_time(dumped: bytes) -> bytes:
    """The archive of skops with its objects numbered as they come, not by where they lay in memory, and undated."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], str(len(numbers) + 1))

    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dumped)) as source, zipfile.ZipFile(packed, "w") as target:
        schema = re.sub(r'(?<="__id__": )\d+|(?<="file": ")\d+', number, source.read("schema.json").decode())
        for name in source.namelist():
            content = schema if name == "schema.json" else _without_gaps(source.read(name))
            entry = zipfile.ZipInfo(re.sub(r"^\d+", number, name))  # of 1980 unless told
            target.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()


def _without_gaps(saved: bytes) -> bytes:
    """The array with zeros between its fields: the nodes of a tree have seven bytes there that nobody sets."""
    array = np.load(io.BytesIO(saved))
    if array.dtype.names is None:
        return saved
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    np.save(packed := io.BytesIO(), clean)
    return packed.getvalue()


def load(path: Path) -> Forecaster:
    """A saved forecast.

    Raises:
        RecordError: not there, damaged, of another version, or holding what no forecast holds.
    """
    try:
        content = skops.io.load(path, trusted=list(_TRUSTED))
    except OSError as error:
        raise RecordError(
            f"{path}: wanted a fitted forecast (epistem forecast fit); {error.strerror or error}"
        ) from error
    except Exception as error:
        raise RecordError(f"{path} is no fitted forecast, or is damaged ({error}); fit it again") from error
    if not isinstance(content, Mapping) or "epistem_forecast" not in content:
        raise RecordError(f"{path} holds something else than a fitted forecast; give one of epistem forecast fit")
    if (found := content["epistem_forecast"]) != VERSION:
        raise RecordError(f"{path} is of version {found}, this epistem reads {VERSION}; fit it again")
    try:
        return _forecaster(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} lacks a part of a forecast ({error}); fit it again") from error


def _forecaster(content: Mapping[str, Any]) -> Forecaster:
    how = content["how"]
    made = Forecaster(How(**how | {"scores": tuple(how["scores"]), "parts": tuple(how["parts"])}), content["about"])
    made.reference_n, made.columns = int(content["reference_n"]), tuple(content["columns"])
    made.objects = ObjectModel.of(_checked(content["objects"], HistGradientBoostingClassifier))
    for name in TARGETS:
        boosted, randomised = content["regressors"][name]
        made.regressors[name] = Regressor.of(
            _checked(boosted, HistGradientBoostingRegressor), _checked(randomised, ExtraTreesRegressor), f"e_{name}"
        )
        error, *arrays = content["spans"][name]
        expected = _checked(error, HistGradientBoostingRegressor)
        made.spans[name] = Spans(expected, *(np.asarray(one) for one in arrays))
    made.typicality = {float(score): Typicality.from_dict(one) for score, one in content["typicality"]}
    return made


def _checked(model: Any, kind: type) -> Any:
    if not isinstance(model, kind):
        raise TypeError(f"{type(model).__name__} in the place of a {kind.__name__}")
    return model
