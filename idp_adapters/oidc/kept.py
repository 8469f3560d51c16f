"""What the adapter wants back of a sign-in, to ask again and to say goodbye."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from idp_adapters.contract import ProviderDown

if TYPE_CHECKING:
    from idp_adapters.contract import ExternalIdentity
    from idp_adapters.oidc.endpoints import Tokens

LONGEST_HINT = 6 * 1024  # an ID token that is longer makes an address that servers refuse


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Sealed wherever it lies. How and when they signed in stays what it was then (Core section 12.2)."""

    subject: str
    id_token: str = ""
    id_token_until: float = 0.0
    refresh_token: str = ""
    nonce: str = ""
    authenticated_at: float = 0.0
    acr: str = ""
    amr: tuple[str, ...] = ()
    session: str = ""

    def __repr__(self) -> str:
        return "Kept()"


def kept_of(found: ExternalIdentity, tokens: Tokens, until: float, nonce: str, before: Kept | None) -> bytes:
    """A token that the provider did not renew is still good. `until` is when the new ID token ends, if there is one."""
    newer = bool(tokens.id_token)
    kept = Kept(
        subject=found.subject,
        id_token=tokens.id_token if newer or before is None else before.id_token,
        id_token_until=until if newer or before is None else before.id_token_until,
        refresh_token=tokens.refresh_token or (before.refresh_token if before else ""),
        nonce=nonce,
        authenticated_at=found.authenticated_at,
        acr=found.acr,
        amr=found.amr,
        session=found.session,
    )
    return msgspec.json.encode(kept)


def hint_of(kept: Kept) -> str:
    """The ID token, if it fits into an address."""
    return kept.id_token if len(kept.id_token) <= LONGEST_HINT else ""


def read_kept(keep: bytes) -> Kept:
    try:
        return msgspec.json.decode(keep, type=Kept)
    except msgspec.MsgspecError as error:
        raise ProviderDown("kept", "what was kept of this sign-in cannot be read") from error
