"""A person corrects ten images on the page and lets it learn: app.correction_gain, the change of F1 on other images.

The domain: grains as an SEM shows them (`synth.scenes`), where every pixel is of a grain or a boundary. The shipped
detector learned cavities in TEM foils and finds few of them; no weights of a detector and no forecast were made with
these scenes. It was chosen before any gain was seen, by the F1 before alone.

The person works through the page's API: outlines what was missed, deletes what is no grain, says that the image is
right. The training is the page's job with its defaults. Grains that the border cuts to under 6 px across are neither
asked for nor wrong, and nobody draws them. Objects are matched in falling score at box IoU ≥ 0.1, at each detector's
own threshold, which the training chooses on the ten images.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from benchmarks.record import record
from epistem.app.web.api import make_api
from epistem.app.web.crew import Crew
from epistem.app.web.desk import Desk
from epistem.app.web.edits import instances_of
from epistem.app.web.guard import Guard
from epistem.app.web.limits import Limits
from epistem.app.web.looks import is_kept
from epistem.app.web.rooms import Rooms
from epistem.core import Instances, Interval
from epistem.detect.match import match
from epistem.report.export import outlines
from epistem.stats.resample import bootstrap_interval
from epistem.synth.scenes import draw_scene

COMMAND = "python -m benchmarks.app_correction"
KIND, LOOK, SHAPE = "grains", "sem", (256, 256)
CORRECTED, FIRST_OWN, FIRST_OTHER = 10, 50_000, 60_000
SMALLEST_PX = 6.0
SAME_OUTLINE = 0.5
EVERY_S = 0.5


class Person:
    """Somebody at the page, by its API.

    Args:
        page: a client with a session of its own.
    """

    def __init__(self, page: TestClient) -> None:
        self._page = page

    def put(self, name: str, pixels: NDArray[np.uint8]) -> str:
        """An image; its id."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return str(self._said(self._page.put("/api/images", params={"name": name}, content=file.getvalue()))["id"])

    def look_again(self, id: str, weights: str) -> None:
        """The image with other weights."""
        self._said(self._page.post(f"/api/images/{id}/detect", json={"weights": weights}))

    def wait(self) -> list[dict[str, Any]]:
        """Until nothing waits or runs; all jobs."""
        while True:
            state = self._said(self._page.get("/api/state"))
            jobs = [*state["jobs"], *(one["job"] for one in state["images"] if one["job"])]
            if failed := [one for one in jobs if one["state"] == "failed"]:
                raise SystemExit(f"a job failed: {failed[0]['why']}")
            if all(one["state"] == "done" for one in jobs):
                return jobs
            time.sleep(EVERY_S)

    def sees(self, id: str) -> tuple[list[Mapping[str, Any]], Instances]:
        """What is found in an image, for the viewer and with masks."""
        told = self._said(self._page.get(f"/api/images/{id}/0/objects.json"))
        least = self._said(self._page.get(f"/api/images/{id}/0/thresholds.json"))["own"]["score"]
        kept = [one for one in told["objects"] if is_kept(one, least)]
        return kept, instances_of(kept, told["shape"])

    def correct(self, id: str, truth: Instances) -> tuple[int, int]:
        """Adds what was missed, deletes what is wrong, says that the image is right; how many of each."""
        shown, found = self.sees(id)
        seen = match(found, truth, method="optimal", by="mask", iou=SAME_OUTLINE)
        wrong, missed = np.flatnonzero(~seen.found_matched), np.flatnonzero(~seen.truth_matched)
        for i in wrong:
            self._edit(id, {"op": "delete", "id": shown[i]["id"]})
        for parts in outlines(truth[missed]):
            ring = max((part.shell for part in parts), key=len)
            self._edit(id, {"op": "add", "ring": ring[:, ::-1].astype(float).ravel().tolist()})
        self._said(self._page.put(f"/api/images/{id}/0/right", json={"right": True}))
        return len(missed), len(wrong)

    def train(self) -> dict[str, Any]:
        """Learns from what is right; what came of it."""
        job = self._said(self._page.post("/api/train"))["job"]
        result: dict[str, Any] = next(one["result"] for one in self.wait() if one["id"] == job)
        return result

    def _edit(self, id: str, edit: dict[str, Any]) -> None:
        self._said(self._page.post(f"/api/images/{id}/0/edits", json=edit))

    def _said(self, answer: Any) -> Any:
        if answer.status_code >= 400:
            raise SystemExit(answer.text)
        return answer.json()


def drawn(seed: int) -> tuple[NDArray[np.uint8], Instances, Instances]:
    """An image, its grains, and those that are too small to ask for."""
    scene = draw_scene(KIND, seed=seed, shape=SHAPE, look=LOOK)
    areas = np.array([mask.crop.sum() for mask in scene.objects.masks()], float)
    asked = 2 * np.sqrt(areas / math.pi) >= SMALLEST_PX
    return scene.micrograph.pixels, scene.objects[asked], scene.objects[~asked]


def counts(person: Person, ids: Sequence[str], truths: Sequence[tuple[Instances, Instances]]) -> NDArray[np.int64]:
    """(k, 3) true positives, false positives and false negatives of each image."""
    rows = []
    for id, (asked, ambiguous) in zip(ids, truths, strict=True):
        found = person.sees(id)[1]
        seen = match(found, asked, method="score-greedy", by="box", iou=0.1, ambiguous=ambiguous)
        rows.append((seen.tp, seen.fp, seen.fn))
    return np.array(rows, np.int64)


def f1(summed: NDArray[Any]) -> Any:
    """Of (…, 3) summed counts."""
    tp, fp, fn = np.moveaxis(np.asarray(summed, float), -1, 0)
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def gain(before: NDArray[np.int64], after: NDArray[np.int64]) -> Interval:
    """Change of F1 over all images together; 90 % from drawing images again, the same for both."""

    def change(drawn: Any, axis: int) -> Any:
        images = drawn.astype(int)
        return f1(after[images].sum(axis=axis - 1)) - f1(before[images].sum(axis=axis - 1))

    interval = bootstrap_interval(np.arange(len(before)), change)
    assert interval is not None
    return interval


def measure(folder: Path, others: int) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Counts on other images before and after, and what was done in words."""
    rooms = Rooms(folder, Limits())
    page = TestClient(Guard(make_api(Desk(folder, rooms)), rooms, hosts=("testserver",)))
    with Crew(folder, Limits()):
        person = Person(page)
        own = [drawn(FIRST_OWN + i) for i in range(CORRECTED)]
        new = [drawn(FIRST_OTHER + i) for i in range(others)]
        mine = [person.put(f"own {i}.png", pixels) for i, (pixels, *_) in enumerate(own)]
        theirs = [person.put(f"other {i}.png", pixels) for i, (pixels, *_) in enumerate(new)]
        person.wait()
        truths = [(asked, ambiguous) for _, asked, ambiguous in new]
        before = counts(person, theirs, truths)
        print(f"before: F1 {f1(before.sum(0)):.3f} {before.sum(0).tolist()}", flush=True)
        done = [person.correct(id, asked) for id, (_, asked, _) in zip(mine, own, strict=True)]
        added, deleted = np.sum(done, axis=0)
        print(f"corrected: {added} added, {deleted} deleted", flush=True)
        begun = time.monotonic()
        result = person.train()
        took_s = time.monotonic() - begun
        print(f"trained in {took_s:.0f} s: {result}", flush=True)
        for id in theirs:
            person.look_again(id, result["run"])
        person.wait()
        after = counts(person, theirs, truths)
        print(f"after: F1 {f1(after.sum(0)):.3f} {after.sum(0).tolist()}", flush=True)
    return before, after, f"{added} outlines added and {deleted} deleted in {CORRECTED} images"


def main(words: Sequence[str] | None = None) -> int:
    """Measure and record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--others", type=int, default=24, help="images to be scored")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        before, after, done = measure(Path(folder), asked.others)
    found = gain(before, after)
    print(f"gain {found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}, {found.coverage:.0%})")
    if asked.dry:
        return 0
    record(
        "app.correction_gain", round(found.value, 4), low=round(found.low, 4), high=round(found.high, 4),
        target="> 0", command=COMMAND,
        data=(
            f"F1 {f1(before.sum(0)):.3f} to {f1(after.sum(0)):.3f} on {len(before)} other images of {SHAPE[0]}², "
            f"{KIND} as an SEM shows them, a domain no shipped detector learned; {done} through the page's API, its "
            "training with its defaults; box IoU ≥ 0.1; low and high: 90 % from drawing the images again"
        ),
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
