"""How each kind of identity provider is configured, and what turns a configuration into an adapter.

A configuration holds nothing secret: secrets are stored apart, sealed, and asked for by their purpose. An adapter and
its libraries are imported when a provider of its kind is opened, because some are extras that may not be there.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from idp_adapters.contract import IdentityProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from idp_adapters.contract import Equipment, Provider

GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
Guid = Annotated[str, StringConstraints(pattern=f"^{GUID.pattern}$")]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]


class ConfigRefused(IdentityProblem):
    """`problems` is everything that is wrong with a configuration, one sentence each, by the name of its field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("configuration", "; ".join(problems))
        self.problems = problems


class ExtraMissing(IdentityProblem):
    """The libraries of a kind are not installed."""

    def __init__(self, extra: str, module: str) -> None:
        wheel, clone = f"pip install 'ostiary[{extra}]'", f".venv/bin/pip install -e '.[{extra}]'"
        super().__init__("extra_missing", f"{module} is not installed: {wheel} (in a clone: {clone}), then start again")


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


class ProviderConfig(BaseModel):
    """What every kind has. Times are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: Path | None = Field(None, description="certificates (PEM) to trust besides the system's")
    allow_addresses: tuple[str, ...] = Field(
        (), description="scheme://host:port lines that this provider may be reached at although they are not public"
    )
    carry: tuple[str, ...] = Field((), description="claims or attributes besides the groups that mappings may look at")
    survey_interval: float = Field(
        300, ge=15, le=86400, description="how often people who are signed in are asked about again, where that works"
    )

    def needs(self) -> frozenset[str]:
        """The secrets that this very configuration cannot do without, by purpose."""
        return frozenset()


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

    @property
    def pinned(self) -> frozenset[str]:
        return frozenset(tenant.lower() for tenant in self.tenants or (self.tenant,))

    def needs(self) -> frozenset[str]:
        return frozenset({"certificate_key" if self.certificate else "client_secret"})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to sign in: its configuration, where its adapter is, and the secrets that it may be given."""

    model: type[ProviderConfig]
    adapter: str  # "module:Class"
    title: str
    secrets: Mapping[str, str] = field(default_factory=dict)  # purpose → what it is
    asks: bool = False  # for a name and a password, instead of sending the browser away
    makes: Mapping[str, str] = field(default_factory=dict)  # purpose → "module:function" that makes it for a slug
    programs: Mapping[str, str] = field(default_factory=dict)  # that must be installed → how
    extra: str = ""  # of the distribution, where the adapter needs more than a plain installation has
    modules: tuple[str, ...] = ()  # which that extra brings


KINDS: Final[Mapping[str, Kind]] = {
    "oidc": Kind(
        model=OidcConfig,
        adapter="idp_adapters.oidc.provider:OidcProvider",
        title="OpenID Connect",
        secrets={
            "client_secret": "the secret that the provider gave our client",
            "client_key": "the private key (PEM) that our client signs with, instead of a secret",
        },
    ),
    "entra": Kind(
        model=EntraConfig,
        adapter="idp_adapters.entra.provider:EntraProvider",
        title="Microsoft Entra ID",
        secrets={
            "client_secret": "the client secret of the app registration",
            "certificate_key": "the private key (PEM) of its certificate, instead of a secret",
        },
        extra="entra",
        modules=("msal",),
    ),
    "saml": Kind(
        model=SamlConfig,
        adapter="idp_adapters.saml.provider:SamlProvider",
        title="SAML 2.0",
        secrets={
            "sp_key": "our private key and its certificate (PEM): it signs requests and opens encrypted assertions"
        },
        makes={"sp_key": "idp_adapters.saml.keys:generate"},
        programs={"xmlsec1": "Debian: apt install xmlsec1"},
        extra="saml",
        modules=("defusedxml", "saml2"),
    ),
    "ldap": Kind(
        model=LdapConfig,
        adapter="idp_adapters.directory.provider:LdapProvider",
        title="LDAP or Active Directory",
        secrets={"bind_password": "the password of the account that searches"},
        asks=True,
        extra="ldap",
        modules=("ldap",),
    ),
}


def kind_called(name: str) -> Kind:
    found = KINDS.get(name)
    if found is None:
        raise ConfigRefused([f"kind: {name[:40]!r} is none; there are {', '.join(KINDS)}"])
    return found


def missing(kind: str) -> list[str]:
    """What a provider of this kind cannot work without on this machine, one sentence each."""
    found = kind_called(kind)
    libraries = [str(ExtraMissing(found.extra, name)) for name in found.modules if find_spec(name) is None]
    programs = [
        f"the {name} program is not installed ({how})"
        for name, how in found.programs.items()
        if shutil.which(name) is None
    ]
    return libraries[:1] + programs


def read_config(kind: str, config: Mapping[str, Any]) -> ProviderConfig:
    """The configuration, or ConfigRefused with every problem named."""
    try:
        return kind_called(kind).model.model_validate(dict(config))
    except ValidationError as refused:
        fields = kind_called(kind).model.model_fields
        raise ConfigRefused([_sentence(error, fields) for error in refused.errors()]) from refused


def open_provider(kind: str, config: Mapping[str, Any], equipment: Equipment) -> Provider:
    """The adapter of a provider. Raises ConfigRefused or ExtraMissing; asks nobody anything yet."""
    found = kind_called(kind)
    read = read_config(kind, config)
    module, _, name = found.adapter.partition(":")
    try:
        adapter = getattr(import_module(module), name)
    except ModuleNotFoundError as missing:
        if not found.extra or (missing.name or "").startswith("idp_adapters"):
            raise
        raise ExtraMissing(found.extra, missing.name or module) from missing
    opened: Provider = adapter(read, equipment)
    return opened


def _sentence(error: Any, fields: Mapping[str, FieldInfo]) -> str:
    """Never shows the value: it may be a secret in the wrong place."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{place}: no such option"
    if error["type"] == "string_pattern_mismatch" and error["loc"]:
        return f"{place}: not of the form that is wanted: {fields[error['loc'][0]].description}"
    message: str = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
