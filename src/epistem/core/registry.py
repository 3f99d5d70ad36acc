"""Tables of names: what can be chosen, imported only when it is."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from epistem.core.errors import UnknownName


class Table(Mapping[str, Any]):
    """name → "module:attribute", resolved on first use.

    >>> table = Table("shape", {"square": "math:sqrt"})
    >>> table["square"](9.0)
    3.0
    >>> table["sqare"]
    Traceback (most recent call last):
    epistem.core.errors.UnknownName: no shape is called 'sqare'; there is square. Did you mean 'square'?
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Any:
        if name not in self._entries:
            near = difflib.get_close_matches(name, self._entries, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UnknownName(f"no {self.kind} is called {name!r}; there is {', '.join(self._entries)}.{hint}")
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
