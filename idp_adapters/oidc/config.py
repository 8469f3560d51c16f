"""How an OpenID provider is configured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from idp_adapters.common import ProviderConfig

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]


class OidcConfig(ProviderConfig):
    """An OpenID provider."""

    issuer: str = Field(
        description="the issuer, exactly as the provider writes it: https://…", pattern=r"^https?://[^\s?#]+$"
    )
    client_id: str = Field(min_length=1, description="the id that the provider gave our client")
    client_auth: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] = Field(
        "client_secret_basic", description="how our client proves itself at the token endpoint"
    )
    client_key_id: str = Field("", description="the kid under which the provider knows our client's key")
    scopes: tuple[str, ...] = Field(
        ("openid", "profile", "email"),
        description="what is asked for; with offline_access groups stay fresh without the person",
    )
    prompt: Literal["", "login", "consent", "select_account"] = Field("", description="what people are always shown")
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256", "ES256", "PS256"), min_length=1, description="the signatures that are accepted"
    )
    groups_claim: str = Field(
        "groups", description="the claim with the groups: its name, or a JSON pointer such as /realm_access/roles"
    )
    login_claim: str = Field("preferred_username", description="the claim with the name that people sign in with")
    userinfo: bool = Field(True, description="whether the userinfo endpoint is asked for what the ID token leaves out")
    max_age: int | None = Field(None, ge=0, description="how long ago somebody may have signed in at the provider")
    acr_values: tuple[str, ...] = Field((), description="the assurance that is asked for and insisted on: one of these")
    leeway: int = Field(60, ge=0, le=300, description="by how much the provider's clock may differ from ours")
    accepted_clients: tuple[str, ...] = Field(
        (), description="client ids whose ID tokens may be exchanged for ours; none unless named"
    )

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """OpenID Connect Core 1.0 section 3.1.2.1: without it this is no sign-in."""
        return scopes if "openid" in scopes else ("openid", *scopes)

    def needs(self) -> frozenset[str]:
        return frozenset({"client_key" if self.client_auth == "private_key_jwt" else "client_secret"})
