"""Tokens that we mint for a server: what they say, that anybody can check them, and that they are good nowhere else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from authz import jose
from gateway.credentials import Asked, CredentialUnavailable
from gateway.credentials.derived.minted import _scope
from registry.tables import Auth
from tests.gateway.credentials.derived.bench import URL, Bench, claims_of, token_of, who

if TYPE_CHECKING:
    from authz.principals import Principal


def minted(opened: Bench, principal: Principal | None, object_: str = "notes.add", **settings: Any) -> str:
    return token_of(opened.obtain(opened.server(Auth.MINTED, settings), principal, object_))


def test_it_says_who_asks_who_acts_for_them_and_what_is_called(opened: Bench) -> None:
    claims = claims_of(minted(opened, who("ann", "helper", "nightly")))

    assert (claims["iss"], claims["aud"], claims["sub"]) == (opened.base, URL, "usr_user:ann")
    assert claims["act"] == {"sub": "usr_agent:helper", "act": {"sub": "usr_agent:nightly"}}
    assert (claims["scope"], claims["preferred_username"]) == ("notes.add", "ann")
    assert claims["client_id"] == f"{opened.base}/oauth/clients/ostiary.json"


def test_a_library_that_never_heard_of_us_verifies_it_with_our_published_keys(opened: Bench) -> None:
    token = minted(opened, who("ann"))

    read = jwt.decode(token, ECKey.import_key(opened.jwks["keys"][0]), algorithms=["ES256"])
    checks = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": opened.metadata["issuer"]}, aud={"essential": True, "value": URL}
    )
    checks.validate(read.claims)

    assert read.header["typ"] == "at+jwt"  # RFC 9068 section 2.1


def test_it_ends_within_two_minutes_and_no_two_have_the_same_name(opened: Bench) -> None:
    one, other = (claims_of(minted(opened, who("ann"))) for _ in range(2))

    assert 0 < one["exp"] - one["iat"] <= 120
    assert one["jti"] != other["jti"]


def test_the_gateway_itself_reads_with_one_that_is_good_for_no_tool(opened: Bench) -> None:
    claims = claims_of(minted(opened, None, ""))

    assert claims["sub"] == claims["client_id"] == f"{opened.base}/oauth/clients/ostiary.json"
    assert not {"scope", "act", "preferred_username"} & claims.keys()


def test_another_audience_is_used_where_one_is_set(opened: Bench) -> None:
    assert claims_of(minted(opened, who("ann"), audience="api://notes"))["aud"] == "api://notes"


@pytest.mark.parametrize("path", ["", "/mcp", "/servers/notes/mcp", "/oauth/token"])
def test_none_is_made_for_an_address_of_ours(opened: Bench, path: str) -> None:
    with pytest.raises(CredentialUnavailable, match="--audience"):
        minted(opened, who("ann"), audience=opened.base + path)


def test_it_is_of_one_person_one_tool_and_one_origin(opened: Bench) -> None:
    server = opened.server(Auth.MINTED, {})
    held = opened.sources.of(Auth.MINTED).obtain(Asked(upstream=server, principal=who("ann"), object="notes.add"))
    credential = held.credential

    assert (credential.server, credential.subject, credential.scope) == ("notes", "usr_user:ann", "notes.add")
    assert credential.origin == "https://notes.example:443"
    assert time.time() < held.renew_at < credential.until <= time.time() + 120
    assert token_of(credential) not in repr(held)


def test_a_session_goes_on_with_the_next_token_but_an_agents_is_another(opened: Bench) -> None:
    server = opened.server(Auth.MINTED, {})
    own, next_ = (opened.obtain(server, who("ann"), tool) for tool in ("notes.add", "notes.list"))

    assert own.account == next_.account
    others = {opened.obtain(server, them).account for them in (who("bob"), who("ann", "helper"), None)}
    assert len(others | {own.account}) == 4


def test_a_key_that_was_rotated_signs_and_is_published(opened: Bench) -> None:
    from authz.tokens.keys import rotate

    before = jose.read_header(minted(opened, who("ann")).encode())["kid"]
    with opened.office.database.change() as session:
        rotate(session, opened.office.vault, at_once=True)
    after = jose.read_header(minted(opened, who("ann")).encode())["kid"]

    assert before != after
    assert after in {key["kid"] for key in opened.jwks["keys"]}


@given(st.text(min_size=1, max_size=40))
def test_whatever_a_thing_is_called_it_is_one_scope_and_no_other_things(name: str) -> None:
    """RFC 6749 section 3.3; a space would make two scopes of one name."""
    try:
        scope = _scope(f"notes.{name}")
    except UnicodeEncodeError:  # half a character: no definition is called so
        return
    from urllib.parse import unquote

    assert all(char == "\x21" or "\x23" <= char <= "\x5b" or "\x5d" <= char <= "\x7e" for char in scope)
    assert unquote(scope) == f"notes.{name}"
