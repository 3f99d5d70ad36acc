"""Controls planted before the rule-based judge, on questions made from expert descriptions.

The judge's words and weights were chosen on pairs written by hand (tests/ask/written_pairs.jsonl), captions of
preprints, simulated scenes and half 0 of what is measured here: answers that experts of the DoITPoMS library wrote. A
system (Al-Cu, glass…) is a paper. Answers have the 80 characters that generated ones need; an unrelated one is of
another class of material, for systems of one class share their subject: carbon fibres occur in six.

Half 1 was looked at twice. First, with answers of any length and unrelated ones of other systems, 6070 of 6075
planted answers held; then the judge learnt that of a benchmark with few facts more must be said, and 6072 held, the
other three being of one subject (carbon nanotubes with carbon nanotubes). Later runs draw other answers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.record import record
from benchmarks.study import study_data
from epistem.ask.facts import defect_state
from epistem.ask.judge import make_judge
from epistem.ask.planted import Controls, planted_controls
from epistem.ask.records import Category, Pair, identity

COMMAND = "python -m benchmarks.ask_judge"
SEEDS = range(10, 15)
SHORTEST = 80
DEFECT = "Are cracks, pores or other defects visible?"
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def expert_pairs(records: list[dict[str, Any]]) -> list[Pair]:
    """Questions on micrographs with what experts wrote as the answers; a text that several share is asked once."""
    found: dict[tuple[str, str], Pair] = {}
    for one in records:
        text = " ".join(str(one["further_information"]).split())
        for category, question, answer in _asked(one, text):
            if len(answer) >= SHORTEST:
                system = one["system"] or one["file"]
                pair = Pair(
                    id=identity(one["file"], question, answer), figure=one["file"], paper=system, question=question,
                    answer=answer, category=category, evidence=(answer,), maker="doitpoms",
                )  # fmt: skip
                found.setdefault((question, answer), pair)
    return list(found.values())


def _asked(one: dict[str, Any], text: str) -> list[tuple[Category, str, str]]:
    made = [one[name].strip().rstrip(".") for name in ("processing", "sample_preparation") if one[name].strip()]
    sentences = _SENTENCE.split(text)
    flawed = [sentence for sentence in sentences if defect_state(DEFECT, sentence) in ("present", "absent")]
    asked: list[tuple[Category, str, str]] = [
        ("general", "What is shown in the micrograph?", _ended(one["brief_description"])),
        ("microstructure", "Describe the microstructure.", " ".join(sentences[:3])),
        ("processing_environment", "How was the sample made and prepared?", _ended(". ".join(made))),
        ("phase_composition", "What is the composition of the sample?", _composition(one)),
        ("defect_fracture", DEFECT, " ".join(flawed[:2])),
        ("prediction_interpretation", "What is it used for?", _ended(one["applications"])),
    ]
    return [(category, question, answer) for category, question, answer in asked if answer]


def _composition(one: dict[str, Any]) -> str:
    said = one["composition"].strip()
    return f"The composition is {said}." if said and said != "Not specified" else ""


def _ended(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def classes(records: list[dict[str, Any]]) -> dict[str, str]:
    """Class of material of each figure: polymers and composites together, ceramics, metals, or anything else."""
    names = (("Poly", "polymer"), ("Composite", "polymer"), ("Ceramic", "ceramic"), ("Metal", "metal"))
    found = {}
    for one in records:
        said = one["categories"]
        found[one["file"]] = next((name for word, name in names if word in said), "other")
    return found


def half_of(system: str) -> int:
    """0 or 1, by the name of the system: half 0 was looked at while the judge was made."""
    return int(identity(system), 16) % 2


def main(words: list[str] | None = None) -> int:
    """Record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    parser.add_argument("--half", type=int, default=1, choices=(0, 1), help="which half of the systems")
    asked = parser.parse_args(words)
    folder = study_data("captioned_doitpoms")
    if folder is None:
        print("skipped: EPISTEM_STUDY_DATA does not lead to captioned_doitpoms")
        return 0
    records = json.loads(Path(folder / "records.json").read_text("utf-8"))
    pairs = [one for one in expert_pairs(records) if half_of(one.paper) == asked.half]
    print(
        f"{len(pairs)} pairs of {len({one.paper for one in pairs})} systems:", Counter(one.category for one in pairs)
    )
    material = classes(records)
    judge = make_judge("rules")
    runs = [planted_controls(judge, pairs, seed=seed, source=lambda one: material[one.figure]) for seed in SEEDS]
    show(runs, pairs)
    hold = all(run.hold for run in runs)
    planted = sum(len(run.rows) for run in runs)
    held = sum(row.holds is True for run in runs for row in run.rows)
    about = (
        f"captioned_doitpoms, half {asked.half} of the systems (half 1 was looked at twice, see the command's file), "
        f"{len(pairs)} pairs, {planted} planted answers with {len(SEEDS)} seeds, judge {runs[0].judge} (no language "
        f"model): {held} graded as they had to be"
    )
    if not asked.dry:
        record("ask.planted_controls", float(hold), target="1 when all hold", command=COMMAND, data=about)
        record("ask.planted_held", held / planted, target="reported", command=COMMAND, data=about)
    print(f"all hold: {hold}, {held} of {planted}")
    return 0


def show(runs: list[Controls], pairs: list[Pair]) -> None:
    """Each control, and every planted answer that was graded otherwise."""
    of = {pair.id: pair for pair in pairs}
    for run in runs:
        print(*run.table(), sep="\n")
    for row in dict.fromkeys(row for run in runs for row in run.rows if row.holds is not True):
        print(f"{row.control} wanted {row.wanted}, got {row.score} {row.verdict} {row.why}")
        print(f"   benchmark: {of[row.pair].answer[:300]}\n   candidate: {row.candidate[:300]}")


if __name__ == "__main__":
    sys.exit(main())
