from __future__ import annotations

import json
import math
from typing import Any

import pytest

from epistem.app.web.viewer import MOST_POINTS, Edit, own_address, read_edit, read_pick, read_ring
from epistem.core.errors import SettingsError

TRIANGLE = [0, 0, 4.5, 0, 4, 3]


def test_a_drawn_outline_comes_through_as_floats() -> None:
    assert read_edit({"op": "add", "id": None, "ring": TRIANGLE}) == Edit("add", None, [0.0, 0.0, 4.5, 0.0, 4.0, 3.0])


@pytest.mark.parametrize("op", ["delete", "confirm"])
def test_an_object_is_deleted_or_confirmed_by_its_number(op: str) -> None:
    assert read_edit({"op": op, "id": 0, "ring": None}) == (op, 0, None)


@pytest.mark.parametrize("args", [{"id": None}, {}])
def test_no_object_picked_is_none(args: dict[str, Any]) -> None:
    assert read_pick(args) is None


@pytest.mark.parametrize("chosen", ["3", 3.0, True, -1, [3], {"id": 3}])
def test_only_a_number_from_0_on_picks_an_object(chosen: object) -> None:
    with pytest.raises(SettingsError, match="a number from 0 on"):
        read_pick({"id": chosen})


@pytest.mark.parametrize("args", [None, "add", 3, ["delete", 3], {"op": "train"}, {"op": None}, {"op": ["add"]}])
def test_what_is_no_correction_is_refused(args: object) -> None:
    with pytest.raises(SettingsError, match=r"is wanted|adds, deletes or confirms"):
        read_edit(args)


@pytest.mark.parametrize("op", ["delete", "confirm"])
def test_a_correction_without_an_object_is_refused(op: str) -> None:
    with pytest.raises(SettingsError, match="a number from 0 on"):
        read_edit({"op": op, "id": None})


@pytest.mark.parametrize(
    "bad",
    [math.nan, math.inf, -math.inf, 1.1e6, -(10**400), "4", None, True, [1]],
    ids=["nan", "inf", "-inf", "far", "huge", "text", "none", "bool", "list"],
)
def test_a_corner_that_is_no_place_in_an_image_is_refused(bad: object) -> None:
    with pytest.raises(SettingsError, match="a corner within"):
        read_ring([0, 0, 4, bad, 4, 3])


@pytest.mark.parametrize("ring", [None, "0,0,4,0,4,3", [], [0, 0, 4, 4], [0, 0, 4, 0, 4], {"0": 1}])
def test_fewer_than_three_corners_are_refused(ring: object) -> None:
    with pytest.raises(SettingsError, match="3 to 2000 corners"):
        read_ring(ring)


def test_an_outline_has_at_most_2000_corners() -> None:
    assert len(read_ring([1, 2] * MOST_POINTS)) == 4000
    with pytest.raises(SettingsError, match="got 4002 numbers"):
        read_ring([1, 2] * (MOST_POINTS + 1))


@pytest.mark.parametrize("text", ['{"op": "add", "ring": [NaN, 0, 1, 0, 1, 1]}', '{"op": "add", "ring": [Infinity]}'])
def test_what_json_takes_for_numbers_is_still_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        read_edit(json.loads(text))


@pytest.mark.parametrize("url", ["https://example.org/a.png", "//example.org/a.png", "/\\example.org", "a.png", ""])
def test_the_viewer_fetches_from_its_own_server_only(url: str) -> None:
    with pytest.raises(SettingsError, match="own server"):
        own_address(url)
    own_address("/rooms/1/picture.png?v=2")
