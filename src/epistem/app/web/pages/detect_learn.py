"""Learning from corrected images: new weights, whether they are better, and a forecast for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from epistem.app.train import STEPS
from epistem.app.web.desk import MOST_STEPS, Desk
from epistem.app.web.pages.detect_card import draw_progress
from epistem.app.web.pages.parts import last_told, tried
from epistem.app.web.rooms import Room
from epistem.app.web.runs import WEIGHTS
from epistem.app.web.train import COMMAND
from epistem.detect import DEFAULT
from epistem.report.words import counted, percent

_WEIGHTS = f"{WEIGHTS}/{DEFAULT}.safetensors"
Jobs = Sequence[Mapping[str, Any]]


class Learn:
    """What the corrections teach.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._right, self._steps = 0, STEPS
        self._jobs: Jobs = ()
        self._draw = ui.refreshable(self._drawn)
        self._draw()

    def show(self, images: Sequence[Mapping[str, Any]], jobs: Jobs) -> None:
        """What there is now."""
        right = sum(len(one["right"]) for one in images)
        own = [job for job in jobs if job["kind"] in ("train", "forecast")]
        if (right, own) != (self._right, self._jobs):
            self._right, self._jobs = right, own
            self._draw.refresh()

    def _drawn(self) -> None:
        if not self._right and not self._jobs:
            return
        ui.label("Learn").classes("font-bold mt-2")
        training = last_told(self._jobs, "train")
        if training is not None:
            self._draw_training(training)
        if training is None or training["state"] not in ("waiting", "running"):
            with ui.row().classes("items-end gap-3"):
                ui.button(
                    f"Learn from {counted(self._right, 'corrected image')}", on_click=self._train,
                ).props("dense no-caps").set_enabled(self._right > 0)  # fmt: skip
                ui.number(
                    "Steps", value=self._steps, min=1, max=MOST_STEPS, precision=0, on_change=self._stepped
                ).props("dense").classes("w-20")
        with ui.expansion("The same on the command line").classes("w-full"):
            self._command = ui.label(f"{COMMAND} --steps {self._steps}").classes("font-mono text-xs break-all")
        self._draw_forecast(training)

    def _stepped(self, event: Any) -> None:
        if event.value is not None:
            self._steps = int(event.value)
            self._command.text = f"{COMMAND} --steps {self._steps}"

    def _train(self) -> None:
        tried(lambda: self._desk.train(self._room, self._steps))

    def _draw_training(self, job: Mapping[str, Any]) -> None:
        if job["state"] in ("waiting", "running"):
            draw_progress(self._desk, self._room, job)
        elif job["state"] == "failed":
            ui.label(job["why"]).classes("text-negative")
        elif job["state"] == "done":
            result = job["result"]
            ui.label(verdict(result)).classes("epi-note")
            with ui.row().classes("items-center"):
                ui.button("Use for all images", on_click=lambda: self._use(result["run"])).props(
                    "dense no-caps outline"
                )
                ui.link("Weights", f"/runs/{result['run']}/{_WEIGHTS}")
                ui.link("Their card", f"/runs/{result['run']}/{WEIGHTS}/card.md", new_tab=True)

    def _use(self, run: str) -> None:
        jobs = tried(lambda: self._desk.analyse_all(self._room, {"weights": run}))
        if jobs:
            ui.notify(f"{counted(len(jobs), 'image')} analysed anew with the new weights; corrections stay.")

    def _draw_forecast(self, training: Mapping[str, Any] | None) -> None:
        from epistem.trust.forecast import LEAST_CASES

        job = last_told(self._jobs, "forecast")
        if job is not None and job["state"] in ("waiting", "running"):
            draw_progress(self._desk, self._room, job)
            return
        if job is not None and job["state"] == "failed":
            ui.label(job["why"]).classes("text-negative")
        if job is not None and job["state"] == "done":
            ui.label(fitted(job["result"])).classes("epi-note")
        if self._right < LEAST_CASES:
            missing = counted(LEAST_CASES - self._right, "more corrected image")
            ui.label(f"A forecast of your own takes {LEAST_CASES} corrected images: {missing}.").classes("epi-note")
            return
        done = training is not None and training["state"] == "done"
        weights = training["result"]["run"] if training is not None and done else None
        for label, of in (("Fit a forecast", None), ("Fit a forecast for the new weights", weights)):
            if of is not None or label == "Fit a forecast":
                ui.button(label, on_click=lambda _, of=of: tried(lambda: self._desk.forecast(self._room, of))).props(
                    "dense no-caps outline"
                )


def verdict(result: Mapping[str, Any]) -> str:
    """What a training came to, as `epistem train detector` says it."""
    before, after, gain = result["before"], result["after"], result["gain"]
    learned = f"Learned from {counted(result['images'] - len(result['held_out']), 'image')}. "
    if before is None:
        return f"{learned}None was held out, which takes 4 images: whether it is better is not known."
    told = f"{learned}F1 on {counted(len(result['held_out']), 'held-out image')}: {before['f1']:.2f} before, "
    told += f"{after['f1']:.2f} after. "
    if gain is not None:
        told += f"An image changed by {gain['value']:+.2f}"
        told += (
            ""
            if gain["low"] is None
            else f" ({gain['low']:+.2f} to {gain['high']:+.2f}, {percent(gain['coverage'])})"
        )
        told += ". "
    if result["worse"]:
        return f"{told}May be worse than before: keep the weights you had."
    known = gain is not None and gain["low"] is not None and gain["low"] > 0
    return told if known else f"{told}With so few held-out images that may be chance."


def fitted(result: Mapping[str, Any]) -> str:
    """What a forecast came to."""
    checked = result["held_out"]
    told = f"A forecast was fitted on {counted(result['images'], 'image')}; choose it under Settings. "
    if checked is None:
        return f"{told}Too few images to hold some out: how far it is off is not known."
    return f"{told}On images held out it was off by {checked['f1']['mae']:.2f} in F1 on average."
