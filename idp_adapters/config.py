"""How each kind of identity provider is configured, and what turns a configuration into an adapter.

A configuration holds nothing secret: secrets are stored apart, sealed, and asked for by their purpose. An adapter and
its libraries are imported when a provider of its kind is opened, because some are extras that may not be there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from idp_adapters.contract import IdentityProblem
from idp_adapters.directory.config import LdapConfig
from idp_adapters.entra.config import EntraConfig
from idp_adapters.oidc.config import OidcConfig
from idp_adapters.saml.config import SamlConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from idp_adapters.common import ProviderConfig
    from idp_adapters.contract import Equipment, Provider


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
