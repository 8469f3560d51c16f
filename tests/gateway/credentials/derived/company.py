"""A company with an identity provider whose people sign in here, and a service that gives tokens for theirs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from authz import jose
from authz.fingerprints import fingerprint
from authz.people import external
from authz.people.sessions import begin_session
from gateway.identity.keeping import keep_session
from gateway.identity.registering import Described, register
from registry.database import Concern
from tests.fakes.providers.openid import CLIENT, SECRET, Heard, OpenIdProvider, Reply
from tests.fakes.servers.upstream_authority import Account
from tests.fakes.servers.upstream_oauth import Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authz.tables import Person
    from gateway.identity.providers import Opened
    from tests.gateway.credentials.derived.bench import Bench

TYPE = "urn:ietf:params:oauth:token-type:"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
BACK = "http://127.0.0.1:9000/signin/corp/callback"


class Service(Upstream):
    """A server, and an authorization server that believes `issuers` (issuer → their public keys) about people.

    What it was told is in `presented`: (grant, subject claims, actor claims or None, form).
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix)
        self.issuers: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.presented: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, str]]] = []
        self.issued_type = f"{TYPE}access_token"
        self.error = ""

    def account_of(self, heard: Heard, client: str) -> Account | None:
        form = heard.form
        grant = form.get("grant_type", "")
        if grant not in {EXCHANGE, JWT_BEARER}:
            return super().account_of(heard, client)
        said = self.read(form["subject_token" if grant == EXCHANGE else "assertion"])
        actor = self.read(form["actor_token"]) if "actor_token" in form else None
        self.presented.append((grant, said, actor, form))
        return Account(said["sub"], client, frozenset(form.get("scope", "").split()), form.get("resource", ""))

    def read(self, token: str) -> dict[str, Any]:
        keys = self.issuers[jose.read_foreign(token).claims["iss"]]
        verified = jose.verify_foreign(token, keys, ["ES256", "RS256"])
        assert verified.claims["exp"] > time.time()
        return dict(verified.claims)

    def give(self, heard: Heard) -> Reply:
        if self.error:
            return Reply(400, {"error": self.error, "error_description": "call 555-EVIL"})
        reply = super().give(heard)
        if heard.form.get("grant_type") == EXCHANGE and reply.status == 200:
            reply.body["issued_token_type"] = self.issued_type
            reply.body.pop("refresh_token", None)
        return reply


def join(opened: Bench, provider: OpenIdProvider, slug: str = "corp", **config: Any) -> None:
    """From now on people sign in with it."""
    opened.reach(provider.origin)
    said = {
        "issuer": provider.issuer, "client_id": CLIENT, "allow_addresses": [provider.origin],
        "scopes": ["openid", "profile", "offline_access"],
    }  # fmt: skip
    described = Described(slug=slug, kind="oidc", config=said | config, secrets={"client_secret": SECRET.encode()})
    register(opened.office, described, who="operator:test")


def sign_in(opened: Bench, provider: Any, person: str = "alice", slug: str = "corp") -> tuple[Person, str]:
    """The person as ours, and the cookie of the session that began."""
    adapter: Any = opened.equipment.providers.get(slug).adapter
    departure = adapter.depart(BACK, "a state of this browser alone")
    identity = adapter.arrive(provider.answer(departure, person), departure.kept)
    return begin(opened, opened.equipment.providers.get(slug), identity)


def begin(opened: Bench, provider: Opened, identity: Any) -> tuple[Person, str]:
    """What the page does that a provider sends a browser back to."""
    now, life = time.time(), opened.office.settings.session_life
    with opened.office.database.change(Concern.PEOPLE) as session:
        known = external.admit(session, provider.slug, identity, now, life)
        cookie = begin_session(session, known, now=now, life=life, amr="pwd", address="127.0.0.1")
        keep_session(session, opened.office, cookie, provider, known, identity, now)
    return known, cookie


def sign_out(opened: Bench, cookie: str) -> None:
    """As if the person had signed out here."""
    from authz.people.sessions import end_session

    with opened.office.database.change() as session:
        end_session(session, fingerprint(cookie))
        session.flush()
        external.forget_session(session, fingerprint(cookie))
