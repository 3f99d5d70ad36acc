"""The report of a run: what was asked, what was trained from what, how good it is, and whether it is ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.bench.advise import Advice
from epistem.bench.arms import LOWER, arms, comparable, few_groups, gathered, model_name, of_arm, of_metric, shown
from epistem.bench.compare import Scores, alike, model_means
from epistem.bench.masks import IGNORED
from epistem.bench.plan import PARTS, Plan
from epistem.bench.profile import Profile
from epistem.bench.ready import NAMES, Alignment, Verdict, heatmap_finding, verdict
from epistem.bench.shown import (
    bars_figure,
    cost_blocks,
    differences_table,
    fact,
    label_of,
    means_table,
    rank_blocks,
    specimen_notices,
    start_notices,
    start_words,
    words_column,
)
from epistem.report.bench_figures import KEY, mask_strip
from epistem.report.document import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Figure,
    Notice,
    Report,
    Section,
    Table,
    Text,
    finite,
)
from epistem.report.figures import shrunk
from epistem.report.render import render_html
from epistem.report.words import counted, number, percent, sentence, span
from epistem.segment.summary import macro_image

MOST_IMAGES = 4
MOST_TIED = 3  # named in the headline


class MaskPicture(NamedTuple):
    """One test image with its truth and what the best network found; (H, W), the image maybe (C, H, W)."""

    image: NDArray[Any]
    truth: NDArray[np.integer[Any]]
    found: NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class BenchResults:
    """One run of one profile, read from its folder.

    Attributes:
        profile, plan: what was asked for.
        jobs, scores: the tables of the jobs that are done.
        pictures: test images by content id, of the network that `best_job` names; those of `images_to_show` will do.
        pooled: of that network, `summary.micro_pixel` of all test images; None where not counted.
        untypical_found: share of the test images' tiles whose found mask is untypical; None: not known.
        typicality: columns detector, auroc, f1 (precision, fpr95, view); None: not asked.
        heatmaps: pictures by caption; empty: there are none.
        no_heatmaps: why there are none.
        alignment: of the heatmaps.
        advice: for this dataset from past ones; None: not asked.
        failures: job and why, of jobs that have no result.
        provenance: how to make it again.
    """

    profile: Profile
    plan: Plan
    jobs: pd.DataFrame
    scores: pd.DataFrame
    pictures: Mapping[str, MaskPicture] = field(default_factory=dict)
    pooled: pd.DataFrame | None = None
    typicality: pd.DataFrame | None = None
    untypical_found: float | None = None
    heatmaps: Mapping[str, bytes] = field(default_factory=dict)
    no_heatmaps: str = "Not asked: no region was given to explain."
    alignment: Alignment | None = None
    advice: Advice | None = None
    failures: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """That ranks."""
        return self.profile.task.primary


def report(run: BenchResults) -> str:
    """The page, one HTML file with its pictures inside."""
    return render_html(run_report(run))


def run_report(run: BenchResults) -> Report:
    """The page as data.

    Raises:
        RecordError: tables that lack columns or contradict one another.
    """
    parts = _compared(run)
    sections = [
        Section(title="What came out", id="outcome", blocks=tuple(_outcome(run, parts))),
        Section(title="What was asked for", id="profile", blocks=tuple(_asked(run))),
        Section(title="Test images", id="images", blocks=tuple(_images(run))),
        Section(title="Scores", id="scores", blocks=tuple(_scores(run, parts))),
        Section(title="Cost", id="cost", blocks=tuple(_cost(run, parts))),
        Section(title="Is this image typical?", id="typicality", blocks=tuple(_typicality(run))),
        Section(title="What did the network look at?", id="heatmaps", blocks=tuple(_heatmaps(run))),
        Section(title="What to try first", id="advice", blocks=tuple(_advice(run))),
        Section(title="How this was made", id="made", blocks=tuple(_made(run))),
    ]  # fmt: skip
    return Report(
        kind="Segmentation benchmark", title=run.profile.dataset.id or "A dataset without a name",
        provenance=dict(run.provenance), sections=tuple(section for section in sections if section.blocks),
    )  # fmt: skip


def best_job(run: BenchResults) -> str | None:
    """The network the report is about: of those compared, the one that scores highest on validation.

    Undertrained only if all are; None where none has a score. The test images choose nothing: `epistem segment` takes
    the same network.
    """
    parts = _compared(run)
    if not parts:
        return None
    mine = run.jobs[run.jobs["job"].isin([job for part in parts for job in part.jobs])]
    trained = mine[~mine["undertrained"].astype(bool)]
    # The trainer's score is higher for better, whatever the metric.
    by = ["best_score", "job"] if "best_score" in mine else ["job"]
    return str((trained if len(trained) else mine).sort_values(by, ascending=False)["job"].iloc[0])


def images_to_show(run: BenchResults, most: int = MOST_IMAGES) -> list[str]:
    """Content ids of test images of the best job, evenly from the worst to the best."""
    rows = of_metric(run.scores, run.metric)
    mine = rows[rows["job"] == best_job(run)].dropna(subset=["value"])
    ordered = mine.sort_values(["value", "image"], ascending=run.metric not in LOWER)["image"].tolist()
    at = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int)
    return [str(ordered[i]) for i in at]


def verdict_of(run: BenchResults) -> Verdict:
    """Whether the best network is ready (`ready.verdict`)."""
    job, qc = best_job(run), run.profile.task.qc
    stopped = None if job is None else bool(run.jobs.set_index("job").loc[job, "undertrained"])
    return verdict(qc, run.typicality, run.alignment, undertrained=stopped, untypical=run.untypical_found)


# ---------------------------------------------------------------- sections


class _Compared(NamedTuple):
    """Networks of one start that are held against one another; undertrained ones only among themselves."""

    words: str
    scores: Scores
    jobs: list[str]
    undertrained: bool


def _compared(run: BenchResults) -> list[_Compared]:
    """Each arm, then the undertrained of each."""
    found = []
    short = run.jobs["undertrained"].astype(bool)
    for stopped in (False, True):
        jobs = run.jobs[short == stopped].assign(undertrained=False)
        mine = run.scores[run.scores["job"].isin(jobs["job"])]
        for arm in arms(jobs):
            scores = gathered(comparable(mine, jobs, run.metric, arm), run.metric)
            if scores is not None:
                found.append(_Compared(arm.words, scores, of_arm(jobs, arm)["job"].tolist(), stopped))
    return found


def _outcome(run: BenchResults, parts: list[_Compared]) -> Iterator[Block]:
    said = verdict_of(run)
    head = "Nothing is scored yet."
    if parts:
        head = f"{_leading(run, parts[0])} {_used(run)}"
    last = {"ready": "Ready.", "revise": "Revise.", "not known": "Whether it is ready is not known."}[said.said]
    yield Text(role="headline", text=f"{head} {last}")
    yield from start_notices(run.jobs)
    for job, why in run.failures.items():
        yield Notice(level="error", text=f"Job {job} has no result: {why}")
    title = {"ready": "Why ready", "revise": "What to revise", "not known": "What is not known"}[said.said]
    yield Text(title=title, text="\n\n".join(map(sentence, said.reasons)), role="list")


def _leading(run: BenchResults, part: _Compared) -> str:
    """Which network scores highest on the test images, if that is more than chance."""
    words, scores, _, stopped = part
    means = model_means(scores).sort_values("value", ascending=scores.sign < 0)
    best, among = means.iloc[0], " of what is undertrained" if stopped else ""
    ends = span(finite(best["low"]), finite(best["high"]), scores.coverage)
    value = f"{label_of(run.metric)} {number(float(best['value']), decimals=3)}" + (f" ({ends})" if ends else "")
    others, same = means["model"].tolist()[1:], alike(scores, str(best["model"]))
    tied = [name for name in others if name in same]
    if not tied:
        return f"{shown(best['model'])}, {words}, scores highest{among}: {value}."
    named = ", ".join(map(shown, tied[:MOST_TIED])) + (
        f" and {len(tied) - MOST_TIED} more" if len(tied) > MOST_TIED else ""
    )
    which = "No network is better than the others" if len(tied) == len(others) else "No single network is the best"
    return (
        f"{which} beyond chance{among} ({words}): {shown(best['model'])}, {value}, cannot be told from {named} on "
        "these test images."
    )


def _used(run: BenchResults) -> str:
    """Which one `epistem segment` takes, and why."""
    row = run.jobs.set_index("job").loc[best_job(run)]
    score = finite(row["best_score"]) if "best_score" in row else None
    value = "" if score is None else f" ({number(score, decimals=3)})"
    name = shown(model_name(str(row["encoder"]), str(row["decoder"])))
    return (
        f"Used by epistem segment, and shown below: {name}, seed {row['seed']}, the highest on validation{value}; "
        "test images choose nothing."
    )


def _asked(run: BenchResults) -> Iterator[Block]:
    data, task, model = run.profile.dataset, run.profile.task, run.profile.model
    training, split = run.profile.training, run.plan.split
    scale = data.resolution
    size = f"{scale.value:g} {scale.unit} per {scale.per}" if scale else None
    images = ", ".join(f"{len(getattr(split, part))} {part}" for part in PARTS)
    groups = ", ".join(str(len({one.group for one in getattr(split, part)})) for part in PARTS)
    until = f"{training.max_steps} steps" if training.max_steps else f"{training.max_epochs} epochs"
    said = {
        "Objective": task.objective, "Modality": data.modality, "Material": data.material.name or data.material.kind,
        "Pixel size": size, "Classes": ", ".join(one.name for one in task.classes), "Difficulty": task.difficulty,
        "Images": f"{images} (groups {groups}), split by {training.split.by}",
        "Networks": f"{', '.join(model.encoders)} × {', '.join(model.decoders)} ({model.variant})",
        "Weights at the start": ", ".join("none: random" if w == "none" else w for w in model.weights),
        "Training": f"{training.preset}, up to {until}, tiles of {training.image_size} px, seeds "
        + ", ".join(map(str, training.seeds)),
        "Ranked by": label_of(run.metric),
    }  # fmt: skip
    facts = [
        Fact(label=label, value=value, note="" if value else "the profile does not say")
        for label, value in said.items()
    ]
    yield Facts(facts=tuple(facts), style="list")
    if notes := (*run.profile.notes(), *run.plan.notes):
        yield Text(title="Notes", text="\n\n".join(sentence(note) for note in notes), role="list")


def _images(run: BenchResults) -> Iterator[Block]:
    wanted = [image for image in images_to_show(run) if image in run.pictures]
    if not wanted:
        yield Notice(level="info", text="No masks were kept with this run, so none are shown.")
        return
    job = best_job(run)
    row = run.jobs.set_index("job").loc[job]
    rows = of_metric(run.scores, run.metric)
    mine = rows[rows["job"] == job].set_index("image")
    name = shown(model_name(str(row["encoder"]), str(row["decoder"])))
    yield Text(
        text=f"From the worst to the best of {len(mine)} test images, by {name}, seed {row['seed']}. {sentence(KEY)}."
    )
    for image in wanted:
        one, value = run.pictures[image], finite(mine.loc[image, "value"])
        # A strip of four pictures: 1,600 px wide shows each at 400.
        classes = [each.name for each in run.profile.task.classes]
        strip = mask_strip(one.image, one.truth, one.found, classes=classes, ignored=IGNORED, side_px=384)
        named = str(mine.loc[image, "name"]) if "name" in mine else image
        caption = f"{named}: {label_of(run.metric)} {number(value)}"
        alt = f"Image, truth, prediction and difference of {image}"
        yield Figure.of(shrunk(strip, side_px=1600, kilobytes=250), alt=alt, caption=caption)


def _scores(run: BenchResults, parts: list[_Compared]) -> Iterator[Block]:
    yield from specimen_notices(run.scores)
    for words, scores, _, stopped in parts:
        title = sentence(words) + (", undertrained: not compared" if stopped else "")
        yield means_table(scores, run.metric, title=title)
        if not stopped and len(scores.datasets[0].models) > 1:
            yield differences_table(scores, run.metric)
    if parts:
        yield bars_figure([parts[0].scores], run.metric, [parts[0].undertrained])
        yield from _group_ranks(run, parts)
    yield from _classes(run)


def _group_ranks(run: BenchResults, parts: list[_Compared]) -> Iterator[Block]:
    """On one dataset the test groups are what ranks are averaged over."""
    if parts[0].undertrained:
        return
    table = comparable(run.scores, run.jobs, run.metric, arms(run.jobs)[0])
    by_group = gathered(table.assign(dataset=table["group"].astype(str)), run.metric)
    if by_group is not None and len(by_group.datasets[0].models) > 1:
        yield from rank_blocks(by_group, over="test images" if few_groups(run.scores) else "test groups")


def _classes(run: BenchResults) -> Iterator[Block]:
    """The best network class by class: images weigh the same, or pixels do."""
    mine = run.scores[run.scores["job"] == best_job(run)]
    if not len(mine):
        return
    few = bool(few_groups(mine))
    groups = None if few else mine.drop_duplicates("image")["group"].tolist()
    macro = macro_image(mine[["image", "class", "metric", "value", "empty", "undefined"]], groups=groups)
    tables = {"macro-image": macro} | ({} if run.pooled is None else {"micro-pixel": run.pooled})
    keys = list(dict.fromkeys(zip(macro["class"], macro["metric"], strict=True)))
    rows: list[tuple[Cell, ...]] = []
    for key in keys:
        cells = [_cell(table, key) for table in tables.values()]
        first = macro[(macro["class"] == key[0]) & (macro["metric"] == key[1])].iloc[0]
        rows.append((key[0], label_of(key[1]), *cells, int(first["empty"]), int(first["undefined"])))
    columns = (
        words_column("Class"), words_column("Metric"), *(Column(label=name.capitalize()) for name in tables),
        Column(label="Empty", note="in neither map, scores 1"), Column(label="Undefined", note="left out"),
    )  # fmt: skip
    note = (
        "The one network whose masks are shown. Macro-image: every image weighs the same; micro-pixel: every pixel "
    )
    note += f"does. 90 % intervals from drawing {'images' if few else 'groups'} again."
    note += "" if run.pooled is not None else " Pixels were not pooled with this run."
    yield Table(title="Class by class", columns=columns, rows=tuple(rows), note=note, folded=True)


def _cell(table: pd.DataFrame, key: tuple[str, str]) -> Cell:
    rows = table[(table["class"] == key[0]) & (table["metric"] == key[1])]
    return fact(rows.iloc[0]) if len(rows) else None


def _cost(run: BenchResults, parts: list[_Compared]) -> Iterator[Block]:
    if parts:
        yield from cost_blocks(run.jobs[run.jobs["job"].isin(parts[0].jobs)], parts[0].scores, run.metric)


def _typicality(run: BenchResults) -> Iterator[Block]:
    if run.typicality is None:
        yield Notice(level="info", text="Not asked: how typical images and masks are was not scored in this run.")
        return
    names = {"view": "View", "auroc": "AUROC", "f1": "F1", "precision": "Precision", "fpr95": "FPR95"}
    there = [name for name in names if name in run.typicality]
    rows = tuple(
        (
            NAMES.get(row["detector"], str(row["detector"])),
            *(str(row[n]) if n == "view" else finite(row[n]) for n in there),
        )
        for _, row in run.typicality.iterrows()
    )
    columns = (
        words_column("Detector"),
        *(
            words_column("View") if n == "view" else Column(label=names[n], decimals=3, missing="unscored")
            for n in there
        ),
    )  # fmt: skip
    limits = run.profile.task.qc.ready_if
    note = f"Ready from AUROC {limits.auroc:g} and F1 {limits.f1:g} on. FPR95: lower is better."
    if run.typicality["auroc"].isna().any():
        note += " Unscored: too few groups, or fewer than 100 tiles in the third that calibrates."
    note += " Of planted failures: whether one would be noticed, not whether this network fails."
    yield Table(title="Typical and planted foreign items told apart", columns=columns, rows=rows, note=note)
    share = run.untypical_found
    text = "not known, too little calibrates" if share is None else f"{percent(share)} (5 % would be by chance)"
    yield Text(text=f"Tiles of the test images whose mask, as this network found it, is unlike true masks: {text}.")


def _heatmaps(run: BenchResults) -> Iterator[Block]:
    if not run.heatmaps:
        yield Notice(level="info", text=run.no_heatmaps)
    for caption, picture in run.heatmaps.items():
        yield Figure.of(picture, alt=f"Heatmap: {caption}", caption=caption)
    if run.alignment is not None:
        yield Text(text=sentence(heatmap_finding(run.alignment)[1]) + ".")


def _advice(run: BenchResults) -> Iterator[Block]:
    if run.advice is None:
        yield Notice(level="info", text="Not asked: no past datasets were given to compare with.")
        return
    if run.advice.model is None:
        yield Text(text=f"Not known: {run.advice.reasons[0]}.")
        return
    near = ", ".join(f"{name} ({percent(share)})" for name, share in list(run.advice.similar.items())[:3])
    text = f"Try {shown(run.advice.model)} first, by {run.advice.by}. Most like this one: {near}."
    yield Text(text=text)
    yield Text(text="\n\n".join(run.advice.reasons), role="list")


def _made(run: BenchResults) -> Iterator[Block]:
    yield Text(text=f"{counted(len(run.jobs), 'network')}: {start_words(run.jobs)}.")
    names = {"seed": "Seed", "steps": "Steps", "best_step": "Best step", "best_score": "Best on validation",
             "seconds": "Seconds", "device": "Device"}  # fmt: skip
    there = [name for name in names if name in run.jobs]
    rows: list[tuple[Cell, ...]] = []
    for _, row in run.jobs.iterrows():
        state = "undertrained" if row["undertrained"] else ""
        begin = str(row["start"]) if "start" in run.jobs else str(row["weights"])
        cells = [str(row[n]) if n == "device" else finite(row[n]) for n in there]
        whole = [int(c) if isinstance(c, float) and n in ("seed", "steps", "best_step") else c
                 for n, c in zip(there, cells, strict=True)]  # fmt: skip
        pair = shown(model_name(row["encoder"], row["decoder"]))
        rows.append((str(row["job"]), pair, str(row["variant"]), begin, *whole, state))
    columns = (
        *map(words_column, ("Job", "Model", "Decoder", "Start")),
        *(words_column(names[n]) if n == "device" else Column(label=names[n]) for n in there), words_column("Note"),
    )  # fmt: skip
    yield Table(title="Jobs", columns=columns, rows=tuple(rows), folded=True)
