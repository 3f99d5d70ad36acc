"""Arrays kept by what went into them, so that a long run which was stopped goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray

from epistem.core import RecordError
from epistem.core.files import written_whole
from epistem.trust.cases import Cases
from epistem.trust.protocols import FitPredict, Ints

Floats = NDArray[np.float64]


class Store:
    """Arrays by what went into them: cases, program, model, rows."""

    def __init__(self, folder: Path, cases: Cases) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"cannot write {folder}: {error.strerror or error}; choose another --out") from error
        self.folder, self.base = folder, hashlib.sha256(_program())
        for one in (cases.images, cases.objects):
            self.base.update(" ".join(map(str, one.columns)).encode())
            self.base.update(pd.util.hash_pandas_object(one).to_numpy().tobytes())

    def get(self, name: str, rows: Sequence[Ints], make: Callable[[], Floats]) -> Floats:
        """The array, made if it is not there."""
        digest = self.base.copy()
        digest.update(name.encode())
        for one in rows:
            digest.update(one.astype(np.int64).tobytes() + b"|")
        path = self.folder / f"{digest.hexdigest()[:32]}.npy"
        if path.is_file():
            return np.asarray(np.load(path, allow_pickle=False), float)
        values = make()
        with written_whole(path) as part, part.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        return values

    def keeping(self, name: str, fit_predict: FitPredict, told: Callable[[], None]) -> FitPredict:
        """The same, but what was done before is read; `told` is called after each fold."""

        def kept(train: Ints, test: Ints) -> Floats:
            values = self.get(name, (train, test), lambda: np.asarray(fit_predict(train, test), float))
            told()
            return values

        return kept


@cache
def _program() -> bytes:
    """Of what computes forecasts: another program must not go on with this one's folds."""
    digest = hashlib.sha256(sklearn.__version__.encode())
    for package in ("epistem.stats", "epistem.trust"):
        for file in sorted(files(package).iterdir(), key=lambda one: one.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.digest()
