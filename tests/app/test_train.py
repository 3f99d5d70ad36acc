from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from epistem.core import EpistemError, Instances, Micrograph, SettingsError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnx")
from epistem.app import train  # noqa: E402
from epistem.app.train_labels import Check, Tuned, read_labelled, train_on_labels  # noqa: E402
from epistem.app.train_spec import train_from_spec  # noqa: E402
from epistem.nets import runs  # noqa: E402
from epistem.nets.backgrounds import Background, Backgrounds  # noqa: E402
from epistem.nets.dense import CavityDense, DenseSettings  # noqa: E402
from epistem.nets.labelled import Labelled, Split  # noqa: E402
from epistem.nets.restore import keep, restore  # noqa: E402
from epistem.nets.spec import DetectorSpec, spec_of  # noqa: E402
from epistem.nets.train import Schedule, Step  # noqa: E402
from epistem.nets.weights import Weights, open_weights  # noqa: E402

# Everything is a peak to a network this fresh: some of it is right, and there is something to calibrate.
TINY = {"widths": [4, 4, 4, 4], "least_logit": -30.0}


SEEN = Backgrounds((Background("a.png", "https://example.org/a.png", "0" * 64),), "MIT")


class Silent:
    """Told all, says nothing; breaks off at a step if asked to."""

    def __init__(self, stop_at: int | None = None, by: BaseException | None = None) -> None:
        self.stop_at, self.by = stop_at, by
        self.heard: list[str] = []

    def part(self, what: str, done: int, of: int) -> None:
        self.heard.append(f"{what} {done} of {of}")

    def step(self, step: Step, of: int) -> None:
        self.heard.append(f"step {step.number} of {of}")
        if step.number == self.stop_at:
            assert self.by is not None
            raise self.by

    def say(self, text: str) -> None:
        self.heard.append(text)


@pytest.fixture(autouse=True)
def _words_and_checkpoints_at_every_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fit(*words: Any, **more: Any) -> Any:
        return runs_fit(*words, **{**more, "save_every": 1, "word_every": 1})

    runs_fit = runs.fit
    monkeypatch.setattr(runs, "fit", fit)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spec(**more: Any) -> DetectorSpec:
    def recipe(seed: int, number: int = 2) -> dict[str, Any]:
        shares = [["A:under", "clear", 1.0]]
        return {"some": {"shares": shares, "number": number, "shape": [96, 96], "seed": seed, "empty": 0.0}}

    least: dict[str, Any] = {"network": "cavity-dense", "settings": TINY, "augment": {"window_px": 64}}
    least |= {"fields": recipe(7), "calibration": recipe(8), "tests": recipe(9, 1)}
    return spec_of(least | {"schedule": {"steps": 2, "batch": 2}} | more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Silent]:
    told = Silent()
    return train_from_spec(spec(), tmp_path_factory.mktemp("trained"), told=told, device="cpu", workers=0), told


def test_a_spec_becomes_weights_with_onnx_card_and_curves(trained: tuple[Weights, Silent]) -> None:
    weights, told = trained
    folder = weights.path.parent
    names = {"cavity-dense.safetensors", "cavity-dense.onnx", "card.md", "curves.png", "curves.jsonl"}
    assert names <= {path.name for path in folder.iterdir()}
    assert not [*folder.rglob("*.part"), *folder.glob("candidate*")]
    assert told.heard[:2] == ["Simulating fields some 1 of 2", "Simulating fields some 2 of 2"]
    assert told.heard[-1] == "Scoring tests some 1 of 1"
    assert isinstance(restore(weights), CavityDense)


def test_a_card_tells_data_seed_time_hardware_scores_and_licences(trained: tuple[Weights, Silent]) -> None:
    weights, _ = trained
    card = weights.card
    assert card["data"]["fields"]["some"]["number"] == 2
    assert card["seed"] == 0
    assert card["training_seconds"] > 0
    assert card["hardware"]["threads"] == 1
    assert set(card["scores"]) == {"calibration fields", "some"}
    assert card["licences"] == {"initial_weights": "none: random, from the seed", "backgrounds": "none used"}
    text = (weights.path.parent / "card.md").read_text("utf-8")
    assert weights.hash in text
    assert "none: random, from the seed" in text
    assert "### Calibration\n" in text
    assert "| some | A:under clear 1 | 2 | 96, 96 | 7 |" in text


def test_scores_are_calibrated_and_the_threshold_is_among_them(trained: tuple[Weights, Silent]) -> None:
    weights, _ = trained
    assert (weights.settings["scale"], weights.settings["shift"]) != (1.0, 0.0)
    assert 0 < weights.min_score < 1


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(trained: tuple[Weights, Silent], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        train_from_spec(spec(), tmp_path, told=Silent(1, RuntimeError("killed")), device="cpu", workers=0)
    assert not list(tmp_path.glob("*.safetensors"))
    # The word of a step comes before its checkpoint: what is left is the run as it began, and its fields.
    told = Silent(2, RuntimeError("killed"))
    with pytest.raises(RuntimeError, match="killed"):
        train_from_spec(spec(), tmp_path, told=told, device="cpu", workers=0)
    assert "Simulating fields some 1 of 2" not in told.heard
    told = Silent()
    again = train_from_spec(spec(), tmp_path, told=told, device="cpu", workers=0)
    assert "step 1 of 2" not in told.heard
    whole = trained[0].tensors()
    assert all((tensor == whole[name]).all() for name, tensor in again.tensors().items())


def test_a_folder_of_another_spec_is_refused(trained: tuple[Weights, Silent]) -> None:
    other = spec(schedule={"steps": 3, "batch": 2})
    with pytest.raises(TrainingError, match=r"spec\.schedule\.steps was 2 and is now 3"):
        train_from_spec(other, trained[0].path.parent, told=Silent(), device="cpu", workers=0)


def test_a_damaged_field_is_one_line_though_another_process_reads_it(tmp_path: Path) -> None:
    (tmp_path / "fields" / "00").mkdir(parents=True)
    for i in range(2):
        (tmp_path / "fields" / "00" / f"0000{i}.npz").write_bytes(b"half a field")
    with pytest.raises(EpistemError, match=r"is no whole field: .*; delete it") as caught:
        train_from_spec(spec(), tmp_path, told=Silent(), device="cpu", workers=1)
    assert "Traceback" not in str(caught.value)


def test_a_killed_field_process_is_one_line_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epistem.app import train_spec

    def killed(*_: Any, **__: Any) -> Any:
        raise BrokenProcessPool("a process in the process pool was terminated abruptly")

    monkeypatch.setattr(train_spec, "make_fields", killed)
    with pytest.raises(TrainingError, match=r"a process that makes fields died.*--workers 0"):
        train_from_spec(spec(), tmp_path, told=Silent(), device="cpu", workers=1)


def test_the_card_says_where_cavities_lay_on_recorded_fields(tmp_path: Path) -> None:
    from epistem.app import train_spec

    plain = spec()
    recorded = replace(plain, backgrounds=SEEN, fields={"some": replace(plain.fields["some"], on_backgrounds=0.25)})
    about = [train_spec._card(one, tmp_path, "cpu", {}, {})["about"] for one in (plain, recorded)]
    assert "trained on 2 simulated TEM fields and on no labelled image" in about[0]
    assert "trained on 2 TEM fields with simulated cavities, some on recorded cavity-free fields," in about[1]


def test_a_network_that_finds_nothing_leaves_no_weights(tmp_path: Path) -> None:
    blind = spec(settings={**TINY, "least_logit": 30.0})
    with pytest.raises(TrainingError, match="no weights were written"):
        train_from_spec(blind, tmp_path, told=Silent(), device="cpu", workers=0)
    assert not list(tmp_path.glob("*.safetensors"))


# A person's own images.


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Weights that have learned nothing yet."""
    torch.manual_seed(0)
    network = CavityDense(DenseSettings(least_logit=-30.0, widths=(4, 4, 4, 4)))
    path = tmp_path_factory.mktemp("source") / "mine.safetensors"
    card = {"licences": {"initial_weights": "ours"}}
    return keep(path, network, name="cavity-dense", min_score=0.5, card=card)


Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """An image of 72 × 80 with discs, and its label image, in two folders."""

    def one(name: str, *places: tuple[int, int], labels: Any = None) -> Path:
        rows, cols = np.mgrid[:72, :80]
        truth = np.zeros((72, 80), np.uint8)
        for i, (row, col) in enumerate(places, 1):
            truth[np.hypot(rows - row, cols - col) < 7] = i
        noise = np.random.default_rng(sum(name.encode())).normal(0, 10, truth.shape)
        for folder, picture in (("images", 100 + 60 * (truth > 0) + noise), ("labels", truth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            chosen = picture if folder == "images" or labels is None else labels
            Image.fromarray(np.asarray(chosen).astype(np.uint8)).save(tmp_path / folder / f"{name}.png")
        return tmp_path / "labels"

    return one


@pytest.fixture
def four(draw: Draw, tmp_path: Path) -> Path:
    """A folder with `images` and `labels` of four images, with 1 to 4 discs."""
    places = ((20, 20), (20, 60), (50, 20), (50, 60))
    for i in range(4):
        draw(f"im{i}", *places[: i + 1])
    return tmp_path


def read_four(folder: Path, **more: Any) -> Any:
    return read_labelled(folder / "labels", folder / "images", folder / "out", **more)


def tune(folder: Path, source: Weights, told: Silent | None = None) -> Any:
    return train_on_labels(
        read_four(folder),
        folder / "out",
        told=told or Silent(),
        source=str(source.path),
        schedule=Schedule(steps=2, batch=2, learning_rate=1e-3),
        device="cpu",
        workers=0,
    )


def test_four_labelled_images_give_weights_with_a_before_and_after(four: Path, source: Weights) -> None:
    told = Silent()
    tuned = tune(four, source, told)
    n = sum(len(one.truth) for one in tuned.parts.learn)
    assert f"Learning from {n} objects in 2 images; 2 held out" in told.heard[0]
    card = tuned.weights.card
    assert card["from"] == source.hash
    assert set(card["scores"]) == {"held-out images, before", "held-out images, after"}
    assert set(card["data"]["learned_from"]).isdisjoint(card["data"]["held_out"])
    assert card["licences"] == {"initial_weights": "ours"}
    assert tuned.check.before["tp"] + tuned.check.before["fn"] == 10 - n
    assert tuned.weights.hash != source.hash
    assert tuned.weights.onnx.is_file()


def test_the_threshold_is_chosen_on_the_images_learned_from_alone(
    four: Path, source: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epistem.app import train_labels

    seen = []

    def threshold(judged: Any) -> float:
        seen.append(judged.asked.tolist())
        return 0.37

    monkeypatch.setattr(train_labels, "best_threshold", threshold)
    tuned = tune(four, source)
    assert seen == [[len(one.truth) for one in tuned.parts.learn]]
    assert tuned.weights.min_score == 0.37


def test_training_on_labels_goes_on_after_a_kill(four: Path, source: Weights) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        tune(four, source, Silent(2, RuntimeError("killed")))
    told = Silent()
    tune(four, source, told)
    assert [words for words in told.heard if "step" in words] == ["step 2 of 2"]


def test_other_labels_are_another_run(four: Path, draw: Draw, source: Weights) -> None:
    tune(four, source)
    draw("im0", (50, 60))
    with pytest.raises(TrainingError, match=r"holds another run: images\.im0"):
        tune(four, source)


def test_three_images_have_no_check_and_that_is_said(four: Path, source: Weights) -> None:
    (four / "labels" / "im3.png").unlink()
    told = Silent()
    tuned = tune(four, source, told)
    assert "none is held out: that takes 4" in told.heard[0]
    assert tuned.check is None
    assert "whether it is better is not known" in tuned.weights.card["about"]
    assert "is not known" in train._verdict(tuned, None)


def coco(folder: Path, *, names: tuple[str, ...] = ("cavity",), **more: Any) -> Path:
    """COCO with two squares in each of the four images; what is in `more` replaces keys of the first."""
    square = [10, 10, 22, 10, 22, 22, 10, 22]
    records = [
        {
            "id": 2 * i + k,
            "image_id": i,
            "category_id": k % len(names),
            "segmentation": [[v + 30 * k for v in square]],
        }
        for i in range(4)
        for k in range(2)
    ]
    records[0] |= more
    data = {
        "images": [{"id": i, "file_name": f"im{i}.png", "height": 72, "width": 80} for i in range(4)],
        "annotations": records,
        "categories": [{"id": k, "name": name} for k, name in enumerate(names)],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(data), "utf-8")
    return path


def from_coco(folder: Path, **more: Any) -> Any:
    category = more.pop("category", None)
    return read_labelled(coco(folder, **more), folder / "images", folder / "out", category=category)


def test_one_class_of_several_is_chosen(four: Path) -> None:
    with pytest.raises(SettingsError, match=r"2 classes \(cavity, void\).*--category NAME"):
        from_coco(four, names=("cavity", "void"))
    chosen = from_coco(four, names=("cavity", "void"), category="void")
    assert [len(one.truth) for one in chosen] == [1, 1, 1, 1]
    with pytest.raises(SettingsError, match="no object is labelled 'pore'; the labels have cavity, void"):
        from_coco(four, names=("cavity", "void"), category="pore")


def test_a_crowd_counts_neither_way(four: Path) -> None:
    labelled = from_coco(four, iscrowd=1)
    assert [one.truth.columns["ignored"].tolist() for one in labelled[:2]] == [[True, False], [False, False]]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"segmentation": [[90, 90, 99, 90, 99, 99]]},
            r"coco\.json: object 0 of im0\.png lies outside.*72 × 80",
        ),
        (
            {"segmentation": [], "bbox": [10, 10, 5, 5]},
            r"coco\.json: object 0 of im0\.png is a box without",
        ),
        ({"segmentation": [[1, 2, 3]]}, r"coco\.json: annotation 0 cannot be read .*3 numbers"),
        ({"segmentation": {"size": [10, 10], "counts": [100]}}, r"coco\.json: masks are for an image of 10 × 10"),
    ],
)
def test_labels_that_do_not_fit_name_file_and_object(four: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises(EpistemError, match=says):
        from_coco(four, **more)


def test_images_without_labels_and_labels_without_images_are_named(four: Path) -> None:
    (four / "images" / "im1.png").unlink()
    (four / "labels" / "im3.png").unlink()
    heard: list[str] = []
    read_four(four, told=heard.append)
    assert heard == [
        "1 of 3 images have no labels and are left out: im3.png; labels name 1 image not among the images: im1.png."
    ]


def test_images_that_coco_names_and_that_are_not_there_are_told(four: Path) -> None:
    (four / "images" / "im1.png").unlink()
    heard: list[str] = []
    read_labelled(coco(four), four / "images", four / "out", told=heard.append)
    assert heard == ["labels name 1 image not among the images: im1.png."]


def results_of(folder: Path) -> Path:
    """What analyze writes where the labels are measured."""
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.settings import make_settings

    settings, results = make_settings(detector="log"), folder / "results"
    jobs = make_jobs(list_files([folder / "images"], results), settings, found=folder / "labels")
    run_batch(jobs, settings, results, workers=1)
    return results


def test_results_of_analyze_are_labels_and_it_is_said_which_of_them_are_read(four: Path, draw: Draw) -> None:
    draw("im4")  # nothing in it
    draw("sub", (30, 30))
    for kind in ("images", "labels"):
        (four / kind / "deep").mkdir()
        (four / kind / "sub.png").rename(four / kind / "deep" / "im0.png")
    heard: list[str] = []
    known = {one.name: one for one in read_four(four)}
    taken = read_labelled(results_of(four), four / "images", four / "out", told=heard.append)
    assert [one.name for one in taken] == list(known)
    for one in taken:
        for mask, other in zip(one.truth.masks(), known[one.name].truth.masks(), strict=True):
            assert (mask.crop == other.crop).all()
    assert len(heard) == 1
    assert "objects.coco.json is read, a labels.tif is not" in heard[0]


def test_results_of_images_that_are_gone_are_named(four: Path, draw: Draw) -> None:
    results = results_of(four)
    (four / "images" / "im1.png").unlink()
    draw("im9", (30, 30))
    heard: list[str] = []
    taken = read_labelled(results, four / "images", four / "out", told=heard.append)
    assert [one.name for one in taken] == ["im0.png", "im2.png", "im3.png"]
    assert heard[0] == (
        "1 of 4 images have no labels and are left out: im9.png; labels name 1 image not among the images: im1."
    )


def test_nothing_is_said_where_every_image_has_its_labels(four: Path) -> None:
    heard: list[str] = []
    read_four(four, told=heard.append)
    assert heard == []


@pytest.mark.parametrize("labels", ["images", "images/masks"])
def test_labels_among_the_images_are_told_to_move(four: Path, labels: str) -> None:
    for path in (four / "labels").iterdir():
        (four / labels).mkdir(exist_ok=True)
        path.rename(four / labels / f"{path.stem}_masks.png")
    with pytest.raises(EpistemError, match="lie among the images; move the labels to a folder of their own"):
        read_labelled(four / labels, four / "images", four / "out")


def test_weights_that_do_not_fit_leave_no_run_behind(
    four: Path, source: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misfit(*_: Any) -> Any:
        raise EpistemError("does not fit")

    monkeypatch.setattr(runs, "begun_from", misfit)
    with pytest.raises(EpistemError, match="does not fit"):
        tune(four, source)
    assert not (four / "out").exists()


def test_masks_of_another_size_are_refused(four: Path, draw: Draw) -> None:
    draw("im2", labels=np.ones((10, 12)))
    with pytest.raises(EpistemError, match=r"im2\.png: masks are for an image of 10 × 12.*is 72 × 80"):
        read_four(four)


def test_a_binary_mask_is_asked_about_and_read_as_pieces_when_told(four: Path, draw: Draw) -> None:
    rows, cols = np.mgrid[:72, :80]
    two = 255 * ((np.hypot(rows - 20, cols - 20) < 7) | (np.hypot(rows - 50, cols - 50) < 7))
    for i in range(4):
        draw(f"im{i}", labels=two)
    with pytest.raises(EpistemError, match=r"im0\.png: the only value beside 0 is 255, in 2 pieces.*--kind binary"):
        read_four(four)
    assert [len(one.truth) for one in read_four(four, kind="binary")] == [2, 2, 2, 2]


def test_no_object_in_any_image_is_nothing_to_learn(four: Path, draw: Draw, source: Weights) -> None:
    for i in range(4):
        draw(f"im{i}")
    with pytest.raises(TrainingError, match="no object is labelled in any of the 4 images"):
        tune(four, source)


def test_the_same_picture_twice_is_refused(four: Path) -> None:
    (four / "images" / "im3.png").write_bytes((four / "images" / "im0.png").read_bytes())
    with pytest.raises(EpistemError, match=r"im0\.png and im3\.png are the same picture"):
        read_four(four)


def test_labels_of_other_images_are_refused(four: Path) -> None:
    for path in (four / "labels").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(EpistemError, match="has labels for none of the 4 images"):
        read_four(four)


# What is told in the end.


def check(before: float, after: float) -> Check:
    from epistem.core import Interval

    row = {"tp": 1, "fp": 1, "fn": 1, "precision": 0.5, "recall": None}
    gain = Interval(after - before - 0.01, after - before, after - before + 0.01, 0.9)
    return Check(row | {"f1": before}, row | {"f1": after}, gain)


def tuned_by(source: Weights, before: float, after: float, n_held_out: int = 5) -> Tuned:
    one = Labelled("a", Micrograph(np.zeros((2, 2))), Instances.from_boxes((2, 2), []))
    return Tuned(source, source, Split((), (one,) * n_held_out), check(before, after))


def verdict(source: Weights, before: float, after: float, n_held_out: int = 5) -> str:
    tuned = tuned_by(source, before, after, n_held_out)
    return " ".join(train._verdict(tuned, tuned.check).split())


def test_a_fall_of_f1_is_called_one_and_no_use_is_proposed(source: Weights) -> None:
    text = verdict(source, 0.8, 0.7)
    assert "changed by -0.100 (-0.110 to -0.090, 90%)" in text
    assert "Worse than before: keep the weights you had." in text
    assert "To use them" not in text


def test_a_fall_that_may_be_chance_is_called_so_and_the_advice_stays(source: Weights) -> None:
    text = verdict(source, 0.8, 0.795)
    assert "May be worse than before: keep the weights you had." in text
    assert "May be" not in verdict(source, 0.8, 0.7)


def test_fewer_than_five_held_out_images_have_no_interval_and_nothing_is_sure(
    source: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "F1 of an image changed by -0.100 on average. May be worse" in verdict(source, 0.8, 0.7, 4)
    assert "changed by +0.100 on average. With so few held-out images that may be" in verdict(source, 0.7, 0.8, 4)
    capsys.readouterr()
    for n, low in ((4, None), (5, pytest.approx(0.09))):
        train._tell_labels(tuned_by(source, 0.7, 0.8, n), as_json=True)
        gain = json.loads(capsys.readouterr().out)["gain"]
        assert (gain["value"], gain["low"]) == (pytest.approx(0.1), low)


def test_a_gain_is_followed_by_how_to_use_it(source: Weights) -> None:
    text = verdict(source, 0.7, 0.8)
    assert "chance" not in text
    assert f"--detector cavity-dense --set weights={source.path}" in text


def test_the_command_to_use_them_is_one_that_parses(source: Weights, tmp_path: Path) -> None:
    import shlex

    from typer.main import get_command

    from epistem.app.cli import app

    (tmp_path / "a b").mkdir()
    path = tmp_path / "a b" / "mine.safetensors"
    tuned = Tuned(replace(source, path=path), source, Split((), ()), None)
    _, _, told = train._verdict(tuned, None).partition("To use them: epistem analyze ")
    words = [str(tmp_path) if word == "FOLDER" else word for word in shlex.split(told)]
    command: Any = get_command(app)
    given = command.commands["analyze"].make_context("analyze", words).params
    assert given["setting"] == [f"weights={path}"]


def test_a_gain_that_may_be_chance_is_called_so(source: Weights) -> None:
    assert "may be chance" in verdict(source, 0.7, 0.705)


def test_no_gain_is_no_reason_to_change(source: Weights) -> None:
    assert "No better than before" in verdict(source, 0.7, 0.7)


def test_worse_weights_say_so_in_their_card(four: Path, source: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    from epistem.app import train_labels

    monkeypatch.setattr(train_labels, "_check", lambda *_: check(0.8, 0.7))
    assert "**Worse than the weights it began from**" in tune(four, source).weights.card["about"]


def test_the_interval_of_a_gain_stays_within_what_f1_can_do(
    four: Path, source: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epistem.app import train_labels

    counts = iter([np.array([[0, 1, 1], [1, 0, 0]]), np.array([[1, 0, 0], [1, 0, 0]])])
    monkeypatch.setattr(train_labels, "counts_at", lambda *_: next(counts))
    monkeypatch.setattr(train_labels, "collect", lambda *_: None)
    monkeypatch.setattr(train_labels, "pooled_at", lambda *_: None)
    monkeypatch.setattr(train_labels, "scores_of", lambda *_: {"f1": 0.5})
    gain = train_labels._check(None, None, 0.5, 0.5, []).gain
    assert gain is not None
    assert (gain.low, gain.value, gain.high) == (-1, 0.5, 1)


@pytest.mark.parametrize("columns", [40, 60])
def test_bar_and_count_stay_on_a_narrow_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    words, screen = train.Words(quiet=False), io.StringIO()
    words.bar.live.console = Console(width=columns, force_terminal=True, color_system=None, file=screen)
    words.step(Step(370, {"centre": 0.1234, "way": 0.00345, "radii": 12.31}, 0.5), 3000)
    words.bar.console.print(words.bar.get_renderable())
    (line,) = screen.getvalue().strip().splitlines()
    assert "━" in line
    assert "Training, step" in line
    assert "370/3000" in line
    assert line.rstrip().endswith("…")


# The command.


def run(source: Path, out: Path, **more: Any) -> None:
    words: dict[str, Any] = dict.fromkeys(("start", "images", "category", "kind", "steps", "learning_rate", "seed"))
    train.train_detector(source, out, **(words | {"device": "cpu", "workers": 0, "as_json": False} | more))


def test_the_command_tells_json_of_before_and_after(
    four: Path, source: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    run(four / "labels", four / "out", start=str(source.path), images=four / "images", steps=1, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["from"] == source.hash
    assert {"before", "after", "worse", "weights", "min_score"} <= set(told)
    assert set(told["gain"]) == {"low", "value", "high", "coverage"}
    assert open_weights(Path(told["weights"])).hash == told["hash"]


def test_ctrl_c_says_where_it_stopped_and_how_to_go_on(
    four: Path, source: Weights, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = train.Words.step

    def step(words: Any, step: Step, of: int) -> None:
        known(words, step, of)
        if step.number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.Words, "step", step)
    with pytest.raises(typer.Exit) as ended:
        run(four / "labels", four / "out", start=str(source.path), images=four / "images", steps=3)
    assert ended.value.exit_code == 130
    told = " ".join(capsys.readouterr().err.split())
    assert "Stopped after training, step 2 of 3; step 1 is kept in" in told
    assert "The same command goes on from there." in told


def test_ctrl_c_before_the_first_step_of_a_labels_run_says_that_nothing_is_kept(
    four: Path, source: Weights, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "learn", stop)
    with pytest.raises(typer.Exit) as ended:
        run(four / "labels", four / "out", start=str(source.path), images=four / "images", as_json=True)
    assert ended.value.exit_code == 130
    said = json.loads(capsys.readouterr().out)["stopped"]
    assert "nothing is kept, no step yet" in said
    assert "fields" not in said


def test_ctrl_c_among_the_fields_says_that_they_are_kept(tmp_path: Path) -> None:
    (tmp_path / "fields" / "00").mkdir(parents=True)
    (tmp_path / "fields" / "00" / "00000.npz").touch()
    assert "the fields made so far are kept, no step yet" in train._kept(tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["labels", "--out", "out"], "labels need --from shipped"),
        (["labels", "--out", "out", "--from", "shipped"], "--images FOLDER; --images is missing"),
        (["labels", "--out", "out", "--images", "images"], "--images FOLDER; --from is missing"),
        (["a.toml", "--out", "out", "--steps", "3"], "--steps are for labelled images"),
        (["none.toml", "--out", "out"], "none.toml: wanted the TOML of a training"),
    ],
)
def test_a_wrong_command_is_2_and_one_clear_line(tmp_path: Path, words: list[str], says: str) -> None:
    command = [sys.executable, "-m", "epistem", "train", "detector", *words]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("labels", "images", "start", "says"),
    [
        ("nowhere", "images", "shipped", "no file or folder"),
        ("labels", "nowhere", "shipped", "none of that name"),
        ("labels", "images", "mine.safetensors", "no weights at mine"),
    ],
)
def test_what_is_not_there_is_named(four: Path, labels: str, images: str, start: str, says: str) -> None:
    with pytest.raises(EpistemError, match=says):
        run(four / labels, four / "out", start=start, images=four / images)


def test_help_of_train_starts_no_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from epistem.app.cli import app; "
        "CliRunner().invoke(app, ['train', 'detector', '--help']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
