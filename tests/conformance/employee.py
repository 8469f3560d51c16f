"""Somebody who has signed in at the identity provider of the suite, as the page that they come back to leaves them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz import jose
from authz.fingerprints import fingerprint
from authz.people.sessions import begin_session
from authz.tables import ForeignSession, Person
from gateway.identity.keeping import sealed
from gateway.identity.registering import Described, register
from idp_adapters.oidc.kept import Kept
from registry.addresses import exception_line
from registry.database import Concern

if TYPE_CHECKING:
    from gateway.office import Office

PROVIDER: Final = "employer"


def sign_in(office: Office, who: str, context: dict[str, Any]) -> None:
    """`who` is their id here; the suite has their ID token already, and no page to sign in at."""
    issuer, token = context["idp_issuer"], context["idp_id_token"]
    config = {"issuer": issuer, "client_id": context["idp_client_id"], "allow_addresses": [exception_line(issuer)]}
    described = Described(slug=PROVIDER, kind="oidc", config=config, secrets={"client_secret": b"of-no-interest"})
    register(office, described, who="operator:suite")
    claims = jose.read_foreign(token).claims
    now = time.time()
    with office.database.change(Concern.PEOPLE) as session:
        person = Person(id=who, issuer=issuer, subject=claims["sub"], handle="somebody", provider=PROVIDER)
        session.add(person)
        hash_ = fingerprint(begin_session(session, person, now=now, life=3600, amr="pwd", address="127.0.0.1"))
        kept = Kept(subject=claims["sub"], id_token=token, id_token_until=claims["exp"])
        keep = sealed(office, hash_, msgspec.json.encode(kept))
        session.add(
            ForeignSession(session=hash_, provider=PROVIDER, person=who, keep=keep, asked_at=now, until=now + 3600)
        )
