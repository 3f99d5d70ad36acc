"""Studies of segmentation networks of a session, for the page's browser and any program."""

from __future__ import annotations

import shutil
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from epistem.app.web.api import room_of
from epistem.app.web.asked import Asked
from epistem.app.web.bench import LONGEST, keep_profile, profile_text, queue_bench, queue_init, simulate, study_of
from epistem.app.web.bench_sets import reserve_set
from epistem.app.web.desk import Desk
from epistem.app.web.rooms import safe_name
from epistem.app.web.uploads import take_upload


class ProfileIn(Asked):
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
        room, limits = room_of(request), desk.rooms.limits
        return await take_upload(
            request, limits.upload_bytes, reserve=lambda size: reserve_set(room, limits, name, size),
            settle=lambda study: queue_init(desk, room, study, safe_name(name).removesuffix(".zip")),
            abandon=lambda study: shutil.rmtree(study_of(room, study), ignore_errors=True),
        )  # fmt: skip

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
        return queue_bench(desk, room_of(request), study)

    return to
