"""`on-behalf-of`: what a sign-in at Entra leads to at other services there."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from registry.credentials.modes.settings import AuthSettings


class OnBehalfOfSettings(AuthSettings):
    """Entra's on-behalf-of flow, with the sign-in of the person at Entra and the app that they signed in to."""

    derived: ClassVar[bool] = True

    provider: str = Field(description="the identity provider whose sign-in is used, by its name here")
    scopes: tuple[str, ...] = Field(
        min_length=1, description="scopes to ask for; of Entra ID for instance api://notes/access_as_user"
    )
