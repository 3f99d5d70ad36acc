"""A page with the viewer and the drop zone alone, for the browser tests: `python demo.py PORT OBJECTS`."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from nicegui import app, ui
from PIL import Image

from epistem.app.web.drop import Drop
from epistem.app.web.histogram import histogram_svg
from epistem.app.web.viewer import Mode, Op, Viewer

ROWS, COLS = 600, 800
# The picture has fewer pixels than the image.
SMALLER = 2


def main(port: int, count: int) -> None:
    objects = discs(count)
    png = picture(objects)
    told: list[list[Any]] = []

    app.get("/picture")(lambda: Response(png, media_type="image/png"))
    app.get("/told")(lambda: JSONResponse(told))

    @app.get("/objects")
    def as_json(aspect: float = 1.0) -> JSONResponse:
        return JSONResponse({"shape": [ROWS, COLS], "aspect": aspect, "nm_per_px": 0.5, "objects": objects})

    @app.put("/store")
    async def store(request: Request, name: str) -> JSONResponse:
        size = len(await request.body())
        if name.endswith(".txt"):
            return JSONResponse({"error": f"{name} is text; micrographs are wanted."}, 415)
        if name.startswith("busy") and told.count(["busy", name]) == 0:
            told.append(["busy", name])
            return JSONResponse({}, 503)
        told.append(["stored", name, size])
        return JSONResponse({"id": f"file-{len(told)}"})

    @ui.page("/")
    def page(mode: Mode = "look", aspect: float = 1.0) -> None:
        def edited(op: Op, key: int | None, ring: list[float] | None) -> None:
            told.append([op, key, ring])
            if key is None:
                objects.append(one(len(objects), None, ring or [], "added"))
            else:
                objects[key]["state"] = {"delete": "deleted", "confirm": "confirmed"}[op]
            viewer.refresh()

        def left() -> None:
            told.append(["leave"])
            viewer.mode = "look"

        with ui.column().classes("w-full"):
            viewer = Viewer(
                on_pick=lambda key: told.append(["pick", key]),
                on_edit=edited,
                on_region=lambda ring: told.append(["region", ring]),
                on_leave=left,
            )
            viewer.mode = mode
            viewer.show("/picture", f"/objects?aspect={aspect}")
            ui.slider(min=0, max=1, step=0.1, value=0).bind_value_to(viewer, "threshold")
            ui.html(histogram_svg([item["about"]["diameter_nm"] for item in objects], "nm", 5.0), sanitize=False)
            Drop("/store", max_bytes=5000, on_done=lambda name, key: told.append(["done", name, key]))

    ui.run(host="127.0.0.1", port=port, show=False, reload=False, show_welcome_message=False)


def discs(count: int) -> list[dict[str, Any]]:
    """A grid of circles in rows, the first without score, the others with more and more."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(count)))
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    found = []
    for i in range(count):
        centre = np.array([(i % side + 0.5) * COLS / side, (i // side + 0.5) * ROWS / side])
        radius = 0.3 * ROWS / side * (0.6 + 0.4 * rng.random())
        ring = (centre + radius * np.stack([np.cos(turn), np.sin(turn)], 1)).round(2).ravel().tolist()
        found.append(one(i, None if i == 0 else i / count, ring, "found"))
    return found


def one(key: int, score: float | None, ring: list[float], state: str) -> dict[str, Any]:
    about = {"diameter_nm": 0.5 * float(np.ptp(ring[::2]))}
    return {"id": key, "score": score, "label": "cavity", "state": state, "rings": [ring], "about": about}


def picture(objects: list[dict[str, Any]]) -> bytes:
    """Grain with the first objects dark in it."""
    rows, cols = np.mgrid[: ROWS // SMALLER, : COLS // SMALLER] * SMALLER
    grey = np.random.default_rng(1).normal(120, 12, rows.shape)
    for item in objects[:300]:
        xy = np.reshape(item["rings"][0], (-1, 2))
        x, y = xy.mean(0)
        grey -= 50 * (np.hypot(cols - x, rows - y) < np.ptp(xy[:, 0]) / 2)
    buffer = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
