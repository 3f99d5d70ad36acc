"""The published forest on a deposited table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from epistem.app.cli import app
from epistem.app.reproduce_deposited import deposited_errors
from epistem.core import SettingsError
from epistem.trust.features import PUBLISHED_8


def table(n: int = 60, *, splits: bool = True) -> pd.DataFrame:
    """F1 is the mean confidence; the last split is of another kind, where it is one half of it."""
    rng = np.random.default_rng(0)
    values = pd.DataFrame({name: rng.random(n) for name in PUBLISHED_8})
    other = np.arange(n) >= 2 * n // 3
    values["f1"] = values["mean_conf"] * np.where(other, 0.5, 1.0)
    return values.assign(split=np.where(other, "B_A", "A_A")) if splits else values


def written(folder: Path, values: pd.DataFrame) -> Path:
    values.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def test_a_split_left_out_is_harder_than_random_folds_and_only_these_were_printed(tmp_path: Path) -> None:
    found = deposited_errors(written(tmp_path, table()), repeats=2).set_index("protocol")
    assert found.loc["split", "mae"] > 1.2 * found.loc["random", "mae"]
    assert found.loc["random", ["rmse_printed", "mae_printed", "r2_printed"]].tolist() == [0.127, 0.093, 0.774]
    assert found.loc["split", ["rmse_printed", "mae_printed", "r2_printed"]].isna().all()


def test_without_splits_there_are_random_folds_alone_and_few_rows_are_refused(tmp_path: Path) -> None:
    assert deposited_errors(written(tmp_path, table(splits=False)), repeats=1)["protocol"].tolist() == ["random"]
    with pytest.raises(SettingsError, match="9 rows"):
        deposited_errors(written(tmp_path, table(9)))


def test_the_command_prints_them_beside_the_printed_ones(tmp_path: Path) -> None:
    words = ["reproduce", "forecast-table", str(written(tmp_path, table())), "--repeats", "1"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0
    assert "printed 0.093" in told.output
    assert "A split left out, 60 rows" in told.output
    rows = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert [row["protocol"] for row in rows] == ["random", "split"]
    assert rows[1]["mae_printed"] is None
