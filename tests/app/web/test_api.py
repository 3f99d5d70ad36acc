"""The page's doors: who is let in, what is taken, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from epistem.app.web.api import make_api
from epistem.app.web.desk import Desk
from epistem.app.web.guard import MOST_BODY, Guard
from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Rooms

TOKEN = "open sesame"
PNG = (Path(__file__).parents[3] / "examples" / "images" / "A4.png").read_bytes()


def client(root: Path, *, limits: Limits | None = None, token: str | None = None) -> TestClient:
    rooms = Rooms(root, limits or Limits())
    return TestClient(Guard(make_api(Desk(root, rooms)), rooms, hosts=("testserver",), token=token))


@pytest.fixture
def one(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as made:
        yield made


def put(to: TestClient, name: str = "a.png", data: bytes = PNG) -> dict[str, str]:
    answer = to.put("/api/images", params={"name": name}, content=data)
    assert answer.status_code == 201, answer.text
    told: dict[str, str] = answer.json()
    return told


# ---- who


def test_a_page_without_its_token_says_so_and_shows_nothing(tmp_path: Path) -> None:
    to = client(tmp_path, token=TOKEN)

    assert "wants its token" in to.get("/").text
    assert to.get("/").status_code == 401
    assert to.get("/api/state").status_code == 401
    assert to.put("/api/images", params={"name": "a.png"}, content=PNG).status_code == 401
    assert to.get("/?token=wrong").status_code == 401
    assert not list((tmp_path / "rooms").iterdir())


def test_the_token_is_given_once_and_leaves_the_address(tmp_path: Path) -> None:
    to = client(tmp_path, token=TOKEN)

    answer = to.get("/api/state", params={"token": TOKEN}, follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/api/state"
    assert to.get("/api/state").status_code == 200


def test_a_redirect_never_leads_to_another_site(tmp_path: Path) -> None:
    to = client(tmp_path, token=TOKEN)

    answer = to.get("//evil.example/x", params={"token": TOKEN}, follow_redirects=False)

    assert not answer.headers.get("location", "/").startswith("//")


def test_another_name_for_this_machine_is_refused(one: TestClient) -> None:
    assert one.get("/api/health", headers={"host": "evil.example"}).status_code == 421


def test_another_site_may_not_write_here(one: TestClient) -> None:
    answer = one.put("/api/images", params={"name": "a.png"}, content=PNG, headers={"origin": "http://evil.example"})

    assert answer.status_code == 403
    assert one.get("/api/state").json()["images"] == []


def test_cookies_are_kept_from_scripts_and_other_sites(one: TestClient) -> None:
    cookie = one.get("/api/health").headers["set-cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_no_other_site_may_be_loaded_from(one: TestClient) -> None:
    policy = one.get("/api/health").headers["content-security-policy"]

    assert "default-src 'self'" in policy
    assert "http" not in policy


# ---- whose


def test_a_session_sees_only_its_own_images(tmp_path: Path) -> None:
    mine, other = client(tmp_path), client(tmp_path)
    id = put(mine)["id"]

    assert [image["id"] for image in mine.get("/api/state").json()["images"]] == [id]
    assert other.get("/api/state").json()["images"] == []
    for answer in (
        other.get(f"/api/images/{id}/0/picture.png"), other.get(f"/api/images/{id}/0/objects.json"),
        other.delete(f"/api/images/{id}"), other.patch(f"/api/images/{id}", json={"pixel_size": "1 nm"}),
        other.post(f"/api/images/{id}/detect", json={}),
        other.post(f"/api/images/{id}/0/edits", json={"op": "delete", "id": 0}),
    ):  # fmt: skip
        assert answer.status_code == 404
    assert len(mine.get("/api/state").json()["images"]) == 1


def test_nobody_cancels_what_another_queued(tmp_path: Path) -> None:
    mine, other = client(tmp_path), client(tmp_path)
    job = put(mine)["job"]

    assert other.post(f"/api/jobs/{job}/cancel").json() == {"cancelled": False}
    assert mine.post(f"/api/jobs/{job}/cancel").json() == {"cancelled": True}


@pytest.mark.parametrize(
    "path",
    ["../queue.sqlite", "%2e%2e/%2e%2e/queue.sqlite", "..%2f..%2fqueue.sqlite", "/etc/passwd", "a%00b", "."],
)
def test_no_path_leads_out_of_the_results(one: TestClient, path: str) -> None:
    put(one)

    assert one.get(f"/results/{path}").status_code == 404
    assert one.get(f"/runs/{path}").status_code == 404


def test_a_link_in_the_results_leads_nowhere_else(tmp_path: Path) -> None:
    to = client(tmp_path)
    put(to)
    (room,) = (tmp_path / "rooms").iterdir()
    (room / "detect").mkdir()
    (room / "detect" / "link").symlink_to(tmp_path / "queue.sqlite")

    assert to.get("/results/link").status_code == 404


# ---- what


def test_a_file_that_is_too_large_is_refused_before_and_while_it_comes(tmp_path: Path) -> None:
    to = client(tmp_path, limits=Limits(upload_mb=0.01))

    declared = to.put("/api/images", params={"name": "a.png"}, content=b"x" * 20_000)
    streamed = to.put("/api/images", params={"name": "a.png"}, content=iter([b"x" * 8000] * 3))

    for answer in (declared, streamed):
        assert answer.status_code == 413
        assert "MB" in answer.json()["error"]
    assert to.get("/api/state").json()["images"] == []
    (room,) = (tmp_path / "rooms").iterdir()
    assert not list((room / "items").glob("*"))


@pytest.mark.parametrize("name", ["x.exe", "x.html", "x", "x.svg"])
def test_a_wrong_type_is_refused_with_what_is_taken(one: TestClient, name: str) -> None:
    answer = one.put("/api/images", params={"name": name}, content=b"MZ")

    assert answer.status_code == 415
    assert "dm4" in answer.json()["error"]


def test_a_name_that_leads_elsewhere_is_made_a_name(one: TestClient) -> None:
    assert put(one, "../../../etc/x.png")["name"] == "x.png"


def test_an_unknown_setting_or_one_out_of_range_is_refused(one: TestClient) -> None:
    id = put(one)["id"]

    assert one.post(f"/api/images/{id}/detect", json={"min_score": 2}).status_code == 422
    assert one.post(f"/api/images/{id}/detect", json={"detector": "os"}).status_code == 422


def test_a_pixel_size_that_is_none_is_told_in_words(one: TestClient) -> None:
    id = put(one)["id"]

    answer = one.patch(f"/api/images/{id}", json={"pixel_size": "wide"})

    assert answer.status_code == 422
    assert "wide" in answer.json()["error"]
    assert one.get("/api/state").json()["images"][0]["pixel_size"] is None


def test_only_the_last_settings_of_an_image_wait(one: TestClient) -> None:
    id = put(one)["id"]
    for score in (0.2, 0.3):
        one.post(f"/api/images/{id}/detect", json={"min_score": score})

    (image,) = one.get("/api/state").json()["images"]

    assert image["job"]["what"] == {"min_score": 0.3}
    assert one.get("/api/state").json()["waiting"] == 1


def test_nothing_to_export_is_told_in_words(one: TestClient) -> None:
    put(one)

    assert "analysed" in one.get("/api/results-found.zip").json()["error"]
    assert "right" in one.get("/api/corrections.json").json()["error"]


def test_a_body_that_is_held_in_memory_may_not_be_large(one: TestClient) -> None:
    id = put(one)["id"]
    large = b'{"min_score": 0.5' + b" " * MOST_BODY + b"}"

    declared = one.post(f"/api/images/{id}/detect", content=large)

    assert declared.status_code == 413
    with pytest.raises(Exception, match=r"."):  # cut off as if the browser had gone
        one.post(f"/api/images/{id}/detect", content=iter([large[:1_000_000]] * 30)).raise_for_status()


def test_pages_at_two_ports_are_two(tmp_path: Path) -> None:
    to = client(tmp_path)
    names = set()
    for port in (80, 8080):
        to.base_url = f"http://testserver:{port}"  # type: ignore[assignment]
        names.add(to.get("/api/health").headers["set-cookie"].split("=")[0])

    assert len(names) == 2
