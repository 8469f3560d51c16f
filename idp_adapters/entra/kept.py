"""What the adapter wants back of a sign-in: to ask again, to say goodbye, and to lend to servers."""

from __future__ import annotations

import msgspec

from idp_adapters.contract import ProviderDown


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to ask again: MSAL's cache of this one sign-in. Sealed wherever it lies."""

    tenant: str
    person: str
    cache: str = ""
    hint: str = ""
    id_token: str = ""
    id_token_until: float = 0.0
    access_token: str = ""  # for our app, where servers are asked on behalf of people
    access_until: float = 0.0
    authenticated_at: float = 0.0
    session: str = ""

    def __repr__(self) -> str:
        return "Kept()"


def read_kept(keep: bytes) -> Kept:
    try:
        return msgspec.json.decode(keep, type=Kept)
    except msgspec.MsgspecError as error:
        raise ProviderDown("kept", "what was kept of this sign-in cannot be read") from error
