"""The paper's tables, and what is impossible in them."""

from __future__ import annotations

from epistem.bench.printed import printed_table_2, printed_table_3


def test_eighteen_of_the_printed_cells_are_impossible() -> None:
    cells = printed_table_3()
    assert len(cells) == 42
    wrong = cells[cells["verdict"] != "possible"]
    assert wrong["verdict"].value_counts().to_dict() == {"Dice below IoU": 15, "Dice above 2·IoU/(1+IoU)": 3}
    below = wrong[wrong["verdict"] == "Dice below IoU"]
    assert (below["dataset"] == "Fractography").sum() == 6
    above = wrong[wrong["verdict"] != "Dice below IoU"]
    assert set(zip(above["dataset"], above["encoder"], strict=True)) == {("AFM Crystallites", "SE-ResNeXt101")}


def test_table_2_has_the_largest_iou_of_each_dataset_of_table_3() -> None:
    best = printed_table_3().groupby("dataset")["iou"].max()
    table = printed_table_2().set_index("dataset")["iou"]
    assert table.sort_index().to_dict() == best.sort_index().to_dict()
    assert printed_table_2().set_index("dataset")["modality"].value_counts().to_dict() == {
        "SEM": 3, "XCT": 2, "AFM": 1, "Optical": 1,
    }  # fmt: skip
