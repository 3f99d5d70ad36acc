"""What `epistem ask evaluate`, `rate` and `agree` do with their words.

A folder of results holds figures.jsonl, pairs.jsonl, answered.jsonl, grades.jsonl and the pictures: everything that
is told of it is computed from these, so that it can be graded again without asking the model again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pydantic import BaseModel

from epistem.app.ask_run import speaker_of
from epistem.app.papers_run import FIGURES, PAIRS, chat_model
from epistem.app.terminal import Bar
from epistem.ask.answer import Speaker, abstains, picture
from epistem.ask.assess import grade_all, leak_table, queue, scored_rows
from epistem.ask.chat import ChatError
from epistem.ask.controls import CONDITIONS, Condition, Shown, another_image, grounding_gain, shown_under
from epistem.ask.judge import ASSESSMENTS, make_judge
from epistem.ask.planted import planted_controls
from epistem.ask.records import Answered, Figure, Grade, Pair, identity, read_records, write_records
from epistem.core import RecordError, SettingsError
from epistem.report.export import write_text
from epistem.stats.blind import evenly_chosen

if TYPE_CHECKING:
    import pandas as pd

    from epistem.ask.judge import Judge

ANSWERED, GRADES = "answered.jsonl", "grades.jsonl"
FIRST_SCENE = 1_000_000
"""Scenes from here on are in no training set."""
_AT_ONCE = 16
_GIVE_UP = 5  # answers in a row that failed
_SAVE_EVERY = 20
_PLANTED = 16  # questions, each planted up to five times
_DEFAULT: tuple[Condition, ...] = ("real", "shuffled", "blank")


def evaluate_set(
    folder: Path | None, out: Path, *, scenes: int, questions: int, split: str, conditions: Sequence[str] | None,
    judge: str, judge_endpoint: str | None, judge_model: str | None, repeats: int, again: bool, ask: bool,
    model: Path | None, language: str | None, endpoint: str | None, endpoint_model: str | None, key_from: str,
    seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Answer under each condition, grade, and tell.

    Args:
        judge_endpoint, judge_model: of the judge "model"; the endpoint of the answers where only the model is told.
        again: grade anew what this judge has graded.
        ask: False grades the answers that are there and asks no model.

    Raises:
        SettingsError: a condition that there is not, a set without questions, a judge without its model, or a folder
            that holds another set.
    """
    # Whatever can be wrong is told before the first answer.
    chat = chat_model(judge_endpoint or endpoint, judge_model, key_from) if judge == "model" else None
    judging = make_judge(judge, chat)
    figures, pairs = _the_set(folder, out, scenes, questions, split, seed)
    asked, notes = _possible(checked(conditions), conditions is None, list(figures.values()), seed)
    speakers: dict[bool, Speaker] = {}

    def speaker(untrained: bool) -> Speaker:
        if untrained not in speakers:
            speakers[untrained] = speaker_of(model, language, endpoint, endpoint_model, key_from, untrained=untrained)
        return speakers[untrained]

    if ask:
        answered, failed = answer_all(figures, pairs, out, asked, speaker, seed=seed, quiet=as_json)
        name = speaker(False).name
    else:
        answered, failed = read_records(out / ANSWERED, Answered), []
        name = Counter(_model(one) for one in answered).most_common(1)[0][0]
    grades = grade(pairs, answered, out, judging, 1 if judge == "rules" else repeats, as_json, again=again)
    # Another model's answers may lie in the folder too: they are kept, and not mixed in.
    own = [one for one in answered if _model(one) == name]
    ids = {one.id for one in own}
    told = told_of(pairs, own, [one for one in grades if one.answered in ids])
    told |= _planted(judging, pairs, seed) | leaks(pairs)
    told |= {"model": name, "notes": notes, "unanswered": len(failed), "why_unanswered": sorted(set(failed))}
    write_text(out / "evaluation.json", json.dumps(told, indent=1, ensure_ascii=False))
    write_records(out / "queue.jsonl", [_Queued.model_validate(one) for one in queue(pairs, own, grades)])
    from epistem.app.reproduce_ask import reproduce_ask

    page = reproduce_ask(out, out, model=name)
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


def _model(one: Answered) -> str:
    """The model, its untrained twin counted to it."""
    return one.model.removesuffix(", untrained projector")


def _possible(
    conditions: tuple[Condition, ...], default: bool, figures: Sequence[Figure], seed: int
) -> tuple[tuple[Condition, ...], list[str]]:
    """The conditions that this set allows, and why others are left out; one that was asked for raises instead."""
    if "shuffled" not in conditions:
        return conditions, []
    try:
        another_image(figures, seed=seed)
    except SettingsError as error:
        if not default:
            raise
        return tuple(one for one in conditions if one != "shuffled"), [f"No other image was shown: {error}."]
    return conditions, []


def checked(conditions: Sequence[str] | None) -> tuple[Condition, ...]:
    """The conditions by name; real is always among them."""
    if conditions is None:
        return _DEFAULT
    strange = sorted(set(conditions) - set(CONDITIONS))
    if strange:
        raise SettingsError(f"no condition is called {strange[0]!r}; there is {', '.join(CONDITIONS)}")
    return tuple(one for one in CONDITIONS if one in conditions or one == "real")


def _the_set(
    folder: Path | None, out: Path, scenes: int, questions: int, split: str, seed: int
) -> tuple[dict[str, Figure], list[Pair]]:
    """Figures by id, their pictures in `out`, and the questions; written once, kept from then on."""
    source = "scenes" if folder is None else hashlib.sha256((folder / PAIRS).read_bytes()).hexdigest()[:16]
    wanted = {"source": source, "scenes": scenes if folder is None else None, "questions": questions,
              "split": None if folder is None else split, "seed": seed}  # fmt: skip
    held = out / "set.json"
    if held.exists() and json.loads(held.read_text("utf-8")) != wanted:
        raise SettingsError(f"{out} holds answers to another set or choice of questions; choose another --out")
    if not held.exists():
        figures, pairs = (
            scene_set(out, scenes, questions, seed)
            if folder is None
            else _from_set(folder, out, questions, split, seed)
        )
        write_records(out / FIGURES, figures)
        write_records(out / PAIRS, pairs)
        write_text(held, json.dumps(wanted))
    return {one.id: one for one in read_records(out / FIGURES, Figure)}, read_records(out / PAIRS, Pair)


def scene_set(out: Path, scenes: int, questions: int, seed: int) -> tuple[list[Figure], list[Pair]]:
    """Simulated scenes that no training has seen."""
    from epistem.ask.scene_pairs import described_scene, scene_kinds

    kinds = scene_kinds()
    figures, pairs = [], []
    for number in range(scenes):
        one = described_scene(kinds[number % len(kinds)], FIRST_SCENE + 10_000 * seed + number)
        name = f"pictures/{one.figure.id}.png"
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        picture(one.micrograph).save(out / name)
        figures.append(one.figure.model_copy(update={"image": name, "split": "test"}))
        rng = np.random.default_rng([seed, number])
        chosen = np.sort(rng.permutation(len(one.pairs))[:questions])
        pairs += [one.pairs[i].model_copy(update={"split": "test"}) for i in chosen]
    return figures, pairs


def _from_set(folder: Path, out: Path, questions: int, split: str, seed: int) -> tuple[list[Figure], list[Pair]]:
    figures = [one for one in read_records(folder / FIGURES, Figure) if one.image]
    of = {one.id: one for one in figures}
    pairs = [one for one in read_records(folder / PAIRS, Pair) if one.figure in of and split in ("all", one.split)]
    if not pairs:
        raise SettingsError(f"no question of split {split!r} in {folder}; try --split all")
    rng = np.random.default_rng(seed)
    kept: list[Pair] = []
    for name in dict.fromkeys(one.figure for one in pairs):
        own = [one for one in pairs if one.figure == name]
        bare = [one for one in own if one.level == "none"]
        chosen = [bare[i] for i in np.sort(rng.permutation(len(bare))[:questions])]
        ids = {one.id for one in chosen}
        kept += chosen + [one for one in own if one.base in ids]
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    shown = []
    for one in figures:
        if any(pair.figure == one.id for pair in kept):
            name = f"pictures/{one.id}.png"
            with Image.open(folder / str(one.image)) as image:
                image.convert("L").save(out / name)
            shown.append(one.model_copy(update={"image": name}))
    return shown, kept


def answer_all(
    figures: dict[str, Figure], pairs: Sequence[Pair], out: Path, conditions: Sequence[Condition],
    speaker: Callable[[bool], Speaker], *, seed: int, quiet: bool,
) -> tuple[list[Answered], list[str]]:  # fmt: skip
    """Every answer, those that are there already among them, and why others are missing; each is written as it comes.

    Raises:
        ChatError: the first five answers in a row failed: nobody is there.
    """
    path = out / ANSWERED
    done = read_records(path, Answered) if path.exists() else []
    failed: list[str] = []

    def open_image(figure: Figure) -> Image.Image:
        with Image.open(out / str(figure.image)) as image:
            return image.convert("L")

    with Bar(len(conditions) * len(pairs), quiet=quiet) as bar, path.open("a", encoding="utf-8") as file:
        for at, condition in enumerate(conditions):
            model = speaker(condition == "untrained-projector")
            held = {one.pair for one in done if one.condition == condition and one.model == model.name}
            bar.stage(condition)
            # The exchange of images is drawn of all questions, or it would change with what is left to do.
            told = shown_under(condition, pairs, figures, open_image, seed=seed)
            left = ((pair, shown) for pair, shown in told if pair.id not in held)
            count = len(held)
            while batch := list(islice(left, _AT_ONCE)):
                for (pair, _), text in zip(batch, _said(model, [shown for _, shown in batch], failed), strict=True):
                    if text is None:
                        continue
                    one = Answered(
                        id=identity(pair.id, model.name, condition, text), pair=pair.id, model=model.name,
                        question=pair.question, text=text, condition=condition, abstained=abstains(text),
                    )  # fmt: skip
                    done.append(one)
                    file.write(one.model_dump_json(exclude_defaults=True) + "\n")
                file.flush()
                count += len(batch)
                bar.advance(at * len(pairs) + count, 0, None)
    return done, failed


def _said(model: Speaker, asked: Sequence[Shown], failed: list[str]) -> Iterator[str | None]:
    """Answers one by one as they come, None where there was none; the reason is put to the others."""
    many = getattr(model, "many", None)
    if many is not None:
        yield from many([(shown.image, shown.text) for shown in asked])
        return
    in_a_row = 0
    for shown in asked:
        try:
            yield "".join(model(shown.image, shown.text)).strip()
            in_a_row = 0
        except ChatError as error:
            failed.append(str(error))
            in_a_row += 1
            if in_a_row == _GIVE_UP:
                raise
            yield None


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


def told_of(pairs: Sequence[Pair], answered: Sequence[Answered], grades: Sequence[Grade]) -> dict[str, Any]:
    """Scores by condition, what the image brings, and how often it was right to say nothing."""
    rows = scored_rows(pairs, answered, grades)
    quality = rows[rows["assessment"] == "quality"]
    out: dict[str, Any] = {"questions": len(pairs), "judges": sorted(set(quality["judge"])), "quality": {}}
    for judge, own in quality.groupby("judge"):
        by = own.groupby("condition")["score"]
        gains = {}
        for condition in own["condition"].unique():
            if condition != "real":
                gains[condition] = _gain(own, condition)
        out["quality"][judge] = {
            "mean": {name: None if np.isnan(value) else float(value) for name, value in by.mean().items()},
            "unscored": {name: int(n) for name, n in own.groupby("condition")["unscored"].sum().items()},
            "real_minus": gains,
        }
    of = {one.id: one for one in pairs}
    real = [one for one in answered if one.condition == "real" and one.pair in of]
    for wanted, name in ((False, "unanswerable"), (True, "answerable")):
        own_answers = [one for one in real if of[str(one.pair)].answerable is wanted]
        out[name] = {"n": len(own_answers), "abstained": sum(one.abstained for one in own_answers)}
    return out


def _gain(rows: pd.DataFrame, condition: Condition) -> dict[str, Any]:
    found = grounding_gain(_one_model(rows, condition), against=condition)
    interval = found.difference
    return {
        "n": found.n, "papers": found.papers, "value": interval.value if interval else None,
        "low": interval.low if interval else None, "high": interval.high if interval else None,
    }  # fmt: skip


def _one_model(rows: pd.DataFrame, condition: str) -> pd.DataFrame:
    return rows[rows["condition"].isin(("real", condition))]


def lines_of(told: dict[str, Any]) -> list[str]:
    """For people."""
    lines = []
    for judge, of in told["quality"].items():
        lines.append(f"Quality 0 to 100, by {judge}, {told['questions']} questions:")
        for name, mean in of["mean"].items():
            gain = of["real_minus"].get(name)
            beside = ""
            if gain and gain["value"] is not None:
                beside = f"   real − {name}: {gain['value']:+.1f} ({gain['low']:+.1f} to {gain['high']:+.1f})"
            lost = of["unscored"].get(name, 0)
            score = "  none" if mean is None else f"{mean:6.1f}"
            lines.append(f"  {name:20}{score}{beside}{f'   {lost} unscored' if lost else ''}")
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


def write_rating_page(folder: Path, out: Path, *, number: int, seed: int) -> None:
    """The page for people."""
    from epistem.ask.rate_page import write_answers_page

    figures = {one.id: one for one in read_records(folder / FIGURES, Figure)}

    def open_image(name: str) -> Image.Image | None:
        figure = figures.get(name)
        if figure is None or figure.image is None:
            return None
        with Image.open(folder / figure.image) as image:
            return image.convert("L")

    page = write_answers_page(
        out, read_records(folder / PAIRS, Pair), read_records(folder / ANSWERED, Answered), open_image=open_image,
        assessments=("quality", "defect"), n=number, seed=seed,
    )  # fmt: skip
    print(f"{len(page.answered)} answers to grade.\nPage: {page.path}")


def tell_agreement(folder: Path, ratings: Sequence[Path], *, as_json: bool) -> None:
    """κ and ICC of people and judges."""
    from epistem.ask.people import agreements, read_ratings

    pairs = read_records(folder / PAIRS, Pair)
    grades = [*read_records(folder / GRADES, Grade), *read_ratings(ratings)]
    found: list[dict[str, Any]] = []
    for assessment in ASSESSMENTS:
        if any(one.assessment == assessment for one in grades):
            rows = agreements(grades, pairs, assessment)
            found += [{"assessment": assessment, **_plain(row)} for row in rows]
    if not found:
        raise RecordError(f"no grades to compare in {folder} and {', '.join(map(str, ratings))}")
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for row in found:
        print("  ".join(f"{name} {value}" for name, value in row.items() if value is not None))


def _plain(row: Any) -> dict[str, Any]:
    from dataclasses import asdict, is_dataclass

    known = asdict(row) if is_dataclass(row) and not isinstance(row, type) else row._asdict()
    return {k: v if isinstance(v, (int, float, str, type(None))) else str(v) for k, v in known.items()}
