"""`epistem papers ingest` run again: what is kept, what is read again, and by which filter papers are chosen."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from epistem.app.cli import app
from epistem.ask import papers as reading
from epistem.ask.records import Figure, read_records, write_records
from epistem.ask.select import PUBLISHED, Filter
from epistem.core import RecordError, SettingsError


def article(folder: Path, at: int, *, year: int = 2018, licence: str | None = None, figures: int = 1) -> Path:
    """A paper as JATS with its pictures."""
    folder.mkdir(exist_ok=True)
    body = ""
    for number in range(1, figures + 1):
        noise = np.random.default_rng([at, number]).integers(60, 180, (30, 40)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"g{at}-{number}.png")
        body += (
            f"<fig><label>Fig. {number}</label><caption><p>SEM image of glass.</p></caption>"
            f'<graphic xlink:href="g{at}-{number}.png"/></fig>'
        )
    allowed = f'<permissions><license xlink:href="{licence}"/></permissions>' if licence else ""
    path = folder / f"{at:02}.xml"
    path.write_text(
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>'
        f'<article-id pub-id-type="doi">10.1016/p{at}</article-id><pub-date><year>{year}</year></pub-date>{allowed}'
        "<kwd-group><kwd>scanning electron microscopy</kwd></kwd-group></article-meta></front>"
        f"<body>{body}</body></article>"
    )
    return path


def ingest(*words: str | Path) -> dict:
    done = CliRunner().invoke(app, ["papers", "ingest", *map(str, words), "--no-ocr", "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return json.loads(done.stdout)


def figures_of(out: Path) -> dict[str, Figure]:
    return {f"{one.paper.id}:{one.figure}": one for one in read_records(out / "figures.jsonl", Figure)}


def decide(out: Path, name: str, **changes: object) -> None:
    found = figures_of(out)
    found[name] = found[name].model_copy(update=changes)
    write_records(out / "figures.jsonl", found.values())


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """Ten papers, and the set made of them."""
    for at in range(10):
        article(tmp_path / "in", at, figures=3 if at == 0 else 1)
    ingest(tmp_path / "in", "--out", tmp_path / "set")
    return tmp_path / "in", tmp_path / "set"


def test_reviews_and_splits_outlive_one_paper_more(made):
    papers, out = made
    decide(out, "10.1016/p0:1", review="accepted")
    decide(out, "10.1016/p0:2", review="rejected", review_reason="not SEM (Ann)")
    decide(out, "10.1016/p0:3", review="fixed", review_reason="scale (Ann)", nm_per_px=2.5, caption="Right.")
    before = figures_of(out)
    for at in range(10, 14):
        article(papers, at)
        told = ingest(papers, "--out", out)
        after = figures_of(out)
        assert before == {name: after[name] for name in before}
        assert told["kept"] == {"reviews": 3, "splits": at, "new": 1, "left": 0}


def test_another_seed_moves_no_paper_that_has_a_split(made):
    papers, out = made
    before = figures_of(out)
    ingest(papers, "--out", out, "--seed", "5")
    assert figures_of(out) == before


def test_what_is_left_out_for_once_comes_back_with_its_review_and_split(made, tmp_path):
    papers, out = made
    decide(out, "10.1016/p3:1", review="fixed", review_reason="caption (Ann)", caption="Right.")
    before = figures_of(out)
    for _ in range(2):
        told = ingest(article(tmp_path / "more", 20), "--out", out)
        assert (told["figures"], told["kept"]["left"]) == (1, 12)
    ingest(papers, "--out", out)
    assert figures_of(out) == before


def test_records_that_cannot_be_read_are_not_written_over(made):
    papers, out = made
    (out / "figures.jsonl").write_text("{broken")
    with pytest.raises(RecordError, match="line 1"):
        ingest(papers, "--out", out)
    assert (out / "figures.jsonl").read_text() == "{broken"


def test_a_second_run_reads_nothing_again_and_says_so(made):
    papers, out = made
    assert ingest(papers, "--out", out)["reused"] == 10
    done = CliRunner().invoke(app, ["papers", "ingest", str(papers), "--out", str(out), "--no-ocr"])
    assert "10 papers not read again; kept no reviews and the splits of 10 papers; no new papers dealt" in done.stderr


def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    def stopped(attempt, paths, *how):
        yield from spread(attempt, paths[:2], *how)
        raise KeyboardInterrupt

    for at in range(4):
        article(tmp_path / "in", at)
    spread = reading._spread
    monkeypatch.setattr(reading, "_spread", stopped)
    words = ["papers", "ingest", str(tmp_path / "in"), "--out", str(tmp_path / "set"), "--no-ocr"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 130
    assert "files that are done are kept" in done.stderr
    monkeypatch.undo()
    told = ingest(tmp_path / "in", "--out", tmp_path / "set")
    assert (told["papers"], told["reused"]) == (4, 2)


def test_the_licence_says_which_papers_are_taken(tmp_path):
    for at, licence in enumerate(("by/4.0", "by-nc/4.0", "by-sa/4.0")):
        article(tmp_path / "in", at, licence=f"https://creativecommons.org/licenses/{licence}/")
    article(tmp_path / "in", 3)
    words = (tmp_path / "in", "--licence", "CC BY", "--licence", "CC BY-SA")
    told = ingest(*words, "--out", tmp_path / "set")
    assert sorted(figures_of(tmp_path / "set")) == ["10.1016/p0:1", "10.1016/p2:1"]
    assert told["left_out"] == {"licence": 1, "licence unknown": 1}
    ingest(*words, "--unknown", "--out", tmp_path / "other")
    assert "10.1016/p3:1" in figures_of(tmp_path / "other")


def test_the_published_filter_is_there_by_its_name(tmp_path):
    article(tmp_path / "in", 0, year=2009)
    article(tmp_path / "in", 1)
    told = ingest(tmp_path / "in", "--published", "--out", tmp_path / "set")
    assert (told["figures"], told["left_out"]) == (1, {"year": 1})
    said = json.loads((tmp_path / "set" / "selection.json").read_text())["filter"]
    assert Filter.model_validate(said) == PUBLISHED
    told = ingest(tmp_path / "in", "--published", "--first-year", "2000", "--out", tmp_path / "other")
    assert told["figures"] == 2


def errors(out: Path) -> list[dict[str, str]]:
    with (out / "errors.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_paper_that_cannot_be_read_stands_in_errors_csv_with_its_reason(made, tmp_path):
    papers, out = made
    assert errors(out) == []
    (papers / "broken.pdf").write_bytes(b"%PDF-1.4 nothing follows")
    words = ["papers", "ingest", str(papers), "--out", str(out), "--no-ocr"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    rows = errors(out)
    assert [(row["file"], row["kind"]) for row in rows] == [("broken.pdf", "ReadError")]
    assert rows[0]["why"]
    assert not rows[0]["why"].startswith("broken.pdf")
    assert f"broken.pdf: {rows[0]['why']}" in done.stderr
    assert "1 failed (errors.csv says why)" in done.stdout
    (papers / "broken.pdf").unlink()
    ingest(papers, "--out", out)
    assert errors(out) == []


def test_papers_that_are_not_there_are_a_wrong_command(tmp_path):
    done = CliRunner().invoke(app, ["papers", "ingest", str(tmp_path / "none.pdf"), "--out", str(tmp_path / "set")])
    assert isinstance(done.exception, SettingsError)
    assert not (tmp_path / "set").exists()
