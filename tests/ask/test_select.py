from __future__ import annotations

import pytest
from PIL import Image

from epistem.ask.records import CATEGORIES, Figure, Pair, Paper
from epistem.ask.select import (
    PUBLISHED,
    Filter,
    carry_over,
    category_shares,
    manifest,
    select,
    split_by_paper,
    with_split,
    write_manifest,
)
from epistem.core import SettingsError


def figure(paper: str = "10.1016/a", number: str = "1", **more) -> Figure:
    about = {key: more.pop(key) for key in ("year", "publisher", "licence", "title", "keywords") if key in more}
    return Figure(
        id=f"{paper}{number}", paper=Paper(id=paper, doi=paper, **about), figure=number, image=f"{number}.png", **more
    )


def glass(**more) -> Figure:
    full = {
        "year": 2015,
        "publisher": "Elsevier",
        "title": "Glass",
        "technique": "SEM",
        "keywords": ("scanning electron microscopy",),
    }
    return figure(**(full | more))


def test_the_published_filter_lets_a_paper_on_glass_through():
    assert len(select([glass()], PUBLISHED).figures) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"year": 2010}, "year"),
        ({"year": None}, "year unknown"),
        ({"publisher": "MDPI"}, "publisher"),
        ({"publisher": None}, "publisher unknown"),
        ({"title": "Steel"}, "without the key word 'glass'"),
        ({"technique": "plot"}, "technique plot"),
        ({"technique": None}, "technique unknown"),
        ({"review": "rejected", "review_reason": "blurred"}, "rejected by a person"),
    ],
)
def test_what_is_left_out_is_counted_with_its_reason(change, why):
    assert select([glass(**change)], PUBLISHED) == ((), {why: 1})


def test_cc_by_does_not_let_non_commercial_through():
    kept = select([glass(licence="CC BY 4.0"), glass(licence="CC BY-NC 4.0")], Filter(licences=("CC BY",))).figures
    assert [one.paper.licence for one in kept] == ["CC BY 4.0"]


def test_a_split_keeps_each_paper_whole_and_does_not_hang_on_order():
    papers = [f"p{at}" for at in range(40)]
    one, other = split_by_paper(papers * 2, seed=3), split_by_paper(papers[::-1], seed=3)
    assert one == other
    assert [list(one.values()).count(name) for name in ("train", "validation", "test")] == [28, 6, 6]
    assert split_by_paper(papers, seed=4) != one


def test_papers_that_have_a_split_keep_it_when_others_come():
    first = split_by_paper([f"p{at}" for at in range(20)], seed=0)
    more = split_by_paper([f"p{at}" for at in range(40)], seed=0, dealt=first)
    assert first.items() <= more.items()
    assert [list(more.values()).count(name) for name in ("train", "validation", "test")] == [28, 6, 6]
    assert more == split_by_paper([f"p{at}" for at in range(40)][::-1], seed=0, dealt=first)


def test_new_papers_go_where_papers_are_wanting():
    all_train = {f"p{at}": "train" for at in range(10)}
    found = split_by_paper([*all_train, "x", "y"], seed=0, dealt=all_train | {"gone": "test"})
    assert {found["x"], found["y"]} == {"validation", "test"}
    assert "gone" not in found


def test_a_review_goes_over_to_the_figure_as_it_is_read_again(tmp_path):
    was = figure(review="fixed", review_reason="scale (Ann)", caption="Right.", nm_per_px=2.0, technique="SEM")
    (got,) = carry_over([figure(caption="Wrong.", split="test")], [was], tmp_path)
    assert (got.review, got.review_reason, got.caption, got.technique) == ("fixed", "scale (Ann)", "Right.", "SEM")
    assert got.nm_per_px == 2.0
    assert carry_over([figure("other")], [was], tmp_path) == [figure("other")]


def test_a_corrected_scale_stays_with_its_pixels(tmp_path):
    for name, side in (("old", 20), ("new", 40)):
        Image.new("L", (side, side)).save(tmp_path / f"{name}.png")
    was = figure(review="fixed", nm_per_px=2.0).model_copy(update={"image": "old.png", "sha256": "a"})
    now = figure(nm_per_px=1.0).model_copy(update={"image": "new.png", "sha256": "b"})
    (got,) = carry_over([now], [was], tmp_path)
    assert (got.review, got.nm_per_px) == ("fixed", 1.0)


def test_three_papers_give_one_to_each_split():
    shares = {"train": 0.98, "validation": 0.01, "test": 0.01}
    found = split_by_paper("abc", seed=0, shares=shares)
    assert sorted(found.values()) == ["test", "train", "validation"]


def test_no_papers_give_no_split():
    assert split_by_paper([], seed=0) == {}


def test_shares_that_do_not_add_up_are_refused():
    with pytest.raises(SettingsError, match="add up to 1"):
        split_by_paper(["a"], seed=0, shares={"train": 0.5})


def test_a_paper_outside_the_split_is_refused():
    with pytest.raises(SettingsError, match="in no split"):
        with_split([figure("x")], {"y": "train"})


def test_the_manifest_lists_papers_by_split_with_their_images(tmp_path):
    figures = with_split([figure("b"), figure("a"), figure("a", "2")], {"a": "train", "b": "test"})
    rows = manifest(figures)
    assert [(row.split, row.doi, row.figures, row.files) for row in rows] == [
        ("train", "a", 2, "1.png 2.png"),
        ("test", "b", 1, "1.png"),
    ]
    assert write_manifest(tmp_path / "s1.csv", figures) == 2
    assert (tmp_path / "s1.csv").read_text("utf-8").splitlines()[1].startswith("train,a,a,")


def test_shares_of_categories_are_by_split_and_add_up_to_one():
    pairs = [
        Pair(id=str(at), figure="f", paper="p", question="q", answer="a", category=name, split="train")
        for at, name in enumerate(("general", "general", "morphology", "defect_fracture"))
    ]
    shares = category_shares(pairs)
    assert list(shares) == ["train"]
    assert shares["train"]["general"] == 0.5
    assert list(shares["train"]) == list(CATEGORIES)
    assert sum(shares["train"].values()) == 1
