"""What the settings of every mode have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping

ClientAuth = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]

CLIENT_SECRETS: Final = {
    "client_secret": "the secret that the authorization server gave our client",
    "client_key": "the private key (PEM) that our client signs with, instead of a secret",
}


class AuthSettings(BaseModel):
    """Of a mode that needs to know nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secrets: ClassVar[Mapping[str, str]] = {}  # of which it needs one: by purpose, what each is
    per_person: ClassVar[bool] = False  # whether each person has something of their own at the server
    derived: ClassVar[bool] = False  # whether it is made for whoever asks, and says who that is and who acts for them
    per_tool: ClassVar[bool] = False  # whether each is good for one tool alone

    @property
    def personal(self) -> bool:
        """Whether each person must connect, or give, something of their own."""
        return self.per_person

    @property
    def authority(self) -> str:
        """What identifies the authorization server that an administrator wrote down; empty where none is."""
        return ""
