"""What `epistem papers` does with its words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epistem.app.ask_folder import FIGURES, LEFT, PAIRS, records_of, there
from epistem.app.terminal import Bar, say
from epistem.ask.records import Figure, read_records, write_records
from epistem.core import SettingsError
from epistem.core.files import write_text, written_whole
from epistem.report.export import write_table
from epistem.report.words import counted

if TYPE_CHECKING:
    from epistem.ask.papers import Failed
    from epistem.ask.select import Filter, Selected
    from epistem.core.protocols import ChatModel

_PAPERS = (".pdf", ".xml", ".nxml")


def ingest_papers(
    sources: Sequence[Path], out: Path, *, rule: Filter, layout: str, ocr: bool, seed: int, workers: int,
    as_json: bool,
) -> bool:  # fmt: skip
    """Ingest, select, split and write; whether a file failed, of which `errors.csv` says why.

    What an earlier run read, a person decided and a split was dealt to is kept; what is not asked for now goes to
    `left.jsonl`, from where it comes back when it is.

    Raises:
        SettingsError: no paper among the sources.
        RecordError: records of an earlier run that cannot be read; nothing is written over them.
    """
    from epistem.ask.papers import LONGEST_S, Ingested, ingest_all
    from epistem.ask.select import carry_over, split_by_paper, with_split, write_manifest

    files = paper_files(sources)
    earlier = _earlier(out)
    done: list[Any] = []
    with Bar(len(files), quiet=as_json) as bar:
        read_all = ingest_all(files, out, layout=layout, read=ocr, workers=workers, limit_s=LONGEST_S)
        for number, one in enumerate(read_all, 1):
            done.append(one)
            bar.stage(files[number - 1].name)
            bar.advance(number, len(files), None)
    read = [one for one in done if isinstance(one, Ingested)]
    failed = [_failure(one) for one in done if not isinstance(one, Ingested)]
    chosen = _selected(carry_over([figure for one in read for figure in one.figures], earlier, out), rule)
    dealt = {figure.paper.id: figure.split for figure in earlier if figure.split}
    papers = {figure.paper.id for figure in chosen.figures}
    figures = with_split(chosen.figures, split_by_paper(papers, seed=seed, dealt=dealt))
    now = {figure.id for figure in figures}
    left = [figure for figure in earlier if figure.id not in now]
    if left or (out / LEFT).exists():  # first: a stop between the two loses nothing
        _write_figures(out / LEFT, left)
    _write_figures(out / FIGURES, figures)
    write_manifest(out / "manifest.csv", figures)
    write_text(
        out / "selection.json", json.dumps({"filter": rule.model_dump(), "left_out": chosen.left_out}, indent=1)
    )
    told = {
        "out": str(out), "papers": len(read), "figures": len(figures), "left_out": chosen.left_out,
        "pages": sum(one.pages for one in read), "notes": [note for one in read for note in one.notes],
        "refused": [f"{one.paper.file}: {why}" for one in read for why in one.refused],
        "failed": failed,
        "splits": dict(Counter(figure.split for figure in figures)),
        "reused": sum(one.reused for one in read),
        "kept": {
            "reviews": sum(figure.review != "waiting" for figure in figures), "splits": len(papers & set(dealt)),
            "new": len(papers - set(dealt)), "left": len(left),
        },
    }  # fmt: skip
    write_table(out / "errors.csv", {name: [one[name] for one in failed] for name in ("file", "kind", "why")})
    write_text(out / "ingest.json", json.dumps(told, indent=1, ensure_ascii=False))
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _tell_ingested(told, out)
    return bool(failed)


def paper_files(sources: Sequence[Path]) -> list[Path]:
    """The files, those of folders among them."""
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            found += sorted(path for path in source.rglob("*") if path.suffix.lower() in _PAPERS)
        elif source.exists():
            found.append(source)
        else:
            raise SettingsError(f"{source}: wanted a paper or a folder of papers; there is none of that name")
    if not found:
        raise SettingsError(
            f"no paper ({', '.join(_PAPERS)}) in {', '.join(map(str, sources))}; give PDF or JATS XML "
            "files, or folders of them"
        )
    return sorted({path.resolve(): path for path in found}.values())


def _failure(one: Failed) -> dict[str, str]:
    """A row of errors.csv."""
    why = " ".join(one.why.split()).removeprefix(f"{one.file}: ").removeprefix(f"{one.file} ")
    return {"file": one.file, "kind": one.kind, "why": why}


def _earlier(out: Path) -> list[Figure]:
    """The figures of earlier runs, as they stand now."""
    found = {
        one.id: one for name in (LEFT, FIGURES) if (out / name).exists() for one in read_records(out / name, Figure)
    }
    return list(found.values())


def _selected(figures: Sequence[Figure], rule: Filter) -> Selected:
    """Those that the filter lets through; a rejected figure stays, rejected, for its decision to stay."""
    from epistem.ask.select import Selected, select

    rejected = {one.id for one in figures if one.review == "rejected"}
    chosen = select(
        [one.model_copy(update={"review": "waiting"}) if one.id in rejected else one for one in figures], rule
    )
    kept = [one.model_copy(update={"review": "rejected"}) if one.id in rejected else one for one in chosen.figures]
    return Selected(tuple(kept), chosen.left_out)


def _write_figures(path: Path, figures: Sequence[Figure]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        write_records(part, figures)


def _tell_ingested(told: dict[str, Any], out: Path) -> None:
    for one in told["failed"]:
        say(f"{one['file']}: {one['why']}")
    for line in (*told["notes"], *told["refused"]):
        say(line)
    for why, n in told["left_out"].items():
        say(f"{counted(n, 'figure')} left out: {why}")
    kept = told["kept"]
    if told["reused"] or kept["reviews"] or kept["splits"]:
        reviews, new = counted(kept["reviews"], "review"), counted(kept["new"], "new paper")
        say(
            f"Of an earlier run: {counted(told['reused'], 'paper')} not read again; kept {reviews} and the splits of "
            f"{counted(kept['splits'], 'paper')}; {new} dealt."
        )
    if kept["left"]:
        say(f"{counted(kept['left'], 'figure')} of an earlier run not among these: kept in {out / LEFT}")
    split = ", ".join(f"{n} {name}" for name, n in told["splits"].items()) or "none"
    failed = f", {len(told['failed'])} failed (errors.csv says why)" if told["failed"] else ""
    print(f"{counted(told['figures'], 'figure')} of {counted(told['papers'], 'paper')} ({split}){failed}.")
    print(f"Records: {out / FIGURES}\nNext: epistem papers review {out}")


def review_figures(folder: Path, answers: Path | None, *, as_json: bool) -> None:
    """Write the page, or take its decisions over."""
    from epistem.ask.review import apply_review, read_review, write_review

    figures = records_of(folder, FIGURES, Figure)
    if answers is None:
        n = write_review(folder / "review.html", figures, folder)
        told: dict[str, Any] = {"page": str(folder / "review.html"), "waiting": n}
        words = f"{counted(n, 'figure')} to look at.\nPage: {folder / 'review.html'}"
    else:
        found = apply_review(figures, read_review(there(answers, "the JSON that the page saved")))
        write_records(folder / FIGURES, found.figures)
        told = {"figures": len(found.figures), **found.counts}
        words = ", ".join(f"{n} {name}" for name, n in found.counts.items())
    print(json.dumps(told, indent=1) if as_json else words)


def write_questions(
    folder: Path, *, per_category: int, unanswerable: int, context: bool, reviewed: bool, endpoint: str | None,
    endpoint_model: str | None, key_from: str, seed: int, sweep: bool, as_json: bool,
) -> None:  # fmt: skip
    """Questions on every figure, the checks' refusals counted."""
    from epistem.ask.add_context import add_context
    from epistem.ask.extractive import Extractive
    from epistem.ask.questions import ChatWriter, Made, make_questions
    from epistem.ask.select import category_shares

    figures = [
        one
        for one in records_of(folder, FIGURES, Figure)
        if one.review != "rejected" and (one.review in ("accepted", "fixed") or not reviewed)
    ]
    if sweep:
        sweep_settings(folder, figures, endpoint, endpoint_model, key_from, as_json=as_json)
        return
    chat = chat_model(endpoint, endpoint_model, key_from)
    writer = Extractive() if chat is None else ChatWriter(chat)
    everything = Made([], [], [])
    with Bar(len(figures), quiet=as_json) as bar:
        for number, figure in enumerate(figures, 1):
            bar.stage(f"figure {figure.figure}{figure.panel or ''}")
            made = make_questions(
                figure, writer=writer, per_category=per_category, unanswerable=unanswerable, seed=seed
            )
            pairs = [pair.model_copy(update={"split": figure.split}) for pair in made.pairs]
            everything.pairs.extend(pairs)
            everything.refused.extend(made.refused)
            everything.unwritten.extend(made.unwritten)
            if context:
                simple = [pair for pair in pairs if pair.subcategory == "simple" and pair.answerable]
                for at, pair in enumerate(simple):
                    found = add_context(pair, figure, model=chat, rng=np.random.default_rng([seed, number, at]))
                    everything.pairs.extend(one.model_copy(update={"split": figure.split}) for one in found.pairs)
            bar.advance(number, len(figures), None)
    write_records(folder / PAIRS, everything.pairs)
    told = {
        "pairs": len(everything.pairs), "writer": writer.name, "refused": everything.tally(),
        "unwritten": everything.unwritten, "shares": category_shares(everything.pairs),
    }  # fmt: skip
    write_text(folder / "questions.json", json.dumps(told, indent=1, ensure_ascii=False))
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for why in everything.unwritten[:10]:
        say(why)
    for check, n in everything.tally().items():
        say(f"{counted(n, 'draft')} refused: {check}")
    print(f"{counted(len(everything.pairs), 'question')} by {writer.name}.\nRecords: {folder / PAIRS}")


def cluster_papers(
    folder: Path, *, number: int | None, seed: int, endpoint: str | None, endpoint_model: str | None, key_from: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Clusters, their titles, the map, and what they say of the splits."""
    from epistem.app.papers_clusters import clustered

    texts: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    for figure in records_of(folder, FIGURES, Figure):
        texts.setdefault(figure.paper.id, [figure.paper.title or ""]).append(figure.text)
        if figure.split is not None:
            splits[figure.paper.id] = figure.split
    told = clustered({name: "\n".join(parts) for name, parts in texts.items()}, splits, folder, number, seed,
                     chat_model(endpoint, endpoint_model, key_from))  # fmt: skip
    write_text(folder / "clusters.json", json.dumps(told, indent=1, ensure_ascii=False))
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for line in told["lines"]:
        print(line)


def sweep_settings(
    folder: Path, figures: Sequence[Figure], endpoint: str | None, model: str | None, key_from: str, *, as_json: bool
) -> None:
    """How the writer's settings change what passes the checks, on the first five figures."""
    from epistem.ask.chat import Endpoint
    from epistem.ask.sensitivity import sensitivity

    if endpoint is None or model is None or endpoint == "local":
        raise SettingsError("a sweep varies settings of an endpoint: give --endpoint URL --endpoint-model NAME")
    rows = sensitivity(figures[:5], lambda t, p: Endpoint(endpoint, model, key_from=key_from, temperature=t, top_p=p))
    write_table(folder / "sensitivity.csv", rows)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        print(f"{counted(len(rows), 'setting')} tried on {counted(min(5, len(figures)), 'figure')}.")
        print(f"Table: {folder / 'sensitivity.csv'}")


def chat_model(endpoint: str | None, model: str | None, key_from: str) -> ChatModel | None:
    """The endpoint that is asked for, "local" with a folder for one on this machine, or None.

    Raises:
        SettingsError: an endpoint without a model's name, or the other way round.
    """
    if endpoint is None and model is None:
        return None
    if endpoint == "local":
        from epistem.ask.local import LocalChat

        return LocalChat(model or "smollm2")
    if endpoint is None or model is None:
        raise SettingsError("an endpoint needs both --endpoint URL and --endpoint-model NAME")
    from epistem.ask.chat import Endpoint

    return Endpoint(endpoint, model, key_from=key_from)
