"""The page of `epistem reproduce bench`: our Tables 2 and 3 beside the printed ones, and the answer to the claim.

Ranks are compared within one initialisation and one form of the decoders (an arm); undertrained networks are outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from epistem.bench import printed
from epistem.bench.advise import LEAST_DATASETS, regret_words
from epistem.bench.arms import Arm, comparable, few_groups, gathered, of_arm, shown
from epistem.bench.compare import Scores, differences
from epistem.bench.ranks import ContextTest, rank_agreement
from epistem.bench.shown import (
    cost_blocks,
    differences_table,
    fact,
    label_of,
    p_words,
    rank_blocks,
    specimen_notices,
    start_notices,
    start_words,
    words_column,
)
from epistem.bench.study import SURE, BenchStudy, about, context_of, leads_of, main_arm, regret_of
from epistem.bench.study_tables import kinds, table_2, table_3
from epistem.report.document import Block, Cell, Column, Fact, Facts, Notice, Report, Section, Table, Text, finite
from epistem.report.render import render_html
from epistem.report.words import counted, number, percent, sentence
from epistem.stats.resample import holm


def study_html(study: BenchStudy) -> str:
    """The page, one file."""
    return render_html(study_page(study))


def study_page(study: BenchStudy) -> Report:
    """The page as data.

    Raises:
        RecordError: tables that lack columns or contradict one another.
        SettingsError: no trained job has a score.
    """
    arm, scores = main_arm(study)
    cost = cost_blocks(of_arm(study.jobs, arm), scores, study.metric)
    sections = [
        Section(title="What came out", id="outcome", blocks=tuple(_outcome(study, arm, scores))),
        Section(title="Does context change the winner?", id="context", blocks=tuple(_context(study, arm, scores))),
        Section(title="Table 2: the best of each dataset", id="table-2", blocks=tuple(table_2(study, arm, scores))),
        Section(title="Table 3: all of them", id="table-3", blocks=tuple(table_3(study, arm, scores))),
        Section(title="By use case and difficulty", id="use-case", blocks=tuple(kinds(study, scores))),
        Section(title="What it costs", id="cost", blocks=tuple(cost)),
        Section(title="Which to try first", id="advice", blocks=tuple(_advice(study, scores))),
        Section(title="Decoders as published and as their papers have them", id="variants",
                blocks=tuple(_variants(study))),
        Section(title="How this was made", id="made", blocks=tuple(_made(study, scores))),
    ]  # fmt: skip
    return Report(
        kind="Published study, done again on other data",
        title="Does context determine the best architecture?",
        provenance=dict(study.provenance),
        sections=tuple(section for section in sections if section.blocks),
    )


# ---------------------------------------------------------------- what came out


def _outcome(study: BenchStudy, arm: Arm, scores: Scores) -> Iterator[Block]:
    test = context_of(scores)
    few = few_groups(study.scores)
    yield Text(role="headline", text=_headline(test, len(scores.datasets)) + _on_these(few, len(scores.datasets)))
    yield from start_notices(study.jobs)
    text = "The printed datasets are the authors' own and not at hand: our tables are of other data. Numbers are not "
    text += "to be compared cell by cell; whether the winner changes with context is."
    yield Notice(level="info", text=text)
    yield from specimen_notices(study.scores)
    yield from _rising(study)
    leads, facts = leads_of(scores), []
    facts.append(Fact(label="Datasets", value=len(scores.datasets)))
    facts.append(Fact(label="Networks trained", value=int((~study.jobs["undertrained"].astype(bool)).sum())))
    if isinstance(test, ContextTest):
        facts.append(
            Fact(
                label="p that one winner would do (lower: context matters)", value=p_words(test.p).removeprefix("= ")
            )
        )
    label = f"Gap of first to second, median, {label_of(study.metric)}"
    facts.append(Fact(label=label, value=number(finite(leads["lead"].median()), decimals=3)))
    sure = int((leads["p_holm"] < SURE).sum())
    facts.append(Fact(label="Datasets with a sure winner", value=f"{sure} of {len(leads)}"))
    yield Facts(facts=tuple(facts))
    yield Text(text=f"Compared are networks of one start: {arm.words}. Others are tested by themselves below.")


def _headline(test: ContextTest | str, n: int) -> str:
    if isinstance(test, str):
        return f"Whether context changes the winner cannot be told: {test}"
    winner = shown(test.common[0])
    if test.p < SURE:
        return (
            f"Context changes the winner: that one architecture is best on all {n} datasets does not fit "
            f"(p {p_words(test.p)}; {winner} would fit best)."
        )
    return (
        f"That context changes the winner is not shown: with {winner} best on all {n} datasets, images and seeds "
        f"alone explain what was seen (p {p_words(test.p)})."
    )


def _on_these(few: Sequence[str], n: int) -> str:
    if not few:
        return ""
    return (
        f" This holds for the specimens tested: on {len(few)} of the {n} datasets the test images are of one or two "
        "specimens, and alike, so chance is larger than the p says."
    )


def _rising(study: BenchStudy) -> Iterator[Block]:
    """How many networks had not yet stopped getting better when they were stopped."""
    if not {"steps", "best_step"} <= set(study.jobs):
        return
    trained = study.jobs[~study.jobs["undertrained"].astype(bool)]
    late = int((trained["best_step"] > 0.9 * trained["steps"]).sum())
    text = (
        f"All were stopped after {_range(trained['steps'].tolist())} steps. {late} of {len(trained)} scored highest "
    )
    text += (
        "on validation in the last tenth of them: they were still getting better, and may rank otherwise in the end."
    )
    yield Notice(level="warning", text=text)


# ---------------------------------------------------------------- the claim


def _context(study: BenchStudy, arm: Arm, scores: Scores) -> Iterator[Block]:
    lines = [_claim(context_of(scores), arm), _order(context_of(scores, "ranking")), _power(scores, study.metric)]
    for other in study.arms:
        if other != arm and (theirs := study.compared(other)) is not None:
            lines.append(_claim(context_of(theirs), other))
    yield Text(text="\n\n".join(line for line in lines if line), role="list")
    yield _winners(study, scores)
    yield from rank_blocks(scores)
    if len(scores.datasets) > 1:
        yield _agreement(scores)
    yield differences_table(scores, study.metric)


def _claim(test: ContextTest | str, arm: Arm) -> str:
    where = sentence(arm.words)
    if isinstance(test, str):
        return f"{where}: not tested. {test}"
    seen, chance = percent(test.disagreement), test.by_chance
    ends = f"{percent(chance.low)} to {percent(chance.high)}"
    text = f"{where}: two datasets name different winners in {seen} of pairs; if one winner held everywhere, chance "
    text += f"alone would give {percent(chance.value)} ({ends}). "
    if test.p < SURE:
        return text + f"A common winner is ruled out, p {p_words(test.p)}."
    return text + f"A common winner ({shown(test.common[0])}) is not ruled out, p {p_words(test.p)}."


def _order(test: ContextTest | str) -> str:
    if isinstance(test, str):
        return ""
    verdict = "does not fit all datasets" if test.p < SURE else "is not ruled out"
    best = ", ".join(shown(name) for name in test.common[:3])
    return f"One order of all {len(test.common)} models ({best}, …) {verdict}, p {p_words(test.p)}."


def _power(scores: Scores, metric: str) -> str:
    """How large a change of winner would have been seen."""
    leads = leads_of(scores)
    half = finite(((leads["high"] - leads["low"]) / 2).median())
    if half is None:
        return ""
    return (
        f"The best leads the second by {number(finite(leads['lead'].median()), decimals=3)} {label_of(metric)} "
        f"(median); chance moves that by ±{number(half, decimals=3)}. Smaller changes of winner would not be seen."
    )


def _winners(study: BenchStudy, scores: Scores) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for _, row in leads_of(scores).iterrows():
        what = about(study, row["dataset"])
        names = (shown(row["first"]), shown(row["second"]))
        rows.append(
            (row["dataset"], what.modality, what.difficulty, *names, fact(row, "lead"), finite(row["p_holm"]))
        )
    columns = (
        *(words_column(label) for label in ("Dataset", "Modality", "Difficulty", "Best", "Second")),
        Column(label=f"Lead, {label_of(study.metric)}"), Column(label="p, Holm", kind="p_value", missing="one group"),
    )  # fmt: skip
    note = (
        f"Lead with {percent(scores.coverage)} interval of images and seeds. The best was picked as the best, so its "
    )
    note += "lead is a little too large."
    return Table(title="Winners", columns=columns, rows=tuple(rows), note=note)


def _agreement(scores: Scores) -> Table:
    found = rank_agreement(scores).set_index(["dataset_a", "dataset_b"])
    names = [one.name for one in scores.datasets]
    pairs = dict(zip(found.index, (fact(row, "tau") for _, row in found.iterrows()), strict=True))
    rows = tuple((a, *(pairs.get((a, b)) for b in names[1:])) for a in names[:-1])
    columns = (words_column("Dataset"), *(Column(label=name, missing="on the other side") for name in names[1:]))
    note = "Kendall's τ of the models' order. 1: the same; 0: nothing in common; −1: reversed. 90 % intervals."
    return Table(title="Agreement of rankings", columns=columns, rows=rows, note=note, folded=True)


def _advice(study: BenchStudy, scores: Scores) -> Iterator[Block]:
    regret = regret_of(study, scores)
    if regret is None:
        text = (
            f"Not known: advice is judged over {LEAST_DATASETS} or more datasets with meta-features and two models "
        )
        yield Notice(level="info", text=text + f"on all of them; there are {len(scores.datasets)} datasets here.")
        return
    yield Text(text="\n\n".join(regret_words(regret, label_of(study.metric))), role="list")
    ways = list(regret.mean)
    rows = tuple(
        (
            str(row["dataset"]), shown(str(row["best"])),
            *(cell for way in ways for cell in (shown(str(row[way])), finite(row[f"{way} regret"]))),
        )
        for _, row in regret.table.iterrows()
    )  # fmt: skip
    columns = [words_column("Dataset, held out"), words_column("Best there")]
    for way in ways:
        columns += [words_column(sentence(way)), Column(label="Lost", decimals=3)]
    note = "Chosen from the other datasets alone; lost is what the best there has more. 0 is perfect."
    yield Table(title="Each dataset as if it were new", columns=tuple(columns), rows=rows, note=note)


def _variants(study: BenchStudy) -> Iterator[Block]:
    for a, b in combinations(study.arms, 2):
        if a.weights != b.weights or a.variant == b.variant:
            continue
        canonical, paper = sorted((a, b), key=lambda arm: arm.variant)
        tables = {arm: comparable(study.scores, study.jobs, study.metric, arm) for arm in (paper, canonical)}
        marked = [table.assign(model=table["model"] + f" [{arm.variant}]") for arm, table in tables.items()]
        both = set.intersection(*(set(table["dataset"]) for table in tables.values()))
        scores = gathered(pd.concat([table[table["dataset"].isin(both)] for table in marked]), study.metric)
        if scores is not None:
            yield from _variant_table(differences(scores), canonical, paper, study.metric)


def _variant_table(pairs: pd.DataFrame, canonical: Arm, paper: Arm, metric: str) -> Iterator[Block]:
    ends = [f" [{arm.variant}]" for arm in (canonical, paper)]
    first, second = (pairs[f"model_{x}"].str.removesuffix(end) for x, end in zip("ab", ends, strict=True))
    # Names sort with canonical before paper, so each pair stands that way round.
    same = pairs[(first == second)].assign(model=first[first == second])
    if not len(same):
        return
    same = same.assign(p_holm=holm(same["p"].to_numpy(float)))
    same[["difference", "low", "high"]] = -same[["difference", "high", "low"]].to_numpy()
    sure = int((same["p_holm"] < SURE).sum())
    mean = same.groupby("model", sort=False)["difference"].mean()
    lines = "; ".join(f"{shown(str(name))} {number(float(value), decimals=3)}" for name, value in mean.items())
    yield Text(
        text=f"{label_of(metric)} of the {paper.variant} decoders minus the {canonical.variant} ones, mean over "
        f"datasets: {lines}. Sure after Holm: {sure} of {len(same)}. What each form says of the claim stands under "
        "“Does context change the winner?”."
    )
    rows = tuple(
        (str(row["dataset"]), shown(row["model"]), fact(row, "difference"), finite(row["p_holm"]))
        for _, row in same.iterrows()
    )
    columns = (
        words_column("Dataset"), words_column("Model"), Column(label=f"{paper.variant} − {canonical.variant}"),
        Column(label="p, Holm", kind="p_value", missing="one group"),
    )  # fmt: skip
    yield Table(title="Published form against canonical form", columns=columns, rows=rows, folded=True)


def _made(study: BenchStudy, scores: Scores) -> Iterator[Block]:
    facts = [Fact(label="Networks", value=start_words(study.jobs))]
    for label, name in (("Steps", "steps"), ("Tile [px]", "tile_px"), ("Device", "device")):
        if name in study.jobs:
            facts.append(Fact(label=label, value=_range(study.jobs[name].dropna().tolist())))
    if "seconds" in study.jobs:
        facts.append(Fact(label="Training, all", value=round(float(study.jobs["seconds"].sum()) / 60), unit="min"))
    for one in scores.datasets:
        test = f"{counted(one.groups, 'group')}, " if one.name not in few_groups(study.scores) else ""
        test += counted(one.images, "image")
        test += f", {one.left_out} left out" if one.left_out else ""
        facts.append(Fact(label=f"Test of {one.name}", value=test))
    facts += [Fact(label=str(name), value=str(value)) for name, value in study.provenance.items()]
    yield Facts(facts=tuple(facts), style="list")
    yield Text(title="Source", text=f"{printed.PAPER}. Printed numbers are of its Tables 2 and 3.")


def _range(values: Sequence[Any]) -> str:
    kinds = sorted(set(values))
    return str(kinds[0]) if len(kinds) == 1 else f"{kinds[0]} to {kinds[-1]}" if kinds else "not known"
