"""How a SAML provider is configured."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Self

from pydantic import Field, model_validator

from idp_adapters.common import ProviderConfig


class SamlConfig(ProviderConfig):
    """A SAML 2.0 identity provider. Of attribute names the first that an assertion has is taken."""

    entity_id: str = Field(min_length=1, max_length=1024, description="the provider's entityID, as its metadata has it")
    metadata_url: str = Field("", description="where the provider's metadata is fetched from, again and again")
    metadata_file: Path | None = Field(None, description="or the file that it is in")
    metadata_certificate: Path | None = Field(
        None, description="the certificate (PEM) that must have signed the metadata; without it https alone vouches"
    )
    metadata_refresh: float = Field(3600, ge=60, le=86400, description="how old fetched metadata may become")
    subject_attribute: str = Field(
        "", description="the attribute that names a person for good, where the provider has no persistent NameID"
    )
    authn_contexts: tuple[str, ...] = Field(
        (), description="the AuthnContextClassRefs that are asked for and insisted on: one of these"
    )
    login_attributes: tuple[str, ...] = Field(
        ("uid", "urn:oid:0.9.2342.19200300.100.1.1", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"),
        description="attributes for the short name that people are known by",
    )
    name_attributes: tuple[str, ...] = Field(
        (
            "displayName",
            "urn:oid:2.16.840.1.113730.3.1.241",
            "http://schemas.microsoft.com/identity/claims/displayname",
        ),
        description="attributes for the name that pages greet them with",
    )
    email_attributes: tuple[str, ...] = Field(
        (
            "mail",
            "urn:oid:0.9.2342.19200300.100.1.3",
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        ),
        description="attributes for the e-mail address",
    )
    group_attributes: tuple[str, ...] = Field(
        ("groups", "memberOf", "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"),
        description="attributes for the groups",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.metadata_url) == (self.metadata_file is not None):
            raise ValueError("say where the provider's metadata is: metadata_url or metadata_file, one of them")
        return self

    def needs(self) -> frozenset[str]:
        return frozenset({"sp_key"})
