"""`epistem serve`: the page on this machine, or for a group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; one that others reach wants --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8765,
    token: Annotated[str | None, typer.Option(help="Word that everybody has to know, or auto for a new one.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where uploads and results are kept; else they are removed at the end.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Images that are worked on at once.")] = 1,
    max_upload_mb: Annotated[float, typer.Option(min=1, help="Of one file.")] = 512,
    max_megapixels: Annotated[float, typer.Option(min=0.1, help="Of one image.")] = 128,
    max_job_s: Annotated[float, typer.Option(min=1, help="Seconds for one image.")] = 600,
    keep_h: Annotated[float, typer.Option(min=0, help="Hours until files that nobody used are removed.")] = 24,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Open a browser.")] = True,
) -> None:
    """Open the page: drop micrographs, look, correct, train, export. Ctrl-C stops it."""
    from epistem.app.web.limits import Limits
    from epistem.app.web.server import serve as run_server

    limits = Limits(upload_mb=max_upload_mb, megapixels=max_megapixels, job_s=max_job_s, keep_h=keep_h)
    run_server(host=host, port=port, token=token, folder=folder, limits=limits, workers=workers, show=show)
