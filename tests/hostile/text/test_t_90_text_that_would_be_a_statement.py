"""T-90: SQL, a mebibyte, Unicode, wherever something is looked up: refused, and to the database never but a value."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

from tests.fakes.tokens import Judge, claims, new_key, signed
from tests.gateway.oauth.house import House, pkce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROBE = "probe7d1c"
VALUES = {
    "always true": f"' OR '1'='1' -- {PROBE}",
    "another statement": f"{PROBE}'; DROP TABLE client; --",
    "a union": f"{PROBE}' UNION SELECT hash, person, 0, 0, 9e9, '', '', '' FROM browser_session --",
    "double quotes": f'{PROBE}" OR ""="',
    "a comment": f"{PROBE}/**/OR/**/1=1#",
    "a pause": f"{PROBE}'||(SELECT pg_sleep(60))||'",
    "placeholders": f"{PROBE} ? $1 :name %s %(name)s {{0}} %n",
    "like": f"%{PROBE[0]}%",
    "a backslash": f"\\'{PROBE}\\",
    "a mebibyte": PROBE + "a" * 1024 * 1024,
    "sixty thousand": PROBE + "a" * 60_000,
    "unicode": f"{PROBE}\u202eé\U0001f600\ufb01\u0130\u212a",
    "full-width quote": f"{PROBE}\uff07 OR 1=1 --",
    "a null": f"{PROBE}\x00' OR 1=1",
    "lines": f"{PROBE}\r\n' OR 1=1",
}


def header(value: str) -> bytes:
    return value.encode().replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\x00", b" ")


def basic(user: str, secret: str) -> dict[str, bytes]:
    return {"authorization": b"Basic " + base64.b64encode(f"{user}:{secret}".encode())}


def lookups(house: House, http: httpx2.Client, value: str) -> dict[str, Callable[[], httpx2.Response]]:
    client, agent = house.client(), house.agent()[0]
    forged = signed(Judge(key=new_key()), claims(sub=value, client_id=value, jti=value), kid=value)
    wanted = {"response_type": "code", "redirect_uri": "https://app.example/callback", "state": "s", "scope": "mcp"}
    wanted |= {"code_challenge": pkce().challenge, "code_challenge_method": "S256", "resource": house.resource}
    code = {"grant_type": "authorization_code", "redirect_uri": wanted["redirect_uri"], "code_verifier": "a" * 43}

    def token(auth: dict[str, bytes] | None = None, **form: str) -> Callable[[], httpx2.Response]:
        return lambda: http.post("/oauth/token", data=form, headers=auth or {})

    def bearer(text: bytes) -> Callable[[], httpx2.Response]:
        return lambda: http.post("/mcp", json={}, headers={"authorization": b"Bearer " + text})

    return {
        "a bearer token": bearer(header(value)),
        "a key id and all claims": bearer(forged),
        "a session of a client": lambda: http.post("/mcp", json={}, headers={"mcp-session-id": header(value)}),
        "a refresh token": token(grant_type="refresh_token", client_id=client.id, refresh_token=value),
        "a code": token(**code, client_id=client.id, code=value),
        "a client": token(**code, client_id=value, code="x"),
        "a client's secret": token(basic(agent.id, value), grant_type="client_credentials"),
        "an agent": token(basic(value, value), grant_type="client_credentials"),
        "a grant": token(grant_type=value, client_id=client.id),
        "a client that asks": lambda: http.get("/oauth/authorize", params=wanted | {"client_id": value}),
        "a redirect": lambda: http.get(
            "/oauth/authorize", params=wanted | {"client_id": client.id, "redirect_uri": value}
        ),
        "a client that revokes": lambda: http.post("/oauth/revoke", data={"client_id": value, "token": "x"}),
        "a cookie": lambda: http.get("/account/password", headers={"cookie": b"ostiary=" + header(value)}),
        "a link": lambda: http.get("/setup/" + value),
        "a server": lambda: http.get("/servers/" + value + "/mcp"),
    }


@contextlib.contextmanager
def statements(house: House) -> Iterator[list[tuple[str, Any]]]:
    said: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    sa.event.listen(house.office.database.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        sa.event.remove(house.office.database.engine, "before_cursor_execute", note)


def rows(house: House) -> dict[str, int]:
    tables = ["client", "person", "code", "refresh_token", "browser_session", "one_time_link", "consent", "rule"]
    with house.office.database.read() as session:
        count = {name: sa.select(sa.func.count()).select_from(SQLModel.metadata.tables[name]) for name in tables}
        return {name: session.execute(query).scalar_one() for name, query in count.items()}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_t_90_it_opens_nothing_and_is_never_part_of_a_statement(house: House, value: str) -> None:
    with house.http() as http:
        asked = lookups(house, http, value)
        before = rows(house)
        with statements(house) as said:
            answers = {what: _sent(ask) for what, ask in asked.items()}
        wrong = {what: status for what, status in answers.items() if not (400 <= status < 500 or status == 303)}
        assert not wrong
        assert not [status for what, status in answers.items() if status == 303 and what != "a cookie"]
        assert rows(house) == before
    assert not [statement for statement, _ in said if PROBE in statement or "1=1" in statement]


def _sent(ask: Callable[[], httpx2.Response]) -> int:
    try:
        return ask().status_code
    except (httpx2.InvalidURL, httpx2.LocalProtocolError):
        return 400  # the test's own client sends no such thing


@pytest.fixture
def unwatched(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Its snapshot stays as it is, so that nothing is read from the database but for a request."""

    async def nothing() -> None:
        pass

    snapshots = house.world.snapshots
    monkeypatch.setattr(snapshots, "refresh", nothing)
    deadline = time.monotonic() + 60
    while snapshots._refreshing.locked():
        assert time.monotonic() < deadline, "a snapshot is still being made"
        time.sleep(0.01)
    return house


def test_t_90_what_is_looked_up_is_looked_up_by_a_bound_value(unwatched: House) -> None:
    """The statements are the same whatever was sent: the log has what varies as parameters alone."""
    house = unwatched
    texts: dict[str, set[str]] = {}
    bound: list[str] = []
    for name in ("always true", "another statement", "unicode"):
        with house.http() as http:
            asked = lookups(house, http, VALUES[name])
            with statements(house) as said:
                for ask in asked.values():
                    _sent(ask)
        texts[name] = {statement for statement, _ in said}
        bound += [json.dumps(parameters, default=str) for _, parameters in said]
    assert texts["always true"] == texts["another statement"] == texts["unicode"]
    assert len(texts["unicode"]) >= 3
    assert any(PROBE in parameters for parameters in bound), "an id is looked up as it came"


def test_t_90_a_name_typed_at_sign_in_is_a_value_too(house: House) -> None:
    with house.http() as http, statements(house) as said:
        for value in VALUES.values():
            page = http.get("/signin").text
            csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
            form = {"csrf": csrf, "handle": value, "password": value, "next": "/"}
            answer = http.post("/signin", data=form, headers={"origin": house.base})
            assert answer.status_code in {400, 403, 413, 429}
            assert "did not come from a page" not in answer.text
    assert not [statement for statement, _ in said if PROBE in statement]
