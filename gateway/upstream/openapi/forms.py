"""What is sent as content: JSON as the caller wrote it, forms, text, and bytes that came in base64."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.upstream.openapi.styles import Unwritable, in_query, text_of
from registry.openapi.answers import is_json
from registry.openapi.bodies import FORM, MULTIPART
from registry.openapi.plan import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.openapi.plan import Body

_QUOTED: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})  # as browsers do (HTML, multipart/form-data)


def content(body: Body, raw: bytes) -> tuple[str, bytes]:
    """The media type and the bytes for an argument, which is raw JSON."""
    if is_json(body.type):
        return body.type, raw
    if body.type == FORM:
        return FORM, _urlencoded(body, _object(body, raw)).encode("ascii")
    if body.type == MULTIPART:
        return _multipart(body, _object(body, raw))
    text = msgspec.json.decode(raw)
    if not isinstance(text, str):
        raise Unwritable(f"the argument {body.argument} must be a text ({body.type})")
    return body.type, _bytes(body.argument, text) if body.binary else text.encode()


def _object(body: Body, raw: bytes) -> dict[str, Any]:
    value = msgspec.json.decode(raw)
    if not isinstance(value, dict):
        raise Unwritable(f"the argument {body.argument} must be an object, whose members are the fields of a form")
    return {name: one for name, one in value.items() if one is not None}


def _urlencoded(body: Body, fields: dict[str, Any]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        how = body.fields.get(name)
        if how is None:
            how = Parameter(name=name, place="query", json=isinstance(value, dict))
        pairs += in_query(how, value, frozenset(fields))
    return "&".join(f"{_plus(name)}={_plus(value)}" for name, value in pairs)


def _plus(escaped: str) -> str:
    """A space in a form is a plus (URL standard, application/x-www-form-urlencoded)."""
    return escaped.replace("%20", "+")


def _multipart(body: Body, fields: dict[str, Any]) -> tuple[str, bytes]:
    """RFC 7578; the boundary is too long to be guessed, so nothing that is sent can end a part."""
    boundary = f"ostiary-{secrets.token_hex(24)}"
    parts = [part for name, value in fields.items() for part in _parts(body, name, value)]
    written = [b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts]
    return f"{MULTIPART}; boundary={boundary}", b"".join((*written, b"--%b--\r\n" % boundary.encode()))


def _parts(body: Body, name: str, value: Any) -> Iterator[bytes]:
    quoted = name.translate(_QUOTED)
    head = f'Content-Disposition: form-data; name="{quoted}"'
    for one in (
        value if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value) else [value]
    ):
        if name in body.binary:
            kind = f'; filename="{quoted}"\r\nContent-Type: application/octet-stream'
            yield f"{head}{kind}\r\n\r\n".encode() + _bytes(name, text_of(one))
        elif isinstance(one, dict | list):
            yield f"{head}\r\nContent-Type: application/json\r\n\r\n{text_of(one)}".encode()
        else:
            yield f"{head}\r\n\r\n{text_of(one)}".encode()


def _bytes(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Unwritable(f"the argument {name} must be base64") from error
