"""`oauth-person` and `oauth-shared`: accounts of an authorization server, where we are an app."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from registry.credentials.endpoints import NO_ENDPOINT, is_endpoint
from registry.credentials.modes.settings import CLIENT_SECRETS, AuthSettings, ClientAuth

if TYPE_CHECKING:
    from collections.abc import Mapping


class AppSettings(AuthSettings):
    """Tokens of an authorization server, where we are an app."""

    secrets: ClassVar[Mapping[str, str]] = CLIENT_SECRETS

    issuer: str = Field("", description="the authorization server; without it the one that the server names")
    token_endpoint: str = Field(
        "", description="where tokens are given; for an authorization server that publishes no metadata"
    )
    resource: str = Field("", description="the resource to ask for (RFC 8707), where it is not the one that is known")
    scopes: tuple[str, ...] = Field((), description="scopes to ask for; without them those that the server asks for")
    client_id: str = Field("", description="the app registered for us there; without it we register ourselves")
    client_auth: ClientAuth = Field("none", description="how that app proves itself")

    @model_validator(mode="after")
    def _sends_secrets_where_somebody_said(self) -> Self:
        """What a server names may change; a secret is for the authorization server that gave it, and for no other."""
        if self.client_auth.startswith("client_secret") and not self.authority:
            raise ValueError(
                "--issuer is missing: say which authorization server the app's secret is for; one that publishes no "
                "metadata is written down with --token-endpoint"
            )
        if self.token_endpoint:
            self._check_written()
        return self

    @property
    def authority(self) -> str:
        """ADR 33: one that is written down is its token endpoint, unless it has a name."""
        return self.issuer or self.token_endpoint

    def _check_written(self) -> None:
        if not is_endpoint(self.token_endpoint, self.token_endpoint):
            raise ValueError(f"--token-endpoint: {NO_ENDPOINT}")
        if not self.client_id:
            raise ValueError("--client-id is missing: nobody registers by themselves where nothing is published")
        if self.client_auth == "none":
            raise ValueError(
                "--client-auth is missing: nobody says whether codes are guarded by PKCE there, so the app has to have "
                "a secret or a key"
            )


class OAuthSettings(AppSettings):
    """An account at the server, connected in a browser (MCP authorization)."""

    authorization_endpoint: str = Field(
        "", description="where a person agrees; goes with --token-endpoint, of an authorization server without metadata"
    )
    revocation_endpoint: str = Field(
        "", description="where it hears that a token has ended (RFC 7009); goes with --token-endpoint"
    )

    @model_validator(mode="after")
    def _is_written_down_whole(self) -> Self:
        if bool(self.authorization_endpoint) != bool(self.token_endpoint):
            raise ValueError("--authorization-endpoint and --token-endpoint go together: give both")
        if self.authorization_endpoint and not is_endpoint(self.authorization_endpoint, self.token_endpoint):
            raise ValueError(f"--authorization-endpoint: {NO_ENDPOINT}")
        if self.revocation_endpoint and not self.token_endpoint:
            raise ValueError("--revocation-endpoint goes with --token-endpoint: of others it is known where that is")
        if self.revocation_endpoint and not is_endpoint(self.revocation_endpoint, self.token_endpoint):
            raise ValueError(f"--revocation-endpoint: {NO_ENDPOINT}")
        return self


class OAuthPersonSettings(OAuthSettings):
    """Each person connects an account of their own."""

    per_person: ClassVar[bool] = True
