"""Fields of atomic columns of a session, for the page's browser and any program."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import Field

from epistem.app.atoms_context import ContextFile
from epistem.app.web.api import file_below, room_of
from epistem.app.web.asked import Asked
from epistem.app.web.atoms import LOOKS, atoms_of, columns_of, queue_atoms, queue_read, told_of
from epistem.app.web.desk import Desk
from epistem.app.web.rooms import Refused

Ids = Annotated[list[Annotated[str, Field(max_length=16)]], Field(min_length=1, max_length=2)]


class ReadIn(Asked):
    """Images of one field."""

    images: Ids


class AtomsIn(ReadIn):
    """See `epistem atoms classify`; the context has the keys of context.yaml."""

    context: ContextFile = ContextFile()
    what_if: bool = True


def atoms_routes(desk: Desk) -> APIRouter:
    """Everything of the tab Atoms.

    Args:
        desk: what can be done.
    """
    to = APIRouter(prefix="/api/atoms")

    @to.post("/read")
    def read(request: Request, asked: ReadIn) -> dict[str, str]:
        return {"job": queue_read(desk, room_of(request), asked.images)}

    @to.post("/classify")
    def classify(request: Request, asked: AtomsIn) -> dict[str, str]:
        context = asked.context.model_dump(exclude_none=True, mode="json", exclude_defaults=True)
        return {"job": queue_atoms(desk, room_of(request), asked.images, context, asked.what_if)}

    @to.get("/{id}/told.json")
    def told(request: Request, id: str) -> dict[str, Any]:
        return told_of(room_of(request), id)

    @to.get("/{id}/columns.json")
    def columns(request: Request, id: str, label: str | None = None) -> Response:
        return JSONResponse(columns_of(room_of(request), id, label))

    @to.get("/{id}/shares.json")
    def shares(request: Request, id: str, dopants: float | None = None) -> dict[str, Any]:
        from epistem.app.web.atoms_looks import with_dopants

        return with_dopants(atoms_of(room_of(request), id), dopants)

    @to.get("/{id}/files/{name}")
    def file(request: Request, id: str, name: str) -> Response:
        return file_below(atoms_of(room_of(request), id) / "results", name)

    @to.get("/{id}/{what}")
    def look(request: Request, id: str, what: str) -> Response:
        path = atoms_of(room_of(request), id) / what
        if what not in LOOKS or not path.is_file():
            raise Refused("this image has not been looked at yet", 404)
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return to
