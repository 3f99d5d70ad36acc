"""Results in shards: what one writer, two writers and a killed one leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import tifffile

from epistem.app import batch, folder_tables, shards
from epistem.app.batch import BatchResult, list_files, make_jobs, run_batch
from epistem.app.samples import read_samples
from epistem.app.settings import Settings, make_settings
from epistem.app.store import FileRecord
from epistem.report.document import Report

LOG = make_settings(detector="log")
TABLES = ("images.csv", "objects.csv", "objects.parquet", "errors.csv", "run.json", "methods.txt")


def run(images: Path, out: Path, settings: Settings = LOG, **rest: object) -> BatchResult:
    jobs = make_jobs(list_files([images], out), settings)
    return run_batch(jobs, settings, out, **{"workers": 1, "lean": True, **rest})


def shard_names(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "shards").iterdir())


def write_stack(path: Path, pages: list[Path]) -> None:
    tifffile.imwrite(path, np.stack([tifffile.imread(page) for page in pages]), photometric="minisblack")


def record(file: str, key: str = "k") -> FileRecord:
    return FileRecord(file=file, key=key, specimen=None, images=())


def write(out: Path, file: str, key: str = "k", rows: int = 3, **columns: list[float]) -> None:
    same = {"file": [file] * rows, "key": [key] * rows, "image": [file] * rows}
    empty = {name: pa.array([None] * rows, kind) for name, kind in (("slice", pa.int64()), ("specimen", pa.string()))}
    shards.write_shard(out, record(file, key), [pa.table(same | empty | (columns or {"x": [1.0] * rows}))])


def files_in(out: Path) -> list[str]:
    return [file for file, _ in shards.all_entries(out)]


def test_lean_tables_are_those_of_a_folder_an_image(folder: Path, tmp_path: Path, discs: Callable[..., None]) -> None:
    discs(folder / "plain.tif", n=3, nm_per_px=None)
    write_stack(folder / "stack.tif", [folder / f"im{i}.tif" for i in range(3)])
    run(folder, tmp_path / "full", lean=False)
    result = run(folder, tmp_path / "lean")
    assert len(result.records) == 5
    for name in TABLES:
        assert (tmp_path / "full" / name).read_bytes() == (tmp_path / "lean" / name).read_bytes(), name
    assert not (tmp_path / "lean" / "images").exists()
    assert len(shard_names(tmp_path / "lean")) == 1


def test_groups_of_samples_come_out_of_shards_too(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "samples.csv"
    table.write_text("image,specimen,thickness_nm\nim0,A,100\nim1,A,100\nim2,B,50\n", "utf-8")
    samples = read_samples(table)
    for name in ("full", "lean"):
        jobs = make_jobs(list_files([folder], tmp_path / name), LOG, samples=samples)
        run_batch(jobs, LOG, tmp_path / name, samples=samples, workers=1, lean=name == "lean")
    for name in ("samples.csv", "objects.csv"):
        assert (tmp_path / "full" / name).read_bytes() == (tmp_path / "lean" / name).read_bytes()


def test_the_lean_report_has_the_numbers_and_no_picture(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    text = (tmp_path / "out" / "report.json").read_text("utf-8")
    overview = Report.from_json(text).sections[0]
    (table,) = [block for block in overview.blocks if block.kind == "table"]
    assert [row[0] for row in table.rows] == ["im0.tif", "im1.tif", "im2.tif"]
    assert overview.blocks[0].text == "30 cavities in 3 images. 1 file could not be analysed."
    assert "image/" not in text


def test_a_second_lean_run_does_nothing_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(folder, tmp_path / "out")
    (folder / "broken.tif").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(batch, "attempt", lambda *_: pytest.fail("a finished file was analysed again"))
        second = run(folder, tmp_path / "out")
    assert second.reused == 3
    assert list(second.records) == list(first.records)


def test_what_changed_is_made_again_and_replaces_what_was(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    (folder / "im0.tif").write_bytes((folder / "im1.tif").read_bytes())
    again = run(folder, tmp_path / "out")
    assert again.reused == 2
    table = pd.read_parquet(tmp_path / "out" / "shards")
    assert table.groupby("file").size().to_dict() == {"im0.tif": 10, "im1.tif": 10, "im2.tif": 11}


def test_what_was_not_asked_for_stays_and_is_told(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    (folder / "im2.tif").unlink()
    jobs = make_jobs(list_files([folder], tmp_path / "out"), LOG)
    assert shards.earlier_shards(tmp_path / "out", jobs) == (2, 0, 1)
    run(folder, tmp_path / "out")
    assert files_in(tmp_path / "out") == ["im0.tif", "im1.tif", "im2.tif"]
    assert len(pd.read_csv(tmp_path / "out" / "images.csv")) == 2


def test_all_shards_open_at_once_with_all_columns_though_files_differ(tmp_path: Path) -> None:
    write(tmp_path, "a", x=[1.0, 2.0, 3.0])
    write(tmp_path, "none", rows=0)
    shards.tidy(tmp_path, {})
    write(tmp_path, "b", x=[4.0, 5.0, 6.0], area_nm2=[7.0, 8.0, 9.0])
    write(tmp_path, "nothing", rows=0)
    shards.tidy(tmp_path, {})
    assert len(shard_names(tmp_path)) == 2
    whole = pd.read_parquet(tmp_path / "shards").sort_values("x")
    assert whole["area_nm2"].tolist()[3:] == [7.0, 8.0, 9.0]
    assert whole["x"].tolist() == [1, 2, 3, 4, 5, 6]
    assert pyarrow.dataset.dataset(tmp_path / "shards").count_rows() == 6
    assert sorted(files_in(tmp_path)) == ["a", "b", "none", "nothing"]


def test_many_small_shards_become_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PER_LEVEL", 3)
    for i in range(11):
        write(tmp_path, f"im{i:02d}")
        shards.compact(tmp_path)
    assert [name[0] for name in shard_names(tmp_path)] == ["0", "0", "2"]
    assert sorted(files_in(tmp_path)) == [f"im{i:02d}" for i in range(11)]
    assert len(pd.read_parquet(tmp_path / "shards")) == 33


@pytest.mark.parametrize("step", ["before it is in place", "before the old ones go", "when one of the old is gone"])
@pytest.mark.parametrize("how", ["compact", "tidy"])
def test_a_kill_while_shards_are_put_together_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, how: str
) -> None:
    class Killed(BaseException):
        pass

    monkeypatch.setattr(shards, "PER_LEVEL", 4)
    for i in range(4):
        write(tmp_path, f"im{i}", x=[float(i)] * 3)
    with monkeypatch.context() as patched:
        gone: list[Path] = []
        true_unlink = Path.unlink

        def unlink(self: Path, missing_ok: bool = False) -> None:
            if self.suffix == ".parquet" and step != "before it is in place":
                if len(gone) == (step == "when one of the old is gone"):
                    raise Killed
                gone.append(self)
            true_unlink(self, missing_ok)

        def replace(*_: object) -> None:
            raise Killed

        patched.setattr(Path, "unlink", unlink)
        if step == "before it is in place":
            patched.setattr(os, "replace", replace)
        with pytest.raises(Killed):
            shards.compact(tmp_path) if how == "compact" else shards.tidy(tmp_path, {})
    entries = shards.all_entries(tmp_path)
    assert sorted(file for file, _ in entries) == [f"im{i}" for i in range(4)]
    reader = shards.Reader()
    assert [reader.objects(one)["x"].to_pylist() for _, one in sorted(entries.items())] == [[i] * 3 for i in range(4)]
    assert [json.loads(reader.record(one))["file"] for _, one in sorted(entries.items())] == sorted(
        files_in(tmp_path)
    )
    shards.tidy(tmp_path, {})
    assert len(pd.read_parquet(tmp_path / "shards")) == 12
    assert len(shard_names(tmp_path)) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc what is open")
def test_no_shard_is_open_when_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        write(tmp_path, name)
    removed, unlink = [], Path.unlink

    def closed(path: Path, **rest: bool) -> None:
        if path.suffix == ".parquet":
            removed.append(path)
            assert path not in {Path(os.readlink(one)) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()}
        unlink(path, **rest)

    monkeypatch.setattr(Path, "unlink", closed)
    shards.tidy(tmp_path, {})
    assert len(removed) == 3


def test_a_shard_that_another_run_reads_just_now_stays_and_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write(tmp_path, name)

    def held(path: Path, **_: bool) -> None:
        if path.suffix == ".parquet":
            raise PermissionError(13, "used by another process", str(path))

    with monkeypatch.context() as windows:
        windows.setattr(Path, "unlink", held)
        shards.tidy(tmp_path, {})
    assert len(shard_names(tmp_path)) == 4
    assert sorted(files_in(tmp_path)) == ["a", "b", "c"]
    shards.tidy(tmp_path, {})
    assert len(shard_names(tmp_path)) == 1


def test_what_another_run_writes_while_one_tidies_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a")
    write(tmp_path, "b")
    true_merge = shards._merge

    def meanwhile(*args: object) -> None:
        write(tmp_path, "late")
        true_merge(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "_merge", meanwhile)
    shards.tidy(tmp_path, {"a": "k", "b": "k"})
    assert sorted(files_in(tmp_path)) == ["a", "b", "late"]


def test_records_are_found_after_another_run_moved_them(tmp_path: Path) -> None:
    jobs = [batch.Job(tmp_path / name, name, "k") for name in "abc"]
    for name in "abc":
        write(tmp_path, name, x=[float(ord(name))] * 3)
    records = shards.ShardRecords(tmp_path, jobs)
    shards.tidy(tmp_path, {})
    assert [one.file for one in records] == ["a", "b", "c"]
    assert records.objects(("c", "k"), 1, 2)["x"].to_pylist() == [99.0, 99.0]


def test_a_foreign_parquet_among_the_shards_is_named(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "shards" / "0-mine.parquet")
    with pytest.raises(shards.RecordError, match=r"0-mine\.parquet is no shard of epistem"):
        shards.all_entries(tmp_path)


def test_a_damaged_shard_counts_as_none_or_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "a", rows=40, x=[1.7 * i for i in range(40)])
    shard = next((tmp_path / "shards").iterdir())
    sound, missed = shard.read_bytes(), 0

    def inside() -> list[object]:
        reader = shards.Reader()
        return [
            (entry[:3], reader.record(entry), reader.objects(entry).to_pylist())
            for entry in shards.all_entries(tmp_path).values()
        ]

    whole, places = inside(), range(0, len(sound), 7)
    caplog.set_level("ERROR")
    for at in places:
        for harmed in (sound[:at], sound[:at] + bytes([sound[at] ^ 16]) + sound[at + 1 :]):
            shard.write_bytes(harmed)
            try:
                missed += inside() not in (whole, [])
            except shards.RecordError as error:
                assert f"{shard} is no shard of epistem or damaged; remove it" in str(error)  # noqa: PT017
    # Parquet has sums for its pages, none for their headers and the footer.
    assert missed <= 0.02 * len(places)


def test_shards_that_a_power_cut_left_empty_are_made_again(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "sound")
    job = make_jobs(list_files([folder], tmp_path / "out"), LOG)[0]
    empty = shards.place_of(tmp_path / "out", job.name, job.key)
    empty.parent.mkdir(parents=True)
    empty.write_bytes(b"")

    assert run(folder, tmp_path / "out").reused == 0
    assert (tmp_path / "out" / "images.csv").read_bytes() == (tmp_path / "sound" / "images.csv").read_bytes()
    merged = next((tmp_path / "out" / "shards").glob("2-*"))
    merged.write_bytes(b"")
    with pytest.raises(shards.RecordError, match="remove it, and run again"):
        run(folder, tmp_path / "out")


def test_a_lean_run_leaves_what_another_does_meanwhile(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, tmp_path / "out")
    there, begun = shards.all_entries(tmp_path / "out"), []
    nothing = shards.Known(tmp_path / "nowhere")
    monkeypatch.setattr(shards, "Known", lambda results: nothing)
    monkeypatch.setattr("epistem.app.worker.run_lean", lambda job, *_: begun.append(job) or record(job.name, job.key))
    monkeypatch.setattr(shards, "PER_LEVEL", 1)
    monkeypatch.setattr("epistem.app.batch.secrets.randbelow", lambda n: 1)  # the first is the broken one
    monkeypatch.setattr(nothing, "look", lambda: nothing.keys.update(there))
    result = run(folder, tmp_path / "out")

    assert sum((job.name, job.key) in there for job in begun) == 1, "it looks after each, and finds the rest done"
    assert result.reused == len(there) - 1


def test_a_table_longer_than_a_spreadsheet_takes_is_parquet_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, tmp_path / "out")
    assert (tmp_path / "out" / "objects.csv").is_file()
    monkeypatch.setattr(folder_tables, "CSV_ROWS", 29)
    run(folder, tmp_path / "out")
    assert not (tmp_path / "out" / "objects.csv").exists()
    assert pq.read_metadata(tmp_path / "out" / "objects.parquet").num_rows == 30


COMMAND = [sys.executable, "-m", "epistem", "analyze", "--detector", "log", "--workers", "1"]


@pytest.mark.parametrize("lean", [True, False])
def test_two_processes_on_one_folder_give_what_one_gives(
    tmp_path: Path, discs: Callable[..., None], lean: bool
) -> None:
    images, both = tmp_path / "images", tmp_path / "both"
    images.mkdir()
    for i in range(6):
        discs(images / f"im{i:02d}.tif", n=3 + i, seed=i)
    write_stack(images / "stack.tif", [images / f"im0{i}.tif" for i in range(3)])
    run(images, tmp_path / "one", lean=lean)
    words = [*COMMAND, str(images), "--out", str(both), *(["--lean"] if lean else [])]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    for name in (*TABLES, "report.html"):
        assert (tmp_path / "one" / name).read_bytes() == (both / name).read_bytes(), name
    listed = [{str(path.relative_to(at)) for path in at.rglob("*")} for at in (tmp_path / "one", both)]
    assert listed[0] == listed[1]
    if lean:
        assert pd.read_parquet(both / "shards").groupby("file").size().to_dict() == (
            pd.read_parquet(tmp_path / "one" / "shards").groupby("file").size().to_dict()
        )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_lean_run_goes_on_where_it_was(tmp_path: Path, discs: Callable[..., None]) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for i in range(20):
        discs(images / f"im{i:02d}.tif", n=4, seed=i)
    with subprocess.Popen([*COMMAND, str(images), "--out", str(out), "--lean"]) as process:
        deadline = time.monotonic() + 60
        while len(list(out.glob("shards/0-*.parquet"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = len(files_in(out))
    assert 3 <= before < 20
    assert run(images, out).reused == before
    assert pd.read_parquet(out / "shards").groupby("file").size().tolist() == [4] * 20
