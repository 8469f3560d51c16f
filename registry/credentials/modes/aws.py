"""`aws-sigv4`: an access key of Amazon Web Services."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from registry.credentials.modes.settings import AuthSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class AwsSettings(AuthSettings):
    """Each request is signed (AWS Signature Version 4)."""

    secrets: ClassVar[Mapping[str, str]] = {
        "aws_secret": "the secret access key, with the session token on a second line where there is one",
    }

    region: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="for instance eu-central-1")
    service: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="for instance execute-api")
    access_key: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$", description="the access key id")
