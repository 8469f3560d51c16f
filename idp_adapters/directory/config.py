"""How a directory is configured."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from idp_adapters.common import ProviderConfig


def directory_url(url: str) -> str:
    """Raises ValueError where more is written than where a directory is."""
    parts = urlsplit(url)
    if parts.scheme not in {"ldap", "ldaps"} or not parts.hostname or parts.port == 0:
        raise ValueError("write ldaps://host or ldap://host")
    if parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("nothing may follow the host and the port, or stand before them")
    return url.rstrip("/")


AttributeName = Annotated[str, Field(pattern=r"^([A-Za-z][A-Za-z0-9-]{0,63})?$")]
SearchFilter = Annotated[str, Field(pattern=r"^(\(.+\))?$", max_length=1000)]


class LdapConfig(ProviderConfig):
    """A directory: LDAP or Active Directory. What is left empty is chosen by the kind of server that answers."""

    urls: tuple[Annotated[str, AfterValidator(directory_url)], ...] = Field(
        min_length=1,
        max_length=5,
        description="ldaps://host or ldap://host (then StartTLS), each with :port where it is another; asked in turn",
    )
    ca_file: Path | None = Field(None, description="certificates (PEM) to trust instead of the system's")
    bind_dn: str = Field(min_length=1, max_length=1000, description="the account that searches")
    base: str = Field(min_length=1, max_length=1000, description="the entry that all people are under")
    server: Literal["auto", "active-directory", "other"] = Field("auto", description="auto: as the server says itself")
    people_filter: SearchFilter = Field("", description="who of them may sign in, such as (objectClass=person)")
    login_attribute: AttributeName = Field("", description="holds what people type: uid, or sAMAccountName")
    id_attribute: AttributeName = Field("", description="never changes: entryUUID, or objectGUID")
    groups: Literal["auto", "walk", "in-chain", "token-groups", "member-of", "none"] = Field(
        "auto",
        description="walk: from group to group upwards; in-chain and token-groups: Active Directory does it, which auto"
        " means there; member-of: only what the person's entry says",
    )
    group_base: str = Field("", max_length=1000, description="the entry that all groups are under, if not the base")
    group_filter: SearchFilter = Field("", description="what a group is, such as (objectClass=groupOfNames)")
    member_attribute: AttributeName = Field("member", description="of a group: whom it has")

    @field_validator("allow_addresses")
    @classmethod
    def _said_in_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise ValueError("a directory is only ever reached at its urls")
        return value

    def needs(self) -> frozenset[str]:
        return frozenset({"bind_password"})
