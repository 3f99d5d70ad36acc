"""`epistem serve`: the page, its workers, and the address to open."""

from __future__ import annotations

import errno
import secrets
import socket
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from epistem.app.terminal import say
from epistem.app.web.crew import Crew
from epistem.app.web.desk import Desk
from epistem.app.web.guard import Guard
from epistem.app.web.limits import Limits
from epistem.app.web.lock import held
from epistem.app.web.rooms import Rooms
from epistem.core import DependencyMissing, SettingsError

LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")


def make_app(root: Path, limits: Limits, *, hosts: tuple[str, ...] | None = LOCAL, token: str | None = None) -> Any:
    """The ASGI application with its pages; one a process.

    Args:
        root: folder of rooms and queue.
        limits: of each session.
        hosts: names it may be called by; None takes any.
        token: that everybody has to know.
    """
    from nicegui import ui

    from epistem.app.web.api import make_api
    from epistem.app.web.pages import add_pages

    rooms = Rooms(root, limits)
    desk = Desk(root, rooms)
    api = make_api(desk)
    add_pages(desk)
    ui.run_with(api, title="epistem", show_welcome_message=False, reconnect_timeout=30, language="en-US")
    return Guard(api, rooms, hosts=hosts, token=token)


def serve(
    *, host: str, port: int, token: str | None, folder: Path | None, limits: Limits, workers: int, show: bool
) -> None:
    """Runs until it is stopped.

    Raises:
        SettingsError: another host without a token, a port that is taken, or a folder that cannot be written.
        DependencyMissing: the extra `app` is not installed.
    """
    try:
        import nicegui  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise DependencyMissing('the page needs nicegui; pip install "epistem[app]"') from error
    alone = host in LOCAL
    if token == "auto":
        token = secrets.token_urlsafe(18)
    if not alone and not token:
        raise SettingsError(f"--host {host} lets others in; give them a token: --token auto, or --token WORD")
    with listening(host, port) as door, tempfile.TemporaryDirectory(prefix="epistem-") as own:
        root = folder or Path(own)
        app = make_app(root, limits, hosts=LOCAL if alone else None, token=token)
        address = f"http://{'127.0.0.1' if alone else host}:{port}/{f'?token={token}' if token else ''}"
        say(f"Open {address}\nCtrl-C stops. Images stay on this machine, {_where(folder, limits)}.")
        if show:
            webbrowser.open(address)
        with alone_in(root), Crew(root, limits, ("quick",) * workers + ("long",)):
            config = uvicorn.Config(app, log_level="warning", ws_max_size=2**20, server_header=False)
            with suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[door])


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Two pages would run each other's jobs.

    Raises:
        SettingsError: another page uses this folder.
    """
    with held(root / ".server") as only:
        if not only:
            raise SettingsError(f"another page that runs uses {root}; stop it, or choose another --folder")
        yield


def listening(host: str, port: int) -> socket.socket:
    """The page's door, taken before anything else is begun.

    Raises:
        SettingsError: another program has it, or this machine has no such address.
    """
    name = host.strip("[]")
    try:
        return socket.create_server((name, port), family=socket.AF_INET6 if ":" in name else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} is taken, perhaps by a page that still runs; stop it, or choose another with --port"
        else:
            reason = str(error.strerror).partition(" (")[0]
            why = f"the page cannot listen at {host}, port {port}: {reason}; choose others: --host, --port"
        raise SettingsError(why) from error


def _where(folder: Path | None, limits: Limits) -> str:
    if folder is None:
        return "and are removed when this stops"
    return f"in {folder}, and are removed when nobody used them for {limits.keep_h:g} h"
