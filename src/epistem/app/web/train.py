"""A training on the images that a person corrected: `epistem train detector LABELS --images … --from shipped`."""

from __future__ import annotations

from typing import Any

from epistem.app.web.jobs import Bench, Told
from epistem.app.web.runs import IMAGES, LABELS, WEIGHTS, right_images, run_folder, write_labelled
from epistem.core import SettingsError
from epistem.report.words import counted

COMMAND = "epistem train detector corrections.coco.json --images IMAGES --from shipped --out NEW"
"""What does the same with the downloaded corrections."""


class Heard:
    """What the training tells, for the page.

    Args:
        told: of the job.
    """

    def __init__(self, told: Told) -> None:
        self._told = told

    def part(self, what: str, done: int, of: int) -> None:
        """So many are through."""
        self._told(f"{what} {done} of {of}", done / of)

    def step(self, step: Any, of: int) -> None:
        """A number of training steps are through."""
        left_s = step.seconds * (of - step.number)
        left = f"{left_s:.0f} s" if left_s < 120 else f"{left_s / 60:.0f} min"
        self._told(f"Learning, step {step.number} of {of}, about {left} left", step.number / of)

    def say(self, text: str) -> None:
        """A line of its own."""
        self._told(text)


def run(bench: Bench) -> dict[str, Any]:
    """New weights, and whether they are better; a run that was stopped goes on with the images it began with.

    Returns:
        As `epistem train detector … --json`, without paths.

    Raises:
        SettingsError: no image was said to be right.
        TrainingError: nothing to learn from.
    """
    from epistem.app.train import labels_record, need_torch, schedule_of
    from epistem.app.train_labels import read_labelled, train_on_labels

    need_torch()
    folder = run_folder(bench.room, str(bench.what["run"]))
    heard = Heard(bench.told)
    if not (folder / LABELS).is_file():
        chosen = right_images(bench.room)
        if not chosen:
            raise SettingsError("no image is marked as right any more; correct one, say so, and begin again")
        write_labelled(bench.room, folder, chosen)
    labelled = read_labelled(folder / LABELS, folder / IMAGES, folder / WEIGHTS, told=heard.say)
    heard.say(f"Learning from {counted(len(labelled), 'image')}")
    # Samples come from this process: they are the same, and a worker that is stopped leaves no other behind.
    tuned = train_on_labels(
        labelled, folder / WEIGHTS, told=heard, schedule=schedule_of(bench.what.get("steps"), None, None), workers=0
    )
    record = labels_record(tuned)
    return {
        "run": folder.name, "images": len(labelled),
        **{name: record[name] for name in ("hash", "min_score", "held_out", "before", "after", "worse", "gain")},
    }  # fmt: skip
