"""Who may talk to the page, and whose room it is: in front of everything, websockets too."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from epistem.app.web.rooms import Refused, Rooms

ROOM, TOKEN = "epistem_room", "epistem_token"
_CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'self'; "
    "base-uri 'self'; form-action 'self'; object-src 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CSP.encode()), (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin"),
)  # fmt: skip
_NO_TOKEN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>epistem</title>
<meta name="viewport" content="width=device-width">
<body style="font:16px system-ui;margin:15vh auto;max-width:24em;padding:0 1em">
<h1 style="font-size:1.3em">This page wants its token</h1>
<p>Whoever started it has the address with the token, or the token itself.</p>
<form method="get" action="/"><label>Token <input name="token" type="password" autofocus
style="font:inherit;width:100%"></label><p><button style="font:inherit">Open</button></p></form></body></html>"""


MOST_BODY = 20_000_000
"""Of a request that is held in memory [bytes]; uploads go to the disk piece by piece and have limits of their own."""
_STREAMED = {("PUT", "/api/images"), ("PUT", "/api/weights"), ("PUT", "/api/bench")}


class Guard:
    """ASGI middleware: host, origin, token, room.

    Args:
        app: behind it.
        rooms: of the sessions.
        hosts: names under which the page may be asked for, which keeps other sites from reaching it through a name
            of theirs; None takes any.
        token: what everybody has to know, or None.
        secure: whether cookies go by https only.

    The scope has `epistem_room` afterwards.
    """

    def __init__(
        self, app: Any, rooms: Rooms, *, hosts: Iterable[str] | None, token: str | None = None, secure: bool = False
    ) -> None:
        self.app = app
        self._rooms, self._token, self._secure = rooms, token, secure
        self._hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Lets through what may come."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            await _refuse(scope, send, 421, f"this page is not called {_name_of(host)!r}; use the address it printed")
            return
        asks = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
        origin = headers.get("origin")
        if not asks and origin is not None and _site_of(origin) != host:
            await _refuse(scope, send, 403, "another site may not use this page")
            return
        if scope["type"] == "http" and (scope["method"], scope["path"]) not in _STREAMED:
            declared = headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > MOST_BODY:
                await _refuse(
                    scope, send, 413, f"that is larger than {MOST_BODY / 1e6:g} MB, as large as this may be"
                )
                return
            receive = _bounded(receive)
        cookies = _cookies(headers.get("cookie", ""))
        # Cookies do not tell ports apart, and two pages of one machine are two.
        own = (scope.get("server") or ("", 0))[1]
        if self._token is not None and not _same(cookies.get(f"{TOKEN}_{own}"), _proof(self._token)):
            await self._without_token(scope, send, f"{TOKEN}_{own}")
            return
        given = cookies.get(f"{ROOM}_{own}")
        try:
            room, key = self._rooms.of_key(given)
        except Refused as refused:
            await _refuse(scope, send, refused.status, str(refused))
            return
        scope = {**scope, "epistem_room": room}
        fresh = None if given == key else self._cookie(f"{ROOM}_{own}", key)
        await self.app(scope, receive, _with_headers(send, fresh))

    async def _without_token(self, scope: Any, send: Any, name: str) -> None:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["type"] == "http" and scope["method"] == "GET" and _same(given, self._token):
            # On to the same page without the token, which then stands in no history.
            to = quote(scope["path"]) if not scope["path"].startswith("//") else "/"
            headers = [(b"location", to.encode()), (b"set-cookie", self._cookie(name, _proof(given)))]
            await _answer(send, 303, b"", [*headers, (b"cache-control", b"no-store")])
        elif scope["type"] == "http" and not scope["path"].startswith("/api"):
            await _answer(send, 401, _NO_TOKEN.encode(), [(b"content-type", b"text/html; charset=utf-8")])
        else:
            await _refuse(scope, send, 401, "this page wants its token: open it as the address with ?token=… first")

    def _cookie(self, name: str, value: str) -> bytes:
        text = f"{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
        return (text + ("; Secure" if self._secure else "")).encode()


def _bounded(receive: Any) -> Any:
    """Ends a body of undeclared length that grows too large, as if the browser had gone."""
    came = 0

    async def received() -> Any:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        return {"type": "http.disconnect"} if came > MOST_BODY else message

    return received


def _with_headers(send: Any, cookie: bytes | None) -> Any:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message.get("headers", ())}
            more = [one for one in _HEADERS if one[0] not in own]
            if cookie is not None:
                more.append((b"set-cookie", cookie))
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sent


async def _refuse(scope: Any, send: Any, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4000 + status})
        return
    body = json.dumps({"error": why}, ensure_ascii=False).encode()
    await _answer(send, status, body, [(b"content-type", b"application/json")])


async def _answer(send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _name_of(host: str) -> str:
    """Without the port."""
    return host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host.lower()


def _site_of(origin: str) -> str | None:
    """Name and port of an address; None where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _cookies(text: str) -> dict[str, str]:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(text)
    except CookieError:
        return {}
    return {name: one.value for name, one in jar.items()}


def _proof(token: str) -> str:
    """What the cookie holds: a token may have signs that a cookie may not."""
    return hashlib.sha256(token.encode()).hexdigest()


def _same(given: str | None, wanted: str | None) -> bool:
    return hmac.compare_digest((given or "").encode(), (wanted or "").encode())
