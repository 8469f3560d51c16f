"""Plain OAuth: an authorization server that publishes nothing, written down by an administrator (ADR 33)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.credentials import CredentialUnavailable, Refused
from gateway.credentials.connections import deeds
from gateway.credentials.kept import Kept
from gateway.credentials.oauth.connecting.departures import ConnectRefused
from gateway.credentials.oauth.ourselves import Ourselves
from registry.credentials import connections
from registry.credentials.modes import read_auth
from registry.errors import RegistryError
from registry.tables import Auth, ConnectionState, Server, Transport
from tests.fakes.providers.openid import Reply
from tests.fakes.servers.upstream_authority import claims_of
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import query_of, settled

if TYPE_CHECKING:
    from registry import catalogue
    from tests.gateway.credentials.oauth.settled import Settled

APP = {"client_id": "ours", "client_auth": "client_secret_post"}


@pytest.fixture
def plain(fake: Upstream) -> Upstream:
    """Says nothing of itself, and does not know what no standard of its time had."""
    fake.replies["/.well-known/oauth-authorization-server"] = lambda _: Reply(404, {})
    fake.replies["/.well-known/oauth-protected-resource/mcp"] = lambda _: Reply(404, {})
    fake.answer = {"iss": ""}
    fake.add_app("ours", "s3cret")
    return fake


def written(office: Settled, fake: Upstream, auth: Auth = Auth.OAUTH_PERSON, **more: Any) -> catalogue.Upstream:
    """An HTTP API whose tokens come from there."""
    told: dict[str, Any] = {"token_endpoint": f"{fake.origin}/token", **APP} | more
    if auth is not Auth.CLIENT_CREDENTIALS:
        told.setdefault("authorization_endpoint", f"{fake.origin}/authorize")
    office.server(f"{fake.origin}/api", auth=auth, secrets={"client_secret": b"s3cret"}, **told)
    with office.office.database.change() as session:
        session.get_one(Server, "notes").transport = Transport.OPENAPI
    return office.upstream()


def test_an_account_is_connected_and_renewed(office: Settled, plain: Upstream) -> None:
    upstream = written(office, plain, scopes=["repo"])
    office.connect(plain, upstream)
    office.later(3599)
    held = Kept(office.equipment).obtain(office.asked(upstream))
    first, second = plain.asked("/token")
    assert [first.form["grant_type"], second.form["grant_type"]] == ["authorization_code", "refresh_token"]
    assert plain.accounts[held.credential.value.decode().removeprefix("Bearer ")].person == "usr_alice"


def test_nothing_is_looked_for_that_is_written_down(office: Settled, plain: Upstream) -> None:
    office.connect(plain, written(office, plain))
    assert {one.path.split("?")[0] for one in plain.heard} == {"/token"}


def test_pkce_is_sent_and_the_app_proves_itself(office: Settled, plain: Upstream) -> None:
    asked = query_of(office.depart(written(office, plain, scopes=["repo", "gist"])))
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"] == "repo gist"
    assert asked["client_id"] == "ours"


@pytest.mark.parametrize("given", ["", "api://notes"])
def test_of_an_api_no_resource_is_said_unless_somebody_wrote_it_down(
    office: Settled, plain: Upstream, given: str
) -> None:
    upstream = written(office, plain, resource=given)
    departure = office.depart(upstream)
    office.come_back(plain.arrive(departure, "usr_alice"))
    office.later(3599)
    Kept(office.equipment).obtain(office.asked(upstream))
    said = [query_of(departure), *(one.form for one in plain.asked("/token"))]
    assert [one.get("resource", "") for one in said] == [given] * 3


def test_a_server_of_mcp_is_always_named(office: Settled, plain: Upstream) -> None:
    more = {"token_endpoint": f"{plain.origin}/token", "authorization_endpoint": f"{plain.origin}/authorize"}
    upstream = office.server(plain.url, secrets={"client_secret": b"s3cret"}, **APP, **more)
    assert query_of(office.depart(upstream))["resource"] == plain.url


def test_we_ask_as_ourselves(office: Settled, plain: Upstream) -> None:
    upstream = written(office, plain, Auth.CLIENT_CREDENTIALS, scopes=["read"])
    Ourselves(office.equipment).obtain(office.asked(upstream))
    (asked,) = plain.heard
    assert (asked.path, asked.form["scope"]) == ("/token", "read")
    assert "resource" not in asked.form


@pytest.mark.parametrize(("issuer", "audience"), [("", "/token"), ("https://as.example", "https://as.example")])
def test_a_signature_is_for_its_name_or_its_token_endpoint(
    office: Settled, plain: Upstream, issuer: str, audience: str
) -> None:
    upstream = written(office, plain, Auth.CLIENT_CREDENTIALS, client_auth="private_key_jwt", issuer=issuer)
    Ourselves(office.equipment).obtain(office.asked(upstream))
    claims = claims_of(plain.heard[0].form["client_assertion"])
    assert claims["aud"] == (audience if issuer else plain.origin + audience)


@pytest.mark.parametrize(
    ("token", "scopes"),
    [
        ({"token_type": "bearer", "scope": "repo,gist"}, ["repo", "gist"]),  # GitHub
        ({"token_type": "bot", "scope": "repo,gist", "ok": True}, ["repo", "gist"]),  # Slack
        ({"token_type": None, "scope": None}, ["repo", "gist"]),  # LinkedIn
        ({"scope": ["repo"]}, ["repo"]),  # Twitch
        ({"expires_in": 0, "scope": None}, ["repo", "gist"]),  # Mailchimp
    ],
)
def test_careless_answers_are_understood(
    office: Settled, plain: Upstream, token: dict[str, Any], scopes: list[str]
) -> None:
    plain.token = token
    upstream = written(office, plain, scopes=["repo", "gist"])
    assert list(office.connect(plain, upstream).scopes) == scopes
    assert Kept(office.equipment).obtain(office.asked(upstream)).credential.value.startswith(b"Bearer at-")


@pytest.mark.parametrize("said", [True, False])
def test_it_hears_of_the_end_where_somebody_wrote_down_where_and_as_our_app(
    office: Settled, plain: Upstream, *, said: bool
) -> None:
    more = {"revocation_endpoint": f"{plain.origin}/revoke"} if said else {}
    office.connect(plain, written(office, plain, **more))
    deeds.end(office.equipment, "notes", "usr_alice", who="user:alice")
    with office.office.database.read() as session:
        row = connections.find(session, "notes", "usr_alice")
    assert row is not None
    deeds.tidy(office.equipment, office.upstream(), row)
    told = [heard.form for heard in plain.asked("/revoke")]
    assert [(form["client_id"], form["token_type_hint"]) for form in told] == [("ours", "refresh_token")] * said


def test_of_one_with_metadata_they_are_not(office: Settled, fake: Upstream) -> None:
    fake.token = {"token_type": "bot"}
    upstream = office.server(fake.url)
    with pytest.raises(Exception, match="type that was not asked for"):
        office.connect(fake, upstream)


def test_an_error_may_come_as_a_success(office: Settled, plain: Upstream) -> None:
    upstream = written(office, plain)
    back = plain.arrive(office.depart(upstream), "usr_alice")
    plain.replies["/token"] = lambda _: Reply(200, {"error": "bad_verification_code", "error_description": "x"})
    with pytest.raises(Refused, match="bad_verification_code"):
        office.come_back(back)


def test_t_30_an_answer_that_names_itself_counts_for_nothing_where_nobody_said_how_it_is_called(
    office: Settled, plain: Upstream
) -> None:
    plain.answer = {}
    upstream = written(office, plain)
    with pytest.raises(ConnectRefused, match="--issuer") as refused:
        office.come_back(plain.arrive(office.depart(upstream), "usr_alice"))
    assert refused.value.reason == "iss_unknown"
    assert not plain.asked("/token")


def test_t_30_a_name_that_was_written_down_is_compared(office: Settled, plain: Upstream) -> None:
    plain.answer = {}
    upstream = written(office, plain, issuer="https://another.example")
    with pytest.raises(ConnectRefused) as refused:
        office.come_back(plain.arrive(office.depart(upstream), "usr_alice"))
    assert refused.value.reason == "iss_mismatch"
    plain.named = "https://another.example"
    office.connect(plain, upstream)
    assert office.tokens().issuer == "https://another.example"


def test_t_49_another_token_endpoint_is_another_authorization_server(office: Settled, plain: Upstream) -> None:
    office.connect(plain, written(office, plain))
    with serving(Upstream()) as thief:
        settings = {"token_endpoint": f"{thief.origin}/token", "authorization_endpoint": f"{plain.origin}/authorize"}
        with office.office.database.change() as session:
            session.get_one(Server, "notes").auth_settings = {**APP, **settings}
        office.later(3599)
        with pytest.raises(CredentialUnavailable, match="another authorization server"):
            Kept(office.equipment).obtain(office.asked(office.upstream()))
        assert not thief.heard
    connection = office.connection()
    assert connection is not None
    assert connection.state == ConnectionState.NEEDS_RECONNECT


def test_t_49_what_a_server_names_later_changes_nothing(office: Settled, plain: Upstream) -> None:
    upstream = written(office, plain)
    with serving(Upstream()) as thief:
        plain.replies.clear()
        plain.path, plain.authorities = "/api", [thief.issuer]
        office.connect(plain, upstream)
        assert not thief.heard


ENDPOINTS = {"authorization_endpoint": "https://as.example/authorize", "token_endpoint": "https://as.example/token"}


@pytest.mark.parametrize(
    ("auth", "settings", "words"),
    [
        (Auth.OAUTH_PERSON, {"token_endpoint": "https://as.example/token"}, "go together"),
        (Auth.OAUTH_SHARED, {"authorization_endpoint": "https://as.example/a", "issuer": "x"}, "go together"),
        (Auth.OAUTH_PERSON, ENDPOINTS | {"client_id": ""}, "--client-id is missing"),
        (Auth.OAUTH_PERSON, ENDPOINTS | {"client_auth": "none"}, "--client-auth is missing"),
        (Auth.CLIENT_CREDENTIALS, {"token_endpoint": "as.example/token"}, "--token-endpoint: that is no address"),
        (Auth.OAUTH_PERSON, ENDPOINTS | {"authorization_endpoint": "javascript:alert(1)"}, "--authorization-endpoint"),
        (Auth.OAUTH_PERSON, ENDPOINTS | {"authorization_endpoint": "http://as.example/a"}, "--authorization-endpoint"),
        (Auth.OAUTH_PERSON, ENDPOINTS | {"authorization_endpoint": "https://u@as.example/"}, "--authorization-end"),
        (Auth.OAUTH_PERSON, ENDPOINTS | {"revocation_endpoint": "http://as.example/r"}, "--revocation-endpoint: that"),
        (Auth.OAUTH_SHARED, {"issuer": "x", "revocation_endpoint": "https://as.example/r"}, "goes with --token-end"),
        (Auth.OAUTH_PERSON, {}, "--issuer is missing"),
        (Auth.CLIENT_CREDENTIALS, {"client_auth": "client_secret_basic"}, "--issuer is missing"),
        (Auth.ID_JAG, {"provider": "corp"}, "--issuer is missing"),
    ],
)
def test_what_is_not_whole_is_not_taken(auth: Auth, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RegistryError, match=words):
        read_auth(auth, APP | settings)


def test_over_http_only_where_the_token_endpoint_is_too(office: Settled, plain: Upstream) -> None:
    assert plain.origin.startswith("http://")
    assert office.depart(written(office, plain)).startswith(f"{plain.origin}/authorize?")


def test_it_is_asked_nowhere_that_may_not_be_reached(tmp_path: Any, plain: Upstream) -> None:
    with settled(tmp_path / "other") as office:
        office.server(
            "https://api.example/", auth=Auth.CLIENT_CREDENTIALS, secrets={"client_secret": b"s3cret"},
            token_endpoint=f"{plain.origin}/token", **APP,
        )  # fmt: skip
        with pytest.raises(CredentialUnavailable, match="not connected to"):
            Ourselves(office.equipment).obtain(office.asked(office.upstream()))
    assert not plain.heard
