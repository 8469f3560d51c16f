"""What a browser brings back from the authorization endpoint: whose it is, for whom, and then what it says."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from idp_adapters.contract import IdentityRefused, ProviderDown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SAID = frozenset(
    {"access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required"}
)


def read_answer(
    parameters: Mapping[str, str], kept: Mapping[str, str], issuers: Collection[str], *, promises_iss: bool
) -> str:
    """The code of an answer. RFC 9207 section 2.4 before anything else, then the state, then errors."""
    said = parameters.get("iss")
    if said is None and promises_iss:
        raise IdentityRefused("iss_missing", "the answer does not say which identity provider it is from")
    if said is not None and said not in issuers:
        raise IdentityRefused("iss_mismatch", "the answer is from another identity provider than the one asked")
    if not kept.get("state") or not hmac.compare_digest(parameters.get("state", "").encode(), kept["state"].encode()):
        raise IdentityRefused("state", "the answer belongs to another sign-in; start again")
    if "error" in parameters:
        raise denied(parameters["error"])
    if not parameters.get("code"):
        raise IdentityRefused("no_code", "the identity provider answered without a code; start again")
    return parameters["code"]


def denied(error: str) -> IdentityRefused | ProviderDown:
    """RFC 6749 section 4.1.2.1. Only codes that we know are repeated; descriptions never (T-25)."""
    if error in SAID:
        return IdentityRefused(error, f"the identity provider did not sign you in ({error})")
    if error in {"server_error", "temporarily_unavailable"}:
        return ProviderDown(error, "the identity provider has a problem just now; try again later")
    return ProviderDown("authorization_error", "the identity provider did not accept what we asked of it")
