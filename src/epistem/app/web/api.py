"""What the page's browser asks for, and any program may: JSON and files of the session's own room."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import Field

from epistem.app.web.asked import REFUSALS, Asked, refuse_in_words
from epistem.app.web.desk import Desk
from epistem.app.web.measured import CORRECTIONS, zip_of
from epistem.app.web.rooms import Refused, Room
from epistem.app.web.specimens import LARGEST
from epistem.app.web.uploads import take_upload

LOOKS = frozenset({"picture.png", "objects.json", "thresholds.json"})


class Settings(Asked):
    """Of a detection; see `epistem analyze`."""

    min_score: float | None = Field(None, ge=0, le=1)
    thickness_nm: float | None = Field(None, gt=0)
    thickness_error_nm: float | None = Field(None, ge=0)
    object_name: str | None = Field(None, min_length=1, max_length=40)
    weights: str | None = Field(None, max_length=80)
    forecast: str | None = Field(None, max_length=80)


class Change(Asked):
    """Of one image."""

    pixel_size: str | None = Field(None, max_length=60)
    confirmed: bool | None = None


class EditIn(Asked):
    """One correction; see `edits`."""

    op: str = Field(max_length=10)
    id: int | None = None
    ring: list[float] | None = Field(None, max_length=4000)
    made: str | None = Field(None, max_length=16)


class ResultsIn(Asked):
    """Which results are to be written and packed: found, or corrected."""

    which: str = Field("found", max_length=10)


class TrainIn(Asked):
    """How long to learn; see `epistem train`."""

    steps: int | None = None


class ForecastIn(Asked):
    """Of which weights a forecast is to be fitted; None is the shipped ones."""

    weights: str | None = Field(None, max_length=80)


class SpecimenIn(Asked):
    """Of one image."""

    specimen: str = Field(max_length=200)


class RightIn(Asked):
    """Whether every object of an image is right now."""

    right: bool


def make_api(desk: Desk) -> FastAPI:
    """The application without its pages.

    Args:
        desk: what can be done.
    """
    from epistem.app.web.ask_api import ask_routes
    from epistem.app.web.atoms_api import atoms_routes
    from epistem.app.web.bench_api import bench_routes
    from epistem.app.web.segment_api import segment_routes

    api = FastAPI(title="epistem", docs_url=None, redoc_url=None, responses=REFUSALS)
    refuse_in_words(api)
    api.include_router(_images(desk))
    api.include_router(_corrections(desk))
    api.include_router(_results(desk))
    api.include_router(segment_routes(desk))
    api.include_router(atoms_routes(desk))
    api.include_router(ask_routes(desk))
    api.include_router(bench_routes(desk))
    return api


def room_of(request: Request) -> Room:
    """Of the session that asks."""
    room: Room = request.scope["epistem_room"]
    return room


def _images(desk: Desk) -> APIRouter:
    to = APIRouter(prefix="/api")

    @to.get("/health")
    async def health() -> dict[str, bool]:
        return {"ok": True}

    @to.get("/state")
    def state(request: Request) -> dict[str, Any]:
        return desk.state(room_of(request))

    @to.put("/images", status_code=201)
    async def put(request: Request, name: str, detect: bool = True) -> dict[str, Any]:
        room, rooms = room_of(request), desk.rooms
        item = await take_upload(
            request, rooms.limits.upload_bytes, reserve=lambda size: rooms.reserve(room, name, size),
            settle=lambda id: rooms.settle(room, id, name), abandon=lambda id: desk.abandon(room, id),
        )  # fmt: skip
        job = await asyncio.to_thread(desk.first_look, room, item.id) if detect else None
        return {"id": item.id, "name": item.name, "job": job}

    @to.patch("/images/{id}")
    def change(request: Request, id: str, change: Change) -> dict[str, Any]:
        if change.confirmed is not None:
            return desk.confirm(room_of(request), id, change.confirmed)
        return desk.change(room_of(request), id, change.pixel_size)

    @to.delete("/images/{id}", status_code=204)
    def remove(request: Request, id: str) -> None:
        desk.remove(room_of(request), id)

    @to.post("/images/{id}/detect")
    def detect(request: Request, id: str, settings: Settings) -> dict[str, str]:
        (job,) = desk.analyse(room_of(request), settings.model_dump(exclude_none=True), [id])
        return {"job": job}

    @to.post("/detect")
    def detect_all(request: Request, settings: Settings) -> dict[str, list[str]]:
        return {"jobs": desk.analyse_all(room_of(request), settings.model_dump(exclude_none=True))}

    @to.get("/images/{id}/{slice_}/{what}")
    def look(request: Request, id: str, slice_: int, what: str) -> Response:
        room = room_of(request)
        room.item(id)
        if what == "objects.json":
            return JSONResponse(desk.objects(room, id, slice_))
        path = room.look_of(id, slice_) / what
        if what not in LOOKS or slice_ < 0 or not path.is_file():
            raise Refused("this image has not been analysed yet", 404)
        return FileResponse(path, headers={"cache-control": "no-cache"})

    @to.post("/jobs/{id}/cancel")
    def cancel(request: Request, id: str) -> dict[str, bool]:
        return {"cancelled": desk.queue.cancel(id, room_of(request).name)}

    return to


def _corrections(desk: Desk) -> APIRouter:
    """What a person says of images, and what is learned from it."""
    to = APIRouter(prefix="/api")

    @to.post("/images/{id}/{slice_}/edits")
    def edit(request: Request, id: str, slice_: int, edit: EditIn) -> dict[str, Any]:
        return desk.edit(room_of(request), id, slice_, edit.op, edit.id, edit.ring, edit.made)

    @to.put("/images/{id}/{slice_}/right")
    def right(request: Request, id: str, slice_: int, said: RightIn) -> dict[str, Any]:
        return desk.say_right(room_of(request), id, slice_, said.right)

    @to.post("/images/{id}/measure")
    def measure(request: Request, id: str) -> dict[str, str]:
        return {"job": desk.measure(room_of(request), id)}

    @to.put("/images/{id}/specimen", status_code=204)
    def specimen(request: Request, id: str, said: SpecimenIn) -> None:
        desk.set_specimen(room_of(request), id, said.specimen)

    @to.put("/samples")
    async def samples(request: Request) -> dict[str, Any]:
        text = (await _body(request, LARGEST)).decode("utf-8-sig", "replace")
        return await asyncio.to_thread(desk.set_samples, room_of(request), text)

    @to.post("/train", status_code=201)
    def train(request: Request, asked: TrainIn | None = None) -> dict[str, str]:
        return desk.train(room_of(request), asked.steps if asked else None)

    @to.post("/forecast", status_code=201)
    def forecast(request: Request, of: ForecastIn) -> dict[str, str]:
        return desk.forecast(room_of(request), of.weights)

    @to.post("/next", status_code=201)
    def label_next(request: Request) -> dict[str, str]:
        return {"job": desk.queue_job(room_of(request), "next", {})}

    return to


def _results(desk: Desk) -> APIRouter:
    to = APIRouter()

    @to.post("/api/results", status_code=201)
    def write(request: Request, asked: ResultsIn) -> dict[str, str]:
        return {"job": desk.results(room_of(request), asked.which)}

    @to.get("/api/corrections.json")
    def corrections(request: Request) -> Response:
        path = room_of(request).corrected / CORRECTIONS
        if not path.is_file():
            raise Refused("no corrections are written: mark images as right, and prepare the corrected results", 404)
        return FileResponse(path, filename=CORRECTIONS)

    @to.get("/api/results-{which}.zip")
    def results(request: Request, which: str) -> Response:
        path = zip_of(room_of(request), which)
        if which not in ("found", "corrected") or not path.is_file():
            raise Refused("these results are not prepared yet: once images are analysed, ask for them", 404)
        return FileResponse(path, filename=path.name)

    @to.get("/results/{path:path}")
    def found(request: Request, path: str) -> Response:
        return file_below(room_of(request).results, path)

    @to.get("/corrected/{path:path}")
    def corrected(request: Request, path: str) -> Response:
        return file_below(room_of(request).corrected, path)

    @to.get("/runs/{path:path}")
    def run(request: Request, path: str) -> Response:
        return file_below(room_of(request).folder / "runs", path)

    return to


def file_below(folder: Path, path: str) -> Response:
    """A file of a folder, a page in a sandbox: it may hold words of others.

    Raises:
        Refused: there is none, or it lies elsewhere.
    """
    try:
        whole = (folder / path).resolve()
        inside = folder.resolve() in whole.parents and whole.is_file()
    except (OSError, ValueError):  # a NUL in the name, a loop of links
        inside = False
    if not inside:
        raise Refused("there is no such file in this session", 404)
    return FileResponse(
        whole, headers={"content-security-policy": "sandbox allow-scripts allow-popups allow-downloads"}
    )


async def _body(request: Request, most: int) -> bytes:
    """The whole body, which may not be large."""
    came = bytearray()
    async for piece in request.stream():
        came += piece
        if len(came) > most:
            raise Refused(f"that is larger than {most:,} bytes, as large as this may be", 413)
    return bytes(came)
