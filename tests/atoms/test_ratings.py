from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from epistem.atoms.ratings import Rating, Unit, agree, labels_at, rating_table, read_ratings, unit_at
from epistem.core import RecordError, SettingsError
from epistem.stats.agreement import cohen_kappa, pair_table

LABELS = ("M", "X2", "D_M")
HEAD = "image_id,x,y,rater,label,confidence,seconds\n"


def file(tmp_path: Path, rows: str, name: str = "a.csv", head: str = HEAD) -> Path:
    path = tmp_path / name
    path.write_text(head + rows, "utf-8")
    return path


def said(rater: str, labels: str, *, apart_A: float = 50.0) -> list[Rating]:
    """One letter a column: M, X, D, or a dot where the rater could not tell."""
    names = {"M": "M", "X": "X2", "D": "D_M", ".": None}
    return [Rating(Unit("i", apart_A * k, 0.0), rater, names[c], 3, 2.0) for k, c in enumerate(labels)]


def test_a_file_is_read_as_the_page_wrote_it(tmp_path: Path) -> None:
    rows = '"a, b",1.200,3.4,Ann,D_M,2,4.25\n"a, b",5,6,Ann,,,0.5\n'
    first, second = read_ratings([file(tmp_path, rows)], LABELS)
    assert first == (Unit("a, b", 1.2, 3.4), "Ann", "D_M", 2, 4.25)
    assert second == (Unit("a, b", 5.0, 6.0), "Ann", None, None, 0.5)


def test_a_byte_order_mark_and_further_columns_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("note," + HEAD + "x,a,1,2,Ann,M,3,1\n", "utf-8-sig")
    assert read_ratings([path], LABELS)[0].label == "M"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a,1,2,Ann,W,3,1\n", "no label is called 'W'; there is D_M, M, X2"),
        ("a,one,2,Ann,M,3,1\n", "x is a number"),
        ("a,1,nan,Ann,M,3,1\n", "y is a number"),
        ("a,1,2,Ann,M,7,1\n", "confidence is 1, 2 or 3"),
        ("a,1,2,Ann,M,3,-1\n", "seconds is a number"),
        ("a,1,2,,M,3,1\n", "a rater"),
        ("a,1,2\n", "a rater"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_its_line(tmp_path: Path, row: str, says: str) -> None:
    good = "a,1,2,Ann,M,3,1\n"
    with pytest.raises(RecordError, match=f"a.csv, line 3: .*{says}"):
        read_ratings([file(tmp_path, good + row)], LABELS)


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no column rater, label"):
        read_ratings([file(tmp_path, "", head="image_id,x,y,confidence,seconds\n")], LABELS)
    with pytest.raises(RecordError, match=r"b\.csv cannot be read"):
        read_ratings([tmp_path / "b.csv"], LABELS)
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match=r"c\.csv cannot be read"):
        read_ratings([tmp_path / "c.csv"], LABELS)


def test_one_file_handed_in_twice_does_not_pass_for_repeats(tmp_path: Path) -> None:
    rows = "a,1,2,Ann,M,3,1.20\na,3,2,Ann,X2,3,2.31\n"
    more = rows + "a,5,2,Ann,M,3,2.75\n"
    with pytest.raises(RecordError, match="2 answers are both in"):
        read_ratings([file(tmp_path, rows), file(tmp_path, more, "b.csv")], LABELS)


def test_two_sessions_of_one_rater_are_repeats(tmp_path: Path) -> None:
    one, other = file(tmp_path, "a,1,2,Ann,M,3,1.2\n"), file(tmp_path, "a,1,2,Ann,X2,3,0.9\n", "b.csv")
    table = rating_table(read_ratings([one, other], LABELS), LABELS)
    assert (table.first.tolist(), table.again.tolist()) == ([[0.0]], [[1.0]])


def test_answers_become_units_by_raters_with_gaps() -> None:
    table = rating_table([*said("Bo", "MX"), *said("Ann", "M.D"), *said("Ann", ".X")], LABELS)
    assert table.raters == ("Ann", "Bo")
    nan = np.nan
    np.testing.assert_array_equal(table.first, [[0, 0], [nan, 1], [2, nan]])
    np.testing.assert_array_equal(table.again, [[nan, nan], [1, nan], [nan, nan]])


def test_two_raters_have_the_kappa_of_their_table() -> None:
    a, b = "MMMMXXXXDDDD", "MMMXXXXXDDDM"
    found = agree([*said("Ann", a), *said("Bo", b)], LABELS)
    (pair,) = found.pairs
    codes = [["MXD".index(one) for one in side] for side in (a, b)]
    assert pair.names == ("Ann", "Bo")
    assert pair.kappa == cohen_kappa(pair_table(*codes, classes=3))
    assert pair.n == 12
    assert pair.observed == pytest.approx(10 / 12)
    assert pair.band == "substantial"
    assert pair.interval is not None
    assert pair.interval.low < pair.kappa < pair.interval.high
    assert pair.bias == pytest.approx((0, -1 / 12, 1 / 12))
    assert found.fleiss is not None
    assert found.fleiss.value == pytest.approx(pair.kappa, abs=0.01)
    assert found.intra == ()


def test_a_rater_is_held_against_the_own_repeats() -> None:
    found = agree([*said("Ann", "MXDMXD"), *said("Ann", "MXX")], LABELS)
    (intra,) = found.intra
    assert intra.names == ("Ann", "Ann")
    assert (intra.n, intra.observed) == (3, pytest.approx(2 / 3))
    assert found.pairs == ()
    assert found.fleiss is found.krippendorff is None


def test_the_majority_says_nothing_on_a_tie() -> None:
    found = agree([*said("Ann", "MMM."), *said("Bo", "MXM."), *said("Cy", "XDX.")], LABELS)
    assert found.majority == ("M", None, "M", None)


def test_a_model_is_held_against_each_rater_and_the_majority() -> None:
    ratings = [*said("Ann", "MXDM"), *said("Bo", "MXDX"), *said("Cy", "MXDX")]
    model = {rating.unit: rating.label or "" for rating in said("", "MXD")}
    found = agree(ratings, LABELS, model=model)
    assert [pair.names for pair in found.model] == [
        ("model", "Ann"), ("model", "Bo"), ("model", "Cy"), ("model", "majority"),
    ]  # fmt: skip
    assert all((pair.n, pair.kappa) == (3, 1.0) for pair in found.model)


def test_a_model_of_other_columns_or_labels_is_refused() -> None:
    ratings = said("Ann", "MX")
    with pytest.raises(SettingsError, match="none of the rated columns"):
        agree(ratings, LABELS, model={Unit("other", 0, 0): "M"})
    with pytest.raises(SettingsError, match="V_M"):
        agree(ratings, LABELS, model={ratings[0].unit: "V_M"})


def test_columns_of_one_block_are_drawn_together() -> None:
    ratings = [*said("Ann", "MMMMXXXXDDDD", apart_A=3), *said("Bo", "MMMXXXXXDDDM", apart_A=3)]
    assert agree(ratings, LABELS, block_A=40).pairs[0].interval is None  # all within one
    narrow = agree(ratings, LABELS, block_A=3).pairs[0].interval
    assert narrow is not None


def test_what_could_not_be_told_is_counted() -> None:
    found = agree([*said("Ann", "M..X"), *said("Bo", "MXDX")], LABELS)
    assert found.cannot_tell == {"Ann": 2, "Bo": 0}
    assert found.rated == {"Ann": 4, "Bo": 4}
    assert found.pairs[0].n == 2
    assert found.median_seconds == {"Ann": 2.0, "Bo": 2.0}


def test_an_agreement_can_be_written_as_json() -> None:
    found = agree([*said("Ann", "MXD"), *said("Bo", "MXX")], LABELS)
    back = json.loads(json.dumps(dataclasses.asdict(found)))
    assert back["pairs"][0]["table"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert back["units"][1] == ["i", 50.0, 0.0]


def test_a_column_of_the_model_is_that_of_the_rating_if_it_is_near() -> None:
    units = [unit_at("i", 10, 20, 0.4), unit_at("i", 30, 20, 0.4), unit_at("j", 10, 20, 0.4)]
    assert units[0] == Unit("i", 8.0, 4.0)
    found = labels_at(units, "i", [[10.5, 20.5], [33, 20]], ["M", "X2"], pixel_A=0.4)
    assert found == {units[0]: "M"}
    assert labels_at(units, "i", np.empty((0, 2)), [], pixel_A=0.4) == {}


def test_no_ratings_have_no_agreement() -> None:
    with pytest.raises(SettingsError, match="needs ratings"):
        agree([], LABELS)
