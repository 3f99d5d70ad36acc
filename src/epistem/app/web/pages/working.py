"""Jobs as a tab shows them: the last of a kind, how far it is, why it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from nicegui import run, ui

from epistem.app.web.desk import Desk
from epistem.app.web.queue import Queued
from epistem.app.web.rooms import Item, Room
from epistem.core import EpistemError

POLL_S = 0.7
Fetched = TypeVar("Fetched")


class OneAtATime(Generic[Fetched]):
    """Fetches what a tab shows, beside the page's loop.

    Args:
        fetch: reads the room and the queue.
    """

    def __init__(self, fetch: Callable[[], Fetched]) -> None:
        self._fetch, self._busy = fetch, False

    async def __call__(self) -> Fetched | None:
        """What it gives; None while the fetch before is under way, and where the server stops."""
        if self._busy:
            return None
        self._busy = True
        try:
            return await run.io_bound(self._fetch)
        finally:
            self._busy = False


def offer(select: ui.select, items: Sequence[Item]) -> None:
    """The images of the room to choose from; the chosen one stays while it is there."""
    names = {one.id: one.name for one in items}
    kept = select.value if select.value in names else next(iter(names), None)
    select.set_options(names, value=kept)


def last_job(jobs: Sequence[Queued], kind: str, item: str | None) -> Queued | None:
    """The last one of that kind about that image which nobody took back."""
    own = [job for job in jobs if job.kind == kind and job.item == item and job.state != "cancelled"]
    return own[-1] if own else None


def draw_job(job: Queued | None, desk: Desk, room: Room, what: str) -> None:
    """Its progress with a button to take it back, or why it came to nothing; nothing of one that is done.

    Args:
        what: is done, for a screen reader.
    """
    if job is None or job.state in ("done", "cancelled"):
        return
    if job.state == "failed":
        with ui.row().classes("items-start no-wrap gap-2").props('role="alert"'):
            ui.icon("error", color="negative", size="sm")
            ui.label(job.why or "it failed").classes("text-negative")
        return
    ahead = desk.queue.ahead(job.id) if job.state == "waiting" else 0
    wait = f"Waiting for its turn, {ahead} before it" if ahead else "Waiting for its turn"
    ui.label(job.words if job.state == "running" and job.words else wait)
    bar = ui.linear_progress(value=job.share or 0, show_value=False)
    bar.props(f'aria-label="{what}" {"" if job.share else "indeterminate"}')
    ui.button("Cancel", on_click=lambda: desk.queue.cancel(job.id, room.name)).props("flat no-caps dense")


def asked(do: Callable[[], object]) -> bool:
    """Does it; where it cannot be done the person is told why. Whether it was done."""
    try:
        do()
    except EpistemError as error:
        ui.notify(" ".join(str(error).split()), type="warning", multi_line=True)
        return False
    return True
