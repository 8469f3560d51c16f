"""Client ids that are addresses: what we fetch for whom, and what we do not believe."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from authz.tables import Client
from registry.database import Concern
from tests.gateway.oauth.house import LOOPBACK, House, answer_of, pkce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


MUCH = 64 * 1024 * 1024  # more than the kernel holds between two sockets


class Library:
    """Documents by path on loopback; `seen` counts who asked for what."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.seen: list[str] = []
        library = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                library.seen.append(self.path)
                status, body, headers = library.answers.get(self.path, (404, b"", {}))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def put(self, path: str, status: int = 200, headers: dict[str, str] | None = None, **changes: Any) -> str:
        """A document about itself, but for the changes; None leaves a member away."""
        url = self.origin + path
        said = {
            "client_id": url, "client_name": "A desk app", "redirect_uris": [LOOPBACK],
            "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
        } | changes  # fmt: skip
        body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        self.answers[path] = (status, body, {"content-type": "application/json"} | (headers or {}))
        return url

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    opened = Library()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, library: Library) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), allow_addresses=(library.origin,)) as opened:
        yield opened


def refused(house: House, client_id: str, **more: Any) -> str:
    """The text of the page on which it ended; nobody was sent anywhere."""
    with house.browser(house.person()) as browser:
        answer = browser.authorize(client_id, **({"redirect_uri": LOOPBACK} | more))
    assert answer.status_code in {400, 429}, answer.text
    assert "location" not in answer.headers
    return answer.text


def test_t_29_a_client_that_describes_itself_gets_its_tokens(house: House, library: Library) -> None:
    url, proof = library.put("/app/good"), pkce()
    with house.browser(house.person()) as browser:
        page = browser.authorize(url, proof, redirect_uri=LOOPBACK)
        assert f"It describes itself at {url}" in page.text
        assert "Did you just start this yourself?" in page.text
        code = answer_of(browser.answer(page))["code"]

    given = house.redeem(Client(id=url, origin="metadata"), code, proof, LOOPBACK)

    assert given.status_code == 200
    assert house.call(given.json()["access_token"]) == 200


def test_t_29_nothing_is_fetched_for_somebody_who_has_not_signed_in(house: House, library: Library) -> None:
    url = library.put("/app/unseen")
    with house.browser() as browser:
        answer = browser.authorize(url, redirect_uri=LOOPBACK)

    assert answer.headers["location"].startswith("/signin?")
    assert "/app/unseen" not in library.seen


def test_t_29_a_document_is_kept_as_long_as_its_headers_say(house: House, library: Library) -> None:
    url = library.put("/app/kept", headers={"cache-control": "public, max-age=3600"})
    with house.browser(house.person()) as browser:
        for _ in range(3):
            assert browser.authorize(url, redirect_uri=LOOPBACK).status_code == 200
        assert library.seen.count("/app/kept") == 1
        with house.office.database.change() as session:
            session.get_one(Client, url).fresh_until = 1.0
        assert browser.authorize(url, redirect_uri=LOOPBACK).status_code == 200

    assert library.seen.count("/app/kept") == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": "https://other.example/app"}, "another client_id"),
        ({"client_id": None}, "another client_id"),
        ({"client_secret": "hunter2"}, "authenticate"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "authenticate"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect_uris"),
        ({"redirect_uris": "https://app.example/cb"}, "JSON object"),
        ({"redirect_uris": ["http://app.example/cb"]}, "redirect_uris"),
        ({"grant_types": ["client_credentials"]}, "grant_types"),
        ({"client_name": {"en": "x"}}, "JSON object"),
    ],
)
def test_t_29_a_document_that_does_not_fit_is_refused(
    house: House, library: Library, changes: dict[str, Any], words: str
) -> None:
    assert words in refused(house, library.put("/app/odd", **changes))


def test_t_29_an_answer_that_is_no_document_is_refused(house: House, library: Library) -> None:
    answers: dict[str, tuple[int, bytes, dict[str, str]]] = {
        "/no/json": (200, b"<html>", {}),
        "/no/object": (200, b"[1]", {}),
        "/no/depth": (200, b"[" * 9000, {}),
        "/no/utf8": (200, b'{"client_id":"\xff"}', {}),
        "/no/size": (200, b'{"a":"' + b"x" * 200_000 + b'"}', {}),
        "/no/status": (500, b"{}", {}),
        "/no/redirect": (302, b"", {"location": f"{library.origin}/app/good"}),
    }
    library.answers |= answers
    for path in answers:
        assert "cannot be used" in refused(house, library.origin + path), path
    assert "/app/good" not in library.seen[library.seen.index("/no/redirect") :]


@pytest.mark.parametrize(
    "client_id",
    [
        "https://169.254.169.254/latest/meta-data", "https://metadata.google.internal/x", "https://10.0.0.1/app",
        "https://127.0.0.1/app", "https://localhost/app", "https://[::1]/app", "https://0x7f.1/app",
        "https://2130706433/app", "http://public.example/app", "https://127.0.0.1:22/app",
        "https://[::ffff:127.0.0.1]/app", "https://nowhere.invalid/app",
    ],
)  # fmt: skip
def test_t_29_an_address_inside_is_never_connected_to(house: House, client_id: str) -> None:
    text = refused(house, client_id)

    assert "cannot be used" in text
    assert "fetched" in text


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "/",
        "/app/good?x=1",
        "/app/good#f",
        "/app/../app/good",
        "/./app/good",
        "/app/good\\x",
        "/app/ good",
        "/" + "a" * 600,
    ],
)  # fmt: skip
def test_t_29_what_is_not_a_plain_address_is_no_client(house: House, library: Library, tail: str) -> None:
    before = len(library.seen)

    refused(house, library.origin + tail)

    assert len(library.seen) == before


def test_t_29_the_redirect_must_stand_in_the_document(house: House, library: Library) -> None:
    url = library.put("/app/strict", redirect_uris=["https://app.example/cb"])

    refused(house, url, redirect_uri="https://evil.example/cb")
    refused(house, url, redirect_uri=LOOPBACK)


def test_t_29_a_redirect_that_left_the_document_is_no_longer_good(house: House, library: Library) -> None:
    url = library.put("/app/moved", redirect_uris=["https://old.example/cb"])
    with house.browser(house.person()) as browser:
        browser.consent(url, redirect_uri="https://old.example/cb")
        library.put("/app/moved", redirect_uris=["https://new.example/cb"])
        with house.office.database.change() as session:
            session.get_one(Client, url).fresh_until = 1.0

        assert browser.authorize(url, redirect_uri="https://old.example/cb").status_code == 400


def test_t_29_a_client_that_an_administrator_disabled_stays_so(house: House, library: Library) -> None:
    url = library.put("/app/disabled")
    with house.browser(house.person()) as browser:
        browser.authorize(url, redirect_uri=LOOPBACK)
    with house.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, url).disabled_at = 1.0
    before = len(library.seen)

    assert "administrator has disabled" in refused(house, url)
    assert len(library.seen) == before


def test_t_29_nobody_can_make_us_fetch_without_end(house: House, library: Library) -> None:
    with house.browser(house.person()) as browser:
        statuses = [browser.authorize(f"{library.origin}/flood/{n}", redirect_uri=LOOPBACK) for n in range(25)]

    assert sum(path.startswith("/flood/") for path in library.seen) <= 20
    assert "too many" in statuses[-1].text.lower()


def test_t_29_the_name_of_a_client_is_shown_as_text(house: House, library: Library) -> None:
    url = library.put("/app/name", client_name="<b>Bank</b>\u202e\u0000\n " + "x" * 200)
    with house.browser(house.person()) as browser:
        text = browser.authorize(url, redirect_uri=LOOPBACK).text

    assert "&lt;b&gt;Bank&lt;/b&gt; xxx" in text
    assert "\u202e" not in text
    assert "x" * 90 not in text


def test_t_29_a_document_without_end_is_not_read_to_its_end(house: House) -> None:
    sent = 0

    def pour(line: socket.socket) -> None:
        nonlocal sent
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
        while sent < MUCH:
            sent += line.send(b" " * 65_536)

    with speaking(house, pour) as (url, connections):
        assert "cannot be used" in refused(house, url)
        assert len(connections) == 1, "no second try"
    assert sent < MUCH


def test_t_29_a_document_that_takes_for_ever_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.oauth.clients.documents.TIMEOUT", 0.3)
    done = threading.Event()
    with speaking(house, lambda _: done.wait(20)) as (url, connections):
        assert "cannot be used" in refused(house, url)
        assert not done.is_set(), "nobody waited for its end"
        done.set()
        assert len(connections) == 1


@contextlib.contextmanager
def speaking(house: House, say: Callable[[socket.socket], Any]) -> Iterator[tuple[str, list[Any]]]:
    """A server that says what no library would; its URL, and who connected."""
    connections: list[Any] = []

    def serve() -> None:
        while True:
            try:
                line, peer = listener.accept()
            except OSError:
                return
            connections.append(peer)
            with line, contextlib.suppress(OSError):
                line.settimeout(10)
                line.recv(4096)
                say(line)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        house.world.fetcher._exceptions = (*house.world.fetcher._exceptions, origin)
        yield f"{origin}/app/odd", connections
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
