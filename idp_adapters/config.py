"""How each kind of identity provider is configured, and what turns a configuration into an adapter.

A configuration holds nothing secret: secrets are stored apart, sealed, and asked for by their purpose. An adapter and
its libraries are imported when a provider of its kind is opened, because some are extras that may not be there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idp_adapters.contract import IdentityProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_adapters.contract import Equipment, Provider


class ConfigRefused(IdentityProblem):
    """`problems` is everything that is wrong with a configuration, one sentence each, by the name of its field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("configuration", "; ".join(problems))
        self.problems = problems


class ExtraMissing(IdentityProblem):
    """The libraries of a kind are not installed."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            "extra_missing", f"{module} is not installed: pip install 'ostiary[{extra}]', then start again"
        )


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

    issuer: str = Field(description="the issuer, exactly as the provider writes it")


class EntraConfig(ProviderConfig):
    """Microsoft Entra ID."""


class SamlConfig(ProviderConfig):
    """A SAML 2.0 identity provider."""


class LdapConfig(ProviderConfig):
    """A directory: LDAP or Active Directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to sign in: its configuration, where its adapter is, and the secrets that it may be given."""

    model: type[ProviderConfig]
    adapter: str  # "module:Class"
    title: str
    secrets: Mapping[str, str] = field(default_factory=dict)  # purpose → what it is
    extra: str = ""  # of the distribution, where the adapter needs more than a plain installation has


KINDS: Final[Mapping[str, Kind]] = {
    "oidc": Kind(
        model=OidcConfig,
        adapter="idp_adapters.oidc:OidcProvider",
        title="OpenID Connect",
        secrets={
            "client_secret": "the secret that the provider gave our client",
            "client_key": "the private key (PEM) that our client signs with, instead of a secret",
        },
    ),
    "entra": Kind(
        model=EntraConfig,
        adapter="idp_adapters.entra:EntraProvider",
        title="Microsoft Entra ID",
        secrets={
            "client_secret": "the client secret of the app registration",
            "certificate_key": "the private key (PEM) of its certificate, instead of a secret",
        },
        extra="entra",
    ),
    "saml": Kind(
        model=SamlConfig,
        adapter="idp_adapters.saml:SamlProvider",
        title="SAML 2.0",
        secrets={"sp_key": "our private key (PEM), which signs requests and opens encrypted assertions"},
        extra="saml",
    ),
    "ldap": Kind(
        model=LdapConfig,
        adapter="idp_adapters.directory:LdapProvider",
        title="LDAP or Active Directory",
        secrets={"bind_password": "the password of the account that searches"},
        extra="ldap",
    ),
}


def kind_called(name: str) -> Kind:
    found = KINDS.get(name)
    if found is None:
        raise ConfigRefused([f"kind: {name[:40]!r} is none; there are {', '.join(KINDS)}"])
    return found


def read_config(kind: str, config: Mapping[str, Any]) -> ProviderConfig:
    """The configuration, or ConfigRefused with every problem named."""
    try:
        return kind_called(kind).model.model_validate(dict(config))
    except ValidationError as refused:
        raise ConfigRefused([_sentence(error) for error in refused.errors()]) from refused


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


def _sentence(error: Any) -> str:
    """Never shows the value: it may be a secret in the wrong place."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{place}: no such option"
    message: str = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
