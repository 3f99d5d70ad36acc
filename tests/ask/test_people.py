from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epistem.ask.people import agreements, as_classes, icc, read_ratings
from epistem.ask.records import Grade, Pair
from epistem.core.errors import RecordError, SettingsError, ShapeError

HEAD = "answered,pair,rater,assessment,value,seconds\n"


def saved(path: Path, *rows: str) -> Path:
    path.write_text(HEAD + "".join(row + "\n" for row in rows), "utf-8")
    return path


def grades(judge: str, scores: list[float | None], assessment: str = "quality", repeat: int = 0) -> list[Grade]:
    return [
        Grade.model_validate({
            "answered": f"a{i}", "pair": f"p{i}", "judge": judge, "assessment": assessment, "score": score,
            "repeat": repeat,
        })
        for i, score in enumerate(scores)
    ]  # fmt: skip


PAIRS = [
    Pair(id=f"p{i}", figure="f", paper=str(i % 4), question="?", answer="!", category="general") for i in range(12)
]
SCORES: list[float | None] = [5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 10, 90]


def test_people_are_read_as_judges_and_a_second_row_is_a_repeat(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.csv", "a1,p1,Ann,quality,80,3.5", "a1,p1,Ann,quality,70,2", "a1,p1,Bo,quality,,1",
                 "a2,p2,Ann,defect,NA,1", "a3,p3,Ann,defect,0,1")  # fmt: skip
    found = read_ratings([path])
    assert [(one.judge, one.score, one.repeat) for one in found[:2]] == [("person:Ann", 80, 0), ("person:Ann", 70, 1)]
    assert found[2].score is None
    assert found[2].why == "could not tell"
    assert [(one.verdict, one.score) for one in found[3:]] == [("NA", None), ("0", 0.0)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a1,p1,Ann,quality,101,1", "from 0 to 100"),
        ("a1,p1,Ann,quality,good,1", "from 0 to 100"),
        ("a1,p1,Ann,quality,NA,1", "from 0 to 100"),
        ("a1,p1,Ann,features,0.5,1", "from 1 to 4"),
        ("a1,p1,Ann,defect,2,1", "1, 0 or NA"),
        ("a1,p1,Ann,beauty,1,1", "assessment is"),
        (",p1,Ann,quality,1,1", "has an answered"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_its_line(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(RecordError, match=f"line 2.*{says}"):
        read_ratings([saved(tmp_path / "a.csv", row)])


def test_files_that_are_missing_foreign_or_doubled_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(RecordError, match="cannot be read"):
        read_ratings([tmp_path / "none.csv"])
    with pytest.raises(RecordError, match="no column answered"):
        read_ratings([tmp_path / "b.csv"])
    one, other = (saved(tmp_path / name, "a1,p1,Ann,quality,80,3.5") for name in ("one.csv", "other.csv"))
    with pytest.raises(RecordError, match="same answers"):
        read_ratings([one, other])


def test_a_judge_that_says_what_people_say_agrees_and_one_that_says_the_contrary_does_not() -> None:
    turned = [None if one is None else 100 - one for one in SCORES]
    same, other = (
        agreements([*grades("person:Ann", SCORES), *grades("model:x", values)], PAIRS, "quality")[0]
        for values in (SCORES, turned)
    )
    assert same.names == ("model:x", "person:Ann")
    assert (same.n, same.kappa, same.icc, same.alpha, same.difference) == (12, 1, 1, 1, 0)
    assert same.accepted is True
    assert other.kappa is not None
    assert other.kappa < 0
    assert other.accepted is False


def test_answers_without_both_scores_are_left_out() -> None:
    found = agreements([*grades("a", SCORES), *grades("b", [None, *SCORES[1:]])], PAIRS, "quality")[0]
    assert found.n == 11
    nothing = agreements([*grades("a", SCORES), *grades("b", [None] * 12)], PAIRS, "quality")[0]
    assert (nothing.n, nothing.kappa, nothing.icc, nothing.accepted) == (0, None, None, None)


def test_repeats_tell_how_far_one_agrees_with_oneself() -> None:
    found = agreements([*grades("a", SCORES), *grades("a", SCORES, repeat=1)], PAIRS, "quality")
    assert [one.names for one in found] == [("a", "a")]
    assert found[0].kappa == 1


def test_verdicts_get_kappa_and_pabak_and_no_icc() -> None:
    first: list[float | None] = [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    second: list[float | None] = [1, 1, 1, 1, 1, 1, 1, 0, 0, 1]
    both = [*grades("a", first, "defect"), *grades("b", second, "defect")]
    found = agreements(both, PAIRS, "defect")[0]
    assert found.pabak == pytest.approx(0.6)
    assert found.kappa == pytest.approx(0.375)
    assert found.icc is None


def test_icc_falls_with_a_shift_between_raters_and_is_none_where_nothing_varies() -> None:
    values = np.arange(10.0)
    assert icc(np.stack([values, values], 1)) == pytest.approx(1)
    shifted = icc(np.stack([values, values + 5], 1))
    assert shifted is not None
    assert shifted < 0.6
    assert icc(np.ones((5, 2))) is None
    assert icc(np.ones((1, 2))) is None
    with pytest.raises(ShapeError, match="units, raters"):
        icc([1.0, 2.0])


def test_grades_of_features_are_rounded_half_up() -> None:
    assert as_classes("features", [1, 1.5, 2.5, 4]).tolist() == [0, 1, 2, 3]


def test_no_grade_of_that_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="no grade is of defect"):
        agreements(grades("a", SCORES), PAIRS, "defect")
