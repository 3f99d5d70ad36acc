"""What `epistem ask compare` does with its words: which answers a judge prefers, and how far the order decides it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from epistem.app.ask_answers import GIVE_UP
from epistem.app.ask_evaluate import EVALUATION
from epistem.app.ask_folder import ANSWERED, PAIRS, records_of, there
from epistem.app.ask_numbers import Subject
from epistem.app.papers_run import chat_model
from epistem.app.terminal import Bar
from epistem.ask.chat import ChatError
from epistem.ask.prefer import Comparer, Preference, Preferences, compare, couples, preferences
from epistem.ask.records import Answered, Pair, read_records
from epistem.ask.rubrics import ModelJudge
from epistem.core import Interval, RecordError, SettingsError
from epistem.report.document import Fact
from epistem.report.words import counted, with_interval

PREFERENCES = "preferences.jsonl"


class Side(NamedTuple):
    """What was evaluated last in a folder: who answered, the questions, and the answers to the real images."""

    subject: Subject
    pairs: list[Pair]
    answered: list[Answered]


def compare_results(
    first: Path, second: Path, *, judge_endpoint: str, judge_model: str, key_from: str, as_json: bool
) -> None:
    """Ask the judge for each question in both orders, and tell; what was said is kept in the first folder.

    Raises:
        SettingsError: no folder of `epistem ask evaluate`, or answers to another set.
        ChatError: the judge gave no answer five times in a row.
    """
    chat = chat_model(judge_endpoint, judge_model, key_from)
    assert chat is not None
    one, other = side_of(first), side_of(second)
    pairs = {pair.id: pair for pair in one.pairs}
    if set(pairs) != {pair.id for pair in other.pairs}:
        shared = len(set(pairs) & {pair.id for pair in other.pairs})
        raise SettingsError(
            f"{first} holds {counted(len(one.pairs), 'question')} and {second} {len(other.pairs)}, {shared} of them "
            "the same; answers are compared on one set: evaluate it twice with the same --questions, --split and "
            "--seed"
        )
    asked = couples(one.pairs, one.answered, other.answered)
    if not asked:
        raise SettingsError(f"no question has different answers in {first} and {second}; there is nothing to compare")
    found = kept_comparisons(asked, ModelJudge(chat), first / PREFERENCES, quiet=as_json)
    mine = {answered.id for answered in one.answered}
    result = preferences(found, mine.__contains__, lambda name: pairs[name].paper)
    both = {answered.pair for answered in one.answered} & {answered.pair for answered in other.answered}
    told = {
        "judge": found[0].judge, "first": {"folder": str(first), **one.subject._asdict()},
        "second": {"folder": str(second), **other.subject._asdict()}, "questions": len(pairs),
        "answered_by_both": len(both), "same_words": len(both) - len(asked),
        **{name: asdict(one) if isinstance(one, Interval) else one for name, one in result._asdict().items()},
    }  # fmt: skip
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for line in lines_of(told, result, one.subject, other.subject):
        print(line)


def side_of(folder: Path) -> Side:
    """What was evaluated last in this folder.

    Raises:
        SettingsError: it is no folder of `epistem ask evaluate`.
        RecordError: its evaluation does not say who answered.
    """
    path = there(folder / EVALUATION, "a folder of `epistem ask evaluate`")
    try:
        held = json.loads(path.read_text("utf-8"))
        subject = Subject(held["model"], held["mode"])
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} does not say who answered ({error}); run `epistem ask evaluate` again") from error
    said = [one for one in records_of(folder, ANSWERED, Answered)
            if (one.model, one.mode) == subject and one.condition == "real"]  # fmt: skip
    return Side(subject, records_of(folder, PAIRS, Pair), said)


def kept_comparisons(
    asked: Sequence[tuple[Pair, Answered, Answered]], judge: Comparer, path: Path, *, quiet: bool
) -> list[Preference]:
    """All comparisons; those that have a verdict in the file are kept, and each new one is written as it comes.

    Raises:
        ChatError: the judge gave no answer five times in a row.
    """
    before = read_records(path, Preference) if path.exists() else []
    has_verdict = {(one.pair, one.first, one.second, one.judge, one.prompt) for one in before if one.said}
    found: list[Preference] = []
    in_a_row = 0
    with Bar(2 * len(asked), quiet=quiet) as bar, path.open("a", encoding="utf-8") as file:
        bar.stage("comparing")
        for one in compare(asked, judge, done=before):
            found.append(one)
            if (one.pair, one.first, one.second, one.judge, one.prompt) not in has_verdict:
                file.write(one.model_dump_json() + "\n")
                file.flush()
            in_a_row = in_a_row + 1 if one.why.startswith("not asked") else 0
            if in_a_row == GIVE_UP:
                raise ChatError(f"{one.judge}: {one.why}")
            bar.advance(len(found), 0, None)
    return found


def lines_of(told: dict[str, Any], found: Preferences, first: Subject, second: Subject) -> list[str]:
    """For people."""
    lines = [f"A: {first.words} ({told['first']['folder']})", f"B: {second.words} ({told['second']['folder']})"]
    same = f", {told['same_words']} of them in the same words" if told["same_words"] else ""
    both = counted(told["answered_by_both"], "question")
    lines.append(f"{both} answered by both{same}; judged by {told['judge']}.")
    if found.unscored:
        lines.append(f"{counted(found.unscored, 'couple')} without a verdict in both orders: unscored.")
    if not found.n:
        return lines
    lines.append(f"Of {counted(found.n, 'couple')}, A is better in {found.first_wins}, B in {found.second_wins}, "
                 f"neither in {found.ties}.")  # fmt: skip
    apart = found.preferred
    if apart is None:
        lines.append("All are of one paper, so that the difference has no interval.")
    else:
        who = "A" if apart.low > 0 else "B" if apart.high < 0 else "Neither"
        lines.append(f"{who} is preferred: share of A minus share of B {_share(apart)}.")
    if found.flip_rate is not None:
        lines.append(f"Another verdict in the other order: {_share(found.flip_rate)} of the couples.")
    if found.first_position is not None:
        lines.append(f"What was shown first was called better in {_share(found.first_position)} of the verdicts that "
                     "name one; 50 % without bias.")  # fmt: skip
    return lines


def _share(of: Interval) -> str:
    return with_interval(
        Fact(value=100 * of.value, low=100 * of.low, high=100 * of.high, coverage=of.coverage, unit="%")
    )
