"""T-91: whoever has the database, its backup and the journal has no password, token, key or credential."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from authz.clients.known import new_secret
from authz.people.accounts import add_person, new_hash
from authz.people.sessions import ADMIN_LINK, make_link
from authz.tables import Client, SigningKey
from registry.database import Concern
from registry.tables import DataKey
from tests.fakes.door import Line, modern
from tests.fakes.furnished import allow, door_of, furnish
from tests.fakes.servers.raw import Asked, http, raw_server, result
from tests.gateway.oauth.house import REDIRECT, House, answer_of, pkce
from tests.hostile.canaries import canary, everything_in, forms, found

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    import httpx2

    from authz.tables import Person

KEYS = ("keys",)  # the master key lies apart, and is backed up apart


def planted(house: House, words: dict[str, str]) -> tuple[Person, Client, Client]:
    """What is in the house before it opens."""
    hashed = new_hash("carol", words["password"])
    with house.office.database.change(Concern.PEOPLE) as session:
        person = add_person(session, "carol", password_hash=hashed, is_admin=True)
    agent, words["an agent's secret"] = house.agent()
    secret, digest = new_secret()
    words["a client's secret"] = secret
    client = house.client(secret_hash=digest, auth_method="client_secret_basic")
    with house.office.database.change() as session:
        words["an admin link"] = make_link(session, ADMIN_LINK, time.time())
    return person, client, agent


def csrf(page: httpx2.Response) -> str:
    return page.text.partition('name="csrf" value="')[2].partition('"')[0]


def sign_in(http: httpx2.Client, house: House, handle: str, password: str) -> httpx2.Response:
    form = {"csrf": csrf(http.get("/signin")), "handle": handle, "password": password, "next": "/"}
    return http.post("/signin", data=form, headers={"origin": house.base})


def pages(house: House, person: Person, words: dict[str, str]) -> None:
    """Everything that a browser sends that is secret, right and wrong."""
    with house.http() as http:
        sign_in(http, house, "carol", words["a wrong password"])
        sign_in(http, house, words["a password typed as a name"], "x")
        assert sign_in(http, house, "carol", words["password"]).status_code == 303
        words["a session"] = http.cookies["ostiary"]
        page = http.get("/account/password")
        words["a form's proof"] = csrf(page)
        form = {"csrf": csrf(page), "current": words["password"], "new": words["a new password"]}
        form |= {"again": words["a new password"], "repeated": words["a new password"]}
        http.post("/account/password", data=form, headers={"origin": house.base})
        http.get(f"/setup/{words['an invented link']}")
        http.get(f"/setup/{words['an admin link']}")
        http.get("/", headers={"cookie": f"ostiary={words['an invented session']}"})
    assert person.handle == "carol"


def tokens(house: House, person: Person, client: Client, agent: Client, words: dict[str, str]) -> None:
    """The whole flow, with what is right and what is invented."""
    auth, proof = (client.id, words["a client's secret"]), pkce()
    words["a verifier"] = proof.verifier
    with house.browser(person) as browser:
        words["another session"] = browser.http.cookies["ostiary"]
        words["a code"] = answer_of(browser.consent(client, proof, state=words["a state"]))["code"]
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": proof.verifier}
    given = house.token(form | {"code": words["a code"]}, auth).json()
    words["an access token"], words["a refresh token"] = given["access_token"], given["refresh_token"]
    refresh = {"grant_type": "refresh_token", "refresh_token": words["a refresh token"]}
    again = house.token(refresh, auth).json()
    words["its successor"], words["a newer access token"] = again["refresh_token"], again["access_token"]
    granted = house.token({"grant_type": "client_credentials"}, (agent.id, words["an agent's secret"])).json()
    words["an agent's token"] = granted["access_token"]
    words["a signature"] = given["access_token"].rpartition(".")[2]
    house.token(form | {"code": words["an invented code"]}, auth)
    house.token(refresh | {"refresh_token": words["an invented refresh token"]}, auth)
    house.token(refresh, (client.id, words["an invented secret"]))
    house.post("/oauth/revoke", {"token": words["an invented token"]}, auth)


def keys_of(house: House, words: dict[str, str]) -> None:
    """The keys themselves, as text and as bytes."""
    office = house.office
    with office.database.read() as session:
        assert session.get(DataKey, "1") is not None
        signer = house.world.snapshots.current.keys.signer(time.time())
        assert session.get(SigningKey, signer.kid) is not None
    private: dict[str, Any] = signer.private.as_dict(private=True)
    words["the signing key"] = private["d"]


def raw_keys(house: House) -> dict[str, bytes]:
    vault = house.office.vault
    derived = {purpose: vault.key(purpose) for purpose in ("session", "request-state", "cursor", "csrf", "journal")}
    return derived | {"the master key": (house.settings.data / "keys" / "master.key").read_bytes().strip()}


UPSTREAM = "the credential of a server"
CHOSEN = [
    "password", "a new password", "a wrong password", "a password typed as a name", "an invented link",
    "an invented session", "a state", "an invented code", "an invented refresh token", "an invented secret",
    "an invented token", UPSTREAM, "an argument called password", "an argument that is a token",
    "an argument in depth", "a result", "a header of a client", "an invented bearer", "a query",
]  # fmt: skip


async def call(house: House, words: dict[str, str]) -> None:
    arguments = {
        "password": words["an argument called password"],
        "text": f"Bearer {words['an argument that is a token']}",
        "in": [{"client_secret": {"deep": [words["an argument in depth"]]}}],
    }
    headers, body = modern(words["a newer access token"], "tools/call", {"name": "files_t", "arguments": arguments})
    async with Line(door_of(house)) as line:
        more = [("Cookie", words["a header of a client"]), ("X-Api-Key", words["a header of a client"])]
        got = await line.ask("POST", "/mcp", [*headers, *more], body)
        assert words["a result"].encode() in got.body
        await line.ask("POST", f"/mcp?access_token={words['a query']}", headers, body)
        invented = [("Authorization", f"Bearer {words['an invented bearer']}"), *headers[1:]]
        assert (await line.ask("POST", "/mcp", invented, body)).status == 401


async def test_t_91_a_dump_of_database_and_journal_has_none_of_thirty_canaries(tmp_path: Path) -> None:
    words = {name: canary(str(number)) for number, name in enumerate(CHOSEN)}

    async def answers(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        assert asked.headers["authorization"] == f"Bearer {words[UPSTREAM]}"
        return http(result(asked, {"resultType": "complete", "content": [{"type": "text", "text": words["a result"]}]}))

    async with raw_server(answers) as server:
        house = House(tmp_path / "data")
        credential = f"Authorization: Bearer {words[UPSTREAM]}".encode()
        furnish(house, "files", server.url, "t", header=credential)
        person, client, agent = planted(house, words)
        allow(house, person, "files.*")
        with house:
            pages(house, person, words)
            tokens(house, person, client, agent, words)
            keys_of(house, words)
            await call(house, words)
            secret_bytes = raw_keys(house)
            stolen = dump(tmp_path / "data") + everything_in(tmp_path / "data", but=KEYS)
        stolen += everything_in(tmp_path / "data", but=KEYS)
    assert len(words) >= 30
    assert b"carol" in stolen, "the dump is of the right place"
    assert person.id.encode() in stolen
    assert found(words, stolen) == []
    assert not [name for name, raw in secret_bytes.items() if raw in stolen or raw.hex().encode() in stolen]


def dump(data: Path) -> bytes:
    """As SQL, with all that is still in the write-ahead log."""
    connection = sqlite3.connect(data / "ostiary.db")
    try:
        return "\n".join(connection.iterdump()).encode()
    finally:
        connection.close()


@pytest.mark.parametrize("how", ["plain", "reversed", "hex", "base64", "base64 within", "json"])
def test_t_91_what_looks_for_canaries_finds_them(how: str) -> None:
    """So that finding none means something."""
    import base64

    word = canary("x")
    raw = word.encode()
    hidden = {
        "plain": raw, "reversed": raw[::-1], "hex": raw.hex().encode(), "base64": base64.b64encode(raw),
        "base64 within": base64.urlsafe_b64encode(b"user:" + raw + b"!"), "json": json.dumps({"a": word}).encode(),
    }  # fmt: skip
    assert found({"it": word}, b"before " + hidden[how] + b" after") == ["it"]
    assert forms(word)
