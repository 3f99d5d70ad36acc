"""Options that several commands have, told the same way."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU if there is one unless told.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that make fields and samples.")]
Cluster = Annotated[str | None, typer.Option(help="Address of a running Dask scheduler, tcp://host:8786.")]
