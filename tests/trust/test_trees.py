"""Trees as arrays say what scikit-learn says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor

from epistem.report.fiji import write_micrograph
from epistem.synth.cavities import CavityScene, simulate
from epistem.trust import trees as module
from epistem.trust.trees import Trees


def table(rows: int, seed: int) -> NDArray[np.float32]:
    """Four columns, a tenth unknown, one with few values."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)).astype(np.float32)
    values[:, 3] = rng.integers(0, 3, rows)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def goal(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.nan_to_num(values[:, 0].astype(float)) ** 2 + np.isnan(values[:, 1]) + np.nan_to_num(values[:, 3])


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[Any, Trees]]:
    values = table(400, 0)
    boosted = HistGradientBoostingRegressor(max_iter=20, random_state=0).fit(values, goal(values))
    forest = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=0).fit(values, goal(values))
    classifier = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(values, goal(values) > 1)
    return {
        "boosted": (boosted, Trees.of_boosted(boosted)), "forest": (forest, Trees.of_forest(forest)),
        "classifier": (classifier, Trees.of_boosted(classifier)),
    }  # fmt: skip


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("which", ["boosted", "forest", "classifier"])
def test_they_say_what_the_model_says_also_where_values_are_unknown(
    fitted: dict[str, tuple[Any, Trees]], which: str, rows: int
) -> None:
    model, trees = fitted[which]
    new = table(rows, 1)
    wanted = model.decision_function(new) if which == "classifier" else model.predict(new)
    np.testing.assert_allclose(trees.predict(new), wanted, rtol=0, atol=1e-12)


def test_many_rows_in_parts_say_the_same(
    fitted: dict[str, tuple[Any, Trees]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees, new = fitted["boosted"][1], table(300, 2)
    whole = trees.predict(new)
    monkeypatch.setattr(module, "_AT_ONCE", 7 * 20)
    np.testing.assert_array_equal(trees.predict(new), whole)
    assert trees.predict(new[:0]).shape == (0,)


def test_through_a_file_they_are_the_same(fitted: dict[str, tuple[Any, Trees]], tmp_path: Path) -> None:
    trees, new = fitted["forest"][1], table(50, 3)
    np.savez(tmp_path / "t.npz", **trees.as_arrays())
    with np.load(tmp_path / "t.npz") as file:
        again = Trees.of_arrays(dict(file))
    np.testing.assert_array_equal(again.predict(new), trees.predict(new))


def test_too_few_columns_are_refused(fitted: dict[str, tuple[Any, Trees]]) -> None:
    with pytest.raises(ValueError, match="ask for 4 columns; 2 came"):
        fitted["boosted"][1].predict(table(3, 4)[:, :2])


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ({"left": [1, 0, 2], "right": [1, 0, 2]}, "lead back"),
        ({"left": [0, 1, 2], "right": [2, 1, 2]}, "lead back"),
        ({"feature": [-1, 0, 0]}, "columns that are not there"),
        ({"left": [7, 1, 2]}, "nodes that are not there"),
    ],
)
def test_trees_without_an_end_are_refused(harm: dict[str, list[int]], says: str) -> None:
    sound = Trees(
        *(np.array(one) for one in ([0, 0, 0], [0.5, 0, 0], [1, 1, 2], [2, 1, 2], [False] * 3, [0, 1.0, 2.0], [0]))
    ).as_arrays()
    assert Trees.of_arrays(sound).predict(np.array([[0.0], [1.0]])).tolist() == [1, 2]
    with pytest.raises(ValueError, match=says):
        Trees.of_arrays(sound | harm)


def test_an_image_is_forecast_without_the_libraries_that_take_longest_to_import(tmp_path: Path) -> None:
    field = simulate(CavityScene(shape=(128, 128), number=4, diameter_nm=5), seed=0)
    write_micrograph(tmp_path / "a.tif", field.micrograph)
    code = """
import sys
from epistem.app.analyze import analyze
assert analyze(sys.argv[1])[0].reliability.f1 is not None
print(*sorted({"torch", "sklearn", "scipy.stats"} & set(sys.modules)))
"""
    words = [sys.executable, "-c", code, tmp_path / "a.tif"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
