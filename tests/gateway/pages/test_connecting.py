"""What people do on the pages of their accounts, before real authorization servers on loopback."""

from __future__ import annotations

import html
import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from gateway.credentials.connections.links import Ticket, link
from registry.credentials import connections
from registry.credentials.modes.oauth import OAuthPersonSettings, OAuthSettings
from registry.credentials.modes.static import StaticSettings
from registry.database import Concern
from registry.tables import Auth, ConnectionState, Server, ServerState
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.pages.desk import Browser, Desk, catalogue, open_desk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.tables import Person
    from registry.credentials.modes.settings import AuthSettings

MODES: dict[str, tuple[Auth, AuthSettings]] = {
    "notes": (Auth.OAUTH_PERSON, OAuthPersonSettings()),
    "files": (Auth.OAUTH_PERSON, OAuthPersonSettings()),
    "wiki": (Auth.STATIC, StaticSettings(per="person", header="X-Api-Key")),
    "mail": (Auth.OAUTH_SHARED, OAuthSettings()),
    "clock": (Auth.NONE, StaticSettings()),
}


@dataclass
class Town:
    """A desk, the servers it knows with the authorization servers of those that have one, and who lives there."""

    desk: Desk
    fakes: dict[str, Upstream]
    ada: Person
    bob: Person

    def browser(self, handle: str) -> Browser:
        browser = self.desk.browser()
        browser.sign_in(handle)
        return browser

    def row(self, slug: str, subject: str) -> Any:
        with self.desk.office.database.read() as session:
            return connections.find(session, slug, subject)

    def link(self, slug: str, person: Person, **more: Any) -> str:
        """As a call of this person is answered with, as a path."""
        ticket = Ticket(person.id, object=f"{slug}.read", **more)
        return link(self.desk.office.vault, "", slug, ticket)


def settled(desk: Desk, fakes: dict[str, Upstream]) -> None:
    """The servers are there, approved, as the catalogue has them."""
    made = catalogue(*(f"{slug}.read" for slug in MODES))
    with desk.office.database.change(Concern.CATALOGUE) as session:
        for slug, (auth, settings) in MODES.items():
            url = fakes[slug].url if slug in fakes else f"https://{slug}.example.com/mcp"
            session.add(
                Server(
                    slug=slug, title=f"The {slug} server", url=url, state=ServerState.APPROVED, auth=auth,
                    auth_settings=settings.model_dump(mode="json", exclude_defaults=True),
                )
            )  # fmt: skip
            parts = urlsplit(url)
            made.upstreams[slug] = replace(  # type: ignore[index]
                made.upstreams[slug], auth=auth, auth_settings=settings, url=url, scheme=parts.scheme,
                host=parts.hostname or "", port=parts.port or 443, target=parts.path,
            )  # fmt: skip
    desk.catalogue = made


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    fakes = {slug: Upstream() for slug in ("notes", "files", "mail")}
    with ExitStack() as stack:
        for fake in fakes.values():
            stack.enter_context(serving(fake))
        desk = open_desk(tmp_path, allow_addresses=[fake.origin for fake in fakes.values()])
        stack.callback(desk.office.close)
        settled(desk, fakes)
        ada, bob = desk.person("ada"), desk.person("bob")
        desk.person("root", admin=True)
        for slug in MODES:
            desk.rule("user:ada", f"{slug}.*", "list")
        desk.rule("user:bob", "notes.*", "list")
        yield Town(desk, fakes, ada, bob)


def departure(answer: Any) -> str:
    """Where the page after a form leads to."""
    assert answer.status_code == 200, answer.text
    found = re.search(r'class="button primary" href="([^"]+)"', answer.text)
    assert found is not None
    return html.unescape(found[1])


def back(fake: Upstream, url: str, person: str = "ada", **more: str) -> str:
    parts = urlsplit(fake.arrive(url, person, **more))
    return f"{parts.path}?{parts.query}"


def alert(answer: Any) -> str:
    found = re.search(r'role="alert"><p>(.*?)</p>', answer.text, re.DOTALL)
    assert found is not None, answer.text
    return html.unescape(found[1])


def test_an_account_is_connected_and_disconnected_on_the_page(town: Town) -> None:
    ada, fake = town.browser("ada"), town.fakes["notes"]
    assert "not connected" in ada.get("/connect").text
    url = departure(ada.post("/connect/notes", seen="/connect"))
    assert url.startswith(f"{fake.origin}/authorize?")
    arrived = ada.get(back(fake, url))
    assert (arrived.status_code, arrived.headers["location"]) == (303, "/connect?done=notes")
    page = ada.get("/connect?done=notes").text
    assert "The notes server is connected." in page
    row = town.row("notes", town.ada.id)
    assert (row.state, row.connected_by) == (ConnectionState.CONNECTED, "user:ada")
    assert town.row("notes", town.bob.id) is None
    (record,) = town.desk.records("connection.connected")
    assert record["who"] == "user:ada"

    assert ada.post("/connect/notes/end", seen="/connect").status_code == 303
    assert town.row("notes", town.ada.id).state == ConnectionState.REVOKED
    assert "Reconnect The notes server" in ada.get("/connect").text


def test_only_what_is_theirs_and_wants_something_of_theirs_is_there(town: Town) -> None:
    ada, bob = town.browser("ada"), town.browser("bob")
    page = ada.get("/connect").text
    assert all(f"The {slug} server" in page for slug in ("notes", "files", "wiki"))
    assert not any(f"The {slug} server" in page for slug in ("mail", "clock"))
    assert "The files server" not in bob.get("/connect").text
    for path in ("/connect/files", "/connect/mail", "/connect/clock", "/connect/never"):
        assert bob.get(path).status_code == 404
        assert bob.post(path, seen="/connect").status_code == 404
    assert town.fakes["files"].heard == []


def test_several_are_connected_in_one_go(town: Town) -> None:
    ada = town.browser("ada")
    page = ada.get("/connect").text
    assert "Connect all 2" in page
    first = departure(ada.client.post("/connect", data={"csrf": ada.csrf("/connect"), "server": ["files", "notes"]}))
    onward = ada.get(back(town.fakes["files"], first)).headers["location"]
    assert onward.startswith("/connect?then=")
    second = ada.get(onward)
    assert second.status_code == 303
    assert second.headers["location"].startswith(town.fakes["notes"].origin)
    last = ada.get(back(town.fakes["notes"], second.headers["location"]))
    assert last.headers["location"] == "/connect?done=notes"
    assert {slug for slug in MODES if town.row(slug, town.ada.id)} == {"files", "notes"}


def test_t_30_nobody_else_goes_on_where_somebody_began(town: Town) -> None:
    ada, bob = town.browser("ada"), town.browser("bob")
    first = departure(ada.client.post("/connect", data={"csrf": ada.csrf("/connect"), "server": ["files", "notes"]}))
    onward = ada.get(back(town.fakes["files"], first)).headers["location"]
    before = len(town.fakes["notes"].heard)
    for path in (onward, onward[:-4] + "AAA=", "/connect?then=", "/connect?then=é"):
        assert "does not go on" in alert(bob.get(path))
    assert len(town.fakes["notes"].heard) == before
    assert town.browser("ada").get(onward).status_code == 400  # another browser of the same person


def test_by_the_link_of_a_call_the_page_says_what_called(town: Town) -> None:
    ada = town.browser("ada")
    page = ada.get(town.link("notes", town.ada)).text
    assert "notes.read" in page
    assert "Connect The notes server" in page or "Connect</button>" in page
    assert 'name="server" value="files" checked' in page
    assert 'value="wiki"' not in page


def test_whoever_is_not_signed_in_signs_in_first_and_comes_back_to_the_link(town: Town) -> None:
    there = town.link("notes", town.ada)
    browser = town.desk.browser()
    asked = browser.get(there)
    assert asked.status_code == 303
    assert asked.headers["location"].startswith("/signin?next=%2Fconnect%2Fnotes%3Fticket%3D")


def test_t_30_somebody_elses_link_is_refused_and_on_record(town: Town) -> None:
    bob = town.browser("bob")
    there = town.link("notes", town.ada)
    refused = bob.get(there)
    assert refused.status_code == 403
    assert "not yours" in refused.text
    assert '<form method="post" action="/connect' not in refused.text
    (record,) = town.desk.records("connection.refused")
    assert (record["who"], record["server"], record["reason"]) == ("user:bob", "notes", "somebody_elses_link")
    ticket = there.partition("=")[2]
    assert bob.post("/connect/notes", seen="/connect", ticket=ticket).status_code == 400
    assert town.fakes["notes"].heard == []


@pytest.mark.parametrize("text", ["x", "", "%C3%A9", "A" * 3000])
def test_a_link_that_is_none_is_said_to_be_too_old(town: Town, text: str) -> None:
    answer = town.browser("ada").get(f"/connect/notes?ticket={text}")
    assert answer.status_code == (410 if text else 200)


def test_a_link_for_one_server_is_none_for_another(town: Town) -> None:
    ada = town.browser("ada")
    there = town.link("notes", town.ada).replace("/connect/notes", "/connect/files")
    assert ada.get(there).status_code == 410


def test_scopes_that_a_call_wants_are_asked_for(town: Town) -> None:
    ada = town.browser("ada")
    there = town.link("notes", town.ada, scopes=("notes:write",))
    ticket = there.partition("=")[2]
    url = departure(ada.post("/connect/notes", seen=there, ticket=ticket))
    assert "notes%3Awrite" in url


def test_t_30_the_answer_comes_to_where_it_was_begun_and_once(town: Town) -> None:
    ada, bob = town.browser("ada"), town.browser("bob")
    fake = town.fakes["notes"]
    for spoil in (
        bob.get,
        lambda path: town.browser("ada").get(path),
        lambda path: ada.get(path.replace("/connect/notes/", "/connect/files/")),
    ):
        path = back(fake, departure(ada.post("/connect/notes", seen="/connect")))
        assert spoil(path).status_code == 400
        assert ada.get(path).status_code == 400  # it is spent
    assert town.row("notes", town.ada.id) is None
    assert town.row("notes", town.bob.id) is None
    assert town.row("files", town.ada.id) is None
    path = back(fake, departure(ada.post("/connect/notes", seen="/connect")))
    assert ada.get(path).status_code == 303
    assert ada.get(path).status_code == 400


def test_answers_that_nobody_awaits_are_counted_and_not_written_one_by_one(town: Town) -> None:
    ada = town.browser("ada")
    for number in range(30):
        assert ada.get(f"/connect/notes/callback?code=x&state=s{number}").status_code == 400
    assert town.desk.records("connection.refused") == []
    assert 0 < len(town.desk.records("refused")) <= 20


def test_a_server_that_was_retired_meanwhile_is_not_connected(town: Town) -> None:
    ada = town.browser("ada")
    path = back(town.fakes["notes"], departure(ada.post("/connect/notes", seen="/connect")))
    with town.desk.office.database.change(Concern.CATALOGUE) as session:
        session.get_one(Server, "notes").url = "http://127.0.0.1:9/mcp"  # an address that is not admitted
    refused = ada.get(path)
    assert refused.status_code == 400
    assert "any more" in alert(refused)


def test_nothing_of_what_an_authorization_server_says_is_shown(town: Town) -> None:
    ada, fake = town.browser("ada"), town.fakes["notes"]
    url = departure(ada.post("/connect/notes", seen="/connect"))
    path = back(fake, url, error="access_denied", error_description="call 555-EVIL", code="")
    refused = ada.get(path)
    assert refused.status_code == 400
    assert "EVIL" not in refused.text
    assert "said no" in alert(refused)
    (record,) = town.desk.records("connection.refused")
    assert (record["who"], record["server"]) == ("user:ada", "notes")
    assert "EVIL" not in town.desk.journal_text()


def test_an_authorization_server_that_is_away_is_said(town: Town) -> None:
    ada = town.browser("ada")
    town.fakes["notes"].replies["/.well-known/oauth-authorization-server"] = _broken
    refused = ada.post("/connect/notes", seen="/connect")
    assert refused.status_code in {400, 502}
    assert alert(refused)
    assert "EVIL" not in refused.text


def _broken(_heard: Any) -> Any:
    from tests.fakes.providers.openid import Reply

    return Reply(500, b"call 555-EVIL")


def test_whoever_signed_out_meanwhile_connects_nothing(town: Town) -> None:
    ada, fake = town.browser("ada"), town.fakes["notes"]
    path = back(fake, departure(ada.post("/connect/notes", seen="/connect")))
    assert town.desk.browser().get(path).status_code == 400
    assert town.row("notes", town.ada.id) is None


def test_a_value_is_given_and_never_shown(town: Town) -> None:
    ada = town.browser("ada")
    page = ada.get("/connect/wiki").text
    assert "X-Api-Key" in page
    assert ada.post("/connect/wiki/value", seen="/connect/wiki", value=" s3cret-of-ada ").status_code == 303
    for path in ("/connect", "/connect/wiki", "/connect?done=wiki"):
        assert "s3cret" not in ada.get(path).text
    assert "s3cret" not in town.desk.journal_text()
    row = town.row("wiki", town.ada.id)
    assert row.state == ConnectionState.CONNECTED
    with town.desk.office.database.read() as session:
        assert connections.given_of(session, town.desk.office.vault, row).value == b"s3cret-of-ada"


@pytest.mark.parametrize("value", ["", "   ", "a\nb", "é", "x" * 8001, "a\x7fb"])
def test_what_can_be_no_value_is_refused_without_repeating_it(town: Town, value: str) -> None:
    ada = town.browser("ada")
    refused = ada.post("/connect/wiki/value", seen="/connect/wiki", value=value)
    assert refused.status_code == 400
    assert alert(refused)
    assert len(value.strip()) < 2 or value not in refused.text
    assert town.row("wiki", town.ada.id) is None


def test_a_value_is_taken_only_where_one_is_wanted(town: Town) -> None:
    ada, bob = town.browser("ada"), town.browser("bob")
    assert ada.post("/connect/notes/value", seen="/connect", value="x").status_code == 404
    assert bob.post("/connect/wiki/value", seen="/connect", value="x").status_code == 404
    assert ada.post("/connect/wiki", seen="/connect").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/connect", "/connect/notes", "/connect/wiki/value", "/connect/notes/end", "/connect/mail/shared",
     "/connect/mail/shared/end", "/admin/servers/notes/connections/end"],
)  # fmt: skip
def test_t_28_no_other_page_connects_or_ends_anything(town: Town, path: str) -> None:
    for handle in ("ada", "root"):
        browser = town.browser(handle)
        fields = {"server": "notes", "value": "x", "subject": ""}
        assert browser.client.post(path, data=fields).status_code in {403, 404}
        forged = {"origin": "https://evil.example"}
        assert browser.post(path, seen="/connect", headers=forged, **fields).status_code in {403, 404}
    assert all(fake.heard == [] for fake in town.fakes.values())
    assert town.desk.records("connection.connected") == []


def test_the_shared_account_is_connected_by_administrators_alone(town: Town) -> None:
    ada, root, fake = town.browser("ada"), town.browser("root"), town.fakes["mail"]
    assert ada.get("/connect/mail/shared").status_code == 404
    assert ada.post("/connect/mail/shared", seen="/connect").status_code == 404
    there = "/connect/mail/shared"
    url = departure(root.post(there, seen=there))
    arrived = root.get(back(fake, url, "robot"))
    assert arrived.headers["location"] == f"{there}?done=1"
    assert "<strong>Connected.</strong>" in root.get(f"{there}?done=1").text
    row = town.row("mail", "")
    assert (row.state, row.connected_by) == (ConnectionState.CONNECTED, "user:root")
    assert ada.post("/connect/mail/shared/end", seen="/connect").status_code == 404
    assert root.post(f"{there}/end", seen=there).status_code == 303
    assert town.row("mail", "").state == ConnectionState.REVOKED


def test_the_account_for_reading_is_nobodys_own(town: Town) -> None:
    root, fake = town.browser("root"), town.fakes["notes"]
    there = "/connect/notes/shared"
    assert "no call of anybody uses it" in root.get(there).text
    assert root.get(back(fake, departure(root.post(there, seen=there)), "robot")).status_code == 303
    assert town.row("notes", "").state == ConnectionState.CONNECTED
    for path in ("/connect/clock/shared", "/connect/wiki/shared", "/connect/never/shared"):
        assert root.get(path).status_code == 404


def test_the_review_shows_whose_accounts_there_are_and_ends_them(town: Town) -> None:
    ada, root, fake = town.browser("ada"), town.browser("root"), town.fakes["notes"]
    ada.get(back(fake, departure(ada.post("/connect/notes", seen="/connect"))))
    page = root.get("/admin/servers/notes").text
    assert "user:ada" in page
    assert "The account for reading" in page
    assert not any(token in page for token in (*fake.accounts, *fake.refreshes))
    ended = root.post("/admin/servers/notes/connections/end", seen="/admin/servers/notes", subject=town.ada.id)
    assert ended.status_code == 303
    row = town.row("notes", town.ada.id)
    assert (row.state, row.why) == (ConnectionState.REVOKED, "user:root disconnected it")
    assert ada.post("/admin/servers/notes/connections/end", seen="/connect", subject="").status_code == 404


def test_what_has_to_be_looked_after_is_said_to_both(town: Town) -> None:
    ada, root, fake = town.browser("ada"), town.browser("root"), town.fakes["notes"]
    ada.get(back(fake, departure(ada.post("/connect/notes", seen="/connect"))))
    with town.desk.office.database.change() as session:
        row = connections.find(session, "notes", town.ada.id)
        row.state, row.why = ConnectionState.NEEDS_RECONNECT, "its authorization server says that it is over"
    page = ada.get("/connect").text
    assert "has to be connected again" in page
    assert "says that it is over" in page
    assert '<a href="/connect">connect your accounts</a>' in ada.get("/").text
    assert "1 account to look after" in root.get("/admin/servers").text
    assert "says that it is over" in root.get("/admin/servers/notes").text


def test_no_page_holds_a_token(town: Town) -> None:
    ada, fake = town.browser("ada"), town.fakes["notes"]
    path = back(fake, departure(ada.post("/connect/notes", seen="/connect")))
    ada.get(path)
    texts = [ada.get(one).text for one in ("/connect", "/connect/notes", "/", "/account")]
    texts.append(town.desk.journal_text())
    for secret in (*fake.accounts, *fake.refreshes, path.partition("code=")[2].partition("&")[0]):
        assert not any(secret in text for text in texts)


def test_a_sign_in_that_has_ended_is_had_again_and_nothing_is_connected(town: Town) -> None:
    ada = town.browser("ada")
    page = ada.get(town.link("clock", town.ada, sign_in="okta")).text
    assert 'href="/signin/okta?next=' in page
    assert '<form method="post" action="/connect' not in page
