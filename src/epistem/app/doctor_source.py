"""Where this epistem was installed from, and the line that installs it again from there."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from epistem import __version__

_UNKNOWN = "install epistem again, the way it was installed"


def reinstall_line(*options: str) -> str:
    """What installs it again: the same wheel, checkout or address; a name on an index only where it came from one.

    Args:
        options: of pip, such as "--no-deps".
    """
    try:
        told = distribution("epistem").read_text("direct_url.json")
        source = _source(json.loads(told)) if told is not None else f"epistem=={__version__}"
    except (PackageNotFoundError, AttributeError, KeyError, TypeError, ValueError):
        return _UNKNOWN
    return " ".join(["pip install --force-reinstall", *options, source])


def _source(origin: dict[str, Any]) -> str:
    """As pip takes it, of what pip wrote down when it installed it.

    Source: PEP 610.

    >>> _source({"url": "https://lab.example/epistem.git", "vcs_info": {"vcs": "git", "commit_id": "3f2a"}})
    '"git+https://lab.example/epistem.git@3f2a"'
    """
    url = str(origin["url"])
    if "vcs_info" in origin:
        inside = f"#subdirectory={origin['subdirectory']}" if "subdirectory" in origin else ""
        return f'"{origin["vcs_info"]["vcs"]}+{url}@{origin["vcs_info"]["commit_id"]}{inside}"'
    parts = urlsplit(url)
    # A folder of another machine stays an address.
    place = url2pathname(parts.path) if parts.scheme == "file" and not parts.netloc else url
    editable = origin.get("dir_info", {}).get("editable", False)
    return f'{"-e " if editable else ""}"{place}"'
