"""The page, tried: started on a free port of this machine, asked once, stopped."""

from __future__ import annotations

import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

_PATIENCE_S = 30.0


class Answer(NamedTuple):
    """What the page answered: HTTP status, and at which port."""

    status: int
    port: int


def first_page() -> Answer:
    """Ask for the first page as a browser does."""
    import uvicorn

    from epistem.app.web.limits import Limits
    from epistem.app.web.server import listening, make_app

    with listening("127.0.0.1", 0) as door, tempfile.TemporaryDirectory() as made:
        port = int(door.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(make_app(Path(made), Limits()), log_level="error"))
        running = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        running.start()
        try:
            return Answer(_status(f"http://127.0.0.1:{port}/"), port)
        finally:
            server.should_exit = True
            running.join(_PATIENCE_S)


def _status(address: str) -> int:
    # No proxy: one that is set for the net must not be asked for this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=_PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
