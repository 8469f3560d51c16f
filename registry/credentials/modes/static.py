"""`static`: what never changes by itself, one for all or one that each person gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from registry.credentials.modes.settings import AuthSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class StaticSettings(AuthSettings):
    """A header, or the key of an HTTP API, that never changes by itself."""

    secrets: ClassVar[Mapping[str, str]] = {
        "header": "the header line of --auth static; with --per person the one that we read its lists with",
        "api_key": "the key of --auth static that goes where --query or --cookie says",
    }

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
