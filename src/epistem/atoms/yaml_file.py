"""YAML that people write (JSON is YAML too): names and values, with the line each stands in."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from epistem.core import RecordError, SettingsError

_LARGEST = 1_000_000  # bytes
Model = TypeVar("Model", bound=BaseModel)


class Entries(NamedTuple):
    """What a file says.

    Attributes:
        path: of the file.
        values: by name.
        lines: name → line, from 1.
    """

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[str, int]

    def where(self, name: str) -> str:
        """The place of an entry, in words."""
        return f"{self.path.name}, line {self.lines[name]}" if name in self.lines else self.path.name


def read_entries(path: Path) -> Entries:
    """The names and values of a YAML or JSON file.

    Raises:
        RecordError: the file cannot be read.
        SettingsError: it is no list of names and values, or says one thing twice.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise RecordError(f"{path} has more than {_LARGEST} bytes; wanted a few lines of YAML")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read as YAML ({error})") from error
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        return _entries(path, loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or error
        raise SettingsError(f"{path.name}{at}: this is no YAML ({why}); wanted lines such as 'host: WSe2'") from error
    finally:
        if loader is not None:
            loader.dispose()


def _entries(path: Path, loader: yaml.SafeLoader) -> Entries:
    node = loader.get_single_node()
    if node is None:
        return Entries(path, {}, {})
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{path.name} holds no names with values; wanted lines such as 'host: WSe2'")
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        name = str(loader.construct_object(key, deep=True))
        if name in values:
            raise SettingsError(
                f"{path.name}, line {key.start_mark.line + 1}: {name} was said in line {lines[name]} already"
            )
        values[name] = loader.construct_object(value, deep=True)
        lines[name] = key.start_mark.line + 1
    return Entries(path, values, lines)


def checked(model: type[Model], entries: Entries) -> Model:
    """The values as a model of them.

    Raises:
        SettingsError: a name that there is not, or a value that cannot be; each with its line.
    """
    try:
        return model.model_validate(dict(entries.values))
    except ValidationError as error:
        raise SettingsError(
            "\n".join([str(entries.path), *(_sentence(one, entries, model) for one in error.errors())])
        ) from error


def _sentence(error: Any, entries: Entries, model: type[BaseModel]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    inside = ".".join(
        str(part) for part in error["loc"][1:] if not str(part).startswith(("tuple", "literal", "list", "float"))
    )
    line = f"line {entries.lines[name]}: " if name in entries.lines else ""
    if error["type"] == "extra_forbidden" and not inside:
        near = get_close_matches(name, model.model_fields, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there is {', '.join(model.model_fields)}"
        return f"{line}nothing is called {name!r}; {meant}"
    why = error["msg"].removeprefix("Value error, ")
    if not name:
        return str(why)
    why = why[0].lower() + why[1:]
    came = "" if error["type"] == "missing" or isinstance(error["input"], dict) else f", not {error['input']!r}"
    return f"{line}{name}{f'.{inside}' if inside else ''}: {why}{came}"
