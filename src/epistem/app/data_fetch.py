"""From a name, a DOI or an address to files: what the archives say of them, and unpacking what came."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from epistem.app.data_table import DATA
from epistem.app.fetch import Remote, get_json
from epistem.core import RecordError, SettingsError, UnknownName

ZENODO, FIGSHARE = "https://zenodo.org", "https://api.figshare.com"
_ZENODO_DOI = re.compile(r"10\.5281/zenodo\.(\d+)", re.IGNORECASE)
_FIGSHARE_DOI = re.compile(r"10\.\d+/m9\.figshare\.(\d+)(?:\.v(\d+))?", re.IGNORECASE)


class Listing(NamedTuple):
    """What there is to fetch; title and licence as the archive states them, None where it does not."""

    title: str | None
    licence: str | None
    files: tuple[Remote, ...]


def listing(source: str, *, zenodo: str = ZENODO, figshare: str = FIGSHARE) -> Listing:
    """The files behind a name of the table, a DOI or an address. Asks the archive where it is a DOI.

    Args:
        source: a name of `epistem data`, a DOI of Zenodo or Figshare, or an http address of one file.
        zenodo, figshare: where the archives answer.

    Raises:
        UnknownName: none of these.
        SettingsError: a DOI of another archive, or a name whose address is not known.
        RecordError: the archive cannot be reached, does not know it, or has files whose names lead elsewhere.
    """
    known = next((one for one in DATA if one.name == source), None)
    if known is not None:
        if known.fetch is None:
            raise SettingsError(f"the whole address of {known.name} is not known; its source is {known.source}")
        found = listing(known.fetch, zenodo=zenodo, figshare=figshare)
        if known.fetch.startswith("http"):  # a commit's name says nothing to people
            found = found._replace(files=(found.files[0]._replace(name=f"{known.name}.zip"),))
        return found._replace(title=found.title or known.what, licence=known.licence or found.licence)
    doi = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", source.strip(), flags=re.IGNORECASE)
    if record := _ZENODO_DOI.fullmatch(doi):
        return _zenodo(get_json(f"{zenodo}/api/records/{record[1]}"), doi)
    if record := _FIGSHARE_DOI.fullmatch(doi):
        version = f"/versions/{record[2]}" if record[2] else ""
        return _figshare(get_json(f"{figshare}/v2/articles/{record[1]}{version}"), doi)
    if doi.startswith("10."):
        raise SettingsError(
            f"DOIs of Zenodo and Figshare can be looked into, and {doi} is of another archive; open "
            f"https://doi.org/{doi} and give the address of the file"
        )
    if urlsplit(source).scheme in ("http", "https"):
        return Listing(None, None, (Remote(source, _plain_name(unquote(urlsplit(source).path))),))
    raise UnknownName(
        f"{source!r} is no data set that epistem data lists, no DOI (10.5281/zenodo.…) and no address (https://…)"
    )


def unpack(path: Path, *, most_bytes: int) -> Path:
    """A zip in a new folder beside it, whole or not at all.

    Raises:
        SettingsError: the folder is there already, it is no zip, or it holds more than `most_bytes`.
        RecordError: damaged, or a member that would leave the folder or is no plain file.
    """
    out = path.with_suffix("")
    if out == path or path.suffix.lower() != ".zip":
        raise SettingsError(f"only .zip files are unpacked; {path.name} is here as it came")
    if out.exists():
        raise SettingsError(f"{out} is there; move it, or unpack {path.name} by hand")
    try:
        with (
            zipfile.ZipFile(path) as archive,
            tempfile.TemporaryDirectory(dir=path.parent, prefix=".unpack-") as made,
        ):
            total = sum(_checked(member, path.name).file_size for member in archive.infolist())
            if total > min(most_bytes, free := shutil.disk_usage(path.parent).free):
                raise SettingsError(
                    f"{path.name} unpacks to {total / 1e9:.3g} GB; the limit is {most_bytes / 1e9:.3g} GB and "
                    f"{free / 1e9:.3g} GB are free. Raise --limit-gb or make room"
                )
            inside = Path(made) / "inside"
            inside.mkdir()
            archive.extractall(inside)
            inside.rename(out)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise RecordError(f"{path.name} cannot be unpacked: {error}; fetch it again") from error
    return out


def _checked(member: zipfile.ZipInfo, source: str) -> zipfile.ZipInfo:
    kind = stat.S_IFMT(member.external_attr >> 16)
    parts = re.split(r"[/\\]", member.orig_filename)
    if (
        ".." in parts
        or parts[0] == ""
        or re.match(r"[A-Za-z]:", member.orig_filename)
        or "\0" in member.orig_filename
    ):
        raise RecordError(
            f"{source} holds {member.orig_filename!r}, which leads out of its folder; nothing is unpacked"
        )
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise RecordError(f"{source} holds {member.filename!r}, a link or device and no file; nothing is unpacked")
    return member


def _zenodo(record: Any, doi: str) -> Listing:
    """Of `GET /api/records/ID`."""
    try:
        about = record["metadata"]
        files = [
            Remote(file["links"]["self"], _plain_name(file["key"]), int(file["size"]), _checksum(file["checksum"]))
            for file in record["files"]
        ]
        licence = (about.get("license") or {}).get("id")
        return _whole(Listing(about.get("title"), licence, tuple(files)), doi)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"Zenodo's answer on {doi} is not understood ({error!r}); give a file's address") from error


def _figshare(record: Any, doi: str) -> Listing:
    """Of `GET /v2/articles/ID[/versions/N]`."""
    try:
        files = [
            Remote(
                file["download_url"], _plain_name(file["name"]), int(file["size"]),
                f"md5:{file['computed_md5']}" if file.get("computed_md5") else None,
            )
            for file in record["files"]
        ]  # fmt: skip
        licence = (record.get("license") or {}).get("name")
        return _whole(Listing(record.get("title"), licence, tuple(files)), doi)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(
            f"Figshare's answer on {doi} is not understood ({error!r}); give a file's address"
        ) from error


def _whole(found: Listing, doi: str) -> Listing:
    names = [file.name for file in found.files]
    if not names:
        raise RecordError(f"{doi} has no file that everybody may fetch; look at https://doi.org/{doi}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecordError(f"{doi} has several files called {twice[0]}; give the address of the one that is wanted")
    return found


def _checksum(said: str) -> str | None:
    """As `fetch` takes it; None for a kind that it does not know."""
    return said if said.split(":")[0] in ("md5", "sha256") else None


def _plain_name(name: str) -> str:
    """The last part of a name, which other people chose.

    Raises:
        RecordError: nothing is left of it.
    """
    plain = re.sub(r'[\x00-\x1f<>:"|?*]', "_", re.split(r"[/\\]", name.rstrip("/\\"))[-1])
    if plain.strip(". ") == "":
        raise RecordError(f"{name!r} names no file; give an address that ends in a file's name")
    return plain
