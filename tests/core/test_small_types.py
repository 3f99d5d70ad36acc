from __future__ import annotations

import importlib

import numpy as np
import pytest

import epistem
from epistem import core
from epistem.core import Interval, Provenance, Segmentation, SettingsError, ShapeError, Table, UnknownName


def test_an_interval_has_its_value_inside_and_a_meaningful_coverage() -> None:
    Interval(0.1, 0.2, 0.3, 0.9)
    with pytest.raises(SettingsError, match="low ≤ value ≤ high"):
        Interval(0.3, 0.2, 0.4, 0.9)
    with pytest.raises(SettingsError, match="coverage"):
        Interval(0.1, 0.2, 0.3, 90)


def test_a_table_names_what_there_is_and_the_nearest() -> None:
    table = Table("root", {"square": "math:sqrt", "cube": "math:cbrt"})
    assert table["square"](4.0) == 2.0
    assert list(table) == ["square", "cube"]
    with pytest.raises(
        UnknownName, match=r"no root is called 'squar'; there is square, cube\. Did you mean 'square'"
    ):
        table["squar"]


def test_segmentation_agrees_in_shape_and_classes() -> None:
    labels = np.array([[0, 1], [1, 0]])
    Segmentation(labels, ("background", "pore"), np.zeros((2, 2, 2)))
    with pytest.raises(ShapeError, match="there are 1 classes"):
        Segmentation(labels, ("background",))
    with pytest.raises(ShapeError, match=r"wanted \(2, 2, 2\)"):
        Segmentation(labels, ("background", "pore"), np.zeros((3, 2, 2)))
    with pytest.raises(ShapeError, match="label map"):
        Segmentation(np.zeros(3, int), ("background",))


def test_provenance_as_dict_is_plain() -> None:
    told = Provenance("x", "1", {"a": 1}, ("id",), seed=3).as_dict()
    assert told == {"maker": "x", "version": "1", "settings": {"a": 1}, "inputs": ["id"], "weights": None, "seed": 3}


def test_what_core_and_epistem_export_is_really_there() -> None:
    assert all(hasattr(core, name) for name in core.__all__)
    assert sorted(core.__all__) == list(core.__all__)
    for name in epistem.__all__:
        assert getattr(epistem, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = epistem.nothing_such


def test_every_error_is_an_epistem_error() -> None:
    errors = importlib.import_module("epistem.core.errors")
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(one, errors.EpistemError) for one in classes)
    assert all(one.__name__ in (errors.__doc__ or "") for one in classes)
