"""Registering a client by ourselves (RFC 7591), where an authorization server lets anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.client.own_documents import jwks_address, said_of_us
from gateway.credentials.oauth.client.proving import App
from gateway.credentials.oauth.finding.documents import ask

if TYPE_CHECKING:
    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.finding.authorities import Authority

LIMIT: Final = 64 * 1024
TIMEOUT: Final = 10.0
LONGEST: Final = 2048  # of an id or a secret
WANTED: Final = (
    "client_secret_basic",
    "client_secret_post",
    "none",
    "private_key_jwt",
)  # what needs least of them first


@dataclass(frozen=True, slots=True)
class Registered:
    app: App
    secret_until: float | None


class _Answer(msgspec.Struct):
    """RFC 7591 section 3.2.1, as far as we use it."""

    client_id: str
    client_secret: str | None = None
    client_secret_expires_at: float | None = None
    token_endpoint_auth_method: str | None = None


def register(equipment: Equipment, authority: Authority, redirect_uri: str, scopes: tuple[str, ...]) -> Registered:
    """A client of ours there. Raises Refused or Unanswered."""
    method = next((one for one in WANTED if one in authority.methods), "client_secret_basic")
    told = _metadata(equipment, redirect_uri, method, scopes)
    fetcher, body = equipment.fetcher, msgspec.json.encode(told)
    answer = ask(
        lambda: fetcher.send(
            "POST", authority.registration_endpoint, headers={"content-type": "application/json"}, body=body,
            limit=LIMIT, timeout=TIMEOUT,
        ),
        "the registration endpoint of the authorization server",
    )  # fmt: skip
    if answer.status == 429 or answer.status >= 500:
        raise Unanswered(f"the authorization server registers nobody just now (status {answer.status})")
    if answer.status not in {200, 201}:
        raise Refused(
            f"the authorization server does not register us (status {answer.status}): register an app by hand"
        )
    return _read(answer.body, authority.issuer, method)


def _metadata(equipment: Equipment, redirect_uri: str, method: str, scopes: tuple[str, ...]) -> dict[str, Any]:
    """`application_type` is always said (SEP-837)."""
    base = equipment.office.settings.base_url
    told = said_of_us(base, [redirect_uri], method)
    if scopes:
        told["scope"] = " ".join(scopes)
    if method == "private_key_jwt":
        told["jwks_uri"] = jwks_address(base)
    return told


def _read(body: bytes, issuer: str, asked: str) -> Registered:
    try:
        said = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unanswered("the authorization server's answer to a registration cannot be read") from error
    secret = said.client_secret or ""
    method = said.token_endpoint_auth_method or asked
    if method not in WANTED or (method.startswith("client_secret") and not secret):
        raise Refused("the authorization server registered us in a way that we cannot prove ourselves in")
    for value in (said.client_id, secret):
        if len(value) > LONGEST or not (value.isascii() and value.isprintable()):
            raise Refused("the authorization server gave us a name or a secret that cannot be used")
    if not said.client_id:
        raise Refused("the authorization server registered us without a name")
    return Registered(App(id=said.client_id, method=method, issuer=issuer, secret=secret), _until(said))


def _until(said: _Answer) -> float | None:
    """RFC 7591: 0 is never."""
    return said.client_secret_expires_at if said.client_secret and said.client_secret_expires_at else None
