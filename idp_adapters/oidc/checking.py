"""Walks the connection to an OpenID provider step by step, in the words of whoever has to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_adapters.contract import Finding, IdentityProblem, IdentityRefused, ProviderDown
from idp_adapters.oidc.endpoints import TokenProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from idp_adapters.oidc.config import OidcConfig
    from idp_adapters.oidc.discovery import Issuer
    from idp_adapters.oidc.endpoints import Endpoints

CODE = "ostiary-idp-test"  # no provider gave it to anybody, so the answer says whether it believes who asks


def walk(config: OidcConfig, issuer: Issuer, endpoints: Endpoints, addresses: str) -> Iterator[Finding]:
    """The steps of a check, up to the first that fails."""
    return follow({
        "the discovery document": lambda: f"{issuer.metadata_url} names {issuer.metadata().token_endpoint}",
        "the provider's clock": lambda: clock(issuer, config.leeway),
        "the signing keys": lambda: keys(issuer),
        "the client": lambda: _client(issuer, endpoints, f"{addresses}/callback"),
        "the claims": lambda: _claims(config, issuer),
        "staying fresh": lambda: _freshness(config),
        "the addresses to register there": lambda: _addresses(issuer, addresses),
    })  # fmt: skip


def follow(steps: dict[str, Callable[[], str]]) -> Iterator[Finding]:
    """Each step says what it found, or raises what is wrong."""
    for step, take in steps.items():
        try:
            words = take()
        except IdentityProblem as problem:
            yield Finding(step, ok=False, words=str(problem))
            return
        yield Finding(step, ok=True, words=words)


def clock(issuer: Issuer, leeway: float) -> str:
    ahead = issuer.metadata().ahead
    if abs(ahead) > leeway:
        way = "ahead of" if ahead > 0 else "behind"
        raise ProviderDown("clock", f"it is {abs(ahead):.0f} s {way} ours: set the wrong one right (NTP)")
    return f"within {leeway} s of ours"


def keys(issuer: Issuer) -> str:
    return f"{len(issuer.keys())} at {issuer.metadata().jwks_uri}"


def _client(issuer: Issuer, endpoints: Endpoints, callback: str) -> str:
    """RFC 6749 section 5.2: `invalid_grant` comes from a server that knows the client and its secret."""
    verifier = CODE.ljust(43, "-")  # RFC 7636 section 4.1
    answer = endpoints.ask(
        issuer.metadata().token_endpoint, "authorization_code", code=CODE, redirect_uri=callback, code_verifier=verifier
    )
    if not isinstance(answer, TokenProblem):
        raise IdentityRefused("client", "the token endpoint gives tokens for a code that nobody was given")
    if answer.error in {"invalid_client", "unauthorized_client"}:
        raise IdentityRefused("client", f"the provider does not accept the client id or its secret ({answer.error})")
    return "the provider knows it" if answer.error == "invalid_grant" else f"not sure: it answered {answer.error!r}"


def _claims(config: OidcConfig, issuer: Issuer) -> str:
    wanted = [name for name in (config.groups_claim, config.login_claim, *config.carry) if name[:1] not in {"", "/"}]
    missing = [name for name in wanted if name not in issuer.metadata().claims_supported]
    if not missing:
        return f"it has {', '.join(wanted)}"
    return f"it does not say that it has {', '.join(missing)}: look whether a sign-in brings them (option groups_claim)"


def _freshness(config: OidcConfig) -> str:
    if "offline_access" in config.scopes:
        return "groups are asked for again without the person"
    return "groups are learnt at each sign-in alone: add the scope offline_access to have them asked for again"


def _addresses(issuer: Issuer, addresses: str) -> str:
    logout = "" if issuer.metadata().end_session_endpoint else " (it has no logout of its own)"
    return f"redirect: {addresses}/callback; after logout and back-channel logout: {addresses}/logout{logout}"
