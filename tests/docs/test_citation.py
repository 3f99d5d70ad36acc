from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

from epistem import __version__

ROOT = Path(__file__).resolve().parents[2]


def test_the_citation_is_of_this_version_and_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (cited["version"], cited["version"]) == (__version__, project["version"])
    assert cited["license"] == project["license"]
    assert [one["name"] for one in cited["authors"]] == [one["name"] for one in project["authors"]]
