"""What a browser brings back from an authorization server: whose answer it is, and then what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.credentials.oauth.connecting.departures import ConnectRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.credentials.oauth.finding.authorities import Authority

SAID: Final = frozenset(
    {"access_denied", "login_required", "interaction_required", "consent_required", "invalid_scope"}
)


def read_answer(parameters: Mapping[str, str], authority: Authority, *, promised: bool = False) -> str:
    """RFC 9207 section 2.4 before anything else: of another issuer's answer not even the error is shown."""
    said = parameters.get("iss")
    if said is None and (promised or authority.promises_iss):
        raise ConnectRefused("iss_missing", "the answer does not say which authorization server it is from; begin anew")
    if said is not None and authority.issuer == authority.token_endpoint:
        raise ConnectRefused(
            "iss_unknown",
            "the answer says which authorization server it is from, and nobody has written down how that is called: an "
            "administrator has to say it with --issuer, beside all else that `ostiary server auth` was given for it",
        )
    if said is not None and said != authority.issuer:
        raise ConnectRefused(
            "iss_mismatch", "the answer is from another authorization server than the one that was asked; begin anew"
        )
    error = parameters.get("error")
    if error is not None:
        raise ConnectRefused("error", _denied(error))
    if not parameters.get("code"):
        raise ConnectRefused("no_code", "the authorization server answered without a code; begin anew")
    return parameters["code"]


def _denied(error: str) -> str:
    """RFC 6749 section 4.1.2.1. Only codes that we know are repeated; descriptions never."""
    if error == "access_denied":
        return "you, or the authorization server, said no there: nothing was connected"
    if error in {"server_error", "temporarily_unavailable"}:
        return "the authorization server has a problem just now; try again later"
    named = f" ({error})" if error in SAID else ""
    return f"the authorization server did not accept what was asked of it{named}; an administrator can find out why"
