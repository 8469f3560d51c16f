"""What each way of authenticating to a server needs to know; nothing in it is secret.

A mode is a file here, with a line in `MODES` and in `registry.tables.Auth`; `gateway.credentials.sources` says who acts
by it. Secrets are in the vault, under the server's name and one of the purposes that its mode names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from registry.credentials.modes.aws import AwsSettings
from registry.credentials.modes.client_credentials import ClientCredentialsSettings
from registry.credentials.modes.id_jag import IdJagSettings
from registry.credentials.modes.minted import MintedSettings
from registry.credentials.modes.oauth import OAuthPersonSettings, OAuthSettings
from registry.credentials.modes.on_behalf_of import OnBehalfOfSettings
from registry.credentials.modes.settings import AuthSettings
from registry.credentials.modes.static import StaticSettings
from registry.credentials.modes.token_exchange import TokenExchangeSettings
from registry.errors import RegistryError
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

NO_SETTINGS: Final = AuthSettings()
MODES: Final[Mapping[Auth, type[AuthSettings]]] = {
    Auth.NONE: AuthSettings,
    Auth.STATIC: StaticSettings,
    Auth.OAUTH_PERSON: OAuthPersonSettings,
    Auth.OAUTH_SHARED: OAuthSettings,
    Auth.CLIENT_CREDENTIALS: ClientCredentialsSettings,
    Auth.TOKEN_EXCHANGE: TokenExchangeSettings,
    Auth.ON_BEHALF_OF: OnBehalfOfSettings,
    Auth.ID_JAG: IdJagSettings,
    Auth.MINTED: MintedSettings,
    Auth.AWS: AwsSettings,
}
SECRETS: Final[Mapping[str, str]] = {purpose: what for mode in MODES.values() for purpose, what in mode.secrets.items()}


def read_auth(auth: str, settings: Mapping[str, Any]) -> AuthSettings:
    """The settings of a mode. Raises RegistryError with every problem named."""
    try:
        return MODES[Auth(auth)].model_validate(dict(settings))
    except ValidationError as refused:
        fields = MODES[Auth(auth)].model_fields
        problems = "; ".join(_problem(error, fields) for error in refused.errors())
        raise RegistryError(f"--auth {auth}: {problems}") from refused


def option_of(setting: str) -> str:
    """How it is called where it is given; what may be given several times is named for one of them."""
    return "--scope" if setting == "scopes" else f"--{setting.replace('_', '-')}"


def _problem(error: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """What is wrong with several of them together names them itself."""
    where, said = error["loc"], error["msg"].removeprefix("Value error, ")
    if not where:
        return said
    name, option = str(where[0]), option_of(str(where[0]))
    if error["type"] == "missing":
        return f"{option} is missing: {fields[name].description}"
    return f"{option} is none of its settings" if error["type"] == "extra_forbidden" else f"{option}: {said}"
