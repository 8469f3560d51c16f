"""Tokens that are bound to a key of ours, at a server and an authorization server that check every proof."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

import pytest

from gateway.credentials import CredentialUnavailable, Refused
from gateway.credentials.kept import Kept
from gateway.credentials.oauth.asking.nonces import Nonces
from gateway.credentials.oauth.asking.possession import Bound, fresh
from gateway.credentials.oauth.asking.renewing import renew
from gateway.credentials.oauth.ourselves import Ourselves
from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Ask
from gateway.upstream.connections import Servers
from gateway.upstream.messages import CredentialRefused
from registry.catalogue import Credential
from registry.secrets.vault import Vault
from registry.tables import Auth
from tests.fakes.servers.demanding import Demanding
from tests.fakes.servers.raw import Asked as Arrived
from tests.fakes.servers.raw import http, principal, raw_server, result
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.oauth.settled import query_of, settled

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from registry.catalogue import Upstream
    from tests.gateway.credentials.oauth.settled import Settled

NOBODY: Any = None
MODES = [Auth.OAUTH_PERSON, Auth.OAUTH_SHARED, Auth.CLIENT_CREDENTIALS]


@pytest.fixture
def fake() -> Iterator[Demanding]:
    with serving(Demanding()) as made:
        made.add_app("ours", "s3cret")
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Demanding) -> Iterator[Settled]:
    with settled(tmp_path, fake.origin) as made:
        yield made


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    made = Servers(Vault({"1": b"v" * 32}), MemoryRendezvous(), Terms(5, 5, 2**20), 2**24)
    yield made
    await made.close()


def credential(office: Settled, fake: Demanding, auth: Auth = Auth.OAUTH_PERSON) -> tuple[Upstream, Credential]:
    """Of a server that was just registered, and connected where somebody has to."""
    if auth is Auth.CLIENT_CREDENTIALS:
        secrets = {"client_secret": b"s3cret"}
        upstream = office.server(fake.url, auth=auth, secrets=secrets, client_id="ours", issuer=fake.issuer)
        return upstream, Ourselves(office.equipment).obtain(office.asked(upstream)).credential
    upstream = office.server(fake.url, auth=auth)
    subject = "usr_alice" if auth is Auth.OAUTH_PERSON else ""
    back = fake.arrive(office.depart(upstream, subject=subject))
    office.come_back(back)
    return upstream, Kept(office.equipment).obtain(office.asked(upstream)).credential


async def call(servers: Servers, upstream: Upstream, held: Credential) -> None:
    ask = Ask(method="tools/call", name="whoami", params={"name": b'"whoami"'}, principal=principal("usr_alice"))
    answer = await servers.send(upstream, ask, NOBODY, held)
    assert b"whoami" in answer.result


def proofs(fake: Demanding, path: str) -> list[dict[str, Any]]:
    """What was said in each proof that came there."""
    found = (heard.headers["dpop"].split(".")[1] for heard in fake.asked(path) if "dpop" in heard.headers)
    return [json.loads(urlsafe_b64decode(part + "==")) for part in found]


@pytest.mark.parametrize("auth", MODES)
async def test_each_call_proves_the_key_that_its_token_is_bound_to(office, fake, servers, auth) -> None:
    upstream, held = credential(office, fake, auth)
    for _ in range(3):
        await call(servers, upstream, held)
    assert fake.refused == []
    assert len(fake.calls) == 3
    assert len({proof["jti"] for proof in proofs(fake, "/mcp")}) == 3
    assert held.value.startswith(b"DPoP ")


@pytest.mark.parametrize("auth", MODES)
async def test_a_nonce_that_is_wanted_is_brought_at_the_second_attempt_and_from_then_on(
    office, fake, servers, auth
) -> None:
    fake.turn()
    upstream, held = credential(office, fake, auth)
    for _ in range(3):
        await call(servers, upstream, held)
    assert fake.refused == ["nonce", "nonce"]  # once at each of the two
    assert [proof.get("nonce") for proof in proofs(fake, "/mcp")] == [None] + [fake.nonces["mcp"]] * 3


async def test_a_nonce_that_changes_is_followed_without_a_refusal_where_the_server_tells_in_time(
    office, fake, servers
) -> None:
    fake.turn()
    upstream, held = credential(office, fake)
    await call(servers, upstream, held)
    told = fake.nonces["mcp"]
    fake.turn()
    await call(servers, upstream, held)
    await call(servers, upstream, held)
    assert fake.refused == ["nonce"] * 3  # the third when it had changed unsaid
    assert [proof.get("nonce") for proof in proofs(fake, "/mcp")] == [None, told, told] + [fake.nonces["mcp"]] * 2


async def test_a_server_that_wants_a_nonce_again_and_again_is_asked_twice(office, fake, servers) -> None:
    upstream, held = credential(office, fake)
    fake.nonces = {"token": "", "mcp": "first"}
    fake.proven = _never_content(fake)
    before = len(fake.asked("/mcp"))
    with pytest.raises(CredentialRefused):
        await call(servers, upstream, held)
    assert len(fake.asked("/mcp")) == before + 2


def _never_content(fake: Demanding) -> Any:
    proven = fake.proven

    def judged(*heard: Any, **more: Any) -> str:
        fake.nonces["mcp"] += "x"
        return proven(*heard, **more)

    return judged


def test_the_code_is_bound_to_the_key_before_anybody_agrees(office, fake) -> None:
    departure = office.depart(office.server(fake.url))
    office.come_back(fake.arrive(departure))
    assert query_of(departure)["dpop_jkt"] == fake.keys[office.tokens().access]


def test_a_connection_keeps_its_key_and_each_has_another(office, fake) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    office.connect(fake, upstream, "usr_bob")
    before = office.tokens()
    after = renew(office.equipment, upstream, office.connection(), before)
    assert fake.keys[after.access] == fake.keys[before.access]
    assert after.key == before.key != office.tokens(subject="usr_bob").key
    assert fake.refused == []


def test_a_refresh_token_is_worth_nothing_without_the_key(office, fake) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    other = fresh(office.equipment).exported()
    with pytest.raises(Refused, match="invalid_dpop_proof"):
        renew(office.equipment, upstream, office.connection(), _with_key(office.tokens(), other))
    assert fake.refused == ["key"]


def _with_key(tokens: Any, key: bytes) -> Any:
    return type(tokens)(access=tokens.access, refresh=tokens.refresh, key=key, type="DPoP", issuer=tokens.issuer,
                        audience=tokens.audience, client_id=tokens.client_id)  # fmt: skip


@pytest.mark.parametrize("auth", MODES)
def test_where_the_server_wants_bound_tokens_no_other_is_taken(office, fake, auth) -> None:
    fake.binds = False
    with pytest.raises((Refused, CredentialUnavailable), match="bound to no key"):
        credential(office, fake, auth)
    assert office.connection() is None


@pytest.mark.parametrize("auth", MODES)
async def test_where_it_does_not_want_them_a_token_is_used_as_what_it_is(office, fake, servers, auth) -> None:
    fake.binds = False
    fake.resource_metadata["dpop_bound_access_tokens_required"] = False
    upstream, held = credential(office, fake, auth)
    await call(servers, upstream, held)
    assert held.value.startswith(b"Bearer ")
    assert proofs(fake, "/mcp") == []


def test_what_was_bound_once_is_not_renewed_as_less(office, fake) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    fake.binds = False
    with pytest.raises(Refused, match="bound to no key"):
        renew(office.equipment, upstream, office.connection(), office.tokens())


def test_a_connection_that_has_no_key_gets_one_when_the_server_comes_to_want_it(office, fake) -> None:
    fake.resource_metadata = {"dpop_bound_access_tokens_required": False}
    fake.metadata = {}
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    before = office.tokens()
    fake.resource_metadata = {"dpop_bound_access_tokens_required": True}
    office.equipment.discovery.forget(upstream, fake.issuer)
    after = renew(office.equipment, upstream, office.connection(), before)
    assert (before.key, before.type, after.type) == (b"", "Bearer", "DPoP")
    assert after.access in fake.keys


@pytest.mark.parametrize(
    ("authority", "resource", "challenge", "wanted"),
    [
        (["ES256"], {"dpop_signing_alg_values_supported": ["ES256"]}, "", True),
        (["ES256"], {}, 'DPoP algs="PS256 ES256"', True),
        (["ES256"], {}, "DPoP", True),
        (["ES256"], {}, 'DPoP algs="PS256"', False),
        (["ES256"], {}, "Bearer", False),  # a server that knows nothing of keys could not read what is bound to one
        (["RS256"], {"dpop_signing_alg_values_supported": ["ES256"]}, "", False),
        ([], {"dpop_signing_alg_values_supported": ["ES256"]}, "", False),
        ([], {"dpop_bound_access_tokens_required": True}, "", True),
        (["ES256"], {"dpop_bound_access_tokens_required": True}, "", True),
    ],
)
def test_a_key_is_proved_where_both_say_that_they_take_proofs(
    office, fake, authority, resource, challenge, wanted
) -> None:
    fake.metadata = {"dpop_signing_alg_values_supported": authority}
    fake.resource_metadata = {"dpop_bound_access_tokens_required": False} | resource
    fake.unauthorized = lambda: _challenged(challenge)
    departure = office.depart(office.server(fake.url))
    assert ("dpop_jkt" in query_of(departure)) == wanted


def _challenged(challenge: str) -> Any:
    from tests.fakes.providers.openid import Reply

    return Reply(401, {}, (("WWW-Authenticate", challenge),) if challenge else ())


@pytest.mark.parametrize(
    ("authority", "resource"), [(["RS256"], ["ES256"]), (["ES256"], ["PS256"]), (["RS256"], ["RS256"])]
)
def test_where_they_are_wanted_of_another_kind_it_is_said(office, fake, authority, resource) -> None:
    fake.metadata = {"dpop_signing_alg_values_supported": authority}
    fake.resource_metadata |= {"dpop_signing_alg_values_supported": resource}
    with pytest.raises(Refused, match="takes no proofs with ES256"):
        office.depart(office.server(fake.url))


async def test_a_request_that_is_sent_once_more_has_another_proof(office, servers) -> None:
    """What a dead connection took along may have been seen there."""
    seen: list[str] = []

    async def respond(asked: Arrived, writer: asyncio.StreamWriter) -> bytes:
        seen.append(asked.headers["dpop"])
        if len(seen) == 2:
            writer.close()
            return b""
        return http(result(asked, {"tools": []}))

    async with raw_server(respond) as server:
        origin = f"http://127.0.0.1:{server.port}"
        bound = Bound(holder=fresh(office.equipment), token=b"t", origin=origin)
        held = Credential(
            server="raw", origin=origin, header=b"authorization", value=bound.value, sign=bound.sign, heard=bound.heard
        )
        upstream = server.upstream(auth=Auth.OAUTH_PERSON)
        for _ in range(2):
            await servers.send(upstream, Ask(method="tools/list", principal=principal("ann")), NOBODY, held)
    assert len(set(seen)) == 3


def test_nonces_are_of_one_place_and_one_key_and_not_without_number() -> None:
    nonces = Nonces(most=2)
    assert nonces.keep("a", "k", "n1")
    assert nonces.of("a", "k") == "n1"
    assert (nonces.of("b", "k"), nonces.of("a", "l")) == ("", "")
    for place in "bc":
        nonces.keep(place, "k", "n2")
    assert (nonces.of("a", "k"), nonces.of("c", "k")) == ("", "n2")


@pytest.mark.parametrize("nonce", ["", "a b", 'a"b', "a\\b", "a\r\nX-Evil: 1", "ü", "x" * 1025])
def test_what_cannot_be_a_nonce_is_none(nonce) -> None:
    nonces = Nonces()
    assert not nonces.keep("a", "k", nonce)
    assert nonces.of("a", "k") == ""


def test_nothing_of_a_key_is_in_a_repr(office) -> None:
    holder = fresh(office.equipment)
    bound = Bound(holder=holder, token=b"canary", origin="https://x.example:443")
    shown = repr((holder, bound, office.equipment.nonces))
    assert "canary" not in shown
    assert "EllipticCurve" not in shown
    assert '"d"' not in shown
