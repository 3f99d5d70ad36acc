"""Plain values into models; what does not fit is told field by field, with the fix."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from epistem.core import SettingsError

M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], values: Any, source: str) -> M:
    """`values` as a `model`.

    Args:
        model: pydantic model.
        values: plain, as JSON holds them.
        source: what a person calls them.

    Raises:
        SettingsError: what to correct, one line a field.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"{source}: wanted a JSON object {{…}}, found {type(values).__name__}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_told(model, error.errors(include_url=False), source)) from None


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        SettingsError: no such file, or no JSON.
    """
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: wanted a JSON file; {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise SettingsError(f"{path.name} is not JSON at {where}: {error.msg}; correct it there") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path.name} is not JSON: {error}; save it again as UTF-8 text") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """In words, which known names a name may be meant for; all of them if none is near.

    >>> nearest("resnet5", ("resnet50", "unet")), nearest("sem", ("SEM", "AFM")), nearest("?", ("a", "b"))
    ("did you mean 'resnet50'?", "did you mean 'SEM'?", 'there is a, b')
    """
    known = list(known)
    return _meant(name, known) or f"there is {', '.join(known)}"


def _meant(name: Any, known: Iterable[str]) -> str:
    by_lower = {one.lower(): one for one in known}
    lower = str(name).lower()
    near = [lower] if lower in by_lower else difflib.get_close_matches(lower, by_lower, 3, 0.55)
    return f"did you mean {' or '.join(repr(by_lower[one]) for one in near)}?" if near else ""


def _told(model: type[BaseModel], errors: Sequence[Mapping[str, Any]], source: str) -> str:
    # A list whose entries are wrong counts as too short as well; the entries' lines say it better.
    inner = {error["loc"][:-1] for error in errors}
    lines = dict.fromkeys(
        _line(model, one) for one in errors if one["type"] != "too_short" or one["loc"] not in inner
    )
    fields = "1 field" if len(lines) == 1 else f"{len(lines)} fields"
    return "\n".join([f"{source}: {fields} to correct", *(f"  {line}" for line in lines)])


def _line(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    loc, kind = error["loc"], error["type"]
    place, here = _place(model, loc)
    if kind == "extra_forbidden":
        known = [field.alias or name for name, field in here.model_fields.items()] if here else []
        return f"{_dotted((*place, loc[-1]))}: unknown key; {nearest(str(loc[-1]), known)}"
    where = _dotted(place) or "profile"
    if kind == "missing":
        return f"{_dotted((*place, loc[-1])) if place != loc else where}: missing; add it"
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        words = [f"wanted one of {', '.join(names)}, not {_short(error['input'])}", _meant(error["input"], names)]
        return f"{where}: {'; '.join(filter(None, words))}"
    if kind == "too_short":
        return f"{where}: wanted at least {error['ctx']['min_length']} entry, found none"
    if kind == "value_error":
        return f"{where}: {error['ctx']['error']}"
    wanted = re.sub(r"^(Input|Value|Tuple|List) should", "wanted: should", error["msg"])
    return f"{where}: {wanted.replace('wanted: should be ', 'wanted ')}, not {_short(error['input'])}"


def _place(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[tuple[str | int, ...], type[BaseModel] | None]:
    """As much of `loc` as are fields and positions, and the model that its end lies in."""
    here: type[BaseModel] | None = model
    inside: Any = model
    place: list[str | int] = []
    for step in loc:
        if isinstance(step, int):
            place.append(step)
            continue
        here = _model_in(inside)
        found = None if here is None else _field(here, step)
        if found is None:
            break
        inside = found.annotation
        place.append(step)
    return tuple(place), _model_in(inside) if len(place) < len(loc) else here


def _field(model: type[BaseModel], key: str) -> Any:
    return next((one for name, one in model.model_fields.items() if key == (one.alias or name)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `tuple[Pair, ...]` or `Counted | None` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)


def _dotted(loc: Sequence[str | int]) -> str:
    """
    >>> _dotted(("model", "encoders", 0))
    'model.encoders[0]'
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
