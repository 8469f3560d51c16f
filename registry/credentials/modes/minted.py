"""`minted`: tokens of ours, for servers that know our keys."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from registry.credentials.modes.settings import AuthSettings


class MintedSettings(AuthSettings):
    """A short JWT of ours, which the server checks with our public keys."""

    derived: ClassVar[bool] = True
    per_tool: ClassVar[bool] = True

    audience: str = Field("", description="what it is for; without it the server's URL")
