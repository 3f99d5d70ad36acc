from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epistem.bench.profile import Profile, json_schema, load_profile, profile_of, save_profile
from epistem.core import SettingsError

PUBLISHED: dict[str, Any] = {
    "schema": "epistem.profile/1",
    "dataset": {
        "id": "afm_crystallites",
        "modality": "AFM",
        "material": {"class": "polymer", "name": "fluoroelastomer"},
        "resolution": {"value": 1.0, "unit": "nm", "per": "px"},
        "channels": ["height"],
        "root": "/data/afm",
        "pairs": [{"image": "images/a.png", "mask": "masks/a.png", "group": "specimen-3"}],
        "metadata": {
            "ontology": [{"iri": "https://example.org/mds#AFM", "label": "atomic force microscopy"}],
            "provenance": {"sha256": "0" * 64, "licence": "CC-BY-4.0"},
        },
    },
    "task": {
        "objective": "Identify crystal impingement sites",
        "classes": ["background", "boundary"],
        "mask_kind": "values",
        "difficulty": "moderate",
        "metrics": ["iou", "dice"],
        "primary": "iou",
        "qc": {"ready_if": {"auroc": 0.95, "f1": 0.8}},
    },
    "model": {"encoders": ["resnet50"], "decoders": ["unet", "deeplabv3"], "weights": "imagenet"},
    "training": {"preset": "paper", "seeds": [0, 1, 2], "split": {"train": 0.6, "val": 0.2, "test": 0.2}},
}


def refusal(values: Any) -> list[str]:
    """The lines, one a field, with which a profile is refused."""
    with pytest.raises(SettingsError) as error:
        profile_of(values)
    return [line.strip() for line in str(error.value).splitlines()[1:]]


def test_the_published_profile_is_read() -> None:
    profile = profile_of(PUBLISHED)
    assert profile.dataset.material.kind == "polymer"
    assert [one.values for one in profile.task.classes] == [(0,), (1,)]
    assert profile.model.weights == ("imagenet",)
    assert profile.lacking() == []


def test_a_profile_that_is_saved_and_read_is_the_same(tmp_path: Path) -> None:
    profile = profile_of(PUBLISHED)
    save_profile(profile, tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json") == profile


def test_an_empty_profile_is_one_and_says_what_it_lacks() -> None:
    fields = [line.partition(":")[0] for line in Profile().lacking()]
    assert fields == ["dataset.root", "dataset.pairs", "task.mask_kind", "task.classes"]


def test_a_relative_root_begins_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"dataset": {"root": "images"}}', "utf-8")
    (tmp_path / "images").mkdir()
    assert load_profile(tmp_path / "p.json").folder() == (tmp_path / "images").resolve()


def test_a_root_may_hold_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.json").write_text('{"dataset": {"root": "$MICROGRAPHS/steel"}}', "utf-8")
    (tmp_path / "steel").mkdir()
    monkeypatch.setenv("MICROGRAPHS", str(tmp_path))
    assert load_profile(tmp_path / "p.json").folder() == tmp_path / "steel"
    monkeypatch.delenv("MICROGRAPHS")
    with pytest.raises(SettingsError, match="MICROGRAPHS is not set"):
        load_profile(tmp_path / "p.json").folder()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"dataset": {"modality": "sem"}}, "did you mean 'SEM'?"),
        ({"dataset": {"material": {"class": "metl"}}}, "dataset.material.class: wanted one of metal, polymer"),
        ({"dataset": {"pairs": [{"image": "a", "mask": "b"}]}}, "dataset.pairs[0].group: missing; add it"),
        ({"dataset": {"resolution": {"value": -1, "unit": "nm"}}}, "dataset.resolution.value: wanted greater than 0"),
        (
            {"dataset": {"metadata": {"ontology": [{"iri": "AFM"}]}}},
            "dataset.metadata.ontology[0].iri: wanted a whole",
        ),
        (
            {"model": {"encoders": ["resnet5"]}},
            "model.encoders[0]: no encoder is called 'resnet5'; did you mean 'res",
        ),
        ({"model": {"decoders": []}}, "model.decoders: wanted at least 1 entry"),
        ({"model": {"decoders": ["unet", "unet"]}}, "model.decoders: 'unet' is listed twice"),
        ({"model": {"weights": "imagnet"}}, "model.weights[0]: wanted one of imagenet, micronet, none"),
        ({"training": {"batch_sise": 4}}, "training.batch_sise: unknown key; did you mean 'batch_size'"),
        ({"training": {"image_size": 100}}, "training.image_size: wanted a multiple of 32, not 100"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: wanted a finite number"),
        ({"training": {"split": {"train": 0.9}}}, "training.split: train, val and test add up to 1.3; wanted 1"),
        ({"training": {"max_epochs": None}}, "training: nothing ends the training"),
        ({"task": {"metrics": ["dice"]}}, "task: primary is 'iou'; wanted one of metrics (dice)"),
        ({"task": {"classes": ["a", "a"]}}, "task: two classes are called 'a'"),
        ({"task": {"classes": ["a", "b"], "ignore_values": [0]}}, "task: mask value 0 means two things"),
        ({"task": {"classes": [{"name": "a", "values": [0.5]}]}}, "task.classes[0].values[0]: a mask value is"),
        ({"trainin": 1}, "trainin: unknown key; did you mean 'training'?"),
        ({"schema": "epistem.profile/9"}, "schema: wanted one of epistem.profile/1"),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_fix(values: Any, line: str) -> None:
    lines = refusal(values)
    assert len(lines) == 1
    assert line in lines[0]


def test_every_field_to_correct_is_told_at_once() -> None:
    assert len(refusal({"dataset": {"modality": "x"}, "model": {"encoders": ["y"]}, "training": {"seeds": []}})) == 3


def test_text_that_is_no_json_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"dataset": \n {,}}', "utf-8")
    with pytest.raises(SettingsError, match=r"p\.json is not JSON at line 2, column 3"):
        load_profile(tmp_path / "p.json")
    with pytest.raises(SettingsError, match="wanted a JSON object"):
        profile_of([])  # type: ignore[arg-type]


def test_the_schema_names_what_the_profile_names() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {"schema", "dataset", "task", "model", "training"}
    assert "resnet50" in schema["$defs"]["Model"]["properties"]["encoders"]["items"]["enum"]
    assert schema["additionalProperties"] is False
    json.dumps(schema)
