from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import epistem.app.folder
from epistem.app.batch import BatchResult, list_files, make_jobs, run_batch
from epistem.app.folder import write_folder
from epistem.app.samples import read_samples
from epistem.app.settings import make_settings
from epistem.app.store import FileRecord
from epistem.core import SettingsError
from epistem.detect import weights_hash
from epistem.report.document import Figure, Notice, Report, Section

TABLE = """image,specimen,thickness_nm,thickness_error_nm,temperature_C,count
im0.tif,A,100,10,450,many
im1,A,100,10,20,few
im2.tif,B,50,5,450,few
"""


def run(images: Path, out: Path, table: str | None = TABLE, **rest: Any) -> BatchResult:
    samples = None
    if table is not None:
        path = images.parent / "samples.csv"
        path.write_text(table, "utf-8")
        samples = read_samples(path)
    settings = make_settings()
    jobs = make_jobs(list_files([images], out), settings, samples=samples)
    return run_batch(jobs, settings, out, samples=samples, workers=1, **rest)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def samples_section(out: Path) -> Section | None:
    report = Report.from_json((out / "report.json").read_text("utf-8"))
    return next((section for section in report.sections if section.id == "samples"), None)


def told(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text("utf-8"))


def test_groups_are_made_by_any_column_in_the_order_of_its_numbers(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out", by="Temperature (C)")
    rows = rows_of(tmp_path / "out" / "samples.csv")
    assert [(row["temperature [degC]"], row["images"], row["objects"]) for row in rows] == [
        ("20", "1", "10"),
        ("450", "2", "20"),
    ]
    assert [(row["specimen"], row["count"]) for row in rows] == [("A", "few"), ("", "")]
    section = samples_section(tmp_path / "out")
    assert section is not None
    assert section.title == "Samples by temperature"
    assert "Against temperature" in [block.title for block in section.blocks if isinstance(block, Figure)]


def test_every_column_of_the_samples_stands_beside_images_and_objects(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out", TABLE.replace("im2.tif,B,50,5,450,few\n", ""))
    images = rows_of(tmp_path / "out" / "images.csv")
    shown = [(row["thickness [nm]"], row["temperature [degC]"], row["sample count"], row["count"]) for row in images]
    assert shown == [("100", "450", "many", "9"), ("100", "20", "few", "10"), ("", "", "", "11")]
    objects = pq.read_table(tmp_path / "out" / "objects.parquet").to_pandas()
    assert objects.groupby("image")["temperature_C"].max().dropna().to_dict() == {"im0.tif": 450.0, "im1.tif": 20.0}
    assert list(objects.columns[:7]) == [
        "image",
        "slice",
        "specimen",
        "thickness_nm",
        "thickness_error_nm",
        "temperature_C",
        "count",
    ]


def test_an_unknown_column_is_refused_before_any_image_is_analysed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="specimen, thickness_nm, thickness_error_nm, temperature_C, count"):
        run(folder, tmp_path / "out", by="dose")
    assert not (tmp_path / "out" / "images").exists()


def test_a_run_without_samples_leaves_no_groups_of_a_run_before(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out)
    assert (out / "samples.csv").is_file()
    run(folder, out, None)
    assert not (out / "samples.csv").exists()
    assert samples_section(out) is None
    assert told(out)["samples"] is None


def test_a_table_that_a_person_put_among_the_results_is_not_deleted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "samples.csv").write_text("Specimen;Image\nA;im0\n", "utf-8")
    run(folder, out, None)
    assert (out / "samples.csv").read_text("utf-8") == "Specimen;Image\nA;im0\n"


def test_files_that_are_gone_are_in_no_table_and_no_report_but_keep_their_folder(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(folder, out)
    (folder / "im2.tif").unlink()
    (folder / "broken.tif").unlink()
    run(folder, out)
    assert [row["image"] for row in rows_of(out / "images.csv")] == ["im0.tif", "im1.tif"]
    assert {row["image"] for row in rows_of(out / "objects.csv")} == {"im0.tif", "im1.tif"}
    assert [row["specimen"] for row in rows_of(out / "samples.csv")] == ["A"]
    assert rows_of(out / "errors.csv") == []
    assert list(told(out)["files"]) == ["im0.tif", "im1.tif"]
    for name in ("report.html", "report.json", "methods.txt"):
        text = (out / name).read_text("utf-8")
        assert "im2.tif" not in text
        assert "broken.tif" not in text
    assert (out / "images" / "im2.tif" / "objects.csv").is_file()


def test_the_objects_of_a_group_are_those_of_its_images_also_without_a_pixel_size(
    folder: Path, tmp_path: Path, discs: Callable[..., None]
) -> None:
    discs(folder / "im2.tif", n=5, nm_per_px=None)
    run(folder, tmp_path / "out")
    images = rows_of(tmp_path / "out" / "images.csv")
    groups = rows_of(tmp_path / "out" / "samples.csv")
    assert [row["objects"] for row in groups] == ["19", "5"]
    assert sum(float(row["count"]) for row in images) == 24


def test_run_json_holds_the_rows_of_the_samples_and_the_column(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out", by="temperature_C")
    samples = told(tmp_path / "out")["samples"]
    assert (samples["file"], samples["by"], len(samples["rows"])) == ("samples.csv", "temperature_C", 3)
    assert samples["rows"][1] == {
        "image": "im1",
        "specimen": "A",
        "thickness_nm": 100.0,
        "thickness_error_nm": 10.0,
        "temperature_C": 20.0,
        "count": "few",
    }


def test_run_json_names_the_masks_that_were_measured(folder: Path, tmp_path: Path) -> None:
    import numpy as np
    import tifffile

    masks, out, settings = tmp_path / "masks", tmp_path / "out", make_settings()
    masks.mkdir()
    tifffile.imwrite(masks / "im0_masks.tif", np.ones((160, 224), np.uint16))
    jobs = make_jobs([(folder / "im0.tif", "im0.tif")], settings, found=masks)
    run_batch(jobs, settings, out, workers=1)
    assert told(out)["found"] == {"im0.tif": "im0_masks.tif"}


def test_images_in_no_group_are_counted_and_a_column_empty_for_all_is_no_fault(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out, "image,specimen,dose_dpa\nim0,A,5\nim1,A,\n", by="dose_dpa")
    section = samples_section(out)
    assert section is not None
    notices = [block.text for block in section.blocks if isinstance(block, Notice)]
    assert "2 images without a dose in samples.csv: in no group." in notices
    run(folder, out, "image,specimen,dose_dpa\nelsewhere,A,5\n", by="dose_dpa")
    assert samples_section(out) is None


def test_methods_tell_the_thickness_of_each_specimen_and_how_groups_were_made(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out, by="temperature_C")
    text = (out / "methods.txt").read_text("utf-8")
    assert "Foil thickness was 50 to 100 nm (one standard error: 5 to 10 nm), given for each image in" in text
    assert "grouped by temperature" in text


def of_weights(record: FileRecord, *weights: str | None) -> FileRecord:
    return record.model_copy(
        update={"images": tuple(record.images[0].model_copy(update={"weights": one}) for one in weights)}
    )


def test_run_json_and_methods_name_the_weights_that_all_images_share(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    result = run(folder, out, None)
    monkeypatch.setattr(epistem.app.folder, "shipped_weights", lambda: frozenset({"ab"}))
    for weights, told_as in ((("ab", "ab"), "ab"), (("cd",), "cd"), (("ab", "cd"), None), ((None, "ab"), None)):
        write_folder(out, [of_weights(result.records[0], *weights)], (), make_settings(), None)
        text = (out / "methods.txt").read_text("utf-8")
        assert told(out)["weights"] == told_as
        assert ("not trained on or tuned to these images" in text) == (told_as == "ab")
        assert ("trained by the user" in text) == (told_as == "cd")


def test_run_json_has_the_weights_of_the_detector_that_was_run(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out", None)
    assert told(tmp_path / "out")["weights"] == weights_hash(make_settings().finder())


@pytest.mark.parametrize("command", ["analyze", "watch"])
def test_the_command_line_refuses_an_unknown_column_with_those_there_are(
    folder: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "s.csv").write_text(TABLE, "utf-8")
    words = [command, folder, "--out", tmp_path / "out", "--samples", tmp_path / "s.csv", "--by", "dose"]
    line = [sys.executable, "-m", "epistem", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 2
    assert "no column 'dose' to group by; s.csv has specimen, thickness_nm" in done.stderr
