"""The report of a run: what it says, and what it does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from epistem.bench.plan import Member, Plan, Split
from epistem.bench.profile import profile_of
from epistem.bench.ready import Alignment
from epistem.bench.report import (
    BenchResults,
    MaskPicture,
    best_job,
    images_to_show,
    report,
    run_report,
    verdict_of,
)
from epistem.report.document import Figure, Report, Table
from epistem.segment.summary import FOREGROUND

Runs = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
LEAD = {"pores": {"unet": 0.1, "deeplabv3": -0.1}}


def member(name: str) -> Member:
    return Member(image=name, group=name[0], image_id=name, labels_id=name)


PLAN = Plan(
    dataset="pores",
    split=Split(train=(member("a1"), member("a2")), val=(member("b1"),), test=(member("c1"),)),
    jobs=(),
    notes=("split by image",),
)
PROFILE = profile_of(
    {
        "dataset": {"id": "pores", "modality": "XCT"},
        "task": {"objective": "Find pores", "classes": ["background", "pore"], "qc": {"detectors": ["gmm"]}},
        "model": {"encoders": ["resnet50"], "decoders": ["unet"], "weights": "none"},
    }
)
TYPICAL = pd.DataFrame({"detector": ["gmm"], "auroc": [0.99], "f1": [0.9]})
ALIGNED = Alignment(0.9, None, None, 8)


@pytest.fixture
def run(runs: Runs) -> BenchResults:
    jobs, scores = runs(LEAD, groups=3)
    labels = np.zeros((40, 40), int)
    labels[10:20, 10:20] = 1
    shown = MaskPicture(labels + 0.1, labels, np.roll(labels, 2, 0))
    return BenchResults(PROFILE, PLAN, jobs, scores, dict.fromkeys(scores["image"].unique(), shown))


def said(page: Report, section: str) -> str:
    blocks = next(one.blocks for one in page.sections if one.id == section)
    return "\n".join(str(getattr(block, "text", "")) for block in blocks)


def figures(page: Report, section: str) -> list[Figure]:
    blocks = next(one.blocks for one in page.sections if one.id == section)
    return [block for block in blocks if isinstance(block, Figure)]


def test_a_run_of_which_nothing_more_was_asked_is_not_known_to_be_ready(run: BenchResults) -> None:
    assert verdict_of(run).said == "not known"
    page = run_report(run)
    assert "Whether it is ready is not known." in said(page, "outcome")
    assert "Not asked" in said(page, "typicality")
    assert "Not asked" in said(page, "heatmaps")
    assert "Not asked" in said(page, "advice")


def test_signals_and_heatmaps_make_it_ready_and_a_weak_signal_to_be_revised(run: BenchResults) -> None:
    good = replace(run, typicality=TYPICAL, alignment=ALIGNED)
    assert said(run_report(good), "outcome").split("\n")[0].endswith("Ready.")
    weak = replace(good, typicality=TYPICAL.assign(auroc=0.9))
    assert "AUROC of GMM, 0.900, is below 0.95" in said(run_report(weak), "outcome")
    assert verdict_of(weak).said == "revise"


def test_the_network_shown_is_the_best_model_s_best_seed_on_validation(run: BenchResults) -> None:
    job = "pores-resnet50-unet-none-canonical-1"
    jobs = run.jobs.assign(best_score=[0.9 if one == job else 0.5 for one in run.jobs["job"]])
    scores = run.scores.copy()
    scores.loc[scores["encoder"] == "resnet50", "value"] += 0.05
    assert best_job(replace(run, jobs=jobs, scores=scores)) == job


def test_a_lead_that_chance_explains_declares_no_winner(runs: Runs, run: BenchResults) -> None:
    cells = [("resnet50", "unet"), ("resnet50", "deeplabv3")]
    for lead, said_first in ((0.0, "No network is better than the others beyond chance"), (0.3, "scores highest")):
        jobs, scores = runs({"pores": {"unet": lead}}, groups=4, cells=cells)
        head = said(run_report(replace(run, jobs=jobs, scores=scores)), "outcome").split("\n")[0]
        assert said_first in head
        assert ("cannot be told from ResNet50 + " in head) == (lead == 0)


def test_the_headline_names_the_network_that_segment_uses(run: BenchResults) -> None:
    job = "pores-resnet50-deeplabv3-none-canonical-2"
    jobs = run.jobs.assign(best_score=[0.9 if one == job else 0.5 for one in run.jobs["job"]])
    head = said(run_report(replace(run, jobs=jobs)), "outcome").split("\n")[0]
    assert "Used by epistem segment, and shown below: ResNet50 + DeepLabV3, seed 2, the highest on validation" in head


def test_masks_unlike_true_ones_are_the_first_thing_to_revise(run: BenchResults) -> None:
    bad = replace(run, typicality=TYPICAL, alignment=ALIGNED, untypical_found=1.0)
    assert verdict_of(bad).said == "revise"
    assert "do not look like true ones: on 100 % of the tiles" in verdict_of(bad).reasons[0]
    assert verdict_of(replace(bad, untypical_found=0.2)).said == "ready"


def test_images_that_stand_for_themselves_are_not_called_groups(runs: Runs, run: BenchResults) -> None:
    for groups, words in ((2, "Test: 4 images."), (4, "Test: 8 images in 4 groups.")):
        jobs, scores = runs(LEAD, groups=groups)
        page = run_report(replace(run, jobs=jobs, scores=scores))
        blocks = next(one.blocks for one in page.sections if one.id == "scores")
        assert words in next(one.note for one in blocks if isinstance(one, Table))


def test_why_there_are_no_heatmaps_is_said(run: BenchResults) -> None:
    assert said(run_report(replace(run, no_heatmaps="Too few images.")), "heatmaps") == "Too few images."


def test_images_run_from_the_worst_to_the_best(run: BenchResults) -> None:
    mine = run.scores[(run.scores["job"] == best_job(run)) & (run.scores["metric"] == "iou")]
    value = mine[mine["class"] == FOREGROUND].set_index("image")["value"]
    shown = [float(value[image]) for image in images_to_show(run, 3)]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (value.min(), value.max())
    assert len(figures(run_report(run), "images")) == 4
    assert len(images_to_show(run, 99)) == 6


def test_without_masks_the_page_says_so(run: BenchResults) -> None:
    assert "none are shown" in said(run_report(replace(run, pictures={})), "images")


def test_a_run_of_undertrained_networks_is_revised_and_not_ranked(runs: Runs, run: BenchResults) -> None:
    jobs, scores = runs(LEAD, groups=3, undertrained=True)
    short = replace(run, jobs=jobs, scores=scores, typicality=TYPICAL, alignment=ALIGNED)
    assert verdict_of(short).said == "revise"
    page = run_report(short)
    assert "UNDERTRAINED" in said(page, "outcome")
    assert not any("ranks" in one.title for one in figures(page, "scores"))


def test_pooled_pixels_stand_beside_means_of_images(run: BenchResults) -> None:
    def headings(page: Report) -> list[str]:
        blocks = next(one.blocks for one in page.sections if one.id == "scores")
        tables = [block for block in blocks if isinstance(block, Table) and block.title == "Class by class"]
        return [column.label for column in tables[0].columns]

    row = {"class": FOREGROUND, "metric": "iou", "value": 0.7, "low": 0.6, "high": 0.8}
    assert "Micro-pixel" in headings(run_report(replace(run, pooled=pd.DataFrame([row]))))
    assert "Micro-pixel" not in headings(run_report(run))


def test_failed_jobs_are_named_with_the_reason(run: BenchResults) -> None:
    page = run_report(replace(run, failures={"ab12": "needs more memory"}))
    assert "Job ab12 has no result: needs more memory" in said(page, "outcome")


def test_nothing_trained_yet_is_a_page_too(run: BenchResults) -> None:
    empty = replace(run, jobs=run.jobs.iloc[:0], scores=run.scores.iloc[:0], pictures={})
    assert "Nothing is scored yet" in said(run_report(empty), "outcome")
    assert verdict_of(empty).said == "revise"


def test_the_page_is_one_file_with_its_pictures_inside(run: BenchResults) -> None:
    html = report(run)
    assert html.count("data:image/") >= 4
    assert 'src="http' not in html


def test_names_from_files_are_text_and_never_run(run: BenchResults) -> None:
    scores = run.scores.assign(name="<script>alert(1)</script>")
    assert "<script>alert" not in report(replace(run, scores=scores))
