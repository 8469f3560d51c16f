"""From claims that are believed to an identity: names for people, groups and whatever else mappings look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idp_adapters.contract import GROUPS, ExternalIdentity, IdentityRefused
from idp_adapters.oidc.judging import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_VALUES = 5000
LONGEST_VALUE = 256
LONGEST_TEXT = 200


def identity_of(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    subject: str,
    login: str,
    carried: Mapping[str, frozenset[str]],
    presented_to: str = "",
    keep: bytes = b"",
) -> ExternalIdentity:
    """`login` is what the provider calls them, such as `alice@corp.example`; people know each other by its first part.

    A provider that does not say when they authenticated is taken to have done so when it issued the token.
    """
    return ExternalIdentity(
        issuer=issuer,
        subject=subject,
        login=login.partition("@")[0] or subject,
        name=text(claims, "name"),
        email=_email(claims),
        claims=carried,
        authenticated_at=moment(claims, "auth_time") or moment(claims, "iat") or 0.0,
        acr=text(claims, "acr"),
        amr=_methods(claims),
        session=text(claims, "sid"),
        presented_to=presented_to,
        keep=keep,
    )


def carried(claims: Mapping[str, Any], groups_claim: str, others: Iterable[str]) -> dict[str, frozenset[str]]:
    """The groups under their own name, and the other claims under theirs."""
    found = {name: values_at(claims, name) for name in others if name != GROUPS}
    return found | {GROUPS: values_at(claims, groups_claim) if groups_claim else frozenset()}


def values_at(claims: Mapping[str, Any], place: str) -> frozenset[str]:
    """The values of a claim: by its name, or by a JSON pointer (RFC 6901) such as `/realm_access/roles`."""
    return _values(_at(claims, place), place)


def says(claims: Mapping[str, Any], place: str) -> bool:
    """Whether the claim is there at all: an empty list says something, and nothing does not."""
    return not place or _at(claims, place) is not None


def _at(claims: Mapping[str, Any], place: str) -> Any:
    value: Any = claims
    for name in _steps(place):
        if name in _elsewhere(value):
            raise IdentityRefused("claims_elsewhere", f"the provider keeps the claim {place!r} elsewhere (distributed)")
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(claims: Mapping[str, Any], name: str) -> str:
    """A claim for people to read: one line, not long; nothing where it is no text."""
    value = claims.get(name)
    if not isinstance(value, str):
        return ""
    return "".join(letter for letter in value if letter.isprintable())[:LONGEST_TEXT].strip()


def _steps(place: str) -> list[str]:
    if not place.startswith("/"):
        return [place]  # as it stands: names of claims are often addresses
    return [step.replace("~1", "/").replace("~0", "~") for step in place[1:].split("/")]


def _elsewhere(value: Any) -> Mapping[str, Any]:
    """OpenID Connect Core section 5.6.2: missing there does not mean that there are none."""
    names = value.get("_claim_names") if isinstance(value, dict) else None
    return names if isinstance(names, dict) else {}


def _values(value: Any, place: str) -> frozenset[str]:
    listed = value if isinstance(value, list) else [] if value is None or value == "" else [value]
    if len(listed) > MOST_VALUES:
        raise IdentityRefused("claim_too_long", f"the claim {place!r} has more than {MOST_VALUES} values")
    return frozenset(_value(one, place) for one in listed)


def _value(value: Any, place: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        value = str(value)
    if not isinstance(value, str) or len(value) > LONGEST_VALUE:
        raise IdentityRefused("claim_malformed", f"the claim {place!r} holds something that is not a short text")
    return value


def _email(claims: Mapping[str, Any]) -> str:
    """Not one that the provider itself does not believe (Core section 5.1)."""
    believed = claims.get("email_verified", True)
    return text(claims, "email") if believed is True or believed == "true" else ""


def _methods(claims: Mapping[str, Any]) -> tuple[str, ...]:
    methods = claims.get("amr")
    listed = [methods] if isinstance(methods, str) else methods if isinstance(methods, list) else []
    return tuple(method for method in listed[:16] if isinstance(method, str) and len(method) <= 64)
