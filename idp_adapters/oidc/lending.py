"""What somebody's sign-in is good for elsewhere: their ID token, and identity assertions that it buys (ID-JAG)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import msgspec

from idp_adapters.contract import IdentityRefused, Lent, ProviderDown
from idp_adapters.oidc.endpoints import LONGEST_TOKEN, TokenProblem
from idp_adapters.oidc.judging import moment
from idp_adapters.oidc.kept import read_kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
TYPE: Final = "urn:ietf:params:oauth:token-type:"
ID_TOKEN: Final = f"{TYPE}id_token"
ID_JAG: Final = f"{TYPE}id-jag"
ID_JAG_TYP: Final = "oauth-id-jag+jwt"
ENOUGH: Final = 60.0  # seconds that an ID token has left at least: it is on its way to somebody who will look
LONGEST: Final = 600.0  # seconds that an assertion is good for, whatever it says
AGAIN: Final = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})


def id_token(keep: bytes, now: float) -> Lent | None:
    """As it came and was judged."""
    kept = read_kept(keep)
    if not kept.id_token or kept.id_token_until < now + ENOUGH:
        return None
    return Lent(kept.id_token, kept.id_token_until)


def exchange_form(id_token: str, audience: str, resource: str, scopes: Sequence[str]) -> dict[str, str]:
    """RFC 8693 section 2.1, as draft-ietf-oauth-identity-assertion-authz-grant asks for an ID-JAG."""
    asked = {
        "requested_token_type": ID_JAG,
        "subject_token": id_token,
        "subject_token_type": ID_TOKEN,
        "audience": audience,
        "resource": resource,
        "scope": " ".join(scopes),
    }
    return {name: value for name, value in asked.items() if value}


def read_exchange(answer: Mapping[str, Any] | TokenProblem) -> str:
    """The assertion, if the answer is one (RFC 8693 section 2.2.1): no token of any other kind is taken for it."""
    if isinstance(answer, TokenProblem):
        raise _worded(answer)
    kind, token = answer.get("issued_token_type"), answer.get("access_token")
    if kind != ID_JAG or str(answer.get("token_type", "")).upper() != "N_A" or not isinstance(token, str):
        raise ProviderDown("not_an_assertion", "the identity provider answered with something else than an ID-JAG")
    return token


def judged(assertion: str, issuer: str, audience: str, resource: str, now: float) -> float:
    """Until when it is good: of this provider, for this pair alone; else it is sent to nobody.

    That it is the provider's, the connection proves on which it came (OpenID Connect Core section 3.1.3.7, point 6);
    its signature is for whom it is for. Whom it calls `sub` may be somebody's name at that audience alone.
    """
    header, claims = _parts(assertion)
    said = {name: claims.get(name) for name in ("iss", "aud", "resource")}
    meant = {"iss": issuer, "aud": audience, "resource": said["resource"] and resource}
    expires = moment(claims, "exp")
    if header.get("typ") != ID_JAG_TYP or said != meant or expires is None or expires <= now:
        raise ProviderDown("not_this_assertion", "the identity provider vouched to somebody or for something else")
    return min(expires, now + LONGEST)


def _parts(token: str) -> list[dict[str, Any]]:
    """Header and claims, unproved."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > LONGEST_TOKEN or not token.isascii():
        raise ProviderDown("not_an_assertion", "the identity provider's assertion cannot be read")
    try:
        sections = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts[:2])
        return [msgspec.json.decode(section, type=dict[str, Any]) for section in sections]
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise ProviderDown("not_an_assertion", "the identity provider's assertion cannot be read") from error


def _worded(problem: TokenProblem) -> IdentityRefused | ProviderDown:
    if problem.error in AGAIN:
        return IdentityRefused(problem.error, "the identity provider does not vouch for this sign-in any more")
    return ProviderDown(
        "exchange_refused",
        f"the identity provider vouches for nobody there ({problem.error}): its administrator has to let our app",
    )
