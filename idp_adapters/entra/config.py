"""How Microsoft Entra ID is configured."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from idp_adapters.common import GUID, Guid, ProviderConfig


class EntraConfig(ProviderConfig):
    """Microsoft Entra ID."""

    tenant: str = Field(
        pattern=f"^({GUID.pattern}|organizations|common)$",
        description="the directory (tenant) id, or `organizations` for those in `tenants`",
    )
    tenants: tuple[Guid, ...] = Field((), description="the tenant ids whose people may sign in; the one of `tenant`")
    client_id: str = Field(min_length=1, description="the application (client) id of the app registration")
    certificate: str = Field("", description="the certificate (PEM) that was uploaded there, instead of a secret")
    authority: str = Field(
        "https://login.microsoftonline.com",
        pattern=r"^https://[^/\s?#]+$",
        description="where its cloud signs in",
    )
    graph: str = Field(
        "https://graph.microsoft.com/v1.0",
        pattern=r"^https://[^\s?#]+[^/\s?#]$",
        description="where Graph is",
    )
    graph_as: Literal["app", "person", "nobody"] = Field(
        "app", description="as whom Graph is asked for the groups of people who have too many for a token"
    )
    on_behalf: bool = Field(
        False, description="whether servers are asked on behalf of people: a sign-in then brings a token for this app"
    )
    prompt: Literal["", "login", "consent", "select_account"] = Field("", description="what people are always shown")
    max_age: int | None = Field(None, ge=0, description="how long ago somebody may have signed in at the provider")
    leeway: int = Field(60, ge=0, le=300, description="by how much the provider's clock may differ from ours")
    accepted_clients: tuple[str, ...] = Field(
        (), description="client ids whose ID tokens may be exchanged for ours; none unless named"
    )

    @field_validator("certificate")
    @classmethod
    def _public(cls, certificate: str) -> str:
        """Files often hold both; what stands here is no secret, and shown."""
        if "PRIVATE KEY" in certificate or (certificate and "BEGIN CERTIFICATE" not in certificate):
            raise ValueError("paste the certificate alone (PEM); its key is stored as the secret certificate_key")
        return certificate

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        """A tenant is always pinned: whoever has a directory of their own could otherwise sign in here."""
        if not self.tenants and not GUID.fullmatch(self.tenant):
            raise ValueError("tenants: name the tenant ids whose people may sign in, for `tenant` is not an id itself")
        return self

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> Self:
        """Entra ID gives tokens for one resource at a time."""
        if self.on_behalf and self.graph_as == "person":
            raise ValueError("on_behalf and graph_as: person exclude each other: let the app ask Graph")
        return self

    @property
    def pinned(self) -> frozenset[str]:
        return frozenset(tenant.lower() for tenant in self.tenants or (self.tenant,))

    def needs(self) -> frozenset[str]:
        return frozenset({"certificate_key" if self.certificate else "client_secret"})
