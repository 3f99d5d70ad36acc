"""What `epistem ask evaluate` does with its words.

A folder of results holds figures.jsonl, pairs.jsonl, answered.jsonl, grades.jsonl and the pictures: everything that
is told of it is computed from these, so that it can be graded again without asking the model again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from epistem.app.ask_answers import Asking, Baseline, answer_all, answer_baselines, checked, possible
from epistem.app.ask_folder import ANSWERED, GRADES, records_of
from epistem.app.ask_numbers import Subject, declined, subject_of
from epistem.app.ask_page import FEW, AskStudy, evaluation_page, read_study
from epistem.app.ask_run import speaker_of
from epistem.app.ask_set import chosen_set
from epistem.app.papers_run import chat_model
from epistem.app.reproduce_ask import study_page
from epistem.app.terminal import Bar
from epistem.ask.assess import grade_all, leak_table, queue
from epistem.ask.chat import ChatError
from epistem.ask.judge import ASSESSMENTS, make_judge
from epistem.ask.planted import planted_controls
from epistem.ask.records import Answered, Grade, Mode, Pair, read_records, write_records
from epistem.core import SettingsError
from epistem.core.files import write_text
from epistem.report.words import counted, percent
from epistem.stats.blind import evenly_chosen

if TYPE_CHECKING:
    from epistem.ask.answer import Speaker
    from epistem.ask.judge import Judge

EVALUATION = "evaluation.json"
_SAVE_EVERY = 20
_PLANTED = 16  # questions, each planted up to five times


def evaluate_set(
    folder: Path | None, out: Path, *, scenes: int, questions: int, split: str, conditions: Sequence[str] | None,
    judge: str, judge_endpoint: str | None, judge_model: str | None, repeats: int, again: bool, ask: bool,
    model: Path | None, language: str | None, endpoint: str | None, endpoint_model: str | None, key_from: str,
    seed: int, as_json: bool, mode: Mode = "whole", baselines: Sequence[Baseline] = (),
    published: bool = False,
) -> None:  # fmt: skip
    """Answer under each condition, grade, and tell.

    Args:
        judge_endpoint, judge_model: of the judge "model"; the endpoint of the answers where only the model is told.
        again: grade anew what this judge has graded.
        ask: False grades the answers that are there and asks no model.
        mode, baselines: who answers, see `ask_answers`.
        published: the page has the numbers of the published study beside.

    Raises:
        SettingsError: a condition that there is not, a set without questions, a judge without its model, or a folder
            that holds another set.
        ChatError: no question got an answer.
    """
    # Whatever can be wrong is told before the first answer.
    chat = chat_model(judge_endpoint or endpoint, judge_model, key_from) if judge == "model" else None
    judging = make_judge(judge, chat)
    wanted = checked(conditions, mode)
    if baselines and folder is not None and split in ("train", "all"):
        raise SettingsError(f"baselines answer from the training papers, which --split {split} asks about")
    figures, pairs = chosen_set(folder, out, scenes, questions, split, seed)
    asked, notes = possible(wanted, conditions is None, list(figures.values()), seed)
    speakers: dict[bool, Speaker] = {}

    def speaker(untrained: bool) -> Speaker:
        if untrained not in speakers:
            speakers[untrained] = speaker_of(model, language, endpoint, endpoint_model, key_from, untrained=untrained)
        return speakers[untrained]

    failed: list[str] = []
    if ask:
        asking = Asking(mode, larger=endpoint is not None, seed=seed, quiet=as_json)
        answered, failed = answer_all(figures, pairs, out, asked, speaker, asking)
        subject: Subject | None = Subject(speaker(False).name, mode)
    else:
        answered = records_of(out, ANSWERED, Answered)
        subject = subject_of(answered, mode)
    if subject is None:
        raise SettingsError(f"{out} holds no answers of --answer {mode}; leave --no-ask out")
    if baselines:
        answered = answer_baselines(baselines, folder, figures, pairs, out, quiet=as_json)
    own = [one for one in answered if (one.model, one.mode) == subject]
    if not own:
        raise ChatError(f"no question got an answer: {failed[0]}")
    grades = grade(pairs, answered, out, judging, 1 if judge == "rules" else repeats, as_json, again=again)
    study = read_study(out, model=subject.model, mode=subject.mode)
    told = told_of(study) | _planted(judging, pairs, seed) | leaks(pairs)
    told |= {"notes": notes, "unanswered": len(failed), "why_unanswered": sorted(set(failed))}
    write_text(out / EVALUATION, json.dumps(told, indent=1, ensure_ascii=False))
    write_records(out / "queue.jsonl", [_Queued.model_validate(one) for one in queue(pairs, own, grades)])
    page = study_page(study, out) if published else evaluation_page(study, out)
    if as_json:
        print(json.dumps({"page": str(page), **told}, indent=1, ensure_ascii=False))
        return
    for line in (*notes, *lines_of(told)):
        print(line)
    print(f"Page: {page}")


def _planted(judge: Judge, pairs: Sequence[Pair], seed: int) -> dict[str, Any]:
    """Whether the judge knows answers whose grade is known, on some of these questions."""
    bare = [one for one in pairs if one.level == "none" and one.answerable]
    some = evenly_chosen([one.category for one in bare], _PLANTED, np.random.default_rng(seed))
    try:
        found = planted_controls(judge, [bare[at] for at in some], seed=seed)
    except SettingsError as error:
        return {"planted": None, "why_not_planted": str(error)}
    return {"planted": found.table()}


def leaks(pairs: Sequence[Pair]) -> dict[str, Any]:
    """How many questions with added context give their answer away."""
    rows = leak_table([one for one in pairs if one.level != "none"])
    return {"questions_that_leak": int(rows["leaks"].sum()) if len(rows) else 0}


class _Queued(BaseModel):
    """An answer whose verdict a person has to give."""

    answered: str
    pair: str
    question: str
    benchmark: str
    candidate: str
    judge: str
    why: str


def grade(
    pairs: Sequence[Pair], answered: Sequence[Answered], out: Path, judge: Judge, repeats: int, quiet: bool,
    *, again: bool = False,
) -> list[Grade]:  # fmt: skip
    """All grades; those of this judge that are there are kept, and new ones written as they come."""
    path = out / GRADES
    before = read_records(path, Grade) if path.exists() else []
    if again:
        before = [one for one in before if one.judge != judge.name]
    ids = {one.id for one in answered}
    before = [one for one in before if one.answered in ids]
    kept = {(one.judge, one.assessment, one.answered, one.repeat): one for one in before}
    with Bar(len(ASSESSMENTS), quiet=quiet) as bar:
        for number, assessment in enumerate(ASSESSMENTS, 1):
            bar.stage(f"grading: {assessment}")
            new = grade_all(pairs, answered, judge, assessment, repeats=repeats, done=before)
            for at, one in enumerate(new, 1):
                kept[(one.judge, one.assessment, one.answered, one.repeat)] = one
                if at % _SAVE_EVERY == 0:
                    write_records(path, kept.values())
            write_records(path, kept.values())
            bar.advance(number, len(ASSESSMENTS), None)
    return list(kept.values())


def told_of(study: AskStudy) -> dict[str, Any]:
    """Scores by condition and baseline, where answers come from, and how often it was right to say nothing."""
    out: dict[str, Any] = {**study.subject._asdict(), "questions": len(study.pairs), "quality": {}}
    for judge, found in study.numbers.items():
        gains = {row["against"]: row for row in found.gains}
        out["quality"][judge] = {
            "mean": {"real": found.overall["mean"]} | {name: row["second"] for name, row in gains.items()},
            "real": found.overall, "real_minus": gains, "origins": found.origins,
        }  # fmt: skip
    out["judges"] = sorted(out["quality"])
    for name in ("unanswerable", "answerable"):
        said = declined(study.pairs, study.answered, study.subject, answerable=name == "answerable")
        ends = {} if said.share is None else {"low": said.share.low, "high": said.share.high}
        out[name] = {"n": said.n, "abstained": said.declined, **ends}
    return out


def lines_of(told: dict[str, Any]) -> list[str]:
    """For people."""
    lines = [f"{Subject(told['model'], told['mode']).words}; {told['questions']} questions."]
    if told["questions"] < FEW:
        lines.append(f"Fewer than {FEW} questions carry little: look at the intervals, and ask more.")
    for judge, of in told["quality"].items():
        lines += [f"Quality 0 to 100, by {judge}:", _line("real", of["mean"]["real"], _between(of["real"], "{:.1f}"))]
        lines += [
            _line(name, row["second"], f"real − {name}: {row['value']:+.1f} {_between(row, '{:+.1f}')}")
            if row["value"] is not None
            else _line(name, row["second"], "")
            for name, row in of["real_minus"].items()
        ]
        if of["real"]["unscored"]:
            lines.append(f"  {counted(of['real']['unscored'], 'answer')} to the real image unscored.")
        if told["mode"] == "whole":
            lines.append("Of these answers, and their quality:")
            lines += [_line(f"{row['origin']} {percent(row['share'])}", row["mean"], _between(row, "{:.1f}"))
                      for row in of["origins"]]  # fmt: skip
    for row in told.get("planted") or []:
        if row["n"] and row["held"] < row["n"]:
            lines.append(
                f"{row['judge']} graded {row['n'] - row['held']} of {row['n']} {row['control']} answers wrongly."
            )
    if told.get("unanswered"):
        lines.append(f"{told['unanswered']} questions got no answer: {'; '.join(told['why_unanswered'][:3])}")
    for name in ("unanswerable", "answerable"):
        if told[name]["n"]:
            lines.append(f"Of {told[name]['n']} {name} questions, {told[name]['abstained']} were declined.")
    return lines


def _line(name: str, mean: float | None, beside: str) -> str:
    return f"  {name:20}{'  none' if mean is None else f'{mean:6.1f}'}   {beside}".rstrip()


def _between(row: dict[str, Any], form: str) -> str:
    return "" if row["low"] is None else f"({form.format(row['low'])} to {form.format(row['high'])})"
