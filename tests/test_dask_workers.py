"""What the kill of a worker explains, of items that were begun more than once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.dask_cluster import begun_again


@pytest.mark.parametrize(
    ("lines", "often"),
    [
        (["begun a 1", "begun b 2", "ended b 2", "begun a 2", "ended a 2"], 0),
        (["begun a 1", "ended a 1", "begun b 1", "begun a 2", "begun b 2"], 0),
        (["begun a 1", "ended a 1", "begun b 2", "begun b 3"], 1),
        (["begun a 1", "begun a 2", "begun a 3"], 1),
    ],
    ids=[
        "what the killed one held",
        "what it held, and an outcome that was not fetched yet",
        "one of another worker, though what was held had just ended",
        "what it held, twice",
    ],
)
def test_items_begun_again_for_no_reason_are_counted_and_none_is_set_off_against_another(
    lines: list[str], often: int, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(lines))
    assert begun_again(log, killed=1) == often
