"""How a description says that its API knows who calls (OpenAPI, Security Scheme Object): a proposal, never more.

Whoever writes a description would otherwise say where people are sent to sign in, and where an app's secret goes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.credentials.endpoints import is_endpoint
from registry.openapi.reading import plain
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from registry.openapi.operations import Operation
    from registry.openapi.reading import Document

PEOPLE: Final = (Auth.OAUTH_PERSON, Auth.OAUTH_SHARED)
MOST: Final = 20  # ways that are told of
MOST_SCOPES: Final = 64
_OPENID: Final = "/.well-known/openid-configuration"
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")  # RFC 6749 section 3.3
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One scheme, the modes that it is for, and the settings that they would have."""

    scheme: str
    modes: tuple[Auth, ...]
    settings: Mapping[str, Any]


def ways(document: Document, wanted: Sequence[Operation]) -> tuple[Way, ...]:
    """Those that can be used here; scopes are those that the operations that are `wanted` name."""
    schemes = document.resolved(document.root.get("components")).get("securitySchemes")
    needed = [one.own.get("security", document.root.get("security")) for one in wanted]
    named = {name for one in needed for requirement in _listed(one) for name in requirement}
    found: list[Way] = []
    for name, value in schemes.items() if isinstance(schemes, dict) else ():
        if name in named or not named:  # a description may leave open what is for which
            found += _ways(document, plain(name, 60), document.resolved(value), _scopes(needed, name))
    return tuple(found[:MOST])


def _ways(document: Document, name: str, scheme: dict[str, Any], scopes: tuple[str, ...]) -> Iterator[Way]:
    kind = scheme.get("type")
    if kind == "oauth2":
        flows = document.resolved(scheme.get("flows"))
        yield from _oauth(name, document.resolved(flows.get("authorizationCode")), scopes, PEOPLE)
        yield from _oauth(name, document.resolved(flows.get("clientCredentials")), scopes, (Auth.CLIENT_CREDENTIALS,))
    elif kind == "openIdConnect":
        address = scheme.get("openIdConnectUrl")
        if isinstance(address, str) and is_endpoint(address, address) and address.endswith(_OPENID):
            issuer = address.removesuffix(_OPENID)
            yield Way(
                scheme=name, modes=(*PEOPLE, Auth.CLIENT_CREDENTIALS), settings=_told(issuer=issuer, scopes=scopes)
            )
    elif kind == "apiKey" and scheme.get("in") in {"query", "cookie"}:
        parameter = scheme.get("name")
        if isinstance(parameter, str) and _NAME.fullmatch(parameter):
            yield Way(scheme=name, modes=(Auth.STATIC,), settings={str(scheme["in"]): parameter})


def _oauth(name: str, flow: dict[str, Any], scopes: tuple[str, ...], modes: tuple[Auth, ...]) -> Iterator[Way]:
    """With whole addresses alone: what stands below another address may be anywhere."""
    token, agree = flow.get("tokenUrl"), flow.get("authorizationUrl")
    if not isinstance(token, str) or not is_endpoint(token, token):
        return
    if modes != PEOPLE:
        yield Way(scheme=name, modes=modes, settings=_told(token_endpoint=token, scopes=scopes))
    elif isinstance(agree, str) and is_endpoint(agree, token):
        settings = _told(authorization_endpoint=agree, token_endpoint=token, scopes=scopes)
        yield Way(scheme=name, modes=modes, settings=settings)


def _told(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value}


def _scopes(needed: Iterable[Any], name: str) -> tuple[str, ...]:
    """Each once; none at all where they are more than anybody agrees to."""
    found: dict[str, None] = {}
    for requirements in needed:
        found |= dict.fromkeys(_first(requirements, name))
    return tuple(found) if len(found) <= MOST_SCOPES else ()


def _first(requirements: Any, name: str) -> list[str]:
    """Of several ways to be let in, the first that has this scheme."""
    for one in _listed(requirements):
        if isinstance(one.get(name), list):
            return [scope for scope in one[name] if isinstance(scope, str) and _SCOPE.fullmatch(scope)]
    return []


def _listed(requirements: Any) -> list[dict[str, Any]]:
    return [one for one in requirements if isinstance(one, dict)] if isinstance(requirements, list) else []
