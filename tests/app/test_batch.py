from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.app import batch, worker
from epistem.app.analyze import noise_words
from epistem.app.batch import BatchResult, list_files, make_jobs, run_batch
from epistem.app.samples import read_samples
from epistem.app.settings import Settings, make_settings
from epistem.core import DependencyMissing, Instances, SettingsError, cluster


def run(images: Path, out: Path, settings: Settings | None = None, **rest: object) -> BatchResult:
    settings = settings or make_settings()
    jobs = make_jobs(list_files([images], out), settings)
    return run_batch(jobs, settings, out, **{"workers": 1, **rest})


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_good_files_are_done_and_the_broken_one_is_named_with_its_reason(folder: Path, tmp_path: Path) -> None:
    result = run(folder, tmp_path / "out")
    assert [record.file for record in result.records] == ["im0.tif", "im1.tif", "im2.tif"]
    rows = rows_of(tmp_path / "out" / "errors.csv")
    assert [row["file"] for row in rows] == ["broken.tif"]
    assert rows[0]["why"] == "is called .tif but holds text; rename it or save it again"


def test_tables_hold_every_image_and_every_object(folder: Path, tmp_path: Path) -> None:
    result = run(folder, tmp_path / "out")
    counts = [record.images[0].n_objects for record in result.records]
    assert counts == [9, 10, 11]
    objects = rows_of(tmp_path / "out" / "objects.csv")
    assert len(objects) == sum(counts)
    assert "equivalent diameter [nm]" in objects[0]
    images = rows_of(tmp_path / "out" / "images.csv")
    assert [float(row["count"]) for row in images] == counts


def test_each_image_has_every_export(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    written = {path.name for path in (tmp_path / "out" / "images" / "im0.tif").iterdir()}
    assert written == {name for _, name in worker.EXPORTS} | {
        "brief.json",
        "report.html",
        "report.json",
        "result.json",
    }


def test_what_is_under_way_is_told_where_one_file_after_the_other_is_worked_on(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    run(folder, tmp_path / "out", stage=told.append)
    assert [one for one in told if one.startswith("im1.tif")] == [
        "im1.tif: looking for objects", "im1.tif: tables and outlines of 10 objects", "im1.tif: overlay",
        "im1.tif: report",
    ]  # fmt: skip
    assert told[-1] == "Report of the folder"


@pytest.mark.parametrize(("n", "side", "noise"), [(600, 1, True), (600, 4, False), (400, 1, False)])
def test_many_specks_are_called_noise(n: int, side: int, noise: bool) -> None:
    labels = np.zeros((250, 250), np.int32)
    for i in range(n):
        row, col = 10 * (i // 25), 10 * (i % 25)
        labels[row : row + side, col : col + side] = i + 1
    words = noise_words(Instances.from_labels(labels))
    assert ("600 parts, half of them of 1 pixels or fewer: looks like noise" in words) == noise


def test_a_second_run_does_nothing_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(folder, tmp_path / "out")
    (folder / "broken.tif").unlink()
    monkeypatch.setattr(batch, "attempt", lambda *_: pytest.fail("a finished file was analysed again"))
    second = run(folder, tmp_path / "out")
    assert second.reused == 3
    assert second.records == first.records


def test_what_another_run_has_done_meanwhile_is_not_done_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(folder, tmp_path / "out")
    job = make_jobs(list_files([folder / "im0.tif"], tmp_path / "out"), make_settings())[0]
    monkeypatch.setattr(worker, "run_job", lambda *_: pytest.fail("a finished file was analysed again"))
    assert batch.attempt(job, make_settings(), tmp_path / "out") == result.records[0]


@pytest.mark.parametrize("change", ["settings", "file", "damage"])
def test_what_changed_is_made_again(folder: Path, tmp_path: Path, change: str) -> None:
    out = tmp_path / "out"
    run(folder, out)
    settings = make_settings(seed=1) if change == "settings" else make_settings()
    if change == "file":
        (folder / "im0.tif").write_bytes((folder / "im1.tif").read_bytes())
    if change == "damage":
        (out / "images" / "im0.tif" / "result.json").write_text('{"file": "im0', "utf-8")
    again = run(folder, out, settings)
    assert again.reused == (0 if change == "settings" else 2)
    assert again.records[0].images[0].n_objects == (10 if change == "file" else 9)


SLOW_RUN = """
import sys, time
from pathlib import Path
from epistem.app import batch
from epistem.app.settings import make_settings
true_attempt = batch.attempt
def slow(*args):
    time.sleep(0.5)
    return true_attempt(*args)
batch.attempt = slow
images, out, settings = Path(sys.argv[1]), Path(sys.argv[2]), make_settings()
batch.run_batch(batch.make_jobs(batch.list_files([images], out), settings), settings, out, workers=1)
"""


def test_a_killed_run_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(folder), str(out)]) as process:
        deadline = time.monotonic() + 60
        while not list(out.glob("images/*/result.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    before = len(list(out.glob("images/*/result.json")))
    assert 1 <= before < 3
    result = run(folder, out)
    assert result.reused == before
    assert len(result.records) == 3


def test_two_processes_give_what_one_gives(folder: Path, tmp_path: Path) -> None:
    one = run(folder, tmp_path / "one", workers=1)
    two = run(folder, tmp_path / "two", workers=2)
    assert one.records == two.records
    assert one.errors == two.errors
    for name in ("objects.csv", "images.csv", "run.json", "report.html", "images/im0.tif/overlay.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_running_scheduler_can_be_used(folder: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        result = run(folder, tmp_path / "out", cluster=cluster.scheduler_address)
    assert len(result.records) == 3


def test_a_scheduler_that_is_not_there_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with pytest.raises(SettingsError, match="no Dask scheduler answers"):
        run(folder, tmp_path / "out", cluster="tcp://127.0.0.1:9")


def test_a_fault_in_one_file_stops_nothing_and_keeps_its_traceback(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_run_job = worker.run_job

    def faulty(job: object, *rest: object) -> object:
        if job.name == "im1.tif":  # type: ignore[attr-defined]
            raise ZeroDivisionError("planted")
        return true_run_job(job, *rest)

    monkeypatch.setattr(worker, "run_job", faulty)
    result = run(folder, tmp_path / "out")
    assert [error.kind for error in result.errors] == ["ReadError", "fault"]
    assert "ZeroDivisionError" in result.errors[1].why
    assert "Traceback" in (tmp_path / "out" / "errors.log").read_text("utf-8")


def test_results_inside_the_images_own_folder_are_not_analysed(folder: Path) -> None:
    out = folder / "results"
    run(folder, out)
    assert [name for _, name in list_files([folder], out)] == ["broken.tif", "im0.tif", "im1.tif", "im2.tif"]


def test_two_files_of_one_name_keep_two_results(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "im0.tif").write_bytes((folder / "im2.tif").read_bytes())
    listed = list_files([folder / "im0.tif", other / "im0.tif"], tmp_path / "out")
    assert len({name for _, name in listed}) == 2


def test_nothing_to_analyse_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no micrograph"):
        list_files([tmp_path], tmp_path / "out")
    with pytest.raises(SettingsError, match="none of that name"):
        list_files([tmp_path / "nowhere"], tmp_path / "out")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.tif")
        with pytest.raises(SettingsError, match="this is neither"):
            list_files([tmp_path / "pipe.tif"], tmp_path / "out")


def test_samples_give_thickness_and_groups(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "samples.csv"
    table.write_text(
        "image,specimen,thickness_nm,thickness_error_nm\nim0.tif,A,100,10\nim1.tif,A,100,10\nim2.tif,B,50,5\n",
        "utf-8",
    )
    samples, settings, out = read_samples(table), make_settings(), tmp_path / "out"
    jobs = make_jobs(list_files([folder], out), settings, samples=samples)
    result = run_batch(jobs, settings, out, samples=samples, workers=1)
    swelling = [record.images[0].quantities["swelling_percent"].value for record in result.records]
    assert None not in swelling
    assert swelling[2] > 1.8 * swelling[0]  # type: ignore[operator]
    rows = rows_of(out / "samples.csv")
    assert [(row["specimen"], row["images"], row["objects"]) for row in rows] == [("A", "2", "19"), ("B", "1", "11")]


def test_masks_of_another_tool_are_measured_instead(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    labels = np.zeros((160, 224), np.uint16)
    labels[10:20, 10:20], labels[50:54, 60:64] = 1, 2
    for i in range(3):
        tifffile.imwrite(masks / f"im{i}_masks.tif", labels)
    settings, out = make_settings(), tmp_path / "out"
    jobs = make_jobs(list_files([folder], out), settings, found=masks)
    result = run_batch(jobs, settings, out, workers=1)
    assert [record.images[0].n_objects for record in result.records] == [2, 2, 2]


def test_run_json_names_settings_versions_and_inputs(folder: Path, tmp_path: Path) -> None:
    result = run(folder, tmp_path / "out", make_settings(seed=5))
    told = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert told["settings"]["seed"] == 5
    assert told["files"]["im0.tif"] == [result.records[0].images[0].id]
    assert told["versions"]["epistem"]
    assert list(told["failed"]) == ["broken.tif"]


def test_each_image_of_a_stack_is_analysed_and_carries_its_index(tmp_path: Path, discs: Callable[..., None]) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    pages = []
    for n in (4, 6):
        discs(images / "one.tif", n=n)
        pages.append(tifffile.imread(images / "one.tif"))
    (images / "one.tif").unlink()
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": 2.0}
    tifffile.imwrite(images / "stack.tif", np.stack(pages), imagej=True, resolution=(2, 2), metadata=metadata)
    run(images, out)
    rows = rows_of(out / "images.csv")
    assert [(row["file"], row["axis"], row["slice"], row["count"]) for row in rows] == [
        ("stack.tif", "z", "0", "4"),
        ("stack.tif", "z", "1", "6"),
    ]
    assert [row["slice"] for row in rows_of(out / "objects.csv")] == ["0"] * 4 + ["1"] * 6
    assert (out / "images" / "stack.tif" / "0001" / "report.html").is_file()


def test_with_found_an_image_without_masks_fails_and_is_not_detected_instead(folder: Path, tmp_path: Path) -> None:
    masks, out, settings = tmp_path / "masks", tmp_path / "out", make_settings()
    masks.mkdir()
    labels = np.zeros((160, 224), np.uint16)
    labels[10:20, 10:20] = 1
    tifffile.imwrite(masks / "im0_masks.tif", labels)
    (folder / "broken.tif").unlink()
    jobs = make_jobs(list_files([folder], out), settings, found=masks)
    result = run_batch(jobs, settings, out, workers=1)
    assert [(record.file, record.images[0].n_objects) for record in result.records] == [("im0.tif", 1)]
    assert [error.file for error in result.errors] == ["im1.tif", "im2.tif"]
    assert "holds no masks for it" in result.errors[0].why


def test_a_damaged_result_is_made_again_and_the_others_are_kept(folder: Path, tmp_path: Path) -> None:
    whole = run(folder, tmp_path / "out")
    for file in ("objects.parquet", "report.json", "brief.json"):
        path = tmp_path / "out" / "images" / "im0.tif" / file
        good = path.read_bytes()
        path.write_bytes(good[:200] + bytes([good[200] ^ 1]) + good[201:])
        assert run(folder, tmp_path / "out").reused == len(whole.records) - 1
        assert path.read_bytes() == good
    path.unlink()
    assert run(folder, tmp_path / "out").reused == len(whole.records) - 1


def test_a_result_half_made_anew_does_not_count_as_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(folder, out)
    with monkeypatch.context() as patched:
        patched.setattr(worker, "overlay_png", lambda *_: (_ for _ in ()).throw(MemoryError))
        assert len(run(folder, out, make_settings(seed=1)).records) == 0
    assert run(folder, out).reused == 0


def test_slices_of_a_longer_stack_do_not_stay(tmp_path: Path, discs: Callable[..., None]) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for n in (3, 2):
        tifffile.imwrite(images / "stack.tif", np.full((n, 40, 50), 7, np.uint8), imagej=True)
        run(images, out)
    folders = sorted(path.name for path in (out / "images" / "stack.tif").iterdir() if path.is_dir())
    assert folders == ["0000", "0001", "labels.ome.zarr"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names outside UTF-8")
def test_a_name_outside_utf8_fails_alone(folder: Path, tmp_path: Path) -> None:
    good = (folder / "im0.tif").read_bytes()
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.tif")).write_bytes(good)
    result = run(folder, tmp_path / "out")
    assert len(result.records) == 3
    assert {error.file: error.why for error in result.errors}["bad\\xff.tif"] == "its name is not UTF-8; rename it"


def test_jobs_carry_whole_paths_for_workers_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    jobs = make_jobs(list_files([Path("images")], tmp_path / "out"), make_settings())
    assert all(job.path.is_absolute() for job in jobs)
    assert [job.name for job in jobs] == ["broken.tif", "im0.tif", "im1.tif", "im2.tif"]


@pytest.mark.parametrize("inside", ["", "below"])
def test_an_out_that_is_a_file_is_a_usage_error(folder: Path, tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(SettingsError, match="cannot be written to"):
        run(folder, tmp_path / "file" / inside)


def test_images_inside_the_results_folder_are_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="lie in --out"):
        list_files([folder], folder)


def test_a_file_that_may_not_be_opened_fails_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_open = Path.open

    def guarded(self: Path, *args: object, **rest: object) -> object:
        if self.name == "im1.tif":
            raise PermissionError(13, "Permission denied")
        return true_open(self, *args, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", guarded)
    result = run(folder, tmp_path / "out")
    assert [record.file for record in result.records] == ["im0.tif", "im2.tif"]
    assert {error.file: error.why for error in result.errors}["im1.tif"].startswith("may not be read")


def test_given_objects_are_measured_where_nothing_can_read_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.tif").touch()
    (tmp_path / "a.png").touch()

    def refuse(*_: object) -> str:
        raise DependencyMissing("safetensors is not here")

    monkeypatch.setattr("epistem.app.settings.weights_hash", refuse)
    settings, listed = make_settings(), list_files([tmp_path / "images"], tmp_path / "out")
    (job,) = make_jobs(listed, settings, found=tmp_path / "a.png")
    assert job.found == tmp_path / "a.png"
    with pytest.raises(DependencyMissing):
        make_jobs(listed, settings)
