"""What each way of authenticating to a server needs to know; nothing in it is secret.

Secrets are in the vault, under the server's name and one of the purposes in `SECRETS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from registry.credentials.endpoints import is_endpoint
from registry.errors import RegistryError
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_NO_ENDPOINT: Final = "that is no address, whole and with https, without a fragment"

ClientAuth = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]

SECRETS: Final = {
    "header": "the header line of --auth static; with --per person the one that we read its lists with",
    "api_key": "the key of --auth static that goes where --query or --cookie says",
    "client_secret": "the secret that the authorization server gave our client",
    "client_key": "the private key (PEM) that our client signs with, instead of a secret",
    "aws_secret": "the secret access key, with the session token on a second line where there is one",
}


class AuthSettings(BaseModel):
    """Of a mode that needs to know nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secrets: ClassVar[frozenset[str]] = frozenset()  # purposes of which it needs one
    per_person: ClassVar[bool] = False  # whether each person has something of their own at the server
    derived: ClassVar[bool] = False  # whether it is made for whoever asks, and says who that is and who acts for them
    per_tool: ClassVar[bool] = False  # whether each is good for one tool alone

    @property
    def personal(self) -> bool:
        """Whether each person must connect, or give, something of their own."""
        return self.per_person

    @property
    def authority(self) -> str:
        """What identifies the authorization server that an administrator wrote down; empty where none is."""
        return ""


class StaticSettings(AuthSettings):
    """A header, or the key of an HTTP API, that never changes by itself."""

    secrets: ClassVar[frozenset[str]] = frozenset({"header", "api_key"})

    per: Literal["server", "person"] = Field("server", description="one for all, or one that each person gives")
    header: str = Field("", description="the name of the header that each person gives the value of")
    scheme: str = Field("", description="what stands before that value, for instance Bearer or Basic")
    query: str = Field(
        "",
        pattern=r"^(?:[A-Za-z0-9_.$\[\]-]{1,64})?$",
        description="of HTTP APIs: the query parameter that holds the key",
    )
    cookie: str = Field(
        "",
        pattern=r"^(?:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})?$",
        description="of HTTP APIs: the cookie that holds the key",
    )

    @model_validator(mode="after")
    def _says_where_values_go(self) -> Self:
        """What somebody gives is a value alone; what everybody shares is a whole line, and a secret."""
        if [self.header, self.query, self.cookie].count("") < 2:
            raise ValueError("a value goes into one place: --header, --query or --cookie")
        if self.scheme and self.in_place:
            raise ValueError("--scheme goes with --header: a key in a query or a cookie stands alone")
        if self.personal and not (self.header or self.in_place):
            raise ValueError("--header is missing: the name of the header that each person's value goes into")
        if not self.personal and (self.header or self.scheme):
            raise ValueError(
                "--header and --scheme go with --per person; a line that is everybody's is a secret, and is read from "
                "standard input, --header-file or --header-env"
            )
        return self

    @property
    def personal(self) -> bool:
        return self.per == "person"

    @property
    def in_place(self) -> bool:
        """Whether a key stands alone where an API wants it, instead of a header line."""
        return bool(self.query or self.cookie)

    @property
    def place(self) -> tuple[str, str]:
        """What each person's value goes into, and how that is called."""
        if self.in_place:
            return ("query parameter", self.query) if self.query else ("cookie", self.cookie)
        return "header", self.header or "Authorization"

    @property
    def purpose(self) -> str:
        """Of the secret that is everybody's."""
        return "api_key" if self.in_place else "header"


class AppSettings(AuthSettings):
    """Tokens of an authorization server, where we are an app."""

    secrets: ClassVar[frozenset[str]] = frozenset({"client_secret", "client_key"})

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
            raise ValueError(f"--token-endpoint: {_NO_ENDPOINT}")
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

    @model_validator(mode="after")
    def _is_written_down_whole(self) -> Self:
        if bool(self.authorization_endpoint) != bool(self.token_endpoint):
            raise ValueError("--authorization-endpoint and --token-endpoint go together: give both")
        if self.authorization_endpoint and not is_endpoint(self.authorization_endpoint, self.token_endpoint):
            raise ValueError(f"--authorization-endpoint: {_NO_ENDPOINT}")
        return self


class OAuthPersonSettings(OAuthSettings):
    """Each person connects an account of their own."""

    per_person: ClassVar[bool] = True


class ClientCredentialsSettings(AppSettings):
    """We ask for a token as ourselves (RFC 6749 section 4.4; SEP-1046)."""

    client_id: str = Field("", description="the app registered for us there")
    client_auth: ClientAuth = Field("client_secret_basic", description="how that app proves itself")
    workload: str = Field(
        "", description="the platform's token that says who we are instead, by its name in the operator's file"
    )
    grant: Literal["client_credentials", "jwt-bearer"] = Field(
        "client_credentials", description="what that token is shown as: our app's proof, or the grant itself"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_vouched_for(cls, given: Any) -> Any:
        """The platform's token takes the place of what an app proves itself with."""
        return {"client_auth": "none"} | given if isinstance(given, dict) and given.get("workload") else given

    @model_validator(mode="after")
    def _says_who_we_are(self) -> Self:
        if self.workload and self.client_auth != "none":
            raise ValueError("--client-auth goes without --workload: the platform's token is the proof")
        if self.grant == "jwt-bearer" and not self.workload:
            raise ValueError("--workload is missing: say which token of the platform is the grant")
        if self.grant == "client_credentials" and not self.client_id:
            raise ValueError("--client-id is missing: the app registered for us there")
        return self

    def _check_written(self) -> None:
        """Where nobody redeems a code it does not matter whether codes are guarded."""
        if not self.workload:
            super()._check_written()
        elif not is_endpoint(self.token_endpoint, self.token_endpoint):
            raise ValueError(f"--token-endpoint: {_NO_ENDPOINT}")


class TokenExchangeSettings(AuthSettings):
    """A token of the person is exchanged for one that is good at the server (RFC 8693)."""

    secrets: ClassVar[frozenset[str]] = frozenset({"client_secret", "client_key"})
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


class OnBehalfOfSettings(AuthSettings):
    """Entra's on-behalf-of flow, with the sign-in of the person at Entra and the app that they signed in to."""

    derived: ClassVar[bool] = True

    provider: str = Field(description="the identity provider whose sign-in is used, by its name here")
    scopes: tuple[str, ...] = Field(
        min_length=1, description="scopes to ask for; of Entra ID for instance api://notes/access_as_user"
    )


class IdJagSettings(AuthSettings):
    """An identity assertion for the server's authorization server, redeemed there (SEP-990, ID-JAG)."""

    secrets: ClassVar[frozenset[str]] = frozenset({"client_secret", "client_key"})
    derived: ClassVar[bool] = True

    source: Literal["provider", "ours"] = Field(
        "provider", description="who vouches: the person's identity provider, or we"
    )
    provider: str = Field("", description="the identity provider whose sign-in is used, by its name here")
    issuer: str = Field("", description="the authorization server; without it the one that the server names")
    client_id: str = Field(description="the app registered for us")
    client_auth: ClientAuth = Field("client_secret_basic", description="how that app proves itself")
    resource: str = Field("", description="the server's identifier there; without it its URL")
    scopes: tuple[str, ...] = Field((), description="scopes to ask for")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        """Where we vouch ourselves, audience and resource are a pair that an administrator has written down."""
        if (self.source == "provider") != bool(self.provider):
            raise ValueError("--provider goes with --source provider: say whose sign-in is to be used")
        if self.source == "ours" and not self.issuer:
            raise ValueError("--issuer is missing: we vouch for people to none that an administrator has not named")
        if self.client_auth.startswith("client_secret") and not self.issuer:
            raise ValueError("--issuer is missing: say which authorization server the app's secret is for")
        return self

    @property
    def authority(self) -> str:
        return self.issuer


class MintedSettings(AuthSettings):
    """A short JWT of ours, which the server checks with our public keys."""

    derived: ClassVar[bool] = True
    per_tool: ClassVar[bool] = True

    audience: str = Field("", description="what it is for; without it the server's URL")


class AwsSettings(AuthSettings):
    """Each request is signed (AWS Signature Version 4)."""

    secrets: ClassVar[frozenset[str]] = frozenset({"aws_secret"})

    region: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="for instance eu-central-1")
    service: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="for instance execute-api")
    access_key: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$", description="the access key id")


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
