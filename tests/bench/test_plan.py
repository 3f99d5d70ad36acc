from __future__ import annotations

import csv
import random
import runpy
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epistem.bench.plan import PARTS, Plan, emit, load_plan, make_plan, save_plan, settings_id
from epistem.bench.profile import Profile, profile_of
from epistem.core import SettingsError, UnknownName


def changed(profile: Profile, **parts: dict[str, Any]) -> Profile:
    """The profile with other values in some of its parts."""
    values = profile.model_dump(by_alias=True)
    for part, updates in parts.items():
        values[part] |= updates
    return profile_of(values)


def ids(plan: Plan) -> set[str]:
    return {job.id for job in plan.jobs}


def names(plan: Plan, part: str) -> list[str]:
    return [member.image for member in getattr(plan.split, part)]


def test_a_job_for_each_encoder_decoder_weights_and_seed(profile: Profile) -> None:
    model = {"encoders": ["resnet18", "resnet50"], "decoders": ["unet", "fpn"], "weights": ["none", "imagenet"]}
    plan = make_plan(changed(profile, model=model, training={"seeds": [0, 1, 2]}))
    cells = {(job.encoder, job.decoder, job.weights, job.seed) for job in plan.jobs}
    assert len(plan.jobs) == len(cells) == len(ids(plan)) == 24


def test_ids_stay_over_runs_and_the_order_of_keys_and_pairs(profile: Profile) -> None:
    assert ids(make_plan(profile)) == ids(make_plan(profile))
    assert settings_id({"a": 1, "b": [2]}) == settings_id({"b": [2], "a": 1})
    pairs = list(profile.model_dump()["dataset"]["pairs"])
    random.Random(0).shuffle(pairs)
    assert ids(make_plan(changed(profile, dataset={"pairs": pairs}))) == ids(make_plan(profile))


def test_a_folder_that_moved_with_other_file_names_keeps_its_ids(profile: Profile, folder: Path) -> None:
    before = ids(make_plan(profile))
    folder = folder.rename(folder.with_name("moved"))
    pairs = []
    for i, pair in enumerate(profile.dataset.pairs):
        (folder / pair.image).rename(folder / f"{99 - i}.png")
        pairs.append(pair.model_dump() | {"image": f"{99 - i}.png", "group": f"renamed {pair.group}"})
    task = {"objective": "Find pores", "classes": ["matrix", "pore"]}
    moved = changed(
        profile, dataset={"root": str(folder), "pairs": pairs, "id": "other", "modality": "SEM"}, task=task
    )
    assert ids(make_plan(moved)) == before


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"batch_size": 4}},
        {"training": {"max_steps": 600}},
        {"training": {"preset": "paper"}},
        {"training": {"split": {"seed": 1}}},
        {"model": {"variant": "paper"}},
        {"task": {"primary": "dice"}},
        {"task": {"classes": ["foreground", "background"], "ignore_values": [2]}},
    ],
)
def test_whatever_changes_the_result_changes_the_id(profile: Profile, change: dict[str, Any]) -> None:
    if "ignore_values" in change.get("task", {}):
        values = profile.model_dump(by_alias=True)["task"]["classes"]
        change = {"task": {"classes": values[::-1]}}
    assert not ids(make_plan(profile)) & ids(make_plan(changed(profile, **change)))


def test_a_corrected_mask_asks_for_new_results_and_is_told(profile: Profile, folder: Path) -> None:
    before = make_plan(profile)
    mask = np.array(Image.open(folder / "masks" / "s0_0.png"))
    mask[0, 0] = 1 - mask[0, 0]
    Image.fromarray(mask).save(folder / "masks" / "s0_0.png")
    after = make_plan(profile)
    assert not ids(before) & ids(after)
    assert not before.notes
    assert "changed since the profile was written" in after.notes[0]


def test_no_group_and_no_content_is_in_two_parts(profile: Profile) -> None:
    plan = make_plan(profile)
    for field in ("group", "image_id"):
        parts = [{getattr(member, field) for member in getattr(plan.split, part)} for part in PARTS]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
    assert sorted(name for part in PARTS for name in names(plan, part)) == [p.image for p in profile.dataset.pairs]


def test_the_parts_have_the_shares_that_are_asked_for(profile: Profile) -> None:
    assert [len(names(make_plan(profile), part)) for part in PARTS] == [6, 2, 2]


def test_another_seed_deals_otherwise(profile: Profile) -> None:
    tests = {tuple(names(make_plan(changed(profile, training={"split": {"seed": i}})), "test")) for i in range(8)}
    assert len(tests) > 2


@pytest.mark.parametrize("sizes", [(8, 1, 1), (1, 1, 8), (4, 3, 3), (5, 5, 0)])
def test_no_part_stays_empty_however_large_a_group_is(profile: Profile, sizes: tuple[int, ...]) -> None:
    groups = [group for group, n in zip("abc", sizes, strict=True) for _ in range(n)]
    values = profile.model_dump()["dataset"]["pairs"]
    pairs = [pair | {"group": group} for pair, group in zip(values, groups, strict=True)]
    given = changed(profile, dataset={"pairs": pairs})
    if 0 in sizes:
        with pytest.raises(SettingsError, match=r"has 2 groups, a \(5\), b \(5\); .*training\.split\.by"):
            make_plan(given)
    else:
        assert all(names(make_plan(given), part) for part in PARTS)


def test_split_by_image_is_allowed_and_called_optimistic(profile: Profile) -> None:
    pairs = [pair | {"group": "one"} for pair in profile.model_dump()["dataset"]["pairs"]]
    plan = make_plan(changed(profile, dataset={"pairs": pairs}, training={"split": {"by": "image"}}))
    assert [len(names(plan, part)) for part in PARTS] == [6, 2, 2]
    assert "optimistic" in plan.notes[0]


@pytest.mark.parametrize("seed", range(4))
def test_split_by_image_keeps_the_same_picture_in_one_part(profile: Profile, folder: Path, seed: int) -> None:
    (folder / "images" / "s4_1.png").write_bytes((folder / "images" / "s0_0.png").read_bytes())
    plan = make_plan(changed(profile, training={"split": {"by": "image", "seed": seed}}))
    both = {"images/s4_1.png", "images/s0_0.png"}
    assert any(both <= set(names(plan, part)) for part in PARTS)


def test_the_same_picture_in_two_groups_is_refused(profile: Profile, folder: Path) -> None:
    (folder / "images" / "s4_1.png").write_bytes((folder / "images" / "s0_0.png").read_bytes())
    with pytest.raises(SettingsError, match="are the same picture, in groups 's0' and 's4'"):
        make_plan(profile)


def test_a_class_that_a_part_does_not_show_is_told(profile: Profile, folder: Path) -> None:
    for name in names(make_plan(profile), "test"):
        empty = np.zeros((12, 16), np.uint8)
        Image.fromarray(empty).save(folder / name.replace("images", "masks"))
    assert "no test image shows foreground; another training.split.seed may" in make_plan(profile).notes


def test_grey_among_colour_images_is_refused(profile: Profile, folder: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    Image.fromarray(colour).save(folder / "images" / "s2_1.png")
    with pytest.raises(SettingsError, match=r"images have \[1, 3\] channels; name those to use"):
        make_plan(profile)


def test_an_unfinished_profile_is_refused_line_by_line() -> None:
    with pytest.raises(SettingsError, match=r"is not complete\n  dataset\.root: .*\n  dataset\.pairs: "):
        make_plan(Profile())


def test_a_plan_that_is_saved_and_read_is_the_same(profile: Profile, tmp_path: Path) -> None:
    plan = make_plan(profile)
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan


def test_a_job_is_found_by_the_beginning_of_its_id(profile: Profile) -> None:
    plan = make_plan(profile)
    assert plan.job(plan.jobs[3].id[:8]) == plan.jobs[3]
    with pytest.raises(UnknownName, match="no job is called 'zzz'"):
        plan.job("zzz")
    with pytest.raises(UnknownName, match="no job is called ''"):
        plan.job("")


def test_a_script_for_each_job_runs_it(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(profile)
    scripts = emit(plan, profile, tmp_path / "out")
    with (tmp_path / "out" / "jobs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [job.id for job in plan.jobs]
    assert [tmp_path / "out" / row["script"] for row in rows] == scripts
    assert load_plan(tmp_path / "out" / "plan.json") == plan
    called: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: called.append(command) or 3)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(scripts[0]))
    assert end.value.code == 3
    assert called[0][1:] == ["-m", "epistem", "bench", "run-job", str(tmp_path / "out/profile.json"), plan.jobs[0].id]
