"""What the platform that we run on says of us: a JWT in a file, put there anew in good time (`[[workload_tokens]]`).

Kubernetes projects one for a service account, SPIFFE's helper writes a JWT-SVID. The operator's file names each and
whom it is for: no page, no API and no command can have a file of this machine read, or one of these tokens sent to
anybody else (ADR 35).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.credentials import Refused, Unanswered
from gateway.upstream.channels.declared import AbsolutePath  # noqa: TC001 - pydantic reads the annotations
from registry.credentials.endpoints import is_endpoint

if TYPE_CHECKING:
    from collections.abc import Collection

LONGEST: Final = 16 * 1024  # bytes
_JWT: Final = re.compile(rb"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")


class DeclaredToken(BaseModel):
    """One of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$", description="what --workload calls it")
    file: AbsolutePath = Field(description="where the platform puts it")
    issuer: str = Field(description="the authorization server that it is for, letter by letter, and no other")

    @field_validator("issuer")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not is_endpoint(value, value):
            raise ValueError("must be an https URL, as the authorization server calls itself")
        return value


class _Claims(msgspec.Struct):
    exp: float


def token(declared: Collection[DeclaredToken], name: str, issuer: str, now: float) -> str:
    """The one of this name as it is now, for this authorization server. Raises Refused, Unanswered."""
    one = next((one for one in declared if one.name == name), None)
    if one is None:
        raise Refused(f"the operator's file has no workload token {name[:80]!r} any more (workload_tokens)")
    if one.issuer != issuer:
        raise Refused(
            f"the workload token {name} is for another authorization server than the one that the server names: the "
            "operator's file says for which (workload_tokens)"
        )
    return read(one, now)


def read(one: DeclaredToken, now: float) -> str:
    """Whatever is in the file and no JWT goes nowhere: somebody may have named the wrong one."""
    content = _content(one)
    end = _end(content)
    if end is None:
        raise Refused(f"what is in the file of the workload token {one.name} is no JWT with an end (exp)")
    if end <= now:
        raise Unanswered(f"the workload token {one.name} has run out, and the platform has put no new one there")
    return content.decode()


def _end(content: bytes) -> float | None:
    """When it ends, if it is a token that does."""
    found = _JWT.fullmatch(content) if len(content) <= LONGEST else None
    if found is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(found[1] + b"=="), type=_Claims).exp
    except (msgspec.MsgspecError, ValueError):
        return None


def _content(one: DeclaredToken) -> bytes:
    try:
        with one.file.open("rb") as file:
            return file.read(LONGEST + 2).strip()
    except OSError as error:
        raise Unanswered(f"the file of the workload token {one.name} cannot be read ({error.strerror})") from error
