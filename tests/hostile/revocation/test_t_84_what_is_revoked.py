"""T-84: whatever is revoked at the command line or on a page ends at a running door, in every way it was used."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
from click.testing import CliRunner

from authz import jose
from authz.tables import BrowserSession
from authz.tokens import personal
from authz.tokens.delegations import Draft, delegate
from gateway.cli import main
from registry.credentials.connections import Tokens, connect, find
from registry.database import Concern
from tests.gateway.oauth.browser.test_device import allowed, begin, device, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authz.tables import Client, Person
    from tests.gateway.oauth.house import House


@pytest.fixture
def held(house: House) -> Iterator[Held]:
    with Held(house) as opened:
        yield opened


def run(house: House, *words: str) -> Any:
    """`ostiary revoke …` by another process's hand, on the same data."""
    result = CliRunner().invoke(main, [*words, "--json", "--data", str(house.settings.data)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def claims(house: House, token: str) -> dict[str, Any]:
    keys, raw = house.world.snapshots.current.keys, token.encode()
    return jose.verify(raw, keys.keys[jose.read_header(raw)["kid"]].public)


def personal_token(house: House, person: Person) -> str:
    with house.office.database.change(Concern.PERSONAL) as session:
        _, token = personal.make(
            session, person.id, "t", scope="mcp", resource=house.resource, days=1, now=time.time() - 1
        )
    house.until_call(token, 200)
    return token


def settle() -> None:
    """A cut ends what was issued until the end of its second."""
    time.sleep(1.1 - time.time() % 1)


class Held:
    """What one person holds: a browser, a client connected in it, a personal token."""

    def __init__(self, house: House) -> None:
        self.house, self.person, self.client = house, house.person(), house.client()
        self.browser = house.browser(self.person)
        self.given = house.tokens(self.person, self.client)
        self.personal = personal_token(house, self.person)
        house.until_call(self.given["access_token"], 200)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.http.close()

    def gone(self, *, also_personal: bool) -> None:
        self.house.until_call(self.given["access_token"], 401)
        assert self.house.refresh(self.client, self.given["refresh_token"]).json()["error"] == "invalid_grant"
        self.house.until_call(self.personal, 401 if also_personal else 200)


def test_t_84_a_person_who_is_signed_out_everywhere_holds_nothing_and_may_come_again(house: House, held: Held) -> None:
    ended = run(house, "revoke", "person", held.person.handle)["ended"]

    held.gone(also_personal=True)
    assert held.browser.http.get("/account").status_code == 303
    assert (ended["clients"], ended["tokens"]) == (1, 1)
    assert ended["sessions"] >= 1
    settle()
    again = house.tokens(held.person, house.client())
    house.until_call(again["access_token"], 200)


def test_t_84_a_client_that_is_ended_is_ended_for_everybody_and_asks_again(house: House) -> None:
    client, people = house.client(), [house.person(), house.person()]
    given = [house.tokens(person, client) for person in people]

    assert run(house, "revoke", "client", client.id)["ended"] == {"people": 2}

    for one in given:
        house.until_call(one["access_token"], 401)
        assert house.refresh(client, one["refresh_token"]).json()["error"] == "invalid_grant"
    settle()
    with house.browser(people[0]) as browser:
        assert browser.authorize(client).status_code == 200, "the consent was forgotten: the page asks"


def test_t_84_a_session_takes_with_it_the_clients_that_were_connected_in_it(house: House, held: Held) -> None:
    connected = claims(house, held.given["access_token"])["family"]
    with house.office.database.read() as session:
        from sqlmodel import select

        from authz.tables import RefreshToken

        where = session.exec(select(RefreshToken.session).where(RefreshToken.family == connected)).one()
        assert session.get(BrowserSession, where) is not None

    listed = [row["id"] for row in run(house, "user", "sessions", held.person.handle)]
    assert where[:12] in listed
    assert run(house, "revoke", "session", where[:12])["ended"] == {"clients": 1}

    held.gone(also_personal=False)
    assert held.browser.http.get("/account").status_code == 200, "the other browser stays"


def test_t_84_a_device_that_was_allowed_in_gets_nothing_once_that_is_ended(house: House) -> None:
    ways: dict[str, Callable[[Person, Client], Any]] = {
        "person": lambda person, _: run(house, "revoke", "person", person.handle),
        "client": lambda _, client: run(house, "revoke", "client", client.id),
        "session": lambda person, _: [
            run(house, "revoke", "session", row["id"]) for row in run(house, "user", "sessions", person.handle)
        ],
    }
    for name, revoke in ways.items():
        person, client = house.person(), device(house)
        begun = begin(house, client)
        allowed(house, person, begun)

        revoke(person, client)

        refused = poll(house, client, begun["device_code"]).json()
        assert (name, refused["error"]) == (name, "invalid_grant")


def test_t_84_one_access_token_ends_by_its_name_and_its_twin_lives(house: House) -> None:
    person = house.person()
    one, other = (house.tokens(person, house.client())["access_token"] for _ in range(2))

    run(house, "revoke", "token", claims(house, one)["jti"])

    house.until_call(one, 401)
    house.until_call(other, 200)


def test_t_84_the_token_itself_is_not_taken_for_its_name(house: House) -> None:
    token = house.tokens(house.person(), house.client())["access_token"]

    refused = CliRunner().invoke(main, ["revoke", "token", token, "--data", str(house.settings.data)])

    assert refused.exit_code == 1
    assert token not in refused.output


def test_t_84_an_agent_and_its_delegations_end_together(house: House) -> None:
    agent, secret = house.agent()
    own = house.token({"grant_type": "client_credentials"}, (agent.id, secret)).json()["access_token"]
    house.until_call(own, 200)
    made = delegation(house, house.person(), agent)

    assert run(house, "revoke", "agent", agent.handle)["ended"] == {"delegations": 1}

    house.until_call(own, 401)
    refused = exchange(house, made, agent, secret)
    assert refused["error"] == "invalid_grant"
    settle()
    assert "access_token" in house.token({"grant_type": "client_credentials"}, (agent.id, secret)).json()


def test_t_84_a_delegation_ends(house: House) -> None:
    agent, secret = house.agent()
    made = delegation(house, house.person(), agent)

    run(house, "revoke", "delegation", made)

    assert exchange(house, made, agent, secret)["error"] == "invalid_grant"


def test_t_84_a_personal_token_ends_by_its_name(house: House) -> None:
    person = house.person()
    token = personal_token(house, person)
    with house.office.database.read() as session:
        [row] = personal.alive(session, person.id, time.time())

    run(house, "revoke", "token", row.id)

    house.until_call(token, 401)


def test_t_84_a_person_ends_everything_on_their_own_page(held: Held) -> None:
    with held.browser as browser:
        page = browser.http.get("/account/sessions").text
        csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
        assert csrf is not None
        assert browser.http.post("/account/sessions/end-all", data={"csrf": csrf[1]}).status_code == 303

        held.gone(also_personal=True)
        assert browser.http.get("/account/sessions").status_code == 303


@pytest.mark.parametrize(("accounts", "state"), [("", "connected"), ("end", "revoked")])
def test_t_84_signing_out_everywhere_ends_accounts_where_that_is_asked_for(
    house: House, held: Held, accounts: str, state: str
) -> None:
    """Those that stay are of no use to whoever had a session, a client or a token: none of these is good any more."""
    account(house, held.person)
    with held.browser as browser:
        page = browser.http.get("/account/sessions").text
        csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
        assert csrf is not None
        told = {"csrf": csrf[1]} | ({"accounts": accounts} if accounts else {})
        assert browser.http.post("/account/sessions/end-all", data=told).status_code == 303

        held.gone(also_personal=True)
    assert state_of(house, held.person) == state
    who = f"user:{held.person.handle}"
    (record,) = [one for one in house.records("revoked.person") if one["who"] == who]
    assert record["ended"]["connections"] == (1 if accounts else 0)


@pytest.mark.parametrize(("words", "state"), [((), "revoked"), (("--keep-accounts",), "connected")])
def test_t_84_an_administrator_ends_somebodys_accounts_too_unless_they_are_to_stay(
    house: House, words: tuple[str, ...], state: str
) -> None:
    person = house.person()
    account(house, person)

    run(house, "revoke", "person", person.handle, *words)

    assert state_of(house, person) == state


def account(house: House, person: Person) -> None:
    tokens = Tokens(access="a" * 40, issuer="https://as.example", audience="https://notes.example/mcp")
    with house.office.database.change() as session:
        connect(session, house.office.vault, "notes", person.id, tokens, by="user:x", now=time.time())


def state_of(house: House, person: Person) -> str:
    with house.office.database.read() as session:
        row = find(session, "notes", person.id)
    assert row is not None
    return row.state


def test_t_84_nobody_ends_the_session_of_somebody_else(house: House, held: Held) -> None:
    [id_] = [row["id"] for row in run(house, "user", "sessions", held.person.handle)][:1]
    with house.browser(house.person()) as browser:
        csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', browser.http.get("/account/sessions").text)
        assert csrf is not None
        answer = browser.http.post("/account/sessions/end", data={"csrf": csrf[1], "session": id_})

    assert answer.status_code == 404
    assert id_ in [row["id"] for row in run(house, "user", "sessions", held.person.handle)]


@pytest.mark.parametrize(
    "words",
    [
        ("person", "nobody-here"), ("agent", "nobody-here"), ("client", "cl_none"), ("session", "0" * 12),
        ("session", ""), ("token", "pat_none"), ("token", "sct_none"), ("token", "a-typo"),
        ("delegation", "dlg_none"), ("server", "none"), ("tool", "notes.none"), ("tool", "none"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_not_there_is_said_and_nothing_is_ended(house: House, words: tuple[str, str]) -> None:
    before = len(house.records(f"revoked.{words[0]}"))

    refused = CliRunner().invoke(main, ["revoke", *words, "--data", str(house.settings.data)])

    assert refused.exit_code != 0
    assert len(house.records(f"revoked.{words[0]}")) == before


def delegation(house: House, person: Person, agent: Client) -> str:
    with house.office.database.change() as session:
        draft = Draft(person=person, agent=agent, scopes=frozenset({"notes.*"}), expires_at=time.time() + 600)
        return delegate(session, draft, who="user:x", now=time.time()).id


def exchange(house: House, made: str, agent: Client, secret: str) -> dict[str, Any]:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": made,
        "subject_token_type": "urn:ostiary:params:oauth:token-type:delegation",
    }  # fmt: skip
    answer: dict[str, Any] = house.token(form, (agent.id, secret)).json()
    return answer
