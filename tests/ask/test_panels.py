from __future__ import annotations

import numpy as np
from PIL import Image

from epistem.ask.panels import cut, in_rows, pieces_of, split
from epistem.ask.pdf import Line


def grid(rows: int, cols: int, gap: int = 8, ground: int = 255) -> Image.Image:
    rng = np.random.default_rng(0)
    whole = np.full((rows * 100 + (rows - 1) * gap, cols * 120 + (cols - 1) * gap), ground, np.uint8)
    for row in range(rows):
        for col in range(cols):
            top, left = row * (100 + gap), col * (120 + gap)
            whole[top : top + 100, left : left + 120] = rng.integers(60, 180, (100, 120))
    return Image.fromarray(whole)


def never() -> Image.Image:
    raise AssertionError("the picture was not needed")


def label(letter: str, left: float, top: float) -> Line:
    return Line(f"({letter})", (left, top, left + 8, top + 8), top + 8, 9, "Times")


def test_pictures_as_many_as_letters_are_the_panels():
    boxes = [(0.0, 0.0, 10.0, 10.0), (12.0, 0.0, 22.0, 10.0)]
    done = split("ab", boxes, (0, 0, 22, 10), never)
    assert [(one.letter, one.box) for one in done.panels] == [("a", boxes[0]), ("b", boxes[1])]


def test_letters_printed_at_panels_win_over_reading_order():
    boxes = [(0.0, 0.0, 10.0, 10.0), (12.0, 0.0, 22.0, 10.0)]
    done = split("ab", boxes, (0, 0, 22, 10), never, [label("b", 1, 1), label("a", 13, 1)])
    assert {one.letter: one.box for one in done.panels} == {"a": boxes[1], "b": boxes[0]}


def test_one_picture_is_cut_along_white_gutters():
    picture = grid(2, 2)
    done = split(
        "abcd", [(0, 0, picture.width, picture.height)], (0, 0, picture.width, picture.height), lambda: picture
    )
    assert [one.box[:2] for one in done.panels] == [(0, 0), (128, 0), (0, 108), (128, 108)]


def test_black_gutters_are_gutters_too():
    assert len(cut(grid(1, 3, ground=0), 3)) == 3


def test_as_many_panels_as_the_caption_names_or_none():
    picture = grid(1, 2)
    done = split("abc", [(0, 0, 10, 10)], (0, 0, 10, 10), lambda: picture)
    assert done.panels == ()
    assert "names 3 panels, 2" in done.why


def test_a_figure_without_letters_stays_whole_and_is_not_looked_at():
    assert split("", [(0, 0, 10, 10)], (0, 0, 10, 10), never).panels == ()


def test_burnt_in_letters_say_which_panel_is_which():
    picture = grid(1, 2)
    letters = iter("ba")
    done = split("ab", [(0, 0, 248, 100)], (0, 0, 248, 100), lambda: picture, read=lambda corner: next(letters))
    assert {one.letter: one.box[0] for one in done.panels} == {"a": 128, "b": 0}


def test_a_letter_that_cannot_be_read_leaves_reading_order():
    picture = grid(1, 2)
    done = split("ab", [(0, 0, 248, 100)], (0, 0, 248, 100), lambda: picture, read=lambda corner: "")
    assert [(one.letter, one.box[0]) for one in done.panels] == [("a", 0), ("b", 128)]


def test_rows_of_unequal_height_are_read_from_the_left():
    assert in_rows([(50, 2, 90, 40), (0, 0, 40, 60), (0, 70, 40, 90)]) == [
        (0, 0, 40, 60),
        (50, 2, 90, 40),
        (0, 70, 40, 90),
    ]


def test_tiles_of_one_picture_are_one_piece():
    tiles = [(0.0, 0.0, 50.0, 25.0), (0.0, 25.0, 50.0, 50.0)]
    assert pieces_of(tiles, [], (0, 0, 50, 50)) == [(0.0, 0.0, 50.0, 50.0)]


def test_a_constant_picture_has_no_panels():
    assert len(cut(Image.new("L", (50, 40), 255), 2)) < 2
    assert len(cut(Image.new("L", (50, 40), 90), 2)) < 2
