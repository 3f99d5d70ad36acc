"""Chat models: any OpenAI-compatible endpoint, scripted answers, and JSON from either.

No network is used unless an Endpoint is made and called. A key comes from the environment when a call is made and is
kept nowhere: not in the object, not in an error, not in what is written.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from pydantic import BaseModel, ValidationError

from epistem.core.errors import DependencyMissing, EpistemError, SettingsError
from epistem.core.registry import Table

LONGEST_WAIT_S = 60.0  # an endpoint that asks for more is given up
LARGEST_PX = 2048  # of a picture's longer side: endpoints shrink what is larger, or refuse it
MOST_STARTS = 50  # brackets of a reply that are tried as the beginning of its JSON
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})

Messages = Sequence[dict[str, object]]
M = TypeVar("M", bound=BaseModel)
pause = time.sleep


class ChatError(EpistemError):
    """A chat model gave no answer: down, rate limited after all tries, refused, or no chat at all."""


class Endpoint:
    """An OpenAI-compatible endpoint; a ChatModel.

    Args:
        base_url: up to and with "/v1": https, or http on this machine.
        model: as the endpoint calls it.
        key_from: name of the environment variable that holds the key; None sends none. An endpoint on this machine
            needs no key, any other does.
        temperature, top_p: None leaves the choice to the endpoint, as some models want.
        timeout_s: of one try [s].
        tries: in all, for what may pass: no connection, 429, 5xx, garbage. Waits 1, 2, 4… s between them, or what
            Retry-After asks for, up to a minute.

    Raises:
        SettingsError: a base URL, a timeout or a number of tries that has no meaning.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key_from: str | None = "OPENAI_API_KEY",
        temperature: float | None = 0.2,
        top_p: float | None = 0.2,
        timeout_s: float = 60,
        tries: int = 3,
    ) -> None:
        self.base_url, self._local = _checked_url(base_url)
        if not model:
            raise SettingsError("an endpoint needs the name of a model")
        if not (0 < timeout_s < np.inf and tries >= 1):
            raise SettingsError(f"wanted a timeout above 0 s and 1 try or more, not {timeout_s!r} s and {tries!r}")
        self.model, self.key_from = model, key_from
        self.temperature, self.top_p = temperature, top_p
        self.timeout_s, self.tries = timeout_s, tries
        self._client: Any = None

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r}, {self.model!r})"

    @property
    def name(self) -> str:
        """What answers are recorded under."""
        return f"endpoint:{self.model}"

    def __call__(self, messages: Messages) -> str:
        """The answer's text.

        Raises:
            ChatError: no answer after all tries, or refused.
            SettingsError: no key where one is needed, or one that cannot be sent.
            DependencyMissing: no openai client.
        """
        key = self._key()
        why = ""
        for left in reversed(range(self.tries)):
            try:
                return self._once(messages, key)
            except _Passing as passing:
                why = str(passing)
                wait_s = passing.wait_s if passing.wait_s is not None else 2.0 ** (self.tries - 1 - left)
                if wait_s > LONGEST_WAIT_S:
                    why += f"; it asks to wait {wait_s:.0f} s"
                    break
                if left:
                    pause(wait_s)
        raise ChatError(f"{self.name} at {self.base_url} gave no answer: {why}")

    def _key(self) -> str | None:
        key = os.environ.get(self.key_from, "").strip() if self.key_from else ""
        if not key and not self._local:
            raise SettingsError(f"{self.base_url} needs a key: set the environment variable {self.key_from}")
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(f"the key in {self.key_from} holds signs that no key has")
        return key or None

    def _once(self, messages: Messages, key: str | None) -> str:
        openai = _openai()
        if self._client is None:
            # A redirect would carry the conversation to somebody who was not asked.
            http = openai.DefaultHttpxClient(follow_redirects=False, trust_env=not self._local)
            self._client = openai.OpenAI(
                base_url=self.base_url, api_key="none", max_retries=0, timeout=self.timeout_s, http_client=http
            )
        wanted = {"temperature": self.temperature, "top_p": self.top_p}
        asked = self._client.with_options(api_key=key or "none").chat.completions.with_raw_response
        try:
            reply = asked.create(
                model=self.model,
                messages=cast(Any, list(messages)),
                **{name: value for name, value in wanted.items() if value is not None},
            )
        except openai.APIStatusError as error:
            said = f"status {error.status_code}, {_short(error.response.text, key)}"
            if error.status_code in AGAIN:
                raise _Passing(said, _retry_after_s(error.response.headers.get("retry-after"))) from None
            raise ChatError(f"{self.name} at {self.base_url} refused: {said}") from None
        except openai.APIConnectionError as error:
            raise _Passing(_short(f"{error} {error.__cause__ or ''}", key)) from None
        return _content(reply.text, key)


class Scripted:
    """Answers that were written beforehand, in order, or by a function of the messages: for tests and dry runs.

    Attributes:
        seen: the conversations it was asked.
    """

    name = "scripted"

    def __init__(self, answers: Sequence[str] | Callable[[Messages], str]) -> None:
        self._answers = answers
        self.seen: list[Messages] = []

    def __call__(self, messages: Messages) -> str:
        """The next answer.

        Raises:
            ChatError: none is left.
        """
        self.seen.append(messages)
        if callable(self._answers):
            return self._answers(messages)
        if len(self.seen) > len(self._answers):
            raise ChatError(f"the script has {len(self._answers)} answers and was asked once more")
        return self._answers[len(self.seen) - 1]


def image_message(text: str, image: Image.Image) -> dict[str, object]:
    """A user's message of a text and a picture, as a PNG in a data URL, at most 2048 px wide and high.

    Raises:
        SettingsError: a picture of more than 8 bits a channel, which has no fixed way to look.
    """
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise SettingsError(f"wanted a picture of 8 bits a channel, not of mode {image.mode}; normalize it first")
    shown = image if image.mode in ("L", "RGB") else image.convert("RGB")
    if max(shown.size) > LARGEST_PX:
        shown = shown.copy()
        shown.thumbnail((LARGEST_PX, LARGEST_PX))
    held = io.BytesIO()
    shown.save(held, "PNG")
    url = "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()
    return {
        "role": "user",
        "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}],
    }


def name_of(model: object) -> str:
    """What a chat model's answers are recorded under; one without a name is called by its class."""
    return str(getattr(model, "name", type(model).__name__))


def ask_json(model: Callable[[Messages], str], messages: Messages, kind: type[M]) -> tuple[M | None, str]:
    """An answer as a record; what is none is sent back once with what is wrong with it.

    Returns:
        The record and the reply it was read from; or None and why there is none: unscored, to be counted.

    Raises:
        ChatError: no answer at all.
    """
    reply = model(messages)
    found, why = _parsed(reply, kind)
    if found is not None:
        return found, reply
    repair = f"That cannot be used: {why}. Answer again with nothing but the JSON that was asked for."
    turns: list[dict[str, object]] = [{"role": "assistant", "content": reply}, {"role": "user", "content": repair}]
    reply = model([*messages, *turns])
    found, why = _parsed(reply, kind)
    return (found, reply) if found is not None else (None, f"no usable JSON in two tries: {why}")


class _Passing(Exception):
    """What may be better the next time."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise DependencyMissing('an endpoint is asked by the openai client; pip install "epistem[ask]"') from error
    return openai


def _checked_url(base_url: str) -> tuple[str, bool]:
    """The URL without a slash at its end, and whether it is on this machine."""
    want = "wanted an endpoint like https://host/v1, or http://localhost:8000/v1 on this machine"
    try:
        parts = urlsplit(base_url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(f"{want}; this is no URL") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # Not shown: that is where keys get written by mistake.
        raise SettingsError(f"{want}, without user, password, query or fragment; a key goes into the environment")
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{want}, not {base_url!r}")
    local = _is_local(host)
    if parts.scheme == "http" and not local:
        raise SettingsError(f"{want}: over http to {host} anyone on the way could read key and images")
    return base_url.strip().rstrip("/"), local


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _retry_after_s(header: str | None) -> float | None:
    """Seconds to wait, from seconds or a date (RFC 9110, 10.2.3); None where neither is there."""
    if not header:
        return None
    try:
        return max(float(header), 0.0) if np.isfinite(float(header)) else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


def _content(body: str, key: str | None) -> str:
    """The text of the first choice."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (json.JSONDecodeError, KeyError, IndexError, TypeError, RecursionError):
        raise _Passing(f"no chat completion came: {_short(body, key)}") from None
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str) or not content.strip():
        raise _Passing("the answer is empty")
    return _hidden(content, key)


def _short(text: str, key: str | None) -> str:
    """One line for people; the key is hidden first, lest a part of it stays at the end."""
    line = " ".join(_hidden(text, key).split())
    return line if len(line) <= 200 else line[:199] + "…"


def _hidden(text: str, key: str | None) -> str:
    """An endpoint may say the key back."""
    return text.replace(key, "[key]") if key else text


def _parsed(reply: str, kind: type[M]) -> tuple[M | None, str]:
    """The first JSON value of the reply that is such a record, whatever stands around it."""
    decoder, why = json.JSONDecoder(), "there is no JSON in it"
    at = _next_start(reply, 0)
    for _ in range(MOST_STARTS):
        if at is None:
            break
        try:
            value, end = decoder.raw_decode(reply, at)
        except (json.JSONDecodeError, RecursionError) as error:
            # Only the first says what went wrong; further brackets lie inside what is broken.
            why = why if why != "there is no JSON in it" else f"the JSON is broken: {error}"
            at = _next_start(reply, at + 1)
            continue
        try:
            return kind.model_validate(value), ""
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            why = f"{where}: {first['msg']}"
        at = _next_start(reply, end)
    return None, why


def _next_start(text: str, start: int) -> int | None:
    found = [at for at in (text.find("{", start), text.find("[", start)) if at >= 0]
    return min(found, default=None)


_HERE = "epistem.ask.chat"
CHAT_MODELS = Table(
    "chat model",
    {"endpoint": f"{_HERE}:Endpoint", "local": "epistem.ask.local:LocalChat", "scripted": f"{_HERE}:Scripted"},
)
