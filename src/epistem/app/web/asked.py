"""What the API takes as JSON, and how it refuses: one form for every error, whoever finds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from epistem.app.web.rooms import Refused, disk_refusal
from epistem.core import EpistemError

_NAMED = 5  # fields with an error that are named
_MOST_WORDS = 300


class Asked(BaseModel):
    """A body: nothing unknown in it, and no number that is none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Refusal(BaseModel):
    """Why not, for a person to read."""

    error: str = Field(description="One line: what was wanted, what came, what to do.")


_REFUSAL: dict[str, Any] = {"model": Refusal, "description": "Refused, in words"}
REFUSALS: dict[int | str, dict[str, Any]] = {422: _REFUSAL, "4XX": _REFUSAL, "5XX": _REFUSAL}
"""Of every route, for its description."""


def refuse_in_words(api: FastAPI) -> None:
    """Whatever is refused on the way to a route, or by it, is `{"error": "…"}`."""
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(EpistemError, _refused)
    api.add_exception_handler(RequestValidationError, _misunderstood)
    api.add_exception_handler(HTTPException, _not_served)
    api.add_exception_handler(OSError, _no_disk)
    api.add_exception_handler(sqlite3.OperationalError, _no_disk)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    return _answer(str(error), getattr(error, "status", 422))


async def _misunderstood(_: Request, error: Exception) -> JSONResponse:
    """What came is not repeated: it may be NaN, which JSON does not have, or no text."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    words = [f"{_where(one['loc'])}: {one['msg'][:1].lower()}{one['msg'][1:]}" for one in found[:_NAMED]]
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return _answer("; ".join(words) + more, 422)


async def _not_served(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": _line(str(error.detail))}, error.status_code, headers=dict(error.headers or {}))


async def _no_disk(request: Request, error: Exception) -> JSONResponse:
    """Without the place it happened at."""
    return await _refused(request, disk_refusal(error))


def _answer(why: str, status: int) -> JSONResponse:
    return JSONResponse({"error": _line(why)}, status)


def _line(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def _where(place: Sequence[int | str]) -> str:
    """The field, without telling body from address; an unknown one has a name of anybody's."""
    inner = place[1:] if len(place) > 1 else place
    return ".".join(str(part) for part in inner)[:_MOST_WORDS]
