from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from epistem.app import bench_run
from epistem.app.bench_report import _heatmaps_of
from epistem.app.bench_run import means_of
from epistem.app.cli import app, main
from epistem.bench.plan import load_plan, make_plan
from epistem.bench.profile import Profile, load_profile, profile_of, save_profile
from epistem.bench.store import JobFailure, JobRecord, job_folder
from epistem.core import EpistemError, SettingsError, UnknownName

torch = pytest.importorskip("torch")


class Study(NamedTuple):
    """A profile file, the folder of its run, and what running it printed as JSON."""

    file: Path
    out: Path
    told: dict[str, Any]


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, words)])


def write_images(root: Path, *, groups: int = 4, each: int = 1) -> Path:
    """Squares brighter than the noise around them, with their masks."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for group in range(groups):
        for i in range(each):
            pixels = np.random.default_rng(10 * group + i).normal(100, 10, (64, 64))
            mask = np.zeros((64, 64), np.uint8)
            mask[10 : 18 + group, 20:30] = 1
            Image.fromarray((pixels + 60 * mask).clip(0, 255).astype(np.uint8)).save(
                root / "images" / f"s{group}_{i}.png"
            )
            Image.fromarray(mask).save(root / "masks" / f"s{group}_{i}.png")
    return root


def shrunk(file: Path, **parts: dict[str, Any]) -> Profile:
    """The profile in the file with the smallest network and training, written back."""
    values = load_profile(file).model_dump(by_alias=True)
    values["model"] |= {"encoders": ["tf_efficientnet_lite0"], "decoders": ["unet"], "weights": ["none"]}
    values["training"] |= {
        "batch_size": 2, "max_epochs": None, "max_steps": 2, "image_size": 32, "val_tiles": 4, "seeds": [0],
    }  # fmt: skip
    for part, updates in parts.items():
        values[part] |= updates
    profile = profile_of(values)
    save_profile(profile, file)
    return profile


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Made by `init`, run once."""
    root = tmp_path_factory.mktemp("bench")
    file, out = root / "profile.json", root / "out"
    made = invoke("init", write_images(root / "steel"), "--out", file, "--no-scale-bars")
    assert made.exit_code == 0, made.output
    shrunk(file, training={"undertrained": True})
    ran = invoke("run", file, "--out", out, "--device", "cpu", "--json")
    assert ran.exit_code == 0, ran.output
    return Study(file, out, json.loads(ran.stdout))


def test_init_tells_what_a_folder_holds_and_what_comes_next(tmp_path: Path) -> None:
    found = invoke("init", write_images(tmp_path / "steel"), "--out", tmp_path / "p.json", "--no-scale-bars")
    assert found.exit_code == 0
    assert "4 images in 4 groups" in found.stdout
    assert "foreground: " in found.stdout
    assert f"Next: epistem bench plan {tmp_path / 'p.json'}" in found.stdout
    assert "Note: groups are a guess" in found.stderr
    as_json = invoke("init", tmp_path / "steel", "--out", tmp_path / "p.json", "--no-scale-bars", "--json")
    assert json.loads(as_json.stdout)["task"]["mask_kind"] == "values"


def test_a_sentence_fills_in_task_and_modality_and_says_what_is_missing(tmp_path: Path) -> None:
    found = invoke("init", "--from-text", "Segment pores in XCT slices", "--out", tmp_path / "p.json")
    assert found.exit_code == 0
    assert load_profile(tmp_path / "p.json").dataset.modality == "XCT"
    assert "To fill in: dataset.root" in found.stderr
    assert "Next:" not in found.stdout


def test_the_schema_is_json() -> None:
    assert json.loads(invoke("schema").stdout)["title"] == "epistem profile"


def test_a_plan_lists_parts_notes_and_jobs(study: Study) -> None:
    found = invoke("plan", study.file)
    (job,) = make_plan(load_profile(study.file)).jobs
    assert "train 2 images, 2 groups" in found.stdout
    assert "test  1 images, 1 groups" in found.stdout
    assert f"{job.id}  tf_efficientnet_lite0 + unet, weights none, seed 0" in found.stdout
    assert json.loads(invoke("plan", study.file, "--json").stdout)["jobs"][0]["id"] == job.id


def test_a_plan_says_how_much_is_to_be_trained_and_that_one_test_image_is_few(study: Study) -> None:
    found = invoke("plan", study.file)
    assert "1 networks × up to 2 steps = 2 steps of 2 tiles of 32 px" in found.stdout
    assert "Warning: there is one test image, so scores have no interval" in found.stderr


def test_a_run_names_the_network_that_segment_takes(study: Study) -> None:
    found = invoke("run", study.file, "--out", study.out)
    assert f"epistem segment --model {study.out} takes the highest on validation" in found.stdout
    assert "Network: tf_efficientnet_lite0 + unet, weights none, seed 0 (validation" in found.stdout


def test_a_network_that_was_killed_is_said_to_go_on_from_its_step(study: Study, tmp_path: Path) -> None:
    plan = make_plan(load_profile(study.file))
    folder = job_folder(tmp_path, plan.jobs[0].id)
    folder.mkdir(parents=True)
    torch.save({"step": 7}, folder / "checkpoint.pt")
    assert bench_run._begun(plan, tmp_path, None) == [(plan.jobs[0].name, 7)]
    assert bench_run._begun(plan, study.out, None) == []


def test_what_is_no_run_is_a_wrong_command(study: Study, tmp_path: Path) -> None:
    assert isinstance(refused("report", tmp_path), SettingsError)
    image = next((study.file.parent / "steel" / "images").iterdir())
    ran = CliRunner().invoke(app, ["segment", str(image), "--model", str(tmp_path), "--out", str(tmp_path / "o")])
    assert isinstance(ran.exception, SettingsError)


def test_fields_to_correct_stand_below_one_another(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"model": {"encodrs": ["resnet50"]}}))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["epistem", "bench", "plan", str(tmp_path / "p.json"), "--json"])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "epistem: p.json: 1 field to correct:", "  model.encodrs: unknown key; did you mean 'encoders' or 'decoders'?"
    ]  # fmt: skip
    assert json.loads(told.out)["error"] == (
        "p.json: 1 field to correct: model.encodrs: unknown key; did you mean 'encoders' or 'decoders'?"
    )


def test_an_unknown_encoder_of_an_option_is_told_by_the_option(study: Study) -> None:
    words = ["train", "segmenter", str(study.file), "--out", "x", "--encoder", "resnet51"]
    with pytest.raises(UnknownName, match=r"--encoder resnet51: there is none of that name; did you mean 'resnet50"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_explaining_that_is_stopped_begins_again(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("epistem.app.explain.ask_model", stopped)
    ran = CliRunner().invoke(app, ["explain", "x.png", "--model", str(study.out), "--roi", "m.png", "--out", "y"])
    assert ran.exit_code == 130
    assert "Stopped; nothing is kept. The same command begins again." in ran.stderr


def test_heatmaps_are_made_of_as_many_images_as_their_test_needs_or_of_none() -> None:
    assert _heatmaps_of(9, None, asked=False)[0] == 5
    few, why = _heatmaps_of(4, None, asked=False)
    assert (few, "needs 5 to decide" in why) == (0, True)
    assert _heatmaps_of(4, None, asked=True)[0] == 5
    assert _heatmaps_of(4, 2, asked=False)[0] == 2


def test_the_page_is_there_before_heatmaps_are_made(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def explained(run: Path, *_: Any, **__: Any) -> None:
        assert "heatmaps were still being made" in (run / "report.html").read_text("utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr("epistem.app.bench_explain.explain_run", explained)
    found = invoke("report", study.out, "--heatmaps", "1", "--no-signals")
    assert found.exit_code == 130
    assert "report.html has what was done till then" in found.stderr


def test_a_run_as_json_tells_records_and_means(study: Study) -> None:
    (record,) = study.told["records"]
    assert (study.told["failures"], study.told["reused"], study.told["primary"]) == ([], 0, "iou")
    assert (record["start"], record["undertrained"]) == ("random initialisation", True)
    (row,) = study.told["models"]
    assert (row["encoder"], row["seeds"], row["sd"]) == ("tf_efficientnet_lite0", 1, None)
    assert 0 <= row["value"] <= 1


def test_a_run_says_random_and_undertrained_and_that_it_was_done_before(study: Study) -> None:
    found = invoke("run", study.file, "--out", study.out)
    assert found.exit_code == 0
    assert "tf_efficientnet_lite0 began from RANDOM weights" in found.stderr
    assert "UNDERTRAINED" in found.stderr
    assert f"1 networks done, 1 of them before: {study.out}" in found.stdout
    assert "iou of the foreground on 1 test images" in found.stdout


def test_the_script_of_a_plan_gives_the_same_job(study: Study) -> None:
    found = invoke("plan", study.file, "--emit", study.out)
    assert found.exit_code == 0
    (script,) = (study.out / "jobs").glob("*.py")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    # Its id is that of the run before, or it would have been trained again.
    assert "1 networks done, 1 of them before" in ran.stdout
    assert load_plan(study.out / "plan.json").jobs[0].id == study.told["records"][0]["job"]


def test_a_job_alone_is_run_by_the_first_digits_of_its_id(study: Study) -> None:
    job = study.told["records"][0]["job"]
    found = invoke("run-job", study.file, job[:5], "--out", study.out, "--json")
    assert json.loads(found.stdout)["reused"] == 1
    with pytest.raises(UnknownName, match="no job is called 'zz'"):
        raise invoke("run-job", study.file, "zz", "--out", study.out).exception
    with pytest.raises(UnknownName, match="no job is called ''"):
        raise invoke("run", study.file, "--out", study.out, "--jobs", "").exception


def test_a_failed_job_ends_with_code_1_and_the_reason(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    save_profile(load_profile(study.file), file)
    shrunk(file, model={"encoders": ["vgg16_bn"], "decoders": ["deeplabv3"]})
    found = invoke("run", file, "--out", tmp_path / "out")
    assert found.exit_code == 1
    assert "vgg16_bn + deeplabv3, weights none, seed 0: deeplabv3 dilates its encoder" in found.stderr
    assert "0 networks done, 1 failed" in found.stdout
    as_json = invoke("run", file, "--out", tmp_path / "out", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["failures"][0]["kind"] == "SettingsError"


def test_ctrl_c_says_what_is_kept(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, told: Any, **__: Any) -> None:
        told("Training, step", 2, 9, "entropy 0.5")
        raise KeyboardInterrupt

    monkeypatch.setattr("epistem.bench.run.run_plan", stopped)
    found = invoke("run", study.file, "--out", tmp_path / "out")
    assert found.exit_code == 130
    assert f"Stopped after training, step 2 of 9; jobs that are done are kept in {tmp_path / 'out'}" in found.stderr
    as_json = invoke("run", study.file, "--out", tmp_path / "out", "--json")
    assert "Stopped after" in json.loads(as_json.stdout)["stopped"]


def test_what_is_tracked_is_every_job_that_ends(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked: list[Any] = []
    monkeypatch.setattr(bench_run, "_tracker", lambda out: lambda profile, one: tracked.append((out, one.job)))
    failure = JobFailure(job=study.told["records"][0]["job"], kind="OSError", why="no room")
    monkeypatch.setattr("epistem.bench.run.attempt", lambda job, **_: failure)
    found = invoke("run", study.file, "--out", tmp_path, "--track")
    assert tracked == [(tmp_path, failure.job)]
    assert "failed: no room" in found.stderr


def refused(*words: str | Path) -> EpistemError:
    error = invoke(*words).exception
    assert isinstance(error, EpistemError), repr(error)
    return error


def test_an_unknown_encoder_is_refused_with_the_nearest_names(study: Study, tmp_path: Path) -> None:
    values = json.loads(study.file.read_text())
    values["model"]["encoders"] = ["resnet5"]
    (tmp_path / "p.json").write_text(json.dumps(values))
    error = refused("run", tmp_path / "p.json", "--out", tmp_path / "out")
    assert "no encoder is called 'resnet5'; did you mean 'resnet50'" in str(error)


@pytest.mark.parametrize(
    ("groups", "each", "says"),
    [
        (1, 1, "has 1 image; train, validation and test need 3"),
        (2, 1, "has 2 images;"),
        (0, 0, "holds 0 images and no masks; wanted images"),
    ],
)
def test_too_few_images_or_groups_are_refused_with_what_can_be_done(
    tmp_path: Path, groups: int, each: int, says: str
) -> None:
    folder = write_images(tmp_path / "few", groups=groups, each=each)
    assert says in str(refused("init", folder, "--out", tmp_path / "p.json", "--no-scale-bars"))
    assert not (tmp_path / "p.json").exists()


def test_the_same_picture_in_two_groups_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "twice")
    (folder / "images" / "s3_0.png").write_bytes((folder / "images" / "s0_0.png").read_bytes())
    error = refused("init", folder, "--out", tmp_path / "p.json", "--no-scale-bars")
    assert "are the same picture, in groups 's0' and 's3'" in str(error)


def test_a_mask_that_changed_after_init_is_noted_and_asks_for_another_job(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    invoke("init", write_images(tmp_path / "steel"), "--out", file, "--no-scale-bars")
    before = [job.id for job in make_plan(shrunk(file)).jobs]
    mask = tmp_path / "steel" / "masks" / "s0_0.png"
    Image.fromarray(np.asarray(Image.open(mask))[::-1]).save(mask)
    found = invoke("plan", file)
    assert "Note: images or masks changed since the profile was written" in found.stderr
    assert before[0] not in found.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("init",), "wanted a FOLDER of images and masks, --from-text, or both"),
        (("plan", "nowhere.json"), "nowhere.json: wanted a JSON file; No such file"),
        (("run", "nowhere.json", "--out", "x"), "nowhere.json: wanted a JSON file"),
    ],
)
def test_a_wrong_command_says_what_was_wanted(words: tuple[str, ...], says: str) -> None:
    error = refused(*words)
    assert isinstance(error, SettingsError)
    assert says in str(error)


def test_an_error_is_json_too_where_json_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["epistem", "bench", "run", "nowhere.json", "--out", "x", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "wanted a JSON file" in json.loads(capsys.readouterr().out)["error"]


def scored(metric: str, values: dict[str, list[float]]) -> Any:
    import pandas as pd

    rows = [
        {"encoder": "e", "decoder": decoder, "variant": "canonical", "weights": "none", "seed": seed, "image": "a",
         "class": "foreground mean", "metric": metric, "value": value}
        for decoder, of in values.items() for seed, value in enumerate(of)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("primary", "metric", "values"),
    [
        ("iou", "iou", {"fpn": [0.2, 0.4], "unet": [0.8, 0.6]}),
        ("hd95", "hd95_px", {"fpn": [9.0, 11.0], "unet": [2.0, 3.0]}),
        ("porosity", "porosity_error", {"fpn": [-0.4, 0.3], "unet": [0.1, -0.1]}),
    ],
)
def test_the_best_network_comes_first_whichever_way_its_metric_is_good(
    primary: str, metric: str, values: dict[str, list[float]]
) -> None:
    found = means_of(scored(metric, values), primary)
    assert found["decoder"].tolist() == ["unet", "fpn"]
    assert found["value"].tolist() == pytest.approx([np.abs(values[name]).mean() for name in ("unet", "fpn")])
    assert found["seeds"].tolist() == [2, 2]


def test_a_job_without_a_score_is_said_so(study: Study) -> None:
    record = JobRecord.model_validate(study.told["records"][0] | {"best_score": None})
    plan = make_plan(load_profile(study.file))
    assert "seed 0: validation gave no score at step" in bench_run._said(plan, record)


def test_a_report_of_a_run_is_one_page_that_says_what_is_not_known(study: Study) -> None:
    told = invoke("report", study.out, "--heatmaps", "1", "--json")
    assert told.exit_code == 0, told.output
    page = Path(json.loads(told.stdout)["page"]).read_text("utf-8")
    assert "RANDOM INITIALISATION" in page
    assert "What did the network look at?" in page
    assert "Unscored: too few groups" in page


def test_regions_that_are_nowhere_are_told(study: Study, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="wanted a folder of masks"):
        invoke_raising("report", study.out, "--regions", tmp_path / "nowhere", "--no-signals")


def test_the_network_of_a_run_segments_an_image_also_when_its_file_was_moved(study: Study, tmp_path: Path) -> None:
    image = next((study.file.parent / "steel" / "images").iterdir())
    ran = CliRunner().invoke(app, ["segment", str(image), "--model", str(study.out), "--out", str(tmp_path / "a")])
    assert ran.exit_code == 0, ran.output
    moved = tmp_path / "m.safetensors"
    moved.write_bytes(next(study.out.glob("jobs/*/model.safetensors")).read_bytes())
    ran = CliRunner().invoke(app, ["segment", str(image), "--model", str(moved), "--out", str(tmp_path / "b")])
    assert ran.exit_code == 0, ran.output
    assert "no reference of the images" in (tmp_path / "b" / "report.html").read_text("utf-8")


def test_a_region_of_the_image_is_explained_by_the_network_of_a_run(study: Study, tmp_path: Path) -> None:
    image = next((study.file.parent / "steel" / "images").iterdir())
    words = ["explain", str(image), "--model", str(study.out), "--roi", "10,20 10,30 20,30 20,20"]
    ran = CliRunner().invoke(app, [*words, "--out", str(tmp_path), "--patch-px", "16", "--no-check", "--json"])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "heatmap.svg").is_file()


def invoke_raising(*words: str | Path) -> Result:
    """`invoke`, with what it raises raised."""
    return CliRunner().invoke(app, ["bench", *map(str, words)], catch_exceptions=False)
