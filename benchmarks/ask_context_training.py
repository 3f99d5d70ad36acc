"""Does context in training keep the assistant from looking? Trained from the shipped weights with and without it.

    python -m benchmarks.ask_context_training WORK [--dry]

A set of simulated scenes: each question as it is, and again with three things known of the sample (material,
treatment, property; `scene_attributes`), which hint at the kind of scene and give no answer away. `epistem ask train`
learns from it twice, with --context keep and --context drop: the same scenes, questions, answers, order and steps,
the context there or not. Both are asked on scenes that neither has seen, with the right image and with another one.
WORK keeps weights and answers, so that a run that was stopped goes on. The judge is the rule-based one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.record import record
from epistem.app.ask_answers import answer_all
from epistem.app.ask_set import FIRST_SCENE
from epistem.app.ask_train import ContextUse, train_assistant
from epistem.app.papers_run import FIGURES, PAIRS
from epistem.ask.add_context import add_context
from epistem.ask.answer import picture
from epistem.ask.assess import grade_all, scored_rows
from epistem.ask.controls import Gain, paired_gain
from epistem.ask.judge import make_judge
from epistem.ask.records import Figure, Level, Pair, Split, read_records, write_records
from epistem.ask.scene_pairs import described_scene, scene_kinds
from epistem.ask.scene_words import scene_attributes
from epistem.ask.speakers import LocalAssistant

COMMAND = "python -m benchmarks.ask_context_training WORK"
LEARNED_FROM = 500_000
"""First scene that is learned from; the shipped weights saw those below 1,200."""
TESTED_FROM = FIRST_SCENE + 700_000
LEARNED, TESTED = 60, 72
QUESTIONS = {"train": 3, "test": 1}
EPOCHS = 1.0
USES: dict[ContextUse, str] = {"keep": "with", "drop": "without"}


def main(words: list[str] | None = None) -> int:
    """Record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    asked = parser.parse_args(words)
    work: Path = asked.work
    for name, first, count in (("train", LEARNED_FROM, LEARNED), ("test", TESTED_FROM, TESTED)):
        if not (work / name / PAIRS).exists():
            scene_set_in_context(work / name, first, count, name)
    rows = {name: answered_rows(work, use, name) for use, name in USES.items()}
    n = len(read_records(work / "train" / PAIRS, Pair))
    about = (
        "held-out simulated scenes, 0 to 100 by rules-1, 90 % over scenes; shipped weights trained on with "
        f"{n} questions on {LEARNED} scenes, half of them in context (material, treatment, property), "
        f"{EPOCHS:g} epoch, seed 0"
    )
    for level, asked_as in (("high", "questions in context"), ("none", "questions without context")):
        told(rows, level, f"{asked_as}, {about}", asked.dry)
    return 0


def scene_set_in_context(folder: Path, first: int, count: int, split: Split) -> None:
    """Scenes from this number on and questions, each without and with context, as `epistem ask train` reads them."""
    figures, pairs = [], []
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        kind = scene_kinds()[number % len(scene_kinds())]
        one = described_scene(kind, number, unanswerable=0)
        where = f"pictures/{one.figure.id}.png"
        picture(one.micrograph).save(folder / where)
        figures.append(one.figure.model_copy(update={"image": where, "split": split}))
        rng = np.random.default_rng([0, number])
        known = scene_attributes(kind, rng)
        simple = [pair for pair in one.pairs if pair.subcategory == "simple"]
        in_context = [
            (simple[i], add_context(simple[i], one.figure, known=known)) for i in rng.permutation(len(simple))
        ]
        chosen = [(bare, made.pairs[-1]) for bare, made in in_context if len(made.pairs) == 3][: QUESTIONS[split]]
        pairs += [pair.model_copy(update={"split": split}) for both in chosen for pair in both]
    write_records(folder / FIGURES, figures)
    write_records(folder / PAIRS, pairs)


def answered_rows(work: Path, use: ContextUse, name: str) -> pd.DataFrame:
    """Scores of the assistant trained this way, its answers under the right and under another image."""
    weights = work / name / "assistant.safetensors"
    if not weights.exists():
        train_assistant(
            work / "train", work / name, preset="small", start=None, eye=None, language=None, epochs=EPOCHS,
            pretrain=None, hub=False, context=use, as_json=False,
        )  # fmt: skip
    speaker = LocalAssistant(weights)
    figures = {one.id: one for one in read_records(work / "test" / FIGURES, Figure)}
    pairs = read_records(work / "test" / PAIRS, Pair)
    answered, _ = answer_all(figures, pairs, work / "test", ("real", "shuffled"), lambda untrained: speaker)
    own = [one for one in answered if one.model == speaker.name]
    return scored_rows(pairs, own, list(grade_all(pairs, own, make_judge("rules"), "quality")))


def told(rows: dict[str, pd.DataFrame], level: Level, about: str, dry: bool) -> None:
    """Print and record the gain of both, and how much more the one with context has."""
    scores = {name: by_image(own[own["level"] == level]) for name, own in rows.items()}
    paper = rows["with"].drop_duplicates("pair").set_index("pair")["paper"]
    gains = {f"gain_{name}": paired_gain("right − another image", *both, paper) for name, both in scores.items()}
    brought = [right - other for right, other in scores.values()]
    gains["difference"] = paired_gain("with − without context in training", *brought, paper)
    tail = "" if level == "high" else ".no_context"
    for name, gain in gains.items():
        if gain.difference is None:
            raise SystemExit(f"{name}: only {gain.papers} scenes; nothing to tell")
        print(f"{level:5} {name:13} {gain.difference.value:+.1f} ({gain.difference.low:+.1f} to "
              f"{gain.difference.high:+.1f}), {gain.first:.1f} against {gain.second:.1f}, n = {gain.n}")  # fmt: skip
        if not dry:
            recorded(f"ask.context_in_training.{name}{tail}", gain, about)


def by_image(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Scores by question with the right image, and with another one."""
    right, other = (rows[rows["condition"] == name].set_index("pair")["score"] for name in ("real", "shuffled"))
    return right, other


def recorded(name: str, gain: Gain, about: str) -> None:
    """One row."""
    assert gain.difference is not None
    sides = ("gain with", "without") if ".difference" in name else ("right image", "another")
    about = f"{gain.n} {about}; mean {sides[0]} {gain.first:.1f}, {sides[1]} {gain.second:.1f}"
    record(name, gain.difference.value, low=gain.difference.low, high=gain.difference.high, target="reported",
           command=COMMAND, data=about)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
