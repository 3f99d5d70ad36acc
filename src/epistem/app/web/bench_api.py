"""Studies of segmentation networks of a session, for the page's browser and any program."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from epistem.app.web.api import _store, room_of
from epistem.app.web.bench import LONGEST, keep_profile, profile_text, queue_bench, queue_init, simulate, study_of
from epistem.app.web.bench_sets import reserve_set
from epistem.app.web.desk import Desk
from epistem.app.web.rooms import safe_name


class ProfileIn(BaseModel):
    """A profile as JSON text, as a person types it; see `epistem bench schema`."""

    text: str = Field(max_length=LONGEST)


def bench_routes(desk: Desk) -> APIRouter:
    """Everything of the tab Bench.

    Args:
        desk: what can be done.
    """
    to = APIRouter(prefix="/api/bench")

    @to.put("", status_code=201)
    async def put(request: Request, name: str) -> dict[str, str]:
        room, declared = room_of(request), request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else None
        study, path = await asyncio.to_thread(reserve_set, room, desk.rooms.limits, name, size)
        try:
            await _store(request, path, desk.rooms.limits.upload_bytes, size)
        except BaseException:  # a closed tab too
            await asyncio.to_thread(shutil.rmtree, path.parent, ignore_errors=True)
            raise
        return await asyncio.to_thread(queue_init, desk, room, study, safe_name(name).removesuffix(".zip"))

    @to.post("/simulated", status_code=201)
    def simulated(request: Request) -> dict[str, str]:
        return simulate(desk, room_of(request))

    @to.get("/{study}/profile")
    def profile(request: Request, study: str) -> dict[str, str]:
        return {"text": profile_text(room_of(request), study)}

    @to.put("/{study}/profile")
    def keep(request: Request, study: str, given: ProfileIn) -> dict[str, Any]:
        return keep_profile(room_of(request), study, given.text)

    @to.post("/{study}/run", status_code=201)
    def run(request: Request, study: str) -> dict[str, str]:
        study_of(room_of(request), study)
        return queue_bench(desk, room_of(request), study)

    return to
