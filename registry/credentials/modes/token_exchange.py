"""`token-exchange`: a token of the person becomes one that is good at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from registry.credentials.modes.settings import CLIENT_SECRETS, AuthSettings, ClientAuth

if TYPE_CHECKING:
    from collections.abc import Mapping


class TokenExchangeSettings(AuthSettings):
    """A token of the person is exchanged for one that is good at the server (RFC 8693)."""

    secrets: ClassVar[Mapping[str, str]] = CLIENT_SECRETS
    derived: ClassVar[bool] = True

    token_endpoint: str = Field(description="where tokens are exchanged")
    client_id: str = Field("", description="the app registered for us there")
    client_auth: ClientAuth = Field("client_secret_basic", description="how that app proves itself")
    subject: Literal["identity", "ours"] = Field(
        "ours", description="the token to exchange: the one of the person's identity provider, or one that we sign"
    )
    provider: str = Field("", description="the identity provider whose sign-in is used, by its name here")
    subject_audience: str = Field("", description="whom the token that we sign is for; without it the token endpoint")
    audience: str = Field("", description="the audience to ask for")
    resource: str = Field("", description="the resource to ask for; without it and without audience the server's URL")
    scopes: tuple[str, ...] = Field((), description="scopes to ask for")

    @model_validator(mode="after")
    def _names_the_provider(self) -> Self:
        """What one provider says of a person is shown to no service that another one was meant for."""
        if (self.subject == "identity") != bool(self.provider):
            raise ValueError("--provider goes with --subject identity: say whose sign-in is to be exchanged")
        if self.client_auth != "none" and not self.client_id:
            raise ValueError("--client-id is missing; for a service that wants none, --client-auth none")
        return self

    @property
    def authority(self) -> str:
        return self.token_endpoint
