"""Requests that nobody sends in good faith: each must be served or refused in words, by the page's own description.

    python -m benchmarks.fuzz_api [COUNT] [SEED]

schemathesis makes COUNT requests of each operation of the API from its OpenAPI description, with the ids of a real
session among what is no id; then come bodies and headers by hand that no description tells of. A request fails if the
answer is a server's error, does not keep to the description, or shows a traceback or a place on the server's disk; a
queued job fails if it ends as a fault of ours.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Of the queue's jobs that are really done, those that take a moment.
_DONE = ("detect", "measure", "results")
_JSON = {"content-type": "application/json"}
HOSTILE = (
    b"", b"\xff", b"null", b"{", b"[" * 100_000, b'{"steps": NaN}', b'{"min_score": -Infinity}',
    b'{"min_score": 1e999}', b'{"thickness_nm": 1e999}', b'{"thickness_nm": 1e308, "thickness_error_nm": 1e308}',
    b'{"thickness_nm": 1e-308}', b'{"object_name": "\\u0000"}', b'{"object_name": "\\ud800"}',
    b'{"object_name": "]]><script>{{7*7}}"}', b'{"weights": "\\ud800"}', b'{"weights": "../../../../etc/passwd"}',
    b'{"pixel_size": "\\ud800"}', b'{"pixel_size": "9**9**9 nm"}', b'{"specimen": "\\ud800"}',
    b'{"specimen": "=1+1"}', b'{"op": "add", "ring": [NaN, NaN, NaN, NaN, NaN, NaN]}',
    b'{"op": "add", "ring": [1e308, 0, 0, 1e308, -1e308, -1e308]}', b'{"op": "delete", "id": 1e99}',
    b'{"op": "delete", "id": ' + b"9" * 4000 + b"}", b'{"which": "../found"}', b'{"text": "{}"}',
)  # fmt: skip
HEADERS: tuple[Mapping[str, bytes], ...] = (
    {"origin": b"http://["}, {"origin": b"\xff"}, {"origin": b"null"}, {"host": b"["}, {"host": b"\xff"},
    {"cookie": b"\xff\x00=;;="}, {"cookie": b"a=" + b"x" * 60_000}, {"range": b"bytes=5-1"}, {"range": b"bytes=a"},
    {"range": b"bytes=-99999999999999999999999"}, {"range": b"bytes=" + b"0-0," * 2000}, {"if-none-match": b"\xff"},
    {"content-type": b"\xff"}, {"content-length": b"99999999999999999999999999"}, {"accept-encoding": b"\xff"},
)  # fmt: skip


class Asked(NamedTuple):
    """One request and what was wrong with its answer; nothing is None."""

    what: str
    status: int
    wrong: str | None


class Fuzzed:
    """A page with one analysed image, without browser and processes.

    Args:
        root: folder of the page.
    """

    def __init__(self, root: Path) -> None:
        from starlette.testclient import TestClient

        from epistem.app.web.api import make_api
        from epistem.app.web.desk import Desk
        from epistem.app.web.guard import Guard
        from epistem.app.web.limits import Limits
        from epistem.app.web.rooms import Rooms

        self.root, self.limits = root, Limits()
        self.desk = Desk(root, Rooms(root, self.limits))
        api = make_api(self.desk)
        self.described: dict[str, Any] = api.openapi()
        guarded = Guard(api, self.desk.rooms, hosts=("testserver",))
        self.client = TestClient(guarded, raise_server_exceptions=False)
        self.image = self.client.put("/api/images?name=a.png", content=_picture()).json()["id"]
        self.work()

    def work(self) -> list[Asked]:
        """Does the jobs that wait: whatever was asked for, none may end as a fault of ours."""
        from epistem.app.web.rooms import Room
        from epistem.app.web.work import do

        ended = []
        while (job := self.desk.queue.take("worker", "quick")) is not None:
            if job.kind not in _DONE:
                self.desk.queue.cancel(job.id, job.room)
                continue
            room = Room(self.root / "rooms" / job.room)
            do(self.desk.queue, job, room, self.limits, self.root / "faults.log")
            why = next((one.why for one in self.desk.queue.of_room(job.room) if one.id == job.id), None) or ""
            wrong = why if "fault of epistem" in why else self._shown(why)
            ended.append(Asked(f"{job.kind} {dict(job.what)}", 200, wrong))
        return ended

    def send(self, method: str, path: str, **more: Any) -> Asked:
        """One request by hand."""
        answer = self.client.request(method, path, **more)
        return Asked(f"{method} {path} {str(more)[:120]}", answer.status_code, self.wrong(answer))

    def wrong(self, answer: Any) -> str | None:
        """What must not be in an answer; None where all is well."""
        if answer.status_code >= 500:
            return f"{answer.status_code}: {answer.text[:200]}"
        if answer.status_code < 400:
            return None
        if "traceback" in answer.text.lower():
            return f"a traceback: {answer.text[:200]}"
        if answer.headers.get("content-type") == "application/json":
            said = answer.json()
            if set(said) != {"error"} or "\n" in said["error"] or len(said["error"]) > 2000:
                return f"no error in one line: {answer.text[:200]}"
        return self._shown(answer.text)

    def _shown(self, text: str) -> str | None:
        shown = str(self.root) in text or "site-packages" in text or str(Path(__file__).parents[1]) in text
        return f"a place on the server's disk: {text[:200]}" if shown else None


def by_description(page: Fuzzed, count: int, seed: int) -> list[Asked]:
    """`count` requests of each operation."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    told: list[Asked] = []
    once = settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    quiet = settings(once, suppress_health_check=list(HealthCheck))
    for found in schemathesis.openapi.from_dict(_with_ids(page)).get_all_operations():
        operation = found.ok()

        @seeded(seed)
        @quiet
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            told.append(_asked(page, case))

        ask()
    return told


def _asked(page: Fuzzed, case: Any) -> Asked:
    from schemathesis.checks import CHECKS
    from schemathesis.core.failures import FailureGroup

    parts = case.as_transport_kwargs(base_url="http://testserver")
    parts.pop("cookies", None)
    if isinstance(parts.get("data"), bytes | str):  # as requests takes it
        parts["content"] = parts.pop("data")
    answer = page.client.request(**parts)
    what = f"{case.operation.label} {str(case.path_parameters)[:80]} {str(case.query)[:80]} {str(case.body)[:120]}"
    wrong = page.wrong(answer)
    if wrong is None:
        checks = [CHECKS.get_one("status_code_conformance"), CHECKS.get_one("response_schema_conformance")]
        try:
            case.validate_response(answer, checks=checks)
        except FailureGroup as group:
            wrong = " ".join(str(one) for one in group.exceptions)[:300]
    return Asked(what, answer.status_code, wrong)


def _with_ids(page: Fuzzed) -> dict[str, Any]:
    """The description with the session's ids among the values of each path: else all would be refused as no id."""
    known = {"id": [page.image], "slice_": [0, 1, -1], "what": ["objects.json", "picture.png", "thresholds.json"]}
    described = deepcopy(page.described)
    for path in described["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in known:
                    odd = {"type": "string", "minLength": 1, "maxLength": 20}
                    parameter["schema"] = {"anyOf": [{"enum": known[parameter["name"]]}] * 3 + [odd]}
    # The image stays: what is removed can be asked for no more.
    del described["paths"]["/api/images/{id}"]["delete"]
    return described


def by_hand(page: Fuzzed) -> list[Asked]:
    """What the description does not tell of: bodies that are no JSON, numbers that are none, odd headers, names."""
    image = f"/api/images/{page.image}"
    takes = (
        ("POST", f"{image}/detect"), ("POST", "/api/detect"), ("PATCH", image), ("POST", f"{image}/0/edits"),
        ("PUT", f"{image}/0/right"), ("PUT", f"{image}/specimen"), ("POST", "/api/train"), ("POST", "/api/forecast"),
        ("POST", "/api/results"), ("POST", f"{image}/segment"), ("POST", f"{image}/explain"), ("POST", "/api/ask"),
        ("POST", "/api/atoms/read"), ("POST", "/api/atoms/classify"),
    )  # fmt: skip
    told = [page.send(method, path, content=body, headers=_JSON) for method, path in takes for body in HOSTILE]
    told += [page.send("PUT", "/api/samples", content=body) for body in (*HOSTILE, b"image,specimen\na.png,\x00")]
    for header in HEADERS:
        raw = {name.encode(): value for name, value in header.items()}
        told.append(page.send("GET", f"{image}/0/picture.png", headers=raw))
        told.append(page.send("POST", "/api/next", headers=raw))
    for name in ("", "..", "%00.png", "%ed%a0%80.png", "..%2f..%2fx.png", "a" * 5000 + ".png", "CON.png", ".png"):
        told += [
            page.send("PUT", f"/api/{to}?name={name}", content=b"PK\x03\x04") for to in ("images", "weights", "bench")
        ]
    outside = ("../../queue.sqlite", "..%2f..%2fqueue.sqlite", "%2fetc%2fpasswd", "%00", "a/" * 3000, "a" * 5000)
    for folder in ("results", "corrected", "runs", f"api/segment/{page.image}/files", "api/atoms/x/files"):
        told += [page.send("GET", f"/{folder}/{path}") for path in outside]
    return told


def _picture() -> bytes:
    """A disc darker than its grain, as PNG."""
    import io

    from PIL import Image

    rows, cols = np.mgrid[:64, :96]
    grey = np.random.default_rng(0).normal(140, 8, rows.shape) - 60 * (np.hypot(rows - 30, cols - 40) < 9)
    file = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def main(count: int = 200, seed: int = 1) -> None:
    """Ask, list what was wrong, and record how many requests were answered as they should."""
    from benchmarks.record import record

    with tempfile.TemporaryDirectory() as folder:
        page = Fuzzed(Path(folder))
        told = [*by_description(page, count, seed), *by_hand(page)]
        told += page.work()
    wrong = [one for one in told if one.wrong]
    for one in wrong:
        print(f"WRONG {one.what}: {one.wrong}")
    print(dict(sorted(Counter(one.status for one in told).items())))
    record(
        "scale.fuzz_requests",
        0 if wrong else len(told),
        target=">= 2000 hostile requests, each served or refused in words (0 if one is not)",
        command=f"python -m benchmarks.fuzz_api {count} {seed}",
        data=f"{len(told)} requests and jobs, seed {seed}; {len(wrong)} answered wrongly",
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:3]))
