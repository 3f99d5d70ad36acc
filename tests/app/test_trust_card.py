"""A watched detector finds what it finds alone, and a forecast is shown for the detector and weights it is of."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epistem.app import trust_card
from epistem.app.analyze import analyze_image
from epistem.app.settings import Settings, make_settings
from epistem.app.trust_card import Unwatched, Watched
from epistem.core import Calibration, Instances, Micrograph, Provenance, RecordError, Reliability, SettingsError
from epistem.detect import DETECTORS, least_score, weights_hash
from epistem.synth.cavities import CavityScene, simulate
from epistem.trust.cases import LEAST_CANDIDATE, case_of, gather
from epistem.trust.forecast import TARGETS, Forecaster, How
from epistem.trust.model import save
from epistem.trust.objects import ObjectModel
from epistem.trust.regressors import Regressor, Spans
from epistem.trust.trees import Trees
from epistem.trust.verdict import Limits

SIDE = 96
SPOTS = [(row, col) for row in range(6, 90, 16) for col in range(6, 90, 16)]
Pixels = np.ndarray[Any, np.dtype[np.float64]]


def picture(seed: int, share: float = 0.5, brightest: float = 150) -> tuple[Micrograph, Instances]:
    """Noise with bright squares at some of the spots, and these squares."""
    rng = np.random.default_rng(seed)
    pixels, boxes = rng.normal(1000, 30, (SIDE, SIDE)), []
    for row, col in SPOTS:
        if rng.random() < share:
            pixels[row : row + 8, col : col + 8] += rng.uniform(20, brightest)
            boxes.append([row, col, row + 8, col + 8])
    return Micrograph(pixels, Calibration(0.5, 0.5, "user")), Instances.from_boxes((SIDE, SIDE), boxes)


@dataclass(frozen=True)
class Spots:
    """Looks at the spots alone; the brighter, the surer."""

    min_score: float = 0.5

    def __call__(self, micrograph: Micrograph) -> Instances:
        means = [micrograph.pixels[row : row + 8, col : col + 8].mean() for row, col in SPOTS]
        score = np.clip((np.array(means) - 1000) / 120 + 0.1, 0.001, 0.999)
        kept = score >= self.min_score
        boxes = np.array([[row, col, row + 8, col + 8] for row, col in SPOTS])[kept]
        crops = tuple(np.ones((8, 8), bool) for _ in boxes)
        made = Provenance("spots", "1", asdict(self), inputs=(micrograph.id,))
        shape = micrograph.shape
        return Instances.from_boxes(shape, boxes, score[kept], classes=("cavity",), crops=crops, provenance=made)


@pytest.fixture(autouse=True)
def _nothing_is_shipped_but_what_a_test_puts_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trust_card, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setitem(DETECTORS._entries, "spots", f"{Spots.__module__}:Spots")


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    cases = []
    for seed in range(50):
        # In every fifth image nothing is bright enough to be found.
        image, truth = picture(seed, share=0.2 + 0.6 * (seed % 5) / 5, brightest=150 if seed % 5 else 45)
        cases.append(case_of(Spots(LEAST_CANDIDATE)(image), truth, image, image=str(seed)))
    return Forecaster(How(scores=(0.3, 0.5), folds=2, rounds=10, trees=10)).fit(gather(cases, {}))


@pytest.fixture
def light() -> Forecaster:
    """A forecast that can be read but says nothing: quick to write."""
    made = Forecaster()
    none, nothing = np.zeros(1, np.int32), np.zeros(1)
    leaf = Trees(none, nothing, none, none, none.astype(bool), nothing, none)
    made.objects = ObjectModel.of(leaf)
    made.regressors = {name: Regressor.of(leaf, leaf, "") for name in TARGETS}
    made.spans = {name: Spans(leaf, nothing, nothing, nothing) for name in TARGETS}
    return made


def written(fitted: Forecaster, path: Path, **about: Any) -> str:
    fitted.about = about
    save(fitted, path)
    return str(path)


def looked(settings: Settings) -> Watched:
    looker = settings.looker()
    assert isinstance(looker, Watched)
    return looker


def why_not(settings: Settings) -> str:
    looker = settings.looker()
    assert isinstance(looker, Unwatched)
    return looker.why_no_forecast


def assert_same(found: Instances, alone: Instances) -> None:
    np.testing.assert_array_equal(found.boxes, alone.boxes)
    np.testing.assert_array_equal(found.score, alone.score)
    for one, other in zip(found.crops or (), alone.crops or (), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.provenance == alone.provenance
    assert list(found.provenance.settings) == list(alone.provenance.settings)  # type: ignore[union-attr]


@pytest.mark.parametrize("least", [None, 0.2, 0.6, 1.0])
def test_a_watched_detector_finds_what_it_finds_alone(
    fitted: Forecaster, tmp_path: Path, least: float | None
) -> None:
    settings = make_settings(detector="spots", min_score=least, forecast=written(fitted, tmp_path / "f.npz"))
    image, _ = picture(99)
    found, forecast = looked(settings).look(image)
    assert_same(found, settings.finder()(image))
    assert forecast.asked_score == (0.5 if least is None else least)


@pytest.mark.parametrize("least", [None, 0.005, 0.15, 0.7])
def test_the_shipped_network_finds_what_it_finds_alone(
    fitted: Forecaster, tmp_path: Path, least: float | None
) -> None:
    pytest.importorskip("safetensors")
    pytest.importorskip("onnxruntime")
    field = simulate(CavityScene(shape=(SIDE, 112), number=14, diameter_nm=5), seed=1).micrograph
    settings = make_settings(min_score=least, forecast=written(fitted, tmp_path / "f.npz"))
    alone = settings.finder()(field)
    assert len(alone) > 0
    found, _ = looked(settings).look(field)
    assert_same(found, alone)
    everything = looked(settings).detector(field)
    assert len(everything) > len(alone) or least == 0.005


def test_the_forecast_is_of_everything_down_to_the_faintest_candidate(fitted: Forecaster, tmp_path: Path) -> None:
    looker = looked(make_settings(detector="spots", min_score=0.5, forecast=written(fitted, tmp_path / "f.npz")))
    image, _ = picture(3)
    _, forecast = looker.look(image)
    assert looker.detector(image).score.min() < 0.5
    assert forecast.signals["s_nearly"] > 0
    assert forecast.n_kept == len(Spots(0.5)(image))


@pytest.mark.parametrize(
    ("name", "says"), [("spots", "exists for this detector"), ("log", "exists for this detector")]
)
def test_without_a_shipped_forecast_it_is_said_that_none_exists(name: str, says: str) -> None:
    assert says in why_not(make_settings(detector=name))


def test_a_forecast_that_was_not_wanted_is_not_made(light: Forecaster, tmp_path: Path) -> None:
    written(light, tmp_path / "shipped" / "spots.npz")
    assert isinstance(make_settings(detector="spots").looker(), Watched)
    assert "No forecast of F1 was asked for" in why_not(make_settings(detector="spots", forecast="none"))


def test_the_shipped_forecast_does_not_cover_other_weights(light: Forecaster, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    mine = weights_hash(make_settings().finder())
    written(light, tmp_path / "shipped" / "cavity-dense.npz", detector="cavity-dense", weights="0" * 16)
    assert "covers these weights" in why_not(make_settings())
    written(light, tmp_path / "shipped" / "cavity-dense.npz", detector="cavity-dense", weights=mine)
    assert looked(make_settings()).least == least_score(make_settings().finder())


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (
            {"detector": "cavity-maskrcnn"},
            "was fitted for cavity-maskrcnn with weights None, not for spots with None",
        ),
        ({"detector": "spots", "weights": "0" * 16}, "with weights 0000000000000000, not for spots with None"),
    ],
)
def test_a_forecast_of_others_that_was_asked_for_is_refused(
    light: Forecaster, tmp_path: Path, about: dict[str, Any], says: str
) -> None:
    path = written(light, tmp_path / "f.npz", **about)
    with pytest.raises(SettingsError, match=says) as caught:
        make_settings(detector="spots", forecast=path).looker()
    assert "epistem forecast fit" in str(caught.value)


def test_a_forecast_asked_for_a_detector_that_keeps_no_faint_ones_is_refused_and_not_dropped(
    light: Forecaster, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="log has no least score to set"):
        make_settings(detector="log", forecast=written(light, tmp_path / "f.npz")).looker()


def test_a_forecast_that_is_not_there_or_damaged_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with pytest.raises(RecordError, match="wanted a fitted forecast"):
        make_settings(detector="spots", forecast=str(path)).looker()
    path.write_text("text")
    with pytest.raises(RecordError, match="is no fitted forecast"):
        make_settings(detector="spots", forecast=str(path)).looker()
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "spots.npz").write_text("text")
    with pytest.raises(RecordError, match="is no fitted forecast"):
        make_settings(detector="spots").looker()


def test_a_forecast_written_over_is_read_anew(light: Forecaster, tmp_path: Path) -> None:
    path = written(light, tmp_path / "f.npz", source="one")
    settings = make_settings(detector="spots", forecast=path)
    assert looked(settings).forecaster.about == {"source": "one"}
    assert looked(settings).forecaster is looked(settings).forecaster
    written(light, tmp_path / "f.npz", source="two")
    os.utime(path, ns=(1, 1))
    assert looked(settings).forecaster.about == {"source": "two"}


def test_the_key_of_a_result_changes_with_the_forecast(tmp_path: Path) -> None:
    path, shipped = tmp_path / "f.npz", tmp_path / "shipped" / "spots.npz"
    path.write_text("one")
    settings = make_settings(detector="spots", forecast=str(path))
    first = settings.key()
    assert settings.key() == first
    other = [make_settings(detector="spots", forecast="none"), make_settings(detector="spots")]
    assert len({first, *(one.key() for one in other)}) == 3
    path.write_text("two")
    assert settings.key() != first
    before = make_settings(detector="spots").key()
    shipped.parent.mkdir()
    shipped.write_text("one")
    assert make_settings(detector="spots").key() != before
    # Where objects are given there is no forecast.
    given = settings.key(detects=False)
    path.write_text("three")
    assert settings.key(detects=False) == given


def test_limits_of_the_verdict_are_those_that_were_set(fitted: Forecaster, light: Forecaster, tmp_path: Path) -> None:
    path = str(tmp_path / "light.npz")
    written(light, tmp_path / "light.npz")
    assert looked(make_settings(detector="spots", forecast=path)).limits == Limits()
    with pytest.raises(SettingsError, match="limits of a verdict are accept_f1"):
        make_settings(detector="spots", forecast=path, limits={"accept_f2": 0.5}).looker()
    path = written(fitted, tmp_path / "f.npz")
    strict = make_settings(detector="spots", forecast=path, limits={"accept_f1": 0.99, "refuse_f1": 0.98})
    looker = looked(strict)
    assert looker.limits.accept_f1 == 0.99
    assert looker.reliability(looker.look(picture(0)[0])[1]).verdict == "refuse"


def test_a_forecast_fitted_on_boxes_reads_boxes_and_says_what_it_does_not_use(fitted: Forecaster) -> None:
    @dataclass(frozen=True)
    class Thin(Spots):
        """The same with masks that are smaller than their boxes."""

        def __call__(self, micrograph: Micrograph) -> Instances:
            found = super().__call__(micrograph)
            return replace(found, crops=tuple(np.eye(8, dtype=bool) for _ in found.boxes))

    def told(masks: bool | None, images: bool | None) -> tuple[float, Reliability]:
        fitted.about = {"masks": masks, "images": images}
        looker = Watched(Thin(LEAST_CANDIDATE), 0.5, fitted, Limits(), "spots")
        forecast = looker.look(image)[1]
        return forecast.signals["s_diameter_px"], looker.reliability(forecast)

    image = picture(70)[0]
    of_box, of_mask = 2 * np.sqrt(64 / np.pi), 2 * np.sqrt(8 / np.pi)
    assert [told(masks, True)[0] for masks in (False, True, None)] == pytest.approx([of_box, of_mask, of_mask])
    assert "fitted without masks and images, so expected F1" in told(False, False)[1].reasons[-1]
    assert "fitted without images, so expected F1" in told(True, False)[1].reasons[-1]
    for known in (True, None):
        assert not any("fitted without" in reason for reason in told(known, known)[1].reasons)


def test_what_is_told_has_numbers_a_verdict_and_the_image_among_the_reference(
    fitted: Forecaster, tmp_path: Path
) -> None:
    looker = looked(make_settings(detector="spots", forecast=written(fitted, tmp_path / "f.npz")))
    told = looker.reliability(looker.look(picture(70)[0])[1])
    assert told.f1 is not None
    assert told.f1.coverage == 0.9
    assert told.verdict in ("accept", "review", "refuse")
    assert told.reference == "50 reference images of spots"
    assert np.isfinite([*told.signals.values()]).all()
    assert "noise" in {one.label for one in told.shown}
    for one in told.shown:
        assert one.least <= one.low <= one.median <= one.high <= one.most
        assert one.value in told.signals.values()


def test_nothing_found_is_unscored_with_a_reason_and_no_verdict(fitted: Forecaster, tmp_path: Path) -> None:
    settings = make_settings(detector="spots", forecast=written(fitted, tmp_path / "f.npz"))
    faint, _ = picture(60, share=0.2, brightest=45)
    told = analyze_image(faint, settings, looked(settings)).reliability
    assert (told.f1, told.verdict) == (None, None)
    assert told.reasons[0].startswith("Unscored: nothing was found with a score of 0.5")
    assert told.typicality is None  # that it looks usual would say nothing


def test_an_analysis_has_the_forecast_and_what_it_makes_of_the_quantities(fitted: Forecaster, tmp_path: Path) -> None:
    settings = make_settings(detector="spots", forecast=written(fitted, tmp_path / "f.npz"))
    image, _ = picture(70)
    seen = analyze_image(image, settings, looked(settings))
    plain = analyze_image(image, settings, settings.finder())
    assert seen.reliability.f1 is not None
    assert plain.reliability.f1 is None
    assert {name: seen.quantities[name] for name in plain.quantities} == dict(plain.quantities)
    assert len(seen.quantities) > len(plain.quantities)
    assert_columns_alike(seen.found, plain.found)


def test_of_few_objects_it_is_told_how_many_a_lower_threshold_would_add(fitted: Forecaster, tmp_path: Path) -> None:
    path = written(fitted, tmp_path / "f.npz")
    image, _ = picture(70, brightest=105)
    fainter = len(Spots(0.1)(image))
    for least, more in ((0.95, True), (0.15, False)):
        settings = make_settings(detector="spots", min_score=least, forecast=path)
        seen = analyze_image(image, settings, looked(settings))
        n = fainter - len(seen.found)
        assert (len(seen.found) < 3) == more
        says = f"{n} more objects have a score from 0.1 to just below the threshold; see --min-score."
        assert (says in seen.reliability.reasons) == more


def test_where_no_fainter_object_is_there_none_is_told(fitted: Forecaster, tmp_path: Path) -> None:
    settings = make_settings(detector="spots", min_score=0.1, forecast=written(fitted, tmp_path / "f.npz"))
    bare = Micrograph(np.random.default_rng(0).normal(900, 30, (SIDE, SIDE)), Calibration(0.5, 0.5, "user"))
    seen = analyze_image(bare, settings, looked(settings))
    assert len(seen.found) == 0
    assert not any("--min-score" in reason for reason in seen.reliability.reasons)


def assert_columns_alike(one: Instances, other: Instances) -> None:
    assert list(one.columns) == list(other.columns)
    for name in one.columns:
        np.testing.assert_array_equal(one.columns[name], other.columns[name])


def test_a_forecast_without_signals_says_that_typicality_is_not_known(fitted: Forecaster) -> None:
    forecast = Watched(Spots(LEAST_CANDIDATE), 0.5, fitted, Limits(), "spots").look(picture(70)[0])[1]
    blind = Watched(Spots(LEAST_CANDIDATE), 0.5, Forecaster(), Limits(), "spots")
    told = blind.reliability(replace(forecast, typicality=None))
    assert told.shown == ()
    assert any("is not known" in reason for reason in told.reasons)
