"""What tests of `epistem ask` share: words on the command line, an endpoint on loopback, a small set of papers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from epistem.app.cli import app
from epistem.ask.records import Figure, Paper, write_records
from epistem.core import EpistemError


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def told(*words: str | Path) -> Any:
    """The JSON of a command."""
    result = invoke(*words, "--json")
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def refused(*words: str | Path) -> str:
    """The one sentence of a command that was wrong."""
    result = invoke(*words)
    assert isinstance(result.exception, EpistemError)
    return str(result.exception)


@contextmanager
def serving(answer: Callable[[dict[str, Any]], str | None]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A vision endpoint on loopback that answers with what the function says of the request; None is status 400.

    Returns:
        Its address, and the requests that came.
    """
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            text = answer(asked[-1])
            sent = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
            self.send_response(400 if text is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def made_set(folder: Path) -> Path:
    """A set of four papers with one figure each, two of them to learn from."""
    figures = []
    (folder / "pictures").mkdir(parents=True)
    for at in range(4):
        name = f"pictures/{at}.png"
        grey = np.random.default_rng(at).integers(0, 255, (64, 64)).astype(np.uint8)
        Image.fromarray(grey).save(folder / name)
        text = (
            "Scanning electron micrograph of the fracture surface of sintered alumina. The surface shows rounded "
            "pores between equiaxed grains. Cracks run along the grain boundaries after heating at 1200 °C."
        )
        figures.append(Figure(
            id=f"f{at}", paper=Paper(id=f"10.1/{at}", title=f"Alumina {at}"), figure="1", image=name, caption=text,
            technique="SEM", material="alumina", split="train" if at < 2 else "test",
        ))  # fmt: skip
    write_records(folder / "figures.jsonl", figures)
    return folder
