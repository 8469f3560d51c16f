"""Asking a token endpoint, and judging what it answers (RFC 6749 sections 5.1 and 5.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.asking.dialects import standard
from gateway.credentials.oauth.asking.possession import NONCE, UNBOUND, USE_NONCE, fresh, wanted
from gateway.credentials.oauth.finding.challenges import read_scopes
from gateway.credentials.oauth.finding.documents import ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.credentials.equipment import Equipment
    from gateway.credentials.oauth.asking.possession import Holder
    from gateway.credentials.oauth.client.proving import App
    from gateway.credentials.oauth.finding.discovery import Found
    from idp_adapters.contract import HttpAnswer

LIMIT: Final = 128 * 1024  # bytes of an answer
TIMEOUT: Final = 10.0  # seconds for all of it
LONGEST_TOKEN: Final = 16 * 1024
LONGEST_LIFE: Final = 10 * 365 * 86400
PAUSE_MOST: Final = 3600.0  # seconds, however long it asks to be left alone
PASSING: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down", "authorization_pending"})
_WORD: Final = re.compile(r"[a-z_]{1,40}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")

_FAULTS: Final = {
    "invalid_grant": "the account's connection has ended there: it was revoked, has run out, or was used elsewhere",
    "invalid_client": "the authorization server does not know our client any more, or not with this secret",
    "unauthorized_client": "the authorization server does not let our client do this",
    "invalid_scope": "the authorization server does not give the scopes that are asked for",
    "invalid_target": "the authorization server gives no tokens for this server",
    "access_denied": "the authorization server says no",
    "invalid_dpop_proof": "the authorization server does not accept our proof of the key that the token is bound to",
}


class Denied(Refused):
    """An answer of RFC 6749 section 5.2. `error` is its code, which grants read differently; never shown as it is."""

    def __init__(self, error: str) -> None:
        super().__init__(why(error))
        self.error = error


class ClientForgotten(Denied):
    """`invalid_client`: whoever we were there, we are it no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What was given. `scopes` is None where the answer does not say: then it is what was asked for. `holder` has the
    key that the token is bound to, where it is.
    """

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    expires_in: int | None = None
    refresh_expires_in: int | None = None
    scopes: tuple[str, ...] | None = None
    issued_type: str = ""  # RFC 8693 section 2.2.1
    holder: Holder | None = None

    @property
    def bound(self) -> bool:
        return self.holder is not None


def request_for(equipment: Equipment, found: Found, app: App, form: Mapping[str, str]) -> Granted:
    """A token for this server that nobody renews; bound to a key of its own where both ends can (ADR 34)."""
    authority, holder = found.authority, fresh(equipment) if wanted(found) else None
    granted = request(equipment, authority.for_tokens(), app, form, holder, plain=authority.plain)
    if found.resource.bound and not granted.bound:
        raise Refused(UNBOUND)
    return granted


def request(
    equipment: Equipment,
    endpoint: str,
    app: App,
    form: Mapping[str, str],
    holder: Holder | None = None,
    *,
    plain: bool = False,
) -> Granted:
    """A token, with a `holder` one that is bound to its key where the authorization server binds them for us; of a
    `plain` one (ADR 33) careless answers are understood.

    `form` has `grant_type` and what belongs to it; members that are empty are left out. Raises Refused for an answer
    that stays, Unanswered for one that may pass.
    """
    members = post(equipment, endpoint, app, form, holder)
    return judge(standard(members) if plain else members, holder)


def post(
    equipment: Equipment, endpoint: str, app: App, form: Mapping[str, str], holder: Holder | None = None
) -> dict[str, Any]:
    """The members of a good answer, not judged yet; and of any other, what it means."""
    answer = _post(equipment, endpoint, app, form, holder)
    if holder is not None and _wants_nonce(holder, endpoint, answer):  # before it looked at anything else
        answer = _post(equipment, endpoint, app, form, holder)
        _wants_nonce(holder, endpoint, answer)
    members = _members(answer.body)
    if answer.status in {200, 201} and members is not None and "error" not in members:
        return members
    raise _problem(answer.status, answer.headers.get("retry-after", ""), (members or {}).get("error"))


def _post(equipment: Equipment, endpoint: str, app: App, form: Mapping[str, str], holder: Holder | None) -> HttpAnswer:
    headers, proof = app.proof(equipment, endpoint)
    if holder is not None:
        headers = {**headers, "dpop": holder.proof("POST", _plain(endpoint), endpoint)}
    told = {name: value for name, value in (*form.items(), *proof.items()) if value}
    head = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json", **headers}
    fetcher = equipment.fetcher
    return ask(
        lambda: fetcher.send(
            "POST", endpoint, headers=head, body=urlencode(told).encode(), limit=LIMIT, timeout=TIMEOUT
        ),
        "the authorization server's token endpoint",
    )


def _wants_nonce(holder: Holder, endpoint: str, answer: HttpAnswer) -> bool:
    """Whether it wants the same again, with the nonce that it gives (RFC 9449 section 8)."""
    given = holder.keep(endpoint, answer.headers.get(NONCE, ""))
    return given and answer.status in {400, 401} and (_members(answer.body) or {}).get("error") == USE_NONCE


def _plain(endpoint: str) -> str:
    """RFC 9449 section 4.2: without query and fragment."""
    return endpoint.partition("?")[0]


def judge(members: Mapping[str, Any], holder: Holder | None = None) -> Granted:
    """RFC 6749 section 5.1, RFC 6750, RFC 9449 section 5; what is not as it has to be cannot be used.

    A token that is bound to a key which nobody proved is of no use to us.
    """
    kind = members.get("token_type")
    said = kind.lower() if isinstance(kind, str) else ""
    if said not in ({"bearer"} if holder is None else {"bearer", "dpop"}):
        raise Unanswered("the authorization server gave a token of a type that was not asked for")
    return replace(judge_any(members), holder=holder if said == "dpop" else None)


def judge_any(members: Mapping[str, Any]) -> Granted:
    """The same of whatever type (RFC 8693 section 2.2.1 has one that is no access token)."""
    access = _token(members, "access_token")
    if not access:
        raise Unanswered("the authorization server answered without a token")
    scope = members.get("scope")
    return Granted(
        access=access,
        refresh=_token(members, "refresh_token"),
        expires_in=_seconds(members, "expires_in"),
        refresh_expires_in=_seconds(members, "refresh_expires_in", "refresh_token_expires_in"),
        scopes=read_scopes(scope) if isinstance(scope, str) else None,
        issued_type=str(members.get("issued_token_type", ""))[:200],
    )


def why(error: str) -> str:
    """A code of RFC 6749 section 5.2, or of a neighbour, in our words. Only codes are read, never descriptions."""
    known = _FAULTS.get(error)
    if known is not None:
        return f"{known} ({error})"
    return f"the authorization server refuses ({error if _WORD.fullmatch(error) else 'for no reason that can be read'})"


def _problem(status: int, retry_after: str, error: Any) -> Refused | Unanswered:
    if status == 429 or status >= 500 or error in PASSING:
        pause = min(float(retry_after), PAUSE_MOST) if retry_after.isdigit() and len(retry_after) < 7 else 0.0
        return Unanswered(f"the authorization server has a problem just now (status {status})", pause)
    if not isinstance(error, str):
        return Unanswered(f"the token endpoint answered status {status}, without a token and without a reason")
    return ClientForgotten(error) if error == "invalid_client" else Denied(error)


def _members(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _token(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TOKEN or not _TOKEN.fullmatch(value):
        raise Unanswered(f"the authorization server's {name} is nothing that could be sent as one")
    return value


def _seconds(members: Mapping[str, Any], *names: str) -> int | None:
    """Some write numbers as text."""
    value = next((members[name] for name in names if members.get(name) is not None), None)
    if value is None:
        return None
    if isinstance(value, str) and value.isdigit() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_LIFE:
        raise Unanswered(f"the authorization server's {names[0]} is no number of seconds")
    return int(value)
