from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from epistem.app.atoms_truth import meaning, parse_names
from epistem.app.cli import app
from epistem.atoms.crystals import HOSTS
from epistem.atoms.dataset import read_spec
from epistem.core import EpistemError, SettingsError, ShapeError

torch = pytest.importorskip("torch")

SPEC = """\
seed: 3
hosts: [WSe2]
dopants: [Ti]
settings: [{keV: 80, detectors: [[40, 90], [85, 250]]}]
size_A: 46
pixel_A: [0.35, 0.35]
dose_e_per_A2: [100000, 100000]
defects: [0.08, 0.08]
"""


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["atoms", *map(str, words)])


def refused(*words: str | Path) -> str:
    """The one sentence of a command that was wrong."""
    result = invoke(*words)
    assert isinstance(result.exception, EpistemError)
    return str(result.exception)


class World(NamedTuple):
    """A simulated field, an untrained classifier, and what `classify` printed of them."""

    root: Path
    field: Path
    model: Path
    told: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    from epistem.atoms.learn import build
    from epistem.atoms.model import AtomModel

    root = tmp_path_factory.mktemp("atoms")
    (root / "spec.yaml").write_text(SPEC, "utf-8")
    assert invoke("simulate", root / "spec.yaml", "--out", root / "fields").exit_code == 0
    model = root / "model.safetensors"
    AtomModel(build(), threshold=0.9).save(model, {})
    field = root / "fields" / "field_00000"
    asked = ("classify", field / "image.tif", "-c", field / "context.yaml", "-m", model, "-o", root / "out", "--json")
    result = invoke(*asked)
    assert result.exit_code == 0, result.output
    return World(root, field, model, json.loads(result.stdout))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_image(path: Path, image: np.ndarray, nm_per_px: float | None = 0.035) -> Path:
    how: dict[str, Any] = {}
    if nm_per_px:
        how = {"resolution": (1 / nm_per_px, 1 / nm_per_px), "metadata": {"unit": "nm", "axes": "YX"}}
    tifffile.imwrite(path, image.astype(np.float32), imagej=True, **how)
    return path


def test_one_field_that_fails_stops_no_other(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from epistem.app import atoms_simulate

    make = atoms_simulate.make_field

    def failing(spec: Any, number: int, bank: Any) -> Any:
        if number == 1:
            raise ValueError("no such thing")
        return make(spec, number, bank)

    monkeypatch.setattr(atoms_simulate, "make_field", failing)
    told = atoms_simulate.simulate(read_spec(world.root / "spec.yaml"), tmp_path, 3)
    assert told["made"] == 2
    assert told["failed"] == {"field_00001": "ValueError: no such thing; a fault of epistem, please report it"}


def test_help_loads_no_network_and_no_multislice() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom epistem.app.cli import app\n"
        "assert CliRunner().invoke(app, ['atoms', 'classify', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'sklearn', 'abtem', 'pandas') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_column_has_a_row_with_a_posterior_and_the_page_stands_alone(world: World) -> None:
    table = rows(world.root / "out" / "columns.csv")
    assert len(table) == world.told["columns"] > 200
    assert (
        abs(
            sum(float(table[0][f"p {role}".replace("_", " ")]) for role in ("M", "X2", "D_M", "V_X", "V_X2", "V_M"))
            - 1
        )
        < 1e-6
    )
    assert float(table[5]["x [angstrom]"]) == pytest.approx(0.35 * float(table[5]["col [px]"]))
    page = (world.root / "out" / "report.html").read_text("utf-8")
    assert "What if the metadata are wrong?" in page
    assert "http" not in page.split("</style>")[1].split("<script")[0]
    for name in ("columns.parquet", "overlay.png", "overlay_2.png", "classification.json"):
        assert (world.root / "out" / name).stat().st_size > 0


def test_expected_numbers_add_up_to_the_columns(world: World) -> None:
    labels = world.told["labels"].values()
    assert sum(one["called"] for one in labels) == world.told["columns"]
    assert sum(one["expected"] for one in labels) == pytest.approx(world.told["columns"], abs=3)
    assert {one["told"] for one in world.told["what_if"]} >= {"composition unknown", "nothing known"}
    assert world.told["provenance"]["weights"] != "untrained"


def test_the_context_says_who_said_what(world: World) -> None:
    assert world.told["context"]["host"] == "WSe2"
    assert world.told["context_from"]["host"] == "context.yaml, line 1"
    assert world.told["context"]["detectors"] == [[40.0, 90.0], [85.0, 250.0]]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("hots: WSe2", "line 1: nothing is called 'hots'; did you mean host?"),
        ("host: WSe2\nbeam_keV: high", "line 2: beam_keV"),
        ("host: WSe3", "no host is called 'WSe3'"),
        ("host: WSe2\ndopants: [Xx]", "no dopant of WSe2 is called 'Xx'"),
        ("host: WSe2\ndopants: [W]", "is the metal of WSe2"),
        ("host: WSe2\nbeam_keV: 300", "outside the bank"),
        ("detectors: [{inner_mrad: 200, outer_mrad: 40}, null]", "inner angle lies below its outer one"),
        ("detectors: [null]", "names 1 detectors, there are 2 images"),
        ("pixel_A: 0.4\npixel_nm: 0.04", "line 2: pixel_A gives the pixel size already"),
        ("host: WSe2\nhost: MoS2", "line 2: host was said in line 1 already"),
        ("host: [", "this is no YAML"),
        ("just words", "holds no names with values"),
    ],
)
def test_a_wrong_context_is_refused_with_its_line(world: World, tmp_path: Path, text: str, want: str) -> None:
    file = tmp_path / "context.yaml"
    file.write_text(text, "utf-8")
    told = refused("classify", world.field / "image.tif", "-c", file, "-m", world.model, "-o", tmp_path / "out")
    assert want in told


def test_the_person_wins_over_the_file_and_is_told_so(world: World, tmp_path: Path) -> None:
    from epistem.app.atoms_context import read_person, told
    from epistem.app.atoms_images import read_field
    from epistem.atoms.kernels import shipped_bank

    images = read_field([world.field / "image.tif"])
    file = tmp_path / "context.yaml"
    file.write_text("host: WSe2\npixel_nm: 0.036\n", "utf-8")
    known = told(read_person(file, dopants=["V"]), images, shipped_bank())
    assert known.context.pixel_A == pytest.approx(0.36)
    assert "the file says 0.35" in known.notes[0]
    assert "line 2" in known.notes[0]
    assert known.context.dopants == ("V",)
    assert known.origin["dopants"] == "--dopant"
    assert told(read_person(None), images, shipped_bank()).context.pixel_A == pytest.approx(0.35)


def test_init_writes_a_context_that_classify_reads(world: World, tmp_path: Path) -> None:
    from epistem.app.atoms_context import read_person

    out = tmp_path / "context.yaml"
    assert invoke("init", world.field / "image.tif", "--host", "WSe2", "--dopant", "Ti", "-o", out).exit_code == 0
    said = read_person(out).said
    assert (said.host, said.dopants, said.detectors) == ("WSe2", ("Ti",), (None, None))
    assert said.pixel_A == pytest.approx(0.35, rel=1e-4)
    assert "is there already" in refused("init", world.field / "image.tif", "-o", out)


def test_an_image_without_a_lattice_fails_in_one_sentence(world: World, tmp_path: Path) -> None:
    noise = write_image(tmp_path / "noise.tif", np.random.default_rng(0).normal(100, 10, (128, 128)))
    result = invoke("classify", noise, "-m", world.model, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 1
    assert "no lattice stands out" in json.loads(result.stdout)["error"]


def test_images_that_do_not_belong_together_are_refused(world: World, tmp_path: Path) -> None:
    one = write_image(tmp_path / "a.tif", np.ones((64, 64)))
    wide = write_image(tmp_path / "b.tif", np.ones((64, 80)))
    other = write_image(tmp_path / "c.tif", np.ones((64, 64)), 0.05)
    end = ("-m", world.model, "-o", tmp_path / "out")
    assert "same pixels" in refused("classify", one, wide, *end)
    assert "more than" not in refused("classify", one, other, *end)
    assert "one field at once" in refused("classify", one, other, *end)
    assert "3 images" in refused("classify", one, one, one, *end)


def test_pixels_that_are_not_square_are_refused(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.ones((64, 64), np.float32), imagej=True, resolution=(30, 20), metadata={"unit": "nm", "axes": "YX"}
    )
    assert "square pixels" in refused("classify", path, "-m", world.model, "-o", tmp_path / "out")


def test_another_lattice_constant_is_unknown_with_high_entropy(world: World, tmp_path: Path) -> None:
    asked = (
        "classify",
        world.field / "image.tif",
        "-m",
        world.model,
        "-o",
        tmp_path,
        "--json",
        "--pixel-size",
        "0.06 nm",
    )
    told = json.loads(invoke(*asked).stdout)
    assert not told["known"]
    assert told["labels"] == {}
    assert told["mean_entropy_bits"] > 6
    assert any("another material, or a wrong pixel size" in note for note in told["notes"])
    assert "none of them classified" in (tmp_path / "report.html").read_text("utf-8")


def test_each_image_of_a_folder_is_a_field_of_its_own(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.tif").write_bytes((world.field / "image.tif").read_bytes())
    write_image(folder / "noise.tif", np.random.default_rng(0).normal(100, 10, (128, 128)))
    result = invoke("classify", folder, "--host", "WSe2", "-m", world.model, "-o", tmp_path / "out", "--no-what-if")
    assert result.exit_code == 1
    assert "1 of 2 images" in result.stdout
    assert [row["image"] for row in rows(tmp_path / "out" / "errors.csv")] == ["noise.tif"]
    assert (tmp_path / "out" / "images" / "good.tif" / "report.html").is_file()


def test_a_data_strip_holds_no_columns(world: World) -> None:
    from dataclasses import replace

    from epistem.app.atoms_context import read_person
    from epistem.app.atoms_images import read_field
    from epistem.app.atoms_use import classify_field
    from epistem.atoms.kernels import shipped_bank
    from epistem.atoms.model import AtomModel

    images = read_field([world.field / "image.tif"])
    valid = np.ones(images[0].shape, bool)
    valid[-30:] = False
    masked = [replace(image, valid=valid) for image in images]
    person, model = read_person(world.field / "context.yaml"), AtomModel.load(world.model)
    found = classify_field(masked, person, model, shipped_bank(), ask_what_if=False).found
    assert len(found)
    assert found.places_px[:, 0].max() < len(valid) - 30


def test_a_simulation_goes_on_and_keeps_what_is_there(world: World) -> None:
    before = (world.field / "image.tif").stat().st_mtime_ns
    result = invoke("simulate", world.root / "spec.yaml", "-o", world.root / "fields", "--fields", "2", "--json")
    assert json.loads(result.stdout) | {"out": ""} == {"out": "", "fields": 2, "made": 1, "kept": 1, "failed": {}}
    assert (world.field / "image.tif").stat().st_mtime_ns == before


def test_a_folder_holds_fields_of_one_specification(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(SPEC.replace("seed: 3", "seed: 4"), "utf-8")
    assert "another specification (seed differ)" in refused("simulate", other, "-o", world.root / "fields")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("seeds: 3", "line 1: nothing is called 'seeds'; did you mean seed?"),
        ("size_A: 5", "line 1: size_A"),
        ("hosts: [WSe2]\nblur_A: [0.5, 0.3]", "blur_A goes from low to high"),
        ("hosts: [Graphene]", "no host is called 'Graphene'"),
        ("settings: [{keV: 80, detectors: [[100, 50]]}]", "inner angle lies below"),
        ("settings: [{detectors: [[40, 90]]}]", "settings.0.keV"),
    ],
)
def test_a_wrong_specification_is_told_by_line(tmp_path: Path, text: str, want: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(text, "utf-8")
    assert want in refused("simulate", file, "-o", tmp_path / "out")


def test_the_truth_lies_where_the_columns_are(world: World) -> None:
    truth = rows(world.field / "truth.csv")
    found = rows(world.root / "out" / "columns.csv")
    true = np.array([[row["row [px]"], row["col [px]"]] for row in truth], float)
    mine = np.array([[row["row [px]"], row["col [px]"]] for row in found], float)
    distance = np.sqrt(((mine[:, None] - true[None]) ** 2).sum(-1)).min(1)
    assert np.median(distance) < 0.5
    assert {row["label"] for row in truth} >= {"W", "Se2", "Ti on W", "V_Se"}


def test_truth_against_itself_is_perfect_agreement(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier's own labels as truth: κ = 1, and every unknown label is counted."""
    table = rows(world.root / "out" / "columns.csv")
    table[0]["label"] = "dirt"
    truth = world.root / "own.csv"
    with truth.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    asked = (
        "evaluate",
        world.field / "image.tif",
        "-c",
        world.field / "context.yaml",
        "-m",
        world.model,
        "--truth",
        truth,
    )
    told = json.loads(invoke(*asked, "--json").stdout)
    assert told["accuracy"]["value"] == 1
    assert told["left_over"] == {"dirt": 1}
    assert told["scored"] == len(table) - 1
    result = invoke(*asked)
    assert result.exit_code == 0
    assert "left over: dirt (1)" in result.stdout


def test_labels_mean_what_the_rule_says() -> None:
    host = HOSTS["WSe2"]
    said = {
        name: meaning(name, host)
        for name in ("W", "Se2", "Ti on W", "Ti_W", "V", "V_Se", "V_Se2", "V_W", "D_M", "Au")
    }
    assert [one and one.role for one in said.values()] == [0, 1, 2, 2, 2, 3, 4, 5, 2, None]
    assert said["V"].element == "V"
    assert said["D_M"].element is None
    assert meaning("W", None) is None
    assert parse_names("0=W, 1=Ti on W") == {"0": "W", "1": "Ti on W"}
    with pytest.raises(SettingsError, match="--labels wants"):
        parse_names("0:W")


def test_arrays_of_numbers_are_labels_once_they_are_named(world: World, tmp_path: Path) -> None:
    truth = rows(world.field / "truth.csv")
    xy = np.array([[row["col [px]"], row["row [px]"]] for row in truth], float)
    number = {"W": 0, "Ti on W": 1, "Se2": 2}
    np.savez(tmp_path / "t.npz", xy=xy, label=[number.get(row["label"], 3) for row in truth])
    asked = ("evaluate", world.field / "image.tif", "-c", world.field / "context.yaml", "-m", world.model, "--json")
    told = json.loads(invoke(*asked, "--truth", tmp_path / "t.npz", "--labels", "0=W,1=Ti on W,2=Se2").stdout)
    assert list(told["left_over"]) == ["3"]
    assert told["classes"]["D_M"]["n"] > 0
    assert "means something" in refused(*asked, "--truth", tmp_path / "t.npz")


def test_a_page_asks_for_columns_and_its_answers_are_compared(world: World, tmp_path: Path) -> None:
    page = tmp_path / "rate.html"
    asked = (
        "rate",
        world.field / "image.tif",
        "-c",
        world.field / "context.yaml",
        "-m",
        world.model,
        "--n",
        "20",
        "-o",
        page,
    )
    assert "20 columns" in invoke(*asked).stdout
    text = page.read_text("utf-8")
    assert "Ti on W" in text
    assert "V_Se2" in text
    table = rows(world.root / "out" / "columns.csv")[:30]
    for rater, flip in (("ann", 0), ("bob", 3)):
        lines = ["image_id,x,y,rater,label,confidence,seconds"]
        for i, row in enumerate(table):
            name = "W" if i < flip else row["label"]
            x, y = float(row["x [angstrom]"]), float(row["y [angstrom]"])
            lines.append(f"{row['image id']},{x:.3f},{y:.3f},{rater},{name},3,1.5")
        (tmp_path / f"{rater}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    files = (tmp_path / "ann.csv", tmp_path / "bob.csv")
    columns = world.root / "out" / "columns.csv"
    told = json.loads(invoke("agree", *files, "--columns", columns, "--json").stdout)
    assert told["units"] == 30
    assert told["model"][0]["observed"] == 1
    assert "with the model" in invoke("agree", *files, "--columns", columns).stdout
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n", "utf-8")
    assert "no column label" in refused("agree", file)


def test_a_rater_without_a_host_is_refused(world: World, tmp_path: Path) -> None:
    assert "give --host" in refused(
        "rate", world.field / "image.tif", "-m", world.model, "-o", tmp_path / "rate.html"
    )


def test_training_writes_weights_that_classify_uses(world: World, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("[0.08, 0.08]", "[0.12, 0.12]"), "utf-8")
    asked = ("train", spec, "-o", tmp_path / "run", "--steps", "1", "--fields", "3", "--workers", "0", "--json")
    result = invoke(*asked)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert set(told["calibration"]["covered"]) == {"M", "X2", "D_M", "V_X", "V_X2", "V_M"}
    assert "## Calibration" in (tmp_path / "run" / "card.md").read_text("utf-8")
    again = json.loads(invoke(*asked).stdout)
    assert again["hash"] == told["hash"]
    assert "another specification or kind" in refused(
        "train", world.root / "spec.yaml", "-o", tmp_path / "run", "--steps", "1"
    )


def test_the_reference_is_compared_image_by_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the renderer itself in place of the multislice, r is 1 but for the shape of the scan."""
    pytest.importorskip("ase")
    from epistem.app import atoms_reference
    from epistem.atoms.dataset import Setting
    from epistem.atoms.kernels import shipped_bank

    def scan(atoms: Any, beam: Any, detectors: Any, *, shape: tuple[int, int], phonons: int) -> np.ndarray:
        return np.random.default_rng(0).random((len(detectors), *shape))

    monkeypatch.setattr(atoms_reference.multislice, "scan_image", scan)
    found = atoms_reference.compare(HOSTS["WSe2"], ("Ti",), Setting(keV=80), shipped_bank())
    assert found.renderer.shape == found.multislice.shape
    assert found.renderer[1].max() > 5 * found.renderer[1].min() > 0
    assert len(found.record()["r"]) == 2


def test_two_images_of_different_shape_are_no_field(tmp_path: Path) -> None:
    from epistem.app.atoms_images import read_field

    paths = [write_image(tmp_path / f"{n}.tif", np.ones((n, 64))) for n in (64, 65)]
    with pytest.raises(ShapeError, match=r"64 × 64 px in 64\.tif and 65 × 64 px in 65\.tif"):
        read_field(paths)
