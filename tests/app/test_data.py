from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from epistem.app import fetch as fetch_module
from epistem.app.data_fetch import listing, unpack
from epistem.app.data_table import DATA, find_data
from epistem.app.fetch import Remote, fetch
from epistem.core import RecordError, SettingsError, UnknownName

CONTENT = bytes(range(256)) * 4000  # 1.02 MB, two pieces and a bit at 400 kB
MD5, SHA256 = hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()
ROOM = 10**9


@dataclass
class Site:
    """A server of this machine.

    Attributes:
        pages: path → what it answers.
        cut_after: so many bytes of each answer are sent before the connection ends; later answers are whole.
        ranges: whether it goes on in the middle of a file.
        etag: what it calls the version of its files; None: nothing.
        says_length: whether it says how long an answer is.
        asked: path and Range of every request.
        hold: it waits for this before it ends an answer that is cut.
    """

    pages: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"one"'
    says_length: bool = True
    codes: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    hold: threading.Event | None = None
    url: str = ""


class Answers(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, path, wanted = self.site, self.path, self.headers["Range"]
        site.asked.append((path, wanted))
        if codes := site.codes.get(path):
            return self.send_error(codes.pop(0))
        if path not in site.pages:
            return self.send_error(404)
        content, start = site.pages[path], 0
        same = self.headers["If-Range"] in (None, site.etag)
        if wanted and site.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + site.cut_after.pop(0) if site.cut_after else len(content)
        self.wfile.write(content[start:stop])
        if stop < len(content) and site.hold:
            self.wfile.flush()
            site.hold.wait(60)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch_module, "PAUSE_S", 0.0)
    monkeypatch.setattr(fetch_module, "CHUNK", 100_000)
    made = Site({"/set.bin": CONTENT})
    handler = type("Handler", (Answers,), {"site": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


def remote(site: Site, checksum: str | None = f"sha256:{SHA256}", size: int | None = None) -> Remote:
    return Remote(f"{site.url}/set.bin", "set.bin", size, checksum)


def test_a_file_comes_whole_with_its_checksum_and_nothing_is_left_beside_it(site: Site, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    got = fetch(remote(site), tmp_path, most_bytes=ROOM, step=lambda *one: told.append(one))
    assert got.path.read_bytes() == CONTENT
    assert (got.sha256, got.checked) == (SHA256, True)
    assert [file.name for file in tmp_path.iterdir()] == ["set.bin"]
    assert told[-1] == ("set.bin", len(CONTENT), len(CONTENT))


def test_what_is_here_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    fetch(remote(site), tmp_path, most_bytes=ROOM)
    fetch(remote(site), tmp_path, most_bytes=ROOM)
    assert len(site.asked) == 1


def test_another_file_of_that_name_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "set.bin").write_bytes(b"mine")
    with pytest.raises(SettingsError, match="another file"):
        fetch(remote(site), tmp_path, most_bytes=ROOM)
    assert (tmp_path / "set.bin").read_bytes() == b"mine"
    assert site.asked == []


def test_a_cut_connection_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.cut_after = [300_000, 300_000]
    assert fetch(remote(site), tmp_path, most_bytes=ROOM).path.read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == [None, "bytes=300000-", "bytes=600000-"]


def test_a_run_that_was_killed_goes_on_with_the_same_file_only(site: Site, tmp_path: Path) -> None:
    site.cut_after = [300_000] + [0] * 9
    with pytest.raises(RecordError, match=r"0\.3 MB are kept, the same command goes on"):
        fetch(remote(site, None), tmp_path, most_bytes=ROOM)
    site.cut_after, site.asked = [], []
    assert fetch(remote(site, None), tmp_path, most_bytes=ROOM).path.read_bytes() == CONTENT
    assert site.asked == [("/set.bin", "bytes=300000-")]


def test_a_file_that_changed_meanwhile_is_begun_anew(site: Site, tmp_path: Path) -> None:
    site.cut_after = [300_000] + [0] * 9
    with pytest.raises(RecordError):
        fetch(remote(site, None), tmp_path, most_bytes=ROOM)
    site.cut_after, site.etag, site.pages["/set.bin"] = [], '"two"', CONTENT[::-1]
    assert fetch(remote(site, None), tmp_path, most_bytes=ROOM).path.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_without_a_mark_or_a_checksum_nothing_is_pieced_together(
    site: Site, tmp_path: Path, etag: str | None
) -> None:
    site.etag, site.cut_after = etag, [300_000]
    assert fetch(remote(site, None), tmp_path, most_bytes=ROOM).path.read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == [None, None]


def test_a_server_that_cannot_go_on_sends_it_whole(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cut_after = False, [300_000]
    assert fetch(remote(site), tmp_path, most_bytes=ROOM).path.read_bytes() == CONTENT


def test_a_beginning_that_is_too_long_is_thrown_away(site: Site, tmp_path: Path) -> None:
    site.cut_after = [300_000] + [0] * 9
    with pytest.raises(RecordError):
        fetch(remote(site), tmp_path, most_bytes=ROOM)
    site.cut_after = []
    with (tmp_path / "set.bin.part").open("ab") as part:
        part.write(bytes(10**6))
    assert fetch(remote(site), tmp_path, most_bytes=ROOM).path.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_wrong_checksum_is_refused_and_what_came_goes(site: Site, tmp_path: Path, kind: str) -> None:
    wrong = "0" * (32 if kind == "md5" else 64)
    with pytest.raises(RecordError, match=f"has the {kind} .*, wanted {wrong}"):
        fetch(remote(site, f"{kind}:{wrong}"), tmp_path, most_bytes=ROOM)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_told_at_once(site: Site, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="answers 404, Not Found; check the address"):
        fetch(Remote(f"{site.url}/none", "none"), tmp_path, most_bytes=ROOM)
    assert len(site.asked) == 1


def test_a_server_that_is_busy_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.codes["/set.bin"] = [503, 429]
    assert fetch(remote(site), tmp_path, most_bytes=ROOM).path.read_bytes() == CONTENT


def test_no_server_at_all_is_told_with_what_to_do(site: Site, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"cannot be fetched.*the same command goes on"):
        fetch(Remote("http://127.0.0.1:1/x", "x"), tmp_path, most_bytes=ROOM)


@pytest.mark.parametrize("says_length", [True, False])
def test_more_than_the_limit_is_refused_and_the_limit_told(site: Site, tmp_path: Path, says_length: bool) -> None:
    site.says_length = says_length
    with pytest.raises(SettingsError, match=r"more than the limit of 0\.0005 GB.*--limit-gb"):
        fetch(remote(site), tmp_path, most_bytes=500_000)
    assert not (tmp_path / "set.bin").exists()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 700_000


def zenodo_record(site: Site, **change: Any) -> bytes:
    about = {
        "metadata": {"title": "Cavities", "license": {"id": "cc-by-4.0"}},
        "files": [
            {
                "key": "set.bin",
                "size": len(CONTENT),
                "checksum": f"md5:{MD5}",
                "links": {"self": f"{site.url}/set.bin"},
            }
        ],
        **change,
    }
    return json.dumps(about).encode()


@pytest.mark.parametrize("doi", ["10.5281/zenodo.42", "doi:10.5281/ZENODO.42", "https://doi.org/10.5281/zenodo.42"])
def test_a_doi_of_zenodo_is_files_with_their_checksums(site: Site, tmp_path: Path, doi: str) -> None:
    site.pages["/api/records/42"] = zenodo_record(site)
    found = listing(doi, zenodo=site.url)
    assert (found.title, found.licence) == ("Cavities", "cc-by-4.0")
    assert found.files == (Remote(f"{site.url}/set.bin", "set.bin", len(CONTENT), f"md5:{MD5}"),)
    assert fetch(found.files[0], tmp_path, most_bytes=ROOM).checked


def test_a_licence_that_the_archive_does_not_tell_is_unknown(site: Site) -> None:
    site.pages["/api/records/42"] = zenodo_record(site, metadata={"title": "Cavities"})
    assert listing("10.5281/zenodo.42", zenodo=site.url).licence is None


def test_a_doi_of_figshare_is_files_of_that_version(site: Site) -> None:
    file = {"name": "a.csv", "size": 3, "computed_md5": "d" * 32, "download_url": f"{site.url}/files/7"}
    told = {"title": "T", "license": {"name": "CC BY 4.0"}, "files": [file]}
    site.pages["/v2/articles/27281400/versions/1"] = json.dumps(told).encode()
    found = listing("10.6084/m9.figshare.27281400.v1", figshare=site.url)
    assert (found.licence, found.files) == (
        "CC BY 4.0", (Remote(f"{site.url}/files/7", "a.csv", 3, f"md5:{'d' * 32}"),)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "has no file"),
        ([{"key": "../..", "size": 1, "checksum": "md5:0", "links": {"self": "u"}}], "names no file"),
        (
            [{"key": f"{d}/a.tif", "size": 1, "checksum": "md5:0", "links": {"self": "u"}} for d in "xy"],
            "several files",
        ),
        ([{"size": 1}], "not understood"),
    ],
)
def test_records_that_lead_elsewhere_or_nowhere_are_refused(site: Site, files: list[Any], says: str) -> None:
    site.pages["/api/records/42"] = zenodo_record(site, files=files)
    with pytest.raises(RecordError, match=says):
        listing("10.5281/zenodo.42", zenodo=site.url)


def test_a_record_that_is_not_there_is_told(site: Site) -> None:
    with pytest.raises(RecordError, match="404"):
        listing("10.5281/zenodo.43", zenodo=site.url)


def test_what_cannot_be_looked_into_is_told_with_what_can() -> None:
    with pytest.raises(SettingsError, match="another archive"):
        listing("10.1016/j.micron.2020.102983")
    for wrong in ("nothing", "file:///etc/passwd", "ftp://x/y"):
        with pytest.raises(UnknownName, match=r"10\.5281/zenodo"):
            listing(wrong)


def test_an_address_gives_its_last_part_as_a_name() -> None:
    (file,) = listing("https://example.org/a/b%20c.tif?download=1").files
    assert file.name == "b c.tif"
    for wrong in ("https://example.org/", "https://example.org/a/..", "https://example.org"):
        with pytest.raises(RecordError, match="names no file"):
            listing(wrong)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_becomes_a_folder_of_its_name(tmp_path: Path) -> None:
    out = unpack(zipped(tmp_path / "set.zip", **{"a/b.txt": b"hello"}), most_bytes=ROOM)
    assert (out / "a" / "b.txt").read_bytes() == b"hello"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["set", "set.zip"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a\\..\\..\\evil", "C:evil"])
def test_a_member_that_leads_out_is_refused_and_nothing_unpacked(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "set.zip", **{"good.txt": b"x", name: b"y"})
    with pytest.raises(RecordError, match="leads out"):
        unpack(path, most_bytes=ROOM)
    assert [file.name for file in tmp_path.iterdir()] == ["set.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("passwords")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(RecordError, match="a link"):
        unpack(tmp_path / "set.zip", most_bytes=ROOM)


def test_a_zip_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**6))
    with pytest.raises(SettingsError, match="limit"):
        unpack(tmp_path / "set.zip", most_bytes=10**5)


def test_a_damaged_zip_leaves_nothing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", b"hello world")
    (tmp_path / "set.zip").write_bytes(buffer.getvalue().replace(b"hello", b"jello"))
    with pytest.raises(RecordError, match="cannot be unpacked"):
        unpack(tmp_path / "set.zip", most_bytes=ROOM)
    assert [file.name for file in tmp_path.iterdir()] == ["set.zip"]


def test_every_data_set_says_what_reads_it_and_can_be_asked_for_by_name() -> None:
    assert len({one.name for one in DATA}) == len(DATA)
    assert {job for one in DATA for job in one.jobs} >= {"detect", "segment", "atoms", "ask"}
    for one in DATA:
        assert find_data(one.name) is one
        assert one.loader
        assert one.truth
        assert one.licence != ""
        if one.fetch is None:
            with pytest.raises(SettingsError, match="not known"):
                listing(one.name)
        elif one.fetch.startswith("http"):
            (file,) = listing(one.name).files
            assert (file.name, file.url) == (f"{one.name}.zip", one.fetch)


def epistem(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "epistem", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_the_command_fetches_unpacks_and_says_what_was_checked(site: Site, tmp_path: Path) -> None:
    content = zipped(tmp_path / "made.zip", **{"a.txt": b"hello"}).read_bytes()
    site.pages["/set.zip"] = content
    told = epistem(
        "data", "fetch", f"{site.url}/set.zip", "--out", tmp_path / "out", "--unpack", "--json",
        "--sha256", hashlib.sha256(content).hexdigest(),
    )  # fmt: skip
    (file,) = json.loads(told.stdout)["files"]
    assert file["checked"] is True
    assert (Path(file["unpacked"]) / "a.txt").read_bytes() == b"hello"
    wrong = epistem("data", "fetch", f"{site.url}/set.bin", "--out", tmp_path / "out", "--md5", "0" * 32)
    assert (wrong.returncode, "wanted 000" in wrong.stderr) == (1, True)
    short = epistem("data", "fetch", f"{site.url}/set.bin", "--out", tmp_path / "out", "--md5", "abc")
    assert (short.returncode, "32 digits" in short.stderr) == (2, True)


def test_a_command_that_was_killed_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.cut_after, site.hold = [2_500_000], threading.Event()
    site.pages["/set.bin"] = CONTENT * 4
    words = ["data", "fetch", f"{site.url}/set.bin", "--out", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-m", "epistem", *words], stderr=subprocess.DEVNULL) as running:
        part, end = tmp_path / "set.bin.part", time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size >= 2**20) and time.monotonic() < end:
            time.sleep(0.05)
        running.kill()
    site.hold.set()
    kept = part.stat().st_size
    assert 2**20 <= kept <= 2_500_000
    assert epistem(*words).returncode == 0
    assert site.asked[-1] == ("/set.bin", f"bytes={kept}-")
    assert (tmp_path / "set.bin").read_bytes() == CONTENT * 4


def test_a_licence_that_is_not_known_is_called_unknown() -> None:
    assert find_data("pores-xct").licence is None
    assert "licence: unknown" in epistem("data", "show", "pores-xct").stdout
    told = json.loads(epistem("data", "--json").stdout)
    assert next(one for one in told if one["name"] == "pores-xct")["licence"] is None
