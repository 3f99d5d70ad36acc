"""Questions of a session, for any program; the page asks the same functions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from epistem.app.web.api import room_of
from epistem.app.web.ask import LONGEST, LONGEST_CONTEXT, folder_of, queue_ask, said_of
from epistem.app.web.asked import Asked
from epistem.app.web.desk import Desk


class AskIn(Asked):
    """See `epistem ask`; there is no endpoint to give: the server would have to trust an address of anybody's."""

    image: str = Field(max_length=16)
    question: str = Field(max_length=LONGEST)
    context: str = Field("", max_length=LONGEST_CONTEXT)
    number: int | None = Field(None, ge=1, le=1_000_000)
    words: bool = True
    network: str | None = Field(None, max_length=200)


def ask_routes(desk: Desk) -> APIRouter:
    """Everything of the tab Ask.

    Args:
        desk: what can be done.
    """
    to = APIRouter(prefix="/api/ask")

    @to.post("", status_code=201)
    def ask(request: Request, asked: AskIn) -> dict[str, str]:
        return queue_ask(
            desk, room_of(request), asked.image, asked.question, context=asked.context, number=asked.number,
            words=asked.words, network=asked.network,
        )  # fmt: skip

    @to.get("/{run}")
    def said(request: Request, run: str) -> dict[str, Any]:
        room = room_of(request)
        folder_of(room, run)
        job = next((one for one in desk.queue.of_room(room.name, kind="ask") if one.what.get("run") == run), None)
        told = {"said": said_of(room, run)}
        return told if job is None else {**told, "state": job.state, "why": job.why, "answer": job.result}

    return to
