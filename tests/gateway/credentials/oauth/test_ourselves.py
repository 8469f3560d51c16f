"""A token for ourselves."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.credentials import CredentialUnavailable
from gateway.credentials.oauth.ourselves import Ourselves
from registry.tables import Auth
from tests.fakes.providers.openid import Reply


@pytest.fixture
def server(office, fake):
    fake.add_app("ours", "s3cret")

    def made(**settings):
        facts = {"client_id": "ours", "secrets": {"client_secret": b"s3cret"}, "issuer": fake.issuer} | settings
        return office.server(fake.url, auth=Auth.CLIENT_CREDENTIALS, **facts)

    return made


def test_everybody_shares_it(office, fake, server):
    upstream = server()
    held = Ourselves(office.equipment).obtain(office.asked(upstream))
    credential = held.credential
    assert (credential.server, credential.subject, credential.header) == ("notes", "", b"authorization")
    assert fake.accounts[credential.value.decode().removeprefix("Bearer ")].person == "ours"
    assert held.renew_at < credential.until


def test_it_is_asked_for_with_the_resource_and_the_scopes(office, fake, server):
    fake.challenge = 'scope="notes:read"'
    Ourselves(office.equipment).obtain(office.asked(server(), scopes=frozenset({"notes:write"})))
    (asked,) = fake.asked("/token")
    assert asked.form["resource"] == fake.url
    assert asked.form["scope"] == "notes:read notes:write"


def test_configured_scopes_are_those_that_are_asked_for(office, fake, server):
    fake.challenge = 'scope="notes:everything"'
    Ourselves(office.equipment).obtain(office.asked(server(scopes=["notes:read"])))
    assert fake.asked("/token")[0].form["scope"] == "notes:read"


def test_and_the_server_has_no_more_by_asking(office, fake, server):
    wider = office.asked(server(scopes=["notes:read"]), scopes=frozenset({"notes:admin"}))
    with pytest.raises(CredentialUnavailable, match="more than was set"):
        Ourselves(office.equipment).obtain(wider)
    assert not fake.asked("/token")


@pytest.mark.parametrize("key", ["theirs", "ours"])
def test_a_key_may_take_the_place_of_a_secret(office, fake, server, key):
    """RFC 7523 section 3: who says it, for whom, and not for long."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    secrets = {"client_key": pem} if key == "theirs" else {}
    Ourselves(office.equipment).obtain(office.asked(server(client_auth="private_key_jwt", secrets=secrets)))
    head, body = (
        json.loads(urlsafe_b64decode(part + "=="))
        for part in fake.asked("/token")[0].form["client_assertion"].split(".")[:2]
    )
    assert (body["iss"], body["sub"], body["aud"]) == ("ours", "ours", fake.issuer)
    assert body["exp"] - body["iat"] == 60
    assert ("kid" in head) == (key == "ours")


def test_a_wrong_secret_is_for_an_administrator(office, server):
    with pytest.raises(CredentialUnavailable, match="an administrator has to mend it"):
        Ourselves(office.equipment).obtain(office.asked(server(secrets={"client_secret": b"wrong"})))


def test_an_authorization_server_that_is_down_may_be_up_again(office, fake, server):
    fake.replies["/token"] = lambda _: Reply(503, b"", (("Retry-After", "7"),))
    with pytest.raises(CredentialUnavailable, match="it may pass") as later:
        Ourselves(office.equipment).obtain(office.asked(server()))
    assert later.value.retry_after == 7


def test_a_key_that_is_none_is_named(office, server):
    with pytest.raises(CredentialUnavailable, match="client key"):
        Ourselves(office.equipment).obtain(
            office.asked(server(client_auth="private_key_jwt", secrets={"client_key": b"not a key"}))
        )
