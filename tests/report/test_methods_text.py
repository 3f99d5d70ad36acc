from __future__ import annotations

from typing import Any

import pytest

from epistem.core import Provenance, Quantity
from epistem.report.methods_text import BY_HAND, DETECTORS, NOT_IN_INTERVALS, Foil, methods_paragraph

LOG = Provenance("epistem.detect.LogBlobs", "0.1.0", {"min_diameter_px": 4.0, "contrast": "auto"}, (), seed=7)
MEAN = Quantity("mean_diameter_nm", "Mean diameter", 6.0, "nm", 5.0, 7.0, 0.9)


def paragraph(provenance: Provenance = LOG, **rest: Any) -> str:
    settings: dict[str, Any] = {"noun": "cavity", "n_images": 12, "pixel_sizes": {"metadata": 12}} | rest
    return methods_paragraph(provenance.as_dict(), {"epistem": "0.1.0", "numpy": "2.4.0"}, **settings)


def test_the_paragraph_names_detector_settings_seed_and_versions() -> None:
    text = paragraph()
    assert text.startswith("Cavities were detected in 12 images with epistem 0.1.0 by its multi-scale Laplacian")
    for part in ("min diameter 4.0 px", "contrast auto", "seed 7", "numpy 2.4.0", "ISO 9276-6"):
        assert part in text


def test_settings_are_printed_as_given_not_rounded() -> None:
    maker = Provenance("epistem.detect.LogBlobs", "0.1.0", {"min_snr": 6.123456})
    assert "min snr 6.123456" in paragraph(maker)


def test_another_tools_objects_are_credited_to_it() -> None:
    text = paragraph(Provenance("cellpose", "3.1"))
    assert "by cellpose 3.1 and measured with epistem 0.1.0" in text


def test_without_a_forecast_the_paragraph_says_that_errors_were_not_estimated() -> None:
    assert "missed and false detections was not estimated" in paragraph(forecast=False)
    assert "missed and false" not in paragraph(forecast=True)


def test_only_shipped_weights_are_said_not_to_have_seen_these_images() -> None:
    dense = Provenance("epistem.detect.CavityDense", "0.1.0", {"weights": "cavity-dense"}, weights="ab")
    assert "the detector was not trained on or tuned to these images" in paragraph(dense, shipped=["ab"])
    for other in (dense, LOG, Provenance("epistem.detect.CavityDense", "0.1.0", {"weights": "cavity-dense"})):
        assert "not trained" not in paragraph(other, shipped=["cd"])


def test_a_least_score_is_told_also_of_a_detector_that_has_none_of_its_own() -> None:
    def text(detector: dict[str, Any]) -> str:
        settings = {"detector": detector, "analysis": {"min_score": 0.35}}
        return paragraph(Provenance("epistem.detect.LogBlobs", "0.1.0", settings))

    assert "objects with a score below 0.35 left out" in text({"contrast": "auto"})
    assert "objects with a score below 0.35 left out" in text({"min_score": 0.2})
    assert "left out)" not in text({"min_score": 0.35})
    assert text({"min_score": 0.35}).count("0.35") == 1


def test_what_the_shipped_weights_learned_from_is_said_of_no_others() -> None:
    shipped, other = (
        paragraph(Provenance("epistem.detect.CavityDense", "0.1.0", {"weights": "mine"}, weights=one), shipped=["ab"])
        for one in ("ab", "cd")
    )
    assert "weights mine with hash ab, trained on simulated cavities, some on recorded cavity-free" in shipped
    assert "weights mine with hash cd" in other
    assert "trained by the user; which images they were trained on is in their card." in other
    assert "simulated" not in other


def test_only_detectors_that_cannot_tell_overlaps_apart_are_said_not_to() -> None:
    dense = Provenance("epistem.detect.CavityDense", "0.1.0", weights="ab")
    assert "told apart" not in paragraph(dense)
    assert "told apart" in paragraph(LOG)


def test_pixel_sizes_are_counted_by_source_and_missing_ones_are_told() -> None:
    text = paragraph(pixel_sizes={"metadata": 9, "user": 2, "": 1})
    assert "the files' metadata (9) and the operator (2); 1 without pixel size" in text
    assert "lengths are in pixels" in paragraph(pixel_sizes={"": 3})


def test_intervals_are_named_with_their_coverage_or_said_to_be_none() -> None:
    assert "Intervals (mean diameter) are meant to hold the value in 90 % of cases" in paragraph(quantities=[MEAN])
    assert "No intervals are given." in paragraph()


def test_intervals_are_said_not_to_hold_the_detectors_own_errors() -> None:
    text = paragraph(quantities=[MEAN])
    assert "other fields of the same kind, measured by the same detector" in text
    assert NOT_IN_INTERVALS in text
    assert NOT_IN_INTERVALS not in paragraph()


@pytest.mark.parametrize(
    ("foils", "samples", "says"),
    [
        ([Foil(95, 10)], "", "Foil thickness was 95 nm (one standard error: 10 nm)."),
        ([Foil(95)], "", "Foil thickness was 95 nm, its error unknown."),
        (
            [Foil(80, 8), Foil(120, 12)],
            "s.csv",
            "80 to 120 nm (one standard error: 8 to 12 nm), given for each image in",
        ),
        ([Foil(80, 8), Foil(120)], "", "80 to 120 nm (one standard error: 8 nm), its error unknown for 1."),
        ([Foil(80, 8), Foil(None)], "", "; it was unknown for 1 of 2 images."),
    ],
)
def test_the_foil_is_told_with_its_error_and_who_gave_it(foils: list[Foil], samples: str, says: str) -> None:
    assert says in paragraph(foils=foils, samples=samples)


def test_no_foil_is_not_told() -> None:
    assert "Foil" not in paragraph(foils=[Foil(None)])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("density_per_um2", "lower or right side are not counted in them (Gundersen, J. Microsc. 111, 219, 1977)"),
        ("paper_density_per_1e4_nm2", "The density as published counts all of them (github.com/uw-cmg/"),
        ("swelling_percent", "Swelling is 100·ΣV/(V_tot − ΣV), each object a sphere V = π/6·d³"),
        ("paper_swelling_percent", "as published, d is that of the mask's convex hull"),
    ],
)
def test_density_and_swelling_bring_rule_and_source_where_they_are_known(name: str, says: str) -> None:
    assert says in paragraph(quantities=[Quantity(name, "Some", 1.0)])
    assert says not in paragraph(quantities=[Quantity(name, "Some", None)])


def test_groups_are_told_with_their_column_and_tests() -> None:
    text = paragraph(by="dose_dpa")
    for part in ("grouped by dose", "Student's t between images", "Welch", "Holm (1979)"):
        assert part in text
    assert "grouped" not in paragraph()


def test_every_described_detector_exists() -> None:
    from epistem import detect

    names = {detect.DETECTORS[name].__name__ for name in detect.DETECTORS}
    assert names == {maker.rpartition(".")[2] for maker in DETECTORS}


def test_objects_that_a_person_went_through_are_said_to_be_corrected_and_no_detectors() -> None:
    told = paragraph(Provenance(BY_HAND, "1"))

    assert "corrected by hand: a person added what was missed" in told
    assert "not corrected by hand" not in told
    assert "by corrected by hand" not in told
