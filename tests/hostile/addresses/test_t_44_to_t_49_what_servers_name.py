"""T-44, T-45, T-49: whatever a server or its authorization server names, nothing goes where it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.credentials import CredentialUnavailable, Refused, Unanswered
from gateway.credentials.oauth.asking.renewing import renew
from gateway.credentials.oauth.ourselves import Ourselves
from registry.credentials.tls import set_tls
from registry.tables import AddressException, Auth, Server
from tests.fakes.network.certificates import Authority as Certifier
from tests.fakes.providers.openid import Reply
from tests.fakes.servers.upstream_authority import Authority
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource/mcp"


@pytest.fixture
def fake() -> Iterator[Upstream]:
    with serving(Upstream()) as made:
        yield made


@pytest.fixture
def hidden() -> Iterator[Authority]:
    """On this machine too, and no exception."""
    with serving(Authority()) as made:
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Upstream) -> Iterator[Settled]:
    with settled(tmp_path, fake.origin) as made:
        yield made


def test_t_44_an_issuer_at_a_private_address_is_not_connected_to(office, fake, hidden):
    fake.authorities = [hidden.issuer]
    with pytest.raises(Unanswered, match=r"rule: (loopback|scheme)"):
        office.depart(office.server(fake.url))
    assert not hidden.heard


@pytest.mark.parametrize("issuer", ["https://169.254.169.254", "https://[::1]:9", "https://10.0.0.1", "file:///etc"])
def test_t_44_nor_is_any_address_that_is_not_public(office, fake, issuer):
    fake.authorities = [issuer]
    with pytest.raises(Unanswered, match="rule:"):
        office.depart(office.server(fake.url))


@pytest.mark.parametrize("endpoint", ["registration_endpoint", "token_endpoint"])
def test_t_44_an_endpoint_at_a_private_address_is_not_connected_to(office, fake, hidden, endpoint):
    fake.metadata = {endpoint: f"{hidden.origin}/x"}
    with pytest.raises(Unanswered, match="rule:"):
        office.connect(fake, office.server(fake.url))
    assert not hidden.heard


def test_t_44_metadata_that_a_challenge_names_at_a_private_address_is_not_read(office, fake, hidden):
    header = f'Bearer resource_metadata="{hidden.origin}/x"'
    fake.replies["/mcp"] = lambda _: Reply(401, {}, (("WWW-Authenticate", header),))
    with pytest.raises(Unanswered, match="rule:"):
        office.depart(office.server(fake.url))
    assert not hidden.heard


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", [RESOURCE, METADATA, "/register"])
def test_t_45_redirects_are_not_followed(office, fake, hidden, path, status):
    fake.replies[path] = lambda _: Reply(status, b"", (("Location", f"{hidden.origin}{path}"),))
    with pytest.raises(Unanswered, match="redirects"):
        office.depart(office.server(fake.url))
    assert not hidden.heard


@pytest.mark.parametrize("status", [302, 307, 308])
def test_t_45_a_code_a_secret_and_a_refresh_token_do_not_follow_a_redirect(office, fake, hidden, status):
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    fake.replies["/token"] = lambda _: Reply(status, b"", (("Location", f"{hidden.origin}/token"),))
    with pytest.raises(Unanswered):
        renew(office.equipment, upstream, office.connection(), office.tokens())
    with pytest.raises(Unanswered):
        office.connect(fake, upstream)
    assert not hidden.heard


def test_t_49_a_server_that_names_another_issuer_has_nothing_sent_there(tmp_path, fake):
    with serving(Upstream()) as thief, settled(tmp_path, fake.origin, thief.origin) as office:
        upstream = office.server(fake.url)
        office.connect(fake, upstream)
        fake.authorities = [thief.issuer]
        office.equipment.discovery.forget(upstream, fake.issuer)
        with pytest.raises(Refused, match="another authorization server now"):
            renew(office.equipment, upstream, office.connection(), office.tokens())
        assert not thief.heard
        assert len(fake.asked("/token")) == 1


def test_t_49_the_secret_of_a_configured_app_is_not_sent_to_an_issuer_that_a_server_names_later(tmp_path, fake):
    with serving(Upstream()) as thief, settled(tmp_path, fake.origin, thief.origin) as office:
        fake.add_app("ours", "canary-secret")
        upstream = office.server(
            fake.url, client_id="ours", client_auth="client_secret_post", issuer=fake.issuer,
            secrets={"client_secret": b"canary-secret"},
        )  # fmt: skip
        office.connect(fake, upstream)
        fake.authorities = [thief.issuer]
        with pytest.raises(Refused, match="--issuer"):
            office.depart(upstream)
        assert not any("canary-secret" in str(one.form) for one in thief.heard)


def test_t_49_nor_is_that_of_an_app_that_asks_as_itself(tmp_path, fake):
    with serving(Upstream()) as thief, settled(tmp_path, fake.origin, thief.origin) as office:
        fake.add_app("ours", "canary-secret")
        upstream = office.server(
            fake.url, auth=Auth.CLIENT_CREDENTIALS, client_id="ours", issuer=fake.issuer,
            secrets={"client_secret": b"canary-secret"},
        )  # fmt: skip
        source = Ourselves(office.equipment)
        source.obtain(office.asked(upstream))
        fake.authorities = [thief.issuer]
        office.equipment.discovery.forget(upstream, fake.issuer)
        with pytest.raises(CredentialUnavailable, match="--issuer"):
            source.obtain(office.asked(upstream))
        assert not thief.asked("/token")


def test_t_49_a_client_that_one_issuer_registered_is_not_shown_to_another(tmp_path, fake):
    with serving(Upstream()) as second, settled(tmp_path, fake.origin, second.origin) as office:
        upstream = office.server(fake.url)
        office.connect(fake, upstream)
        fake.authorities = [second.issuer]
        office.connect(second, upstream)
        first_app, other_app = office.app(fake.issuer), office.app(second.issuer)
        assert first_app.client_id != other_app.client_id
        assert not any(first_app.client_id in one.path + str(one.form) for one in second.heard)


@pytest.mark.parametrize("named", ["issuer", "token_endpoint", "registration_endpoint", "metadata"])
def test_t_44_an_exception_that_was_made_for_one_server_is_none_for_what_another_names(office, fake, hidden, named):
    """`--allow-address` of an internal server lets nobody else's metadata lead us there, with a body to its liking."""
    upstream, (host, port) = office.server(fake.url), hidden.origin.removeprefix("http://").split(":")
    with office.office.database.change() as session:
        session.add(AddressException(scheme="http", host=host, port=int(port)))
    if named == "issuer":
        fake.authorities = [hidden.issuer]
    elif named == "metadata":
        header = f'Bearer resource_metadata="{hidden.origin}/x"'
        fake.replies["/mcp"] = lambda _: Reply(401, {}, (("WWW-Authenticate", header),))
    else:
        fake.metadata = {named: f"{hidden.origin}/x"}
    with pytest.raises(Unanswered, match="rule:"):
        office.connect(fake, upstream)
    assert not hidden.heard


def test_t_44_one_that_was_made_for_the_server_itself_holds_for_what_is_there(tmp_path, fake):
    host, port = fake.origin.removeprefix("http://").split(":")
    with settled(tmp_path) as office:
        with office.office.database.change() as session:
            session.add(AddressException(scheme="http", host=host, port=int(port)))
        assert office.depart(office.server(fake.url)).startswith(fake.origin)


def test_t_49_authorities_that_were_set_for_one_server_vouch_for_nothing_that_another_names(tmp_path):
    """One that is only proposed, at the address of an authorization server, would read what everybody sends there."""
    with serving(Authority()) as honest, settled(tmp_path, honest.origin) as office:
        upstream = office.server("https://notes.example/mcp")
        with office.office.database.change() as session:
            url = f"{honest.issuer}/evil"
            session.add(Server(slug="evil", title="Evil", url=url, tls={"authorities": "not even a certificate"}))
        assert set(office.equipment.fetcher.own) == {honest.origin}
        assert office.equipment.toward(upstream).fetcher.own == {}
        evil = office.upstream("evil")
        assert set(office.equipment.toward(evil).fetcher.own) == {honest.origin}
        with pytest.raises(Unanswered, match="ostiary server tls"):
            office.equipment.discovery.find(office.equipment.fetcher, office.upstream("evil"))


def test_t_49_our_certificate_is_shown_at_the_servers_own_origin_and_to_nobody_that_it_names(tmp_path, monkeypatch):
    """Both let in only whom they know by a certificate; that of the other is vouched for well enough."""
    authority = Certifier(tmp_path)
    certificate, key = authority.certify("gateway")
    demanding = [authority.certify("localhost").context(authority) for _ in range(2)]
    with (
        serving(Upstream(), demanding[0]) as fake,
        serving(Upstream(), demanding[1]) as other,
        settled(tmp_path / "d", *(one.origin.replace("127.0.0.1", "localhost") for one in (fake, other))) as office,
    ):
        for one in (fake, other):
            one.origin = one.origin.replace("127.0.0.1", "localhost")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        office.server(fake.url)
        with office.office.database.change() as session:
            pair = {"certificate": certificate.read_bytes(), "key": key.read_bytes()}
            authorities = authority.certificate.read_bytes()
            set_tls(
                session, session.get_one(Server, "notes"), **pair, authorities=authorities, vault=office.office.vault
            )
        assert office.depart(office.upstream()).startswith(fake.origin)
        fake.authorities = [other.issuer]
        with pytest.raises(Unanswered):
            office.depart(office.upstream())
        assert not other.heard
