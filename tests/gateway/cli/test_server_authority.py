"""Whom an app's secret is for, as an operator says it: what servers and descriptions name is shown, and asked about."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from gateway.cli.server import authority
from gateway.cli.server.authority import PLACES
from gateway.cli.server.carrying import carried
from registry.tables import Secret
from tests.fakes.network.certificates import Authority as Certifier
from tests.fakes.providers.openid import Reply
from tests.fakes.servers.api import Api, described
from tests.fakes.servers.api import serving as serving_api
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.cli.test_server import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = ("--client-id", "ours", "--client-auth", "client_secret_post")
AGREE, TOKEN = "https://as.example/authorize", "https://as.example/token"
FLOW = {"authorizationUrl": AGREE, "tokenUrl": TOKEN, "scopes": {}}
OAUTH = {"type": "oauth2", "flows": {"authorizationCode": FLOW}}
QUERY = {"type": "apiKey", "in": "query", "name": "api_key"}


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "data")


@pytest.fixture
def secret(tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "secret"
    file.write_text("canary-s3cret")
    file.chmod(0o600)
    return ("--client-secret-file", str(file))


@pytest.fixture
def fake() -> Iterator[Upstream]:
    with serving(Upstream()) as made:
        made.open_lists = True
        yield made


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal."""
    monkeypatch.setattr(authority, "_somebody_is_there", lambda: True)


def settings(console: Console, slug: str = "notes") -> dict[str, Any]:
    office = console.office()
    try:
        with office.database.read() as session:
            from registry.servers import find

            return find(session, slug).auth_settings
    finally:
        office.close()


def kept(console: Console) -> list[tuple[str, str]]:
    office = console.office()
    try:
        with office.database.read() as session:
            return [(row.owner, row.purpose) for row in session.exec(select(Secret)) if row.owner.startswith("server:")]
    finally:
        office.close()


def add(fake: Upstream, *more: str, mode: str = "oauth-person") -> tuple[str, ...]:
    return ("add", "notes", fake.url, "--allow-address", "--auth", mode, *APP, *more)


def test_a_script_is_told_what_to_say_and_nothing_is_registered(
    console: Console, fake: Upstream, secret: tuple[str, ...]
) -> None:
    said = console.refused(*add(fake, *secret))
    assert f"--issuer {fake.issuer}" in said
    assert console.json("list") == []
    assert not fake.asked("/token")
    console.do(*add(fake, *secret, "--issuer", fake.issuer))
    assert settings(console)["issuer"] == fake.issuer
    assert f"auth oauth-person at {fake.issuer}" in console.do("show", "notes")
    assert [one["authority"] for one in console.records("server.added")] == [fake.issuer]


@pytest.mark.usefixtures("somebody")
def test_somebody_who_says_yes_has_it_written_down(console: Console, fake: Upstream, secret: tuple[str, ...]) -> None:
    done = console.run(*add(fake, *secret), given="y\n")
    assert done.exit_code == 0, done.output
    assert fake.issuer in done.stderr
    assert settings(console)["issuer"] == fake.issuer


@pytest.mark.usefixtures("somebody")
def test_somebody_who_says_no_has_nothing(console: Console, fake: Upstream, secret: tuple[str, ...]) -> None:
    assert console.run(*add(fake, *secret), given="n\n").exit_code == 1
    assert console.json("list") == []


def test_a_server_that_names_none_says_what_is_missing(
    console: Console, fake: Upstream, secret: tuple[str, ...]
) -> None:
    fake.replies["/.well-known/oauth-authorization-server"] = lambda _: Reply(500, {})
    done = console.run(*add(fake, *secret, mode="client-credentials"))
    assert done.exit_code == 2
    assert "--token-endpoint" in done.output


def test_t_44_what_was_excepted_for_one_server_is_not_for_what_another_names(
    console: Console, fake: Upstream, secret: tuple[str, ...]
) -> None:
    with serving(Upstream()) as other:
        other.open_lists = True
        console.do("add", "other", other.url, "--allow-address")
        other.heard.clear()
        fake.authorities = [other.issuer]
        assert "not connected to" in console.run(*add(fake, *secret)).output
        assert not other.heard


def test_nobody_is_asked_where_no_secret_would_go(console: Console, fake: Upstream) -> None:
    console.do("add", "notes", fake.url, "--allow-address", "--auth", "oauth-person", "--client-id", "ours")
    assert "issuer" not in settings(console)


def test_the_same_when_the_mode_changes_later(console: Console, fake: Upstream, secret: tuple[str, ...]) -> None:
    console.do("add", "notes", fake.url, "--allow-address")
    said = console.refused("auth", "notes", "oauth-shared", *APP, *secret)
    assert f"--issuer {fake.issuer}" in said
    console.do("auth", "notes", "oauth-shared", *APP, *secret, "--issuer", fake.issuer)
    another = "https://as.example"
    said = console.refused("auth", "notes", "oauth-shared", *APP, "--issuer", another)
    assert f"was given for {fake.issuer}" in said
    console.do("auth", "notes", "oauth-shared", *APP, *secret, "--issuer", another)
    assert settings(console)["issuer"] == another


def test_an_apps_secret_goes_to_no_other_by_way_of_a_change_that_uses_none(
    console: Console, fake: Upstream, secret: tuple[str, ...]
) -> None:
    console.run(*add(fake, *secret, "--issuer", fake.issuer, mode="oauth-shared"))
    assert kept(console) == [("server:notes", "client_secret")]
    console.do("auth", "notes", "oauth-shared", "--issuer", fake.issuer)
    assert kept(console) == [("server:notes", "client_secret")]
    console.do("auth", "notes", "oauth-shared", "--issuer", "https://as.example")
    assert kept(console) == []


@pytest.fixture
def api() -> Iterator[Api]:
    with serving_api(Api()) as found:
        yield found


def saying(api: Api, **schemes: Any) -> None:
    api.description = described()
    assert isinstance(api.description, dict)
    api.description["components"] = {**api.description["components"], "securitySchemes": schemes}
    api.description["security"] = [{name: ["items:read"] if "flows" in one else []} for name, one in schemes.items()]


def describe(api: Api, mode: str, *more: str) -> tuple[str, ...]:
    return ("add", "todo", "--openapi", api.url, "--operation", "*", "--allow-address", "--auth", mode, *more)


def test_a_description_alone_sends_no_secret_anywhere(console: Console, api: Api, secret: tuple[str, ...]) -> None:
    saying(api, oauth=OAUTH)
    said = console.refused(*describe(api, "oauth-person", *APP, *secret))
    assert f"--authorization-endpoint {AGREE} --token-endpoint {TOKEN} --scope items:read" in said
    assert console.json("list") == []


def test_what_a_script_is_told_runs_nothing_that_a_description_says(
    console: Console, api: Api, secret: tuple[str, ...]
) -> None:
    hostile = f"{TOKEN}?x=$(touch${{IFS}}canary)`id`;'"
    saying(api, oauth={"type": "oauth2", "flows": {"authorizationCode": FLOW | {"tokenUrl": hostile}}})
    said = console.refused(*describe(api, "oauth-person", *APP, *secret))
    (line,) = (one for one in said.splitlines() if "say it yourself" in one)
    words = shlex.split(line.partition("say it yourself: ")[2])
    assert words[words.index("--token-endpoint") + 1] == hostile


@pytest.mark.usefixtures("somebody")
def test_what_it_says_is_taken_when_somebody_agrees(console: Console, api: Api, secret: tuple[str, ...]) -> None:
    saying(api, oauth=OAUTH)
    done = console.run(*describe(api, "oauth-person", *APP, *secret), given="y\n")
    assert "its security scheme oauth" in done.output
    assert settings(console, "todo") == {
        "client_id": "ours", "client_auth": "client_secret_post", "authorization_endpoint": AGREE,
        "token_endpoint": TOKEN, "scopes": ["items:read"],
    }  # fmt: skip


@pytest.mark.usefixtures("somebody")
def test_what_was_given_stands_over_what_it_says(console: Console, api: Api, secret: tuple[str, ...]) -> None:
    saying(api, oauth=OAUTH)
    mine = ("--authorization-endpoint", "https://me.example/a", "--token-endpoint", "https://me.example/t")
    console.run(*describe(api, "oauth-person", *APP, *secret, *mine))
    assert settings(console, "todo")["token_endpoint"] == "https://me.example/t"
    assert "scopes" not in settings(console, "todo")


def test_of_several_ways_one_has_to_be_chosen(console: Console, api: Api, secret: tuple[str, ...]) -> None:
    other = {"type": "openIdConnect", "openIdConnectUrl": "https://id.example/.well-known/openid-configuration"}
    saying(api, oauth=OAUTH, openid=other)
    done = console.run(*describe(api, "oauth-shared", *APP, *secret))
    assert done.exit_code == 2
    assert "--issuer https://id.example" in done.output
    assert f"--token-endpoint {TOKEN}" in done.output


@pytest.mark.usefixtures("somebody")
def test_a_key_that_is_wanted_in_the_query_goes_there(console: Console, api: Api, tmp_path: Path) -> None:
    saying(api, key=QUERY)
    file = tmp_path / "key"
    file.write_text("canary-0123")
    file.chmod(0o600)
    done = console.run(*describe(api, "static", "--api-key-file", str(file)), given="y\n")
    assert done.exit_code == 0, done.output
    assert settings(console, "todo") == {"query": "api_key"}
    console.do("refresh", "todo")
    assert [one.target for one in api.seen] == ["/openapi.json", "/openapi.json?api_key=canary-0123"]
    assert "canary-0123" not in done.output + json.dumps(console.json("show", "todo"))


def test_a_description_that_wants_the_key_itself_gets_it_at_the_apis_own_origin(
    console: Console, api: Api, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("X-Api-Key: canary-0123")
    file.chmod(0o600)
    told = ("--openapi", api.url, "--operation", "*", "--allow-address", "--auth", "static", "--header-file", str(file))
    console.do("add", "todo", f"{api.base}/api", *told)
    console.do("refresh", "todo", "--tag", "items")
    assert [one.all("x-api-key") for one in api.seen] == [["canary-0123"], ["canary-0123"]]


def test_t_49_at_any_other_origin_it_gets_nothing(console: Console, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("X-Api-Key: canary-0123")
    file.chmod(0o600)
    with serving_api(Api()) as elsewhere:
        console.run(
            "add", "todo", f"{api.base}/api", "--openapi", elsewhere.url, "--operation", "*", "--allow-address",
            "--auth", "static", "--header-file", str(file),
        )  # fmt: skip
        assert elsewhere.seen
        assert not any("canary" in str(one.headers) for one in elsewhere.seen)


def test_an_api_that_lets_in_only_whom_it_knows_is_added_in_one_go(console: Console, tmp_path: Path) -> None:
    certifier = Certifier(tmp_path)
    certificate, key = certifier.certify("gateway")
    pair = ("--cert", str(certificate), "--key", str(key), "--ca", str(certifier.certificate))
    with serving_api(Api(), certifier.certify("localhost").context(certifier)) as api:
        told = ("add", "todo", f"{api.base}/api", "--openapi", api.url, "--operation", "*", "--allow-address")
        assert "cannot be read" in console.refused(*told)
        assert console.json("list") == []
        console.do(*told, *pair)
        assert console.json("tls", "todo") == {
            "server": "todo", "client_certificate": True, "own_authorities": True,
            "until": console.json("tls", "todo")["until"],
        }  # fmt: skip
        seen = len(api.seen)
        console.do("refresh", "todo", "--openapi", api.url)
        assert len(api.seen) > seen


def test_half_a_pair_registers_nothing(console: Console, fake: Upstream, tmp_path: Path) -> None:
    certificate, _ = Certifier(tmp_path).certify("gateway")
    said = console.refused("add", "notes", fake.url, "--allow-address", "--cert", str(certificate))
    assert "give both" in said
    assert console.json("list") == []


def test_what_is_not_given_stays_while_the_mode_does_and_that_is_said(
    console: Console, fake: Upstream, secret: tuple[str, ...]
) -> None:
    console.run(*add(fake, *secret, "--issuer", fake.issuer, "--scope", "notes:read", mode="oauth-shared"))
    said = console.do("auth", "notes", "oauth-shared", "--scope", "notes:write")
    assert f"kept as it was: --issuer {fake.issuer}" in said
    assert "not kept" not in said
    assert (settings(console)["issuer"], list(settings(console)["scopes"])) == (fake.issuer, ["notes:write"])
    assert kept(console) == [("server:notes", "client_secret")]


def test_another_authorization_server_does_not_inherit_an_app_and_it_is_said_what_went(
    console: Console, fake: Upstream, secret: tuple[str, ...]
) -> None:
    console.run(*add(fake, *secret, "--issuer", fake.issuer, "--scope", "notes:read", mode="oauth-shared"))
    said = console.do("auth", "notes", "oauth-shared", "--issuer", "https://as.example")
    assert "not kept: --client-id ours --client-auth client_secret_post" in said
    assert "kept as it was: --scope notes:read" in said
    assert "removed: the stored client-secret" in said
    assert settings(console).keys() == {"issuer", "scopes"}


def test_nothing_is_kept_where_that_is_wanted_or_the_mode_is_another(
    console: Console, fake: Upstream, secret: tuple[str, ...]
) -> None:
    console.run(*add(fake, *secret, "--issuer", fake.issuer, "--scope", "notes:read", mode="oauth-shared"))
    told = console.json("auth", "notes", "oauth-shared", "--issuer", fake.issuer, "--anew")
    assert (told["kept"], told["dropped"].keys()) == ({}, {"client_id", "client_auth", "scopes"})
    assert console.json("auth", "notes", "none")["dropped"] == {"issuer": fake.issuer}
    assert settings(console) == {}
    assert kept(console) == []


_value = st.text("abc", max_size=2)


@given(
    before=st.dictionaries(st.sampled_from(sorted(PLACES | {"client_id", "scopes", "region"})), _value),
    said=st.dictionaries(st.sampled_from(sorted(PLACES | {"client_id", "scopes"})), _value),
)
def test_an_app_never_outlives_the_authorization_server_that_it_was_said_with(before: Any, said: Any) -> None:
    left = carried(before, said)
    assert not left.keys() & said.keys()
    assert left.items() <= before.items()
    if any(before.get(name) != said[name] for name in said.keys() & {"issuer", "token_endpoint"}):
        assert not left.keys() & {"issuer", "token_endpoint", "client_id"}
    if not said:
        assert left == before


PAGE = ("--authorization-endpoint", "https://as.example/authorize")
ASKED, ENDED = "--token-endpoint", "--revocation-endpoint"
WRITTEN = (*PAGE, ASKED, "https://as.example/token", ENDED, "https://as.example/revoke")
ASTRAY = {
    "another address": (*PAGE, ASKED, "https://else.example/token", ENDED, "https://as.example/revoke"),
    "another to end things at": (*PAGE, ASKED, "https://as.example/token", ENDED, "https://else.example/revoke"),
    "whatever its metadata says": (),
}


@pytest.mark.parametrize("where", ASTRAY.values(), ids=ASTRAY)
def test_t_30_an_apps_secret_goes_to_no_other_address_because_it_has_the_same_name(
    console: Console, fake: Upstream, secret: tuple[str, ...], where: tuple[str, ...]
) -> None:
    named = ("--issuer", "https://as.example")
    console.run(*add(fake, *secret, *named, *WRITTEN, mode="oauth-shared"))
    before = settings(console)
    said = console.refused("auth", "notes", "oauth-shared", "--anew", *APP, *named, *where)
    assert "was given for https://as.example at https://as.example/token" in said
    assert settings(console) == before
    console.do("auth", "notes", "oauth-shared", "--anew", *named)  # uses no secret, and keeps none for the next
    assert kept(console) == []
