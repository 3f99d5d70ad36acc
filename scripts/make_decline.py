"""Learn which questions no single image answers: `python scripts/make_decline.py`; writes ask/shipped/decline.npz."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from epistem.nets.texts import embed

HERE = Path(__file__).parent
OUT = HERE.parent / "src" / "epistem" / "ask" / "shipped" / "decline.npz"
QUESTIONS = ("decline_questions.json", "decline_more.json")
WRONGLY = 0.08
"""Share of answerable questions that may be declined, by which the threshold is chosen on ten folds."""


def main() -> None:
    questions = [json.loads((HERE / name).read_text("utf-8")) for name in QUESTIONS]
    lists = [[text for one in questions for text in one[kind]] for kind in ("unanswerable", "answerable")]
    texts, truth = lists[0] + lists[1], np.repeat([1, 0], [len(one) for one in lists])
    vectors = embed(texts)
    model = LogisticRegression(C=10.0, max_iter=1000)
    chance = cross_val_predict(model, vectors, truth, cv=10, method="predict_proba")[:, 1]
    threshold = float(np.quantile(chance[truth == 0], 1 - WRONGLY))
    print(f"ten folds: {np.mean(chance[truth == 1] >= threshold):.3f} of unanswerable declined at {threshold:.2f}")
    model.fit(vectors, truth)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez(OUT, weights=model.coef_[0].astype(np.float32), bias=model.intercept_[0], threshold=threshold)


if __name__ == "__main__":
    main()
