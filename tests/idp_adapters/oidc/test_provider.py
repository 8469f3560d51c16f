"""Against npm oidc-provider: a certified OpenID provider that others wrote."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from idp_adapters.contract import Arrival, IdentityRefused, ProviderDown
from tests.fakes.network.certificates import Authority
from tests.idp_adapters.contract_suite import ContractSuite, RedirectingSuite, RenewingSuite
from tests.idp_adapters.equipment import BASE_URL
from tests.idp_adapters.relying import Relying, again
from tests.servers.oidc.provider import Browser, OpenIdServer, client, openid_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

OPTIONS = {"prompt": "consent", "scopes": ["openid", "profile", "groups", "offline_access"]}


@pytest.fixture(scope="module")
def running() -> Iterator[OpenIdServer]:
    with openid_server([client(BASE_URL)]) as server:
        yield server


@pytest.fixture
def server(running: OpenIdServer) -> OpenIdServer:
    running.node.tell("reset")
    return running


@pytest.fixture
def subject(server: Any) -> Relying:
    return Relying(server, options=OPTIONS)


class TestOidcProvider(ContractSuite, RedirectingSuite, RenewingSuite):
    pass


def test_it_names_itself_in_its_answers_and_that_is_looked_at(subject):
    departure = subject.depart()
    assert subject.adapter.issuer.metadata().promises_iss
    arrival = subject.answer(departure)
    assert arrival.parameters["iss"] == subject.provider.issuer
    unsaid = {name: value for name, value in arrival.parameters.items() if name != "iss"}
    with pytest.raises(IdentityRefused, match="which identity provider"):
        subject.adapter.arrive(Arrival(method="GET", url=arrival.url, parameters=unsaid), departure.kept)
    assert subject.adapter.arrive(arrival, departure.kept).groups == {"devs", "eng"}  # the code was not spent


def test_keys_that_were_rotated_are_found_after_ten_seconds(subject):
    clock = [0.0]
    relying = Relying(subject.provider, options=OPTIONS, equipped={"now": lambda: subject.equipment.now() + clock[0]})
    relying.sign_in()
    subject.provider.node.tell("rotate")
    with pytest.raises(IdentityRefused):
        relying.sign_in()
    clock[0] = 11.0
    assert relying.sign_in().groups == {"devs", "eng"}


@pytest.mark.parametrize("seconds", [7200, -7200])
def test_a_clock_that_is_hours_off_is_refused_and_named(subject, seconds):
    subject.provider.node.tell("clock", seconds=seconds)
    with pytest.raises(IdentityRefused):
        subject.sign_in()
    last = list(again(subject).adapter.check())[-1]
    assert (last.step, last.ok) == ("the provider's clock", False)
    assert "NTP" in last.words


@pytest.mark.parametrize("seconds", [45, -45])
def test_a_clock_that_is_less_than_a_minute_off_is_borne(subject, seconds):
    subject.provider.node.tell("clock", seconds=seconds)
    assert subject.sign_in().groups == {"devs", "eng"}


def test_a_discovery_document_of_somebody_else_leads_nowhere(subject):
    document = dict(subject.adapter.issuer.metadata().document) | {"issuer": "https://evil.example"}
    subject.provider.node.tell("discover", document=document)
    with pytest.raises(ProviderDown, match="another issuer"):
        Relying(subject.provider, options=OPTIONS).depart()


def test_a_group_that_was_left_is_gone_at_the_next_renewal(subject):
    first = subject.sign_in()
    subject.provider.node.tell("change", user="alice", claims={"groups": ["eng"]})
    second = subject.adapter.renew(first.keep)
    assert second.groups == {"eng"}
    with pytest.raises(IdentityRefused):
        subject.adapter.renew(first.keep)  # rotated: whoever stole the old one ends the family
    with pytest.raises(IdentityRefused):
        subject.adapter.renew(second.keep)


def test_an_id_token_is_exchanged_only_for_clients_that_were_named(subject):
    from idp_adapters.oidc.kept import read_kept

    raw = read_kept(subject.sign_in().keep).id_token
    found = Relying(subject.provider, options={"accepted_clients": ["web"], "userinfo": False}).adapter.vouch(
        raw, "us", "there"
    )
    assert (found.subject, found.presented_to) == ("alice", "web")
    with pytest.raises(IdentityRefused):
        Relying(subject.provider, options={"accepted_clients": ["other"]}).adapter.vouch(raw, "us", "there")


def test_claims_that_are_only_at_userinfo_are_found_there():
    with openid_server([client(BASE_URL)], conform=True) as server:
        assert Relying(server, options=OPTIONS).sign_in().groups == {"devs", "eng"}
        assert Relying(server, options=OPTIONS | {"userinfo": False}).sign_in().groups == frozenset()


def test_it_knows_our_client_by_its_key():
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = ECKey.import_key(pem).as_dict(private=False, kid="our-key", use="sig", alg="ES256")
    proven = client(
        BASE_URL,
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_signing_alg="ES256",
        jwks={"keys": [public]},
    )
    proven.pop("client_secret")
    options = OPTIONS | {"client_auth": "private_key_jwt", "client_key_id": "our-key"}
    with openid_server([proven]) as server:
        relying = Relying(server, options=options, secrets={"client_key": pem})
        assert relying.sign_in().subject == "alice"
        assert all(finding.ok for finding in relying.adapter.check())
        other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        last = list(Relying(server, options=options, secrets={"client_key": other}).adapter.check())[-1]
        assert (last.step, last.ok) == ("the client", False)


def test_a_certificate_of_another_authority_is_refused_and_named(tmp_path: Path):
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    certified = ours.certify("localhost", "127.0.0.1")
    with openid_server([client(BASE_URL)], certified=certified, trusting=trusting(ours)) as server:
        relying = Relying(server, options=OPTIONS, equipped={"ca_file": ours.certificate})
        assert relying.sign_in().subject == "alice"
        for wrong in (theirs.certificate, None):
            stranger = Relying(server, options=OPTIONS, equipped={"ca_file": wrong})
            with pytest.raises(ProviderDown):
                stranger.depart()
            last = list(stranger.adapter.check())[-1]
            assert "certificate" in last.words.lower()


def trusting(authority: Authority) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(authority.certificate))


# Logout, both ways


class Listener:
    """Our address for logouts, of which the provider's back channel knows."""

    def __init__(self) -> None:
        heard: Queue[dict[str, str]] = Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                heard.put(dict(parse_qsl(body.decode())))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self.heard = heard
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_leaving_ends_the_session_there_and_the_back_channel_says_so():
    with Listener() as ours, openid_server([client(ours.url)]) as server, Browser() as browser:
        relying = Relying(server, options=OPTIONS, equipped={"base_url": ours.url})
        departure = relying.adapter.depart(f"{ours.url}/signin/corp/callback", "s1")
        identity = relying.adapter.arrive(browser.sign_in(departure.url, "alice"), departure.kept)
        left = relying.adapter.leave(identity.keep, f"{ours.url}/signin/corp/logout", "s2")
        back = browser.sign_in(left.url, "alice")  # confirms the logout
        assert back.parameters["state"] == "s2"
        told = ours.heard.get(timeout=20)
        arrival = Arrival(method="POST", url=f"{ours.url}/signin/corp/logout", parameters=told)
        ended = relying.adapter.hear(arrival)
        assert (ended.issuer, ended.subject, ended.session) == (server.issuer, "alice", identity.session)
        assert identity.session
        with pytest.raises(IdentityRefused, match="heard before"):
            relying.adapter.hear(arrival)
        judge = Relying(server, options={"accepted_clients": ["web"], "userinfo": False}).adapter
        with pytest.raises(IdentityRefused):
            judge.vouch(told["logout_token"], "us", "there")
        again_asked = parse_qs(urlsplit(relying.depart().url).query)
        assert again_asked["client_id"] == ["web"]
