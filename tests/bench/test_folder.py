from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from epistem.bench.examples import read_example
from epistem.bench.folder import profile_from_folder
from epistem.bench.groups import guess_groups, read_groups
from epistem.bench.objective import profile_from_text
from epistem.bench.profile import Profile
from epistem.core import EpistemError, RecordError, SettingsError, ShapeError

Pairs = Callable[..., None]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def noise(seed: int, shape: tuple[int, ...] = (12, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def stripes(value: int = 1) -> np.ndarray:
    mask = np.zeros((12, 16), np.uint8)
    mask[::2] = value
    return mask


def notes(profile: Profile) -> str:
    return "\n".join(profile.dataset.metadata.notes)


def test_a_folder_gives_pairs_classes_groups_sizes_and_balance(profile: Profile) -> None:
    dataset, counted = profile.dataset, profile.dataset.metadata.counted
    assert counted is not None
    assert (dataset.id, len(dataset.pairs), counted.groups) == ("steel", 10, 5)
    assert dataset.pairs[0].image == "images/s0_0.png"
    assert dataset.pairs[0].mask == "masks/s0_0.png"
    assert [one.values for one in profile.task.classes] == [(0,), (1,)]
    assert counted.class_share == {"background": 0.5, "foreground": 0.5}
    assert (counted.sizes[0].rows_px, counted.sizes[0].cols_px, counted.empty_masks) == (12, 16, 0)
    assert profile.lacking() == []


def test_what_is_guessed_is_said_and_what_is_unknown_stays_open(profile: Profile) -> None:
    assert "groups are a guess" in notes(profile)
    assert "class names are placeholders (background, foreground)" in profile.notes()[0]
    assert "no pixel size in the files" in notes(profile)
    assert profile.dataset.resolution is None
    assert profile.dataset.modality is None
    assert profile.task.objective is None


@pytest.mark.parametrize("ending", ["_mask", "_label", "_gt", "-seg", "_Masks"])
def test_masks_beside_their_images_are_told_by_their_ending(tmp_path: Path, ending: str) -> None:
    for i in range(3):
        save(tmp_path / f"x{i}.png", noise(i))
        save(tmp_path / f"x{i}{ending}.png", stripes())
    pairs = profile_from_folder(tmp_path).dataset.pairs
    assert [(pair.image, pair.mask) for pair in pairs] == [(f"x{i}.png", f"x{i}{ending}.png") for i in range(3)]


def test_of_two_files_of_one_name_the_one_with_few_values_is_the_mask(tmp_path: Path) -> None:
    for i in range(3):
        tifffile.imwrite(tmp_path / f"x{i}.tif", noise(i))
        save(tmp_path / f"x{i}.png", stripes())
    profile = profile_from_folder(tmp_path)
    assert [pair.mask for pair in profile.dataset.pairs] == ["x0.png", "x1.png", "x2.png"]
    assert "taken for the mask" in notes(profile)


def test_sub_folders_are_groups_but_train_and_test_are_not(tmp_path: Path) -> None:
    for i, part in enumerate(("train", "val", "test")):
        for specimen in "abc":
            save(tmp_path / part / "images" / f"{specimen}_{i}.png", noise(10 * i + ord(specimen)))
            save(tmp_path / part / "labels" / f"{specimen}_{i}.png", stripes())
    assert {pair.group for pair in profile_from_folder(tmp_path).dataset.pairs} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["spot1_0d_0", "spot1_180d_5", "spot2_0d_0", "spot3_0d_3"], {"spot1", "spot2", "spot3"}),
        (["Slice1Top_0", "Slice-2Top_9", "Slice1Bottom_3"], {"Slice1Top", "Slice-2Top", "Slice1Bottom"}),
        (["a_0.25_0.000", "a_0.5_1.000", "a_0.75_2.000"], {"a_0.25", "a_0.5", "a_0.75"}),
        (["03a1d18c", "06f605c0", "07330c8e"], {"03a1d18c", "06f605c0", "07330c8e"}),
        (["oxide", "steel", "glass"], {"oxide", "steel", "glass"}),
        (["a/x_1", "b/x_1", "c/x_1"], {"a", "b", "c"}),
    ],
)
def test_groups_are_guessed_from_names(names: list[str], groups: set[str]) -> None:
    assert set(guess_groups([f"{name}.png" for name in names]).groups.values()) == groups


def test_a_series_of_one_specimen_is_cut_into_blocks_of_neighbours() -> None:
    guess = guess_groups([f"slice_{i}.png" for i in range(11)])
    blocks = [guess.groups[f"slice_{i}.png"] for i in range(11)]
    assert blocks == sorted(blocks)  # 10 comes after 9 and not after 1
    assert len(set(blocks)) == 5
    assert "optimistic" in guess.note


def test_groups_that_are_told_are_taken(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    rows = [f"s{s}_{i}.png,{'xyz'[s % 3]}" for s in range(5) for i in range(2)]
    table.write_text("\n".join(["file,doi", *rows]), "utf-8")
    profile = profile_from_folder(folder, groups=read_groups(table, "doi"))
    assert {pair.group for pair in profile.dataset.pairs} == {"x", "y", "z"}
    assert "groups are a guess" not in notes(profile)
    with pytest.raises(SettingsError, match="did you mean 'doi'"):
        read_groups(table, "dio")
    with pytest.raises(SettingsError, match=r"no group is given for images/s0_1\.png"):
        profile_from_folder(folder, groups={"s0_0": "x"})


def test_numbered_objects_become_one_class(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), np.uint8)
    for i in range(25):
        mask[8 * (i // 5) : 8 * (i // 5) + 5, 8 * (i % 5) : 8 * (i % 5) + 5] = i + 1
    for i in range(3):
        save(tmp_path / "images" / f"{i}.png", noise(i, (40, 40)))
        save(tmp_path / "masks" / f"{i}.png", mask)
    profile = profile_from_folder(tmp_path)
    assert profile.task.mask_kind == "instances"
    example = read_example(profile, profile.dataset.pairs[0], tmp_path)
    np.testing.assert_array_equal(example.labels, mask > 0)
    assert "numbered objects, by the look of them" in notes(profile)


def test_a_few_plain_colours_are_classes(tmp_path: Path) -> None:
    mask = np.zeros((12, 16, 3), np.uint8)
    mask[:4, :, 0] = 255
    for i in range(3):
        save(tmp_path / "images" / f"{i}.png", noise(i))
        save(tmp_path / "masks" / f"{i}.png", mask if i else np.zeros_like(mask))
    profile = profile_from_folder(tmp_path)
    assert [one.values for one in profile.task.classes] == [("#000000",), ("#ff0000",)]
    assert read_example(profile, profile.dataset.pairs[1], tmp_path).labels.sum() == 64
    assert profile.dataset.metadata.counted is not None
    assert profile.dataset.metadata.counted.empty_masks == 1


def test_a_palette_is_read_by_its_numbers(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "images" / f"{i}.png", noise(i))
        picture = Image.fromarray(stripes(2)).convert("P")
        picture.putpalette([0, 0, 0, 9, 9, 9, 255, 0, 0])
        (tmp_path / "masks").mkdir(exist_ok=True)
        picture.save(tmp_path / "masks" / f"{i}.png")
    assert [one.values for one in profile_from_folder(tmp_path).task.classes] == [(0,), (2,)]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (noise(9, (12, 16, 3)), r"colours: an overlay on the image rather than a mask"),
        (noise(9), r"grey values, too many for classes"),
    ],
)
def test_a_picture_that_is_no_mask_is_refused(tmp_path: Path, mask: np.ndarray, words: str) -> None:
    save(tmp_path / "images" / "a.png", noise(0))
    save(tmp_path / "masks" / "a.png", mask)
    with pytest.raises(RecordError, match=words):
        profile_from_folder(tmp_path)


def test_colour_images_name_their_channels_and_grey_among_them_is_refused(folder: Path) -> None:
    for i, path in enumerate(sorted((folder / "images").iterdir())):
        save(path, noise(i, (12, 16, 3)))
    profile = profile_from_folder(folder)
    assert profile.dataset.channels == ("red", "green", "blue")
    assert read_example(profile, profile.dataset.pairs[0], folder).image.shape == (3, 12, 16)
    save(folder / "images" / "s3_0.png", noise(3))
    with pytest.raises(RecordError, match=r"s0_0\.png is of channels red, green, blue and images/s3_0\.png is grey"):
        profile_from_folder(folder)


def test_a_stack_is_as_many_pairs_in_blocks(tmp_path: Path) -> None:
    stack = noise(0, (10, 12, 16))
    masks = np.stack([stripes(i % 2) for i in range(10)])
    for name, array in (("volume.tif", stack), ("volume_mask.tif", masks)):
        tifffile.imwrite(tmp_path / name, array, imagej=True, metadata={"axes": "ZYX"})
    profile = profile_from_folder(tmp_path)
    pairs = profile.dataset.pairs
    assert [pair.slice for pair in pairs] == list(range(10))
    assert len({pair.group for pair in pairs}) == 5
    example = read_example(profile, pairs[3], tmp_path)
    np.testing.assert_array_equal(example.image[0], stack[3])
    np.testing.assert_array_equal(example.labels, masks[3])


def write_coco(folder: Path, *, segmentation: list[list[int]] | None) -> None:
    records = []
    for i in range(3):
        save(folder / "images" / f"{i}.png", noise(i))
        record = {"id": i, "image_id": i, "category_id": 0, "bbox": [2, 1, 4, 3]}
        records.append(record | ({"segmentation": segmentation} if segmentation else {}))
    images = [{"id": i, "file_name": f"{i}.png", "height": 12, "width": 16} for i in range(3)]
    categories = [{"id": 0, "name": "melt pool"}]
    data = {"images": images, "annotations": records, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(data), "utf-8")


def test_polygons_are_painted(tmp_path: Path) -> None:
    write_coco(tmp_path, segmentation=[[2, 1, 6, 1, 6, 4, 2, 4]])
    profile = profile_from_folder(tmp_path)
    assert [one.name for one in profile.task.classes] == ["background", "melt pool"]
    labels = read_example(profile, profile.dataset.pairs[0], tmp_path).labels
    assert labels.sum() == 12
    assert labels[1:4, 2:6].all()


def test_where_polygons_overlap_the_smaller_is_on_top_and_it_is_told(tmp_path: Path) -> None:
    write_coco(tmp_path, segmentation=[[2, 1, 6, 1, 6, 4, 2, 4]])
    data = json.loads((tmp_path / "coco.json").read_text("utf-8"))
    data["categories"].append({"id": 1, "name": "pore"})
    small = {"id": 9, "image_id": 0, "category_id": 1, "segmentation": [[3, 2, 5, 2, 5, 3, 3, 3]]}
    data["annotations"].insert(0, small)
    (tmp_path / "coco.json").write_text(json.dumps(data), "utf-8")
    profile = profile_from_folder(tmp_path)
    labels = read_example(profile, profile.dataset.pairs[0], tmp_path).labels
    assert [(labels == i).sum() for i in (1, 2)] == [10, 2]
    assert "2 pixels lie in polygons of two classes" in notes(profile)


def test_boxes_without_polygons_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, segmentation=None)
    with pytest.raises(RecordError, match="boxes without outlines"):
        profile_from_folder(tmp_path)


def test_pixel_size_and_instrument_come_from_the_files(tmp_path: Path) -> None:
    for i in range(3):
        scale = {"resolution": (2.0, 2.0), "metadata": {"unit": "nm", "axes": "YX"}}
        tifffile.imwrite(tmp_path / f"x{i}.tif", noise(i), imagej=True, **scale)
        save(tmp_path / f"x{i}_mask.png", stripes())
    resolution = profile_from_folder(tmp_path).dataset.resolution
    assert resolution is not None
    assert (resolution.value, resolution.unit, resolution.per) == (0.5, "nm", "px")


def test_pixel_sizes_that_differ_are_told_and_none_is_taken(tmp_path: Path) -> None:
    for i in range(3):
        scale = {"resolution": (2.0 + i, 2.0 + i), "metadata": {"unit": "nm", "axes": "YX"}}
        tifffile.imwrite(tmp_path / f"x{i}.tif", noise(i), imagej=True, **scale)
        save(tmp_path / f"x{i}_mask.png", stripes())
    profile = profile_from_folder(tmp_path)
    assert profile.dataset.resolution is None
    assert "pixel sizes differ, 0.25 to 0.5 nm" in notes(profile)


def test_a_mask_of_another_size_is_refused_by_name(folder: Path) -> None:
    save(folder / "masks" / "s1_0.png", stripes()[:, :-1])
    with pytest.raises(ShapeError, match=r"images/s1_0\.png is 12 × 16 .* masks/s1_0\.png is 12 × 15"):
        profile_from_folder(folder)


def test_a_value_without_a_class_is_refused_by_name(folder: Path, profile: Profile) -> None:
    save(folder / "masks" / "s0_0.png", stripes(7))
    with pytest.raises(RecordError, match=r"masks/s0_0\.png holds 7 \(50\.00% of its pixels\), which no class has"):
        read_example(profile, profile.dataset.pairs[0], folder)


def test_an_ignored_value_is_neither_class(folder: Path, profile: Profile) -> None:
    save(folder / "masks" / "s0_0.png", stripes(7))
    task = profile.task.model_copy(update={"ignore_values": (7,)})
    labels = read_example(profile.model_copy(update={"task": task}), profile.dataset.pairs[0], folder).labels
    assert set(np.unique(labels)) == {-1, 0}


def test_a_pixel_that_was_not_recorded_is_ignored(tmp_path: Path) -> None:
    for i in range(3):
        pixels = noise(i).astype(np.float32)
        pixels[0, 5] = np.nan
        tifffile.imwrite(tmp_path / f"x{i}.tif", pixels)
        save(tmp_path / f"x{i}_mask.png", stripes())
    profile = profile_from_folder(tmp_path)
    labels = read_example(profile, profile.dataset.pairs[0], tmp_path).labels
    assert np.argwhere(labels == -1).tolist() == [[0, 5]]
    assert profile.dataset.metadata.counted is not None
    assert profile.dataset.metadata.counted.ignored_share == pytest.approx(1 / 192)


def test_empty_masks_are_counted(folder: Path) -> None:
    save(folder / "masks" / "s0_0.png", np.zeros((12, 16), np.uint8))
    profile = profile_from_folder(folder)
    assert profile.dataset.metadata.counted is not None
    assert profile.dataset.metadata.counted.empty_masks == 1
    assert "1 masks hold background only" in notes(profile)


def test_masks_that_are_all_empty_are_refused(tmp_path: Path, pairs: Pairs) -> None:
    for i in range(3):
        pairs(tmp_path, f"{i}.png", seed=i, values=(0,))
    with pytest.raises(RecordError, match="all 3 masks hold 0 throughout"):
        profile_from_folder(tmp_path)


def test_the_same_picture_in_two_groups_is_refused(folder: Path) -> None:
    (folder / "images" / "s4_1.png").write_bytes((folder / "images" / "s0_0.png").read_bytes())
    with pytest.raises(
        RecordError, match=r"s0_0\.png and images/s4_1\.png are the same picture, in groups 's0' and 's4'"
    ):
        profile_from_folder(folder)


def test_the_same_picture_twice_in_a_group_is_told(folder: Path) -> None:
    (folder / "images" / "s0_1.png").write_bytes((folder / "images" / "s0_0.png").read_bytes())
    assert "1 pictures are there twice" in notes(profile_from_folder(folder))


def test_one_image_is_refused_with_what_can_still_be_done(tmp_path: Path, pairs: Pairs) -> None:
    pairs(tmp_path, "a.png", seed=0)
    with pytest.raises(SettingsError, match=r"has 1 image; .*What can still be done: cut an image into pieces"):
        profile_from_folder(tmp_path)


def test_one_group_is_refused_with_what_can_still_be_done(folder: Path) -> None:
    groups = {path.name: "one" for path in (folder / "images").iterdir()}
    with pytest.raises(SettingsError, match=r"has 1 group, one \(10\); .*What can still be done: add images"):
        profile_from_folder(folder, groups=groups)


def test_images_without_mask_and_masks_without_image_are_counted(folder: Path) -> None:
    (folder / "masks" / "s0_0.png").unlink()
    (folder / "images" / "s1_0.png").unlink()
    profile = profile_from_folder(folder)
    assert len(profile.dataset.pairs) == 8
    assert "1 images have no mask and are left out: images/s0_0.png" in notes(profile)
    assert "1 masks have no image and are left out: masks/s1_0.png" in notes(profile)


def test_a_folder_without_masks_says_what_it_wants(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0))
    with pytest.raises(SettingsError, match=r"holds 1 images and no masks; wanted images/ beside masks/"):
        profile_from_folder(tmp_path)
    with pytest.raises(SettingsError, match="is no folder"):
        profile_from_folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "modality", "classes"),
    [
        ("identify grain boundaries in AFM images of WS2", "AFM", ["grain boundary"]),
        ("Pores and cracks in X-ray computed tomography", "XCT", ["pore", "crack"]),
        ("segment precipitates in SEM, not cracks or pores", "SEM", ["precipitate"]),
        ("pores, not cracks, in SEM images", "SEM", ["pore"]),
        ("cracks in oxide, scanning transmission electron microscopy", "STEM", ["crack"]),
        ("HAADF-STEM of Pt nanoparticles", "STEM", ["nanoparticle"]),
        ("Find fibres in µCT scans. Find voids too.", "XCT", ["fibre", "void"]),
        ("melt pools in optical micrographs of 316L", "Optical", ["melt pool"]),
        ("compare SEM and TEM of voids", None, ["void"]),
        ("phase contrast images of an item", None, []),
        ("", None, []),
    ],
)
def test_a_sentence_gives_modality_and_classes(text: str, modality: str | None, classes: list[str]) -> None:
    profile = profile_from_text(text)
    assert profile.dataset.modality == modality
    assert [one.name for one in profile.task.classes[1:]] == classes
    assert profile.task.objective == (text or None)
    assert profile.task.difficulty is None


def test_a_sentence_names_as_many_classes_as_there_are_and_their_shares(pairs: Pairs, tmp_path: Path) -> None:
    for i in range(4):
        pairs(tmp_path, f"s{i}.png", seed=i, values=(0, 1, 2, 0))
    profile = profile_from_folder(tmp_path)
    told = profile_from_text("segment pores and cracks in XCT slices", profile)
    assert [one.name for one in told.task.classes] == ["background", "pore", "crack"]
    assert told.dataset.metadata.counted is not None
    assert set(told.dataset.metadata.counted.class_share) == {"background", "pore", "crack"}
    assert "placeholders" not in "".join(told.notes())
    fewer = profile_from_text("segment pores in XCT slices", profile)
    assert [one.name for one in fewer.task.classes[1:]] == ["class 1", "class 2"]
    assert "the text names pore, the masks have class 1, class 2: which is which" in fewer.notes()[-1]


def test_the_note_about_placeholders_goes_when_the_classes_are_named(profile: Profile) -> None:
    metadata = profile.dataset.metadata.model_copy(update={"notes": ("class names are placeholders (a); name them",)})
    old = profile.model_copy(update={"dataset": profile.dataset.model_copy(update={"metadata": metadata})})
    assert "(background, foreground)" in old.notes()[0]
    assert profile_from_text("find pores", old).notes() == ()


def test_a_sentence_names_the_one_class_of_a_folder_and_overrules_nothing(profile: Profile) -> None:
    told = profile_from_text("find pores in SEM images", profile)
    assert [(one.name, one.values) for one in told.task.classes] == [("background", (0,)), ("pore", (1,))]
    again = profile_from_text("find cracks in AFM images", told)
    assert (again.dataset.modality, again.task.objective) == ("SEM", "find pores in SEM images")
    assert again.task.classes == told.task.classes


STUDY = {
    "ebc_oxide_sem": (22, 8, 3),
    "meltpool_optical": (80, 6, 2),
    "superalloy_sem": (18, 7, 3),
    "pitting_optical": (100, 4, 2),
    "pores_xct": (14, 5, 3),
    "dna_afm": (4, 4, 3),
    "pt_alumina_haadf": (45, 5, 3),
    "particles_emps": (120, 120, 2),
    "loops_316l": (17, 6, 2),
}


@pytest.mark.study
@pytest.mark.skipif("EPISTEM_STUDY_DATA" not in os.environ, reason="EPISTEM_STUDY_DATA is not set")
@pytest.mark.parametrize("name", STUDY)
def test_real_folders_become_profiles(name: str) -> None:
    folder = Path(os.environ["EPISTEM_STUDY_DATA"]) / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not among the study data")
    try:
        profile = profile_from_folder(folder, scale_bars=False)
    except EpistemError as error:  # pragma: no cover
        pytest.fail(str(error))
    counted = profile.dataset.metadata.counted
    assert counted is not None
    assert (counted.images, counted.groups, len(profile.task.classes)) == STUDY[name]
    assert profile.lacking() == []


def test_a_class_on_few_pixels_may_be_a_mark_for_pixels_to_ignore(tmp_path: Path) -> None:
    for i in range(3):
        mask = np.resize(np.repeat([0, 1], 8), (16, 16)).astype(np.uint8)
        mask[0, 0] = 7
        save(tmp_path / f"x{i}.png", mask * 0 + i)
        save(tmp_path / f"x{i}_mask.png", mask)
    assert "class 7 (mask value 7) is on 0.4% of the pixels; if it marks pixels to ignore" in notes(
        profile_from_folder(tmp_path)
    )
