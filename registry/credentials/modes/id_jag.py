"""`id-jag`: somebody vouches for the person at the server's authorization server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from registry.credentials.modes.settings import CLIENT_SECRETS, AuthSettings, ClientAuth

if TYPE_CHECKING:
    from collections.abc import Mapping


class IdJagSettings(AuthSettings):
    """An identity assertion for the server's authorization server, redeemed there (SEP-990, ID-JAG)."""

    secrets: ClassVar[Mapping[str, str]] = CLIENT_SECRETS
    derived: ClassVar[bool] = True

    source: Literal["provider", "ours"] = Field(
        "provider", description="who vouches: the person's identity provider, or we"
    )
    provider: str = Field("", description="the identity provider whose sign-in is used, by its name here")
    issuer: str = Field("", description="the authorization server; without it the one that the server names")
    client_id: str = Field(description="the app registered for us")
    client_auth: ClientAuth = Field("client_secret_basic", description="how that app proves itself")
    resource: str = Field("", description="the server's identifier there; without it its URL")
    scopes: tuple[str, ...] = Field((), description="scopes to ask for")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        """Where we vouch ourselves, audience and resource are a pair that an administrator has written down."""
        if (self.source == "provider") != bool(self.provider):
            raise ValueError("--provider goes with --source provider: say whose sign-in is to be used")
        if self.source == "ours" and not self.issuer:
            raise ValueError("--issuer is missing: we vouch for people to none that an administrator has not named")
        if self.client_auth.startswith("client_secret") and not self.issuer:
            raise ValueError("--issuer is missing: say which authorization server the app's secret is for")
        return self

    @property
    def authority(self) -> str:
        return self.issuer
