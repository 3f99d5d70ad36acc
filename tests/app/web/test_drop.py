from __future__ import annotations

import pytest

from epistem.app.web.drop import read_done
from epistem.core.errors import SettingsError


def test_a_stored_file_has_its_name_and_id() -> None:
    assert read_done({"name": "Lamelle 3 – 20 kV.dm4", "id": "a1-B_2"}) == ("Lamelle 3 – 20 kV.dm4", "a1-B_2")


@pytest.mark.parametrize("key", ["../a", "", "a b", "a" * 65, 7, None, "a\n"])
def test_an_id_the_server_never_gave_is_refused(key: object) -> None:
    with pytest.raises(SettingsError, match="the id of a file"):
        read_done({"name": "a.tif", "id": key})


@pytest.mark.parametrize("name", ["", "x" * 1001, None, 3, ["a.tif"]])
def test_a_file_without_a_name_is_refused(name: object) -> None:
    with pytest.raises(SettingsError, match="a file has a name"):
        read_done({"name": name, "id": "a"})


@pytest.mark.parametrize("args", [None, "a.tif", ["a.tif", "a"]])
def test_what_is_no_stored_file_is_refused(args: object) -> None:
    with pytest.raises(SettingsError):
        read_done(args)
