from __future__ import annotations

from epistem.ask.blocks import blocks_of, body_type, paragraphs, stitched, told_apart, without_running_heads
from epistem.ask.layout import find_figures
from epistem.ask.pdf import Line, Page, Raster


def line(text: str, left: float, top: float, *, size: float = 10, wide: float = 240, bold: str = "") -> Line:
    return Line(text, (left, top, left + wide, top + 0.9 * size), top + 0.7 * size, size, "Times", bold)


def column(left: float, top: float, n: int, first: str = "The grains grow") -> list[Line]:
    return [line(f"{first if at == 0 else 'and then the grains'} go on", left, top + 12 * at) for at in range(n)]


def raster(left: float, top: float, right: float, bottom: float) -> Raster:
    return Raster((left, top, right, bottom), 100, 100, True, 0)


def page(lines: list[Line], rasters: list[Raster], number: int = 1, paths: tuple = ()) -> Page:
    return Page(number, 600, 800, tuple(lines), tuple(rasters), paths)


def found(*pages: Page, seen=None):
    body = body_type(pages)
    return find_figures(pages, told_apart([one for each in pages for one in blocks_of(each, body)], body), seen)


def numbers(*pages: Page) -> list[str]:
    return [region.caption.start.number for region in found(*pages).regions]


def test_a_picture_over_a_caption_is_its_figure():
    one = page(
        [line("Figure 1. Grains", 50, 310, size=8, bold="first"), *column(50, 350, 9)], [raster(50, 100, 290, 300)]
    )
    (region,) = found(one).regions
    assert region.box == (50, 100, 290, 300)


def test_a_sentence_that_begins_with_the_figure_is_no_caption():
    one = page([*column(50, 100, 6), *column(50, 320, 6, "Figure 1 shows that grains")], [raster(50, 200, 290, 300)])
    assert found(one).regions == ()
    assert found(one).left_over == 1


def test_a_caption_without_picture_is_refused_and_said():
    one = page([line("Figure 1. Grains", 50, 310, size=8, bold="first"), *column(50, 350, 9)], [])
    ((block, why),) = found(one).refused
    assert block.start.number == "1"
    assert why == "no picture stands by the caption"


def test_text_between_picture_and_caption_parts_them():
    lines = [*column(50, 220, 6), line("Figure 1. Grains", 50, 330, size=8, bold="first"), *column(50, 380, 6)]
    assert numbers(page(lines, [raster(50, 100, 290, 210)])) == []


def test_two_columns_with_figures_side_by_side_keep_them_apart():
    lines = [
        line("Figure 1. Grains", 50, 310, size=8, bold="first"),
        line("Figure 2. Pores", 310, 310, size=8, bold="first"),
        *column(50, 350, 9),
        *column(310, 350, 9),
    ]
    both = page(lines, [raster(50, 100, 290, 300), raster(310, 100, 550, 300)])
    boxes = {one.caption.start.number: one.box for one in found(both).regions}
    assert boxes == {"1": (50, 100, 290, 300), "2": (310, 100, 550, 300)}


def test_a_short_caption_takes_all_panels_of_its_row():
    lines = [
        line("Figure 1. Grains", 250, 310, size=8, wide=60, bold="first"),
        *column(50, 350, 9),
        *column(310, 350, 9),
    ]
    (region,) = found(page(lines, [raster(50, 100, 290, 300), raster(310, 100, 550, 300)])).regions
    assert region.box == (50, 100, 550, 300)


def test_where_all_captions_stand_over_their_pictures_the_next_one_does_too():
    lines = [
        line("Figure 1. Grains", 50, 100, size=8, bold="first"),
        *column(50, 300, 4),
        line("Figure 2. Pores", 50, 380, size=8, bold="first"),
        line("Figure 3. Cracks", 50, 580, size=8, bold="first"),
    ]
    one = page(lines, [raster(50, 115, 290, 280), raster(50, 395, 290, 570), raster(50, 595, 290, 700)])
    boxes = {region.caption.start.number: region.box[1] for region in found(one).regions}
    assert boxes == {"1": 115, "2": 395, "3": 595}


def test_between_two_pictures_and_nothing_to_tell_the_figure_is_refused():
    one = page(
        [line("Figure 1. Grains", 50, 310, size=8, bold="first"), *column(50, 600, 9)],
        [raster(50, 100, 290, 300), raster(50, 330, 290, 500)],
    )
    ((_, why),) = found(one).refused
    assert "above and below" in why


def test_a_table_takes_its_grid_and_is_no_figure():
    lines = [*column(50, 50, 6), line("Table 1. Values", 50, 200, size=8, bold="first"), *column(50, 400, 9)]
    rules = [(50.0, 212.0 + 20 * at, 290.0, 212.0 + 20 * at) for at in range(5)]
    grid = (*rules, (50.0, 212.0, 50.0, 292.0), (290.0, 212.0, 290.0, 292.0))
    caption = line("Figure 1. Grains", 50, 310, size=8, bold="first")
    result = found(page([*lines, caption], [], paths=grid))
    assert result.regions == ()
    assert len(result.refused) == 1


def test_a_model_is_asked_only_where_the_rules_refuse():
    asked = []

    def seen(numbers):
        asked.extend(numbers)
        return {1: [(50.0, 100.0, 290.0, 300.0)]}

    bad = page([line("Figure 1. Grains", 50, 310, size=8, bold="first"), *column(50, 350, 9)], [])
    good = page(
        [line("Figure 2. Grains", 50, 310, size=8, bold="first"), *column(50, 350, 9)], [raster(50, 100, 290, 300)], 2
    )
    result = found(bad, good, seen=seen)
    assert asked == [1, -2]
    assert [region.caption.start.number for region in result.regions] == ["1", "2"]


def test_a_picture_over_the_leaf_is_the_figure_of_the_only_caption_left():
    words = page([*column(50, 100, 9), line("Figure 1. Grains", 50, 300, size=8, bold="first")], [])
    bare = page([], [raster(50, 100, 550, 600)], 2)
    (region,) = found(words, bare).regions
    assert region.page == 2


def test_columns_are_read_one_after_the_other():
    left, right = column(50, 100, 5, "Left begins"), column(310, 100, 5, "Right begins")
    one = page([*right, *left], [])
    body = body_type([one])
    texts = [found.text for found in paragraphs(told_apart(blocks_of(one, body), body))]
    assert texts[0].startswith("Left begins")


def test_running_heads_and_page_numbers_are_no_text():
    pages = [
        page([line("J. Glass 12", 50, 20, size=7), line(str(at), 300, 780), *column(50, 100, 5)], [], at)
        for at in (1, 2)
    ]
    assert all(len(one.lines) == 5 for one in without_running_heads(pages))


def test_a_divided_word_is_whole_again():
    assert stitched("the micro-", "structure of") == "the microstructure of"
    assert stitched("the well-", "known law", frozenset({"well-known"})) == "the well-known law"
    assert stitched("5 wt%", "of CaO") == "5 wt% of CaO"


def test_the_last_line_of_a_column_is_text_though_another_page_ends_alike():
    pages = [page([line(f"grown at {at} K", 50, 750 - 12 * back) for back in range(3)], [], at) for at in (1, 2)]
    assert [len(one.lines) for one in without_running_heads(pages)] == [3, 3]
