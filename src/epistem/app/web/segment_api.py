"""Networks, segmentations and heatmaps of a session, for the page's browser and any program."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from pydantic import Field

from epistem.app.web.api import file_below, room_of
from epistem.app.web.asked import Asked
from epistem.app.web.desk import Desk
from epistem.app.web.networks import networks, remove_weights, reserve_weights, settle_weights
from epistem.app.web.rooms import Refused
from epistem.app.web.segment import (
    EXPLAINED,
    LOOKS,
    explanation_of,
    filled_png,
    look_of,
    queue_explain,
    queue_segment,
    results_of,
)
from epistem.app.web.uploads import take_upload


class SegmentIn(Asked):
    """See `epistem segment`."""

    network: str = Field(max_length=200)
    min_diameter_px: float = Field(0.0, ge=0, allow_inf_nan=False)


class ExplainIn(Asked):
    """See `epistem explain`."""

    ring: list[float] = Field(max_length=4000)
    class_name: str | None = Field(None, max_length=80)


def segment_routes(desk: Desk) -> APIRouter:
    """Everything of the tab Segment.

    Args:
        desk: what can be done.
    """
    to = APIRouter(prefix="/api")

    @to.get("/weights")
    def listed(request: Request) -> list[dict[str, str]]:
        return [{"id": one.id, "name": one.name} for one in networks(room_of(request))]

    @to.put("/weights", status_code=201)
    async def put(request: Request, name: str) -> dict[str, str]:
        room, limits = room_of(request), desk.rooms.limits
        network = await take_upload(
            request, limits.upload_bytes, reserve=lambda size: reserve_weights(room, limits, name, size),
            settle=lambda id: settle_weights(room, id, name), abandon=lambda id: remove_weights(room, id),
        )  # fmt: skip
        return {"id": network.path.parent.name, "network": network.id, "name": network.name}

    @to.delete("/weights/{id}", status_code=204)
    def remove(request: Request, id: str) -> None:
        remove_weights(room_of(request), id)

    @to.post("/images/{id}/segment")
    def segment(request: Request, id: str, asked: SegmentIn) -> dict[str, str]:
        return {"job": queue_segment(desk, room_of(request), id, asked.network, asked.min_diameter_px)}

    @to.post("/images/{id}/explain")
    def explain(request: Request, id: str, asked: ExplainIn) -> dict[str, str]:
        return {"job": queue_explain(desk, room_of(request), id, asked.ring, asked.class_name)}

    @to.get("/segment/{id}/files/{path:path}")
    def file(request: Request, id: str, path: str) -> Response:
        return file_below(results_of(room_of(request), id) / "images", path)

    @to.get("/segment/{id}/{slice_}/picture.png")
    def picture(request: Request, id: str, slice_: int, opacity: int = 0) -> Response:
        folder = look_of(room_of(request), id, slice_)
        if slice_ < 0 or not (folder / "told.json").is_file():
            raise Refused("this image has not been segmented yet", 404)
        if opacity <= 0:
            return FileResponse(folder / "picture.png", headers={"cache-control": "no-cache"})
        return Response(filled_png(folder, min(opacity, 100) / 100), media_type="image/png")

    @to.get("/segment/{id}/{slice_}/{what}")
    def look(request: Request, id: str, slice_: int, what: str) -> Response:
        path = look_of(room_of(request), id, slice_) / what
        if what not in LOOKS or slice_ < 0 or not path.is_file():
            raise Refused("this image has not been segmented yet", 404)
        return FileResponse(path, headers={"cache-control": "no-cache"})

    @to.get("/explain/{id}/{name}/{what}")
    def explained(request: Request, id: str, name: str, what: str) -> Response:
        if what not in EXPLAINED:
            raise Refused("there is no such file in this session", 404)
        return file_below(explanation_of(room_of(request), id, name), what)

    return to
