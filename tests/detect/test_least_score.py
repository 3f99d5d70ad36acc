"""From which score on a detector holds an object for found."""

from __future__ import annotations

from pathlib import Path

import pytest

from epistem.core import RecordError
from epistem.detect import least_score, make_detector


@pytest.mark.parametrize("name", ["log", "otsu-watershed"])
def test_detectors_without_such_a_setting_have_none(name: str) -> None:
    assert least_score(make_detector(name)) is None


def test_the_one_that_was_set_needs_no_weights_to_be_read(tmp_path: Path) -> None:
    nowhere = {"weights": str(tmp_path / "none.safetensors")}
    assert least_score(make_detector("cavity-dense", min_score=0.0, **nowhere)) == 0.0
    assert least_score(make_detector("cavity-maskrcnn", min_score=0.25, **nowhere)) == 0.25


def test_else_it_is_that_of_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    from epistem.nets.weights import save_weights

    path = tmp_path / "w.safetensors"
    save_weights(path, {}, network="cavity-dense", settings={}, min_score=0.37, card={})
    assert least_score(make_detector("cavity-dense", weights=str(path))) == 0.37
    with pytest.raises(RecordError, match="no weights"):
        least_score(make_detector("cavity-dense", weights=str(tmp_path / "none.safetensors")))
