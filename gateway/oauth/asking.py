"""A request as Authlib's core wants it, read strictly: each parameter once, credentials in one place."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload, OAuth2Request

from gateway.oauth.problems import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD_LIMIT = 64
VALUE_LIMIT = 8 * 1024

# Authlib would refuse plain http beyond loopback; whether that is allowed is for our settings to say, and they did.
_SOME_SECURE_URI = "https://localhost/"


class Ask(OAuth2Request):
    """The parameters of one request. There are no others: what came twice has been refused."""

    def __init__(self, method: str, parameters: Mapping[str, str], authorization: str = "") -> None:
        super().__init__(method, _SOME_SECURE_URI, headers={"Authorization": authorization} if authorization else {})
        self.parameters = dict(parameters)
        self.payload = BasicOAuth2Payload(self.parameters)

    @property
    def claimed_client(self) -> str:
        """Who it says it is, for the record; proved or not."""
        authorization = self.headers.get("Authorization", "")
        return _basic_client(authorization) if authorization else self.parameters.get("client_id", "")

    @property
    def form(self) -> dict[str, str]:
        return self.parameters

    @property
    def args(self) -> dict[str, str]:
        return self.parameters


def read_query(query: bytes) -> dict[str, str]:
    """The parameters of an authorization request (RFC 6749 section 3.1: none may be given twice)."""
    try:
        fields = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict",
            max_num_fields=FIELD_LIMIT,
        )  # fmt: skip
    except ValueError as error:
        raise InvalidRequest("the query cannot be read") from error
    return read_once(fields)


def read_once(fields: list[tuple[str, str]]) -> dict[str, str]:
    parameters = dict(fields)
    if len(parameters) != len(fields):
        raise InvalidRequest("a parameter is given twice")
    if any(len(value) > VALUE_LIMIT for value in parameters.values()):
        raise InvalidRequest("a parameter is too long")
    if any("\0" in value for value in parameters.values()):  # PostgreSQL has no text for it
        raise InvalidRequest("a parameter holds a character that none can have")
    return parameters


def check_credentials(parameters: Mapping[str, str], authorization: str) -> None:
    """RFC 6749 section 2.3: one way to authenticate per request, and one that can be read."""
    if not authorization:
        return
    if {"client_secret", "client_assertion"} & parameters.keys():
        raise InvalidRequest("credentials in the header and in the body: use one")
    client = _basic_client(authorization)
    if parameters.get("client_id", client) != client:
        raise InvalidRequest("the header and the body name two clients")


def _basic_client(authorization: str) -> str:
    kind, _, encoded = authorization.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("the Authorization header cannot be read") from error
    if kind.lower() != "basic" or ":" not in text or "\0" in text:
        raise InvalidRequest("the Authorization header must be Basic")
    return text.partition(":")[0]
