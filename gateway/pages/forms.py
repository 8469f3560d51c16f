"""Bodies and forms of the control plane: read once, under a cap, urlencoded and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

BODY_LIMIT: Final = 64 * 1024
ANSWER_LIMIT: Final = 384 * 1024  # of what a provider posts: a SAML response of 256 KiB, in base64, in a form
SCIM_LIMIT: Final = 4 * 1024 * 1024  # a group of 30,000 members
FIELD_LIMIT: Final = 10_000  # the review of a server sends one short field per definition
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


class FormRefused(Exception):
    """A form that we did not make, or not like this; its text is shown. `status` is the answer's."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ReadForms:
    """Reads the body of each request that has one into `request.state.form_body`, so that handlers can be plain.

    More than 64 KiB is answered with 413; providers may post more. Harmless when two of it meet on one route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        if scope["type"] == "http" and scope["method"] in _WITH_BODY and "form_body" not in state:
            body = await _read(receive, _limit(scope["path"]))
            if body is None:
                await PlainTextResponse("This form is too large.\n", 413)(scope, receive, send)
                return
            state["form_body"] = body
        await self.app(scope, receive, send)


def _limit(path: str) -> int:
    if path.startswith("/scim/"):
        return SCIM_LIMIT
    return ANSWER_LIMIT if path.startswith("/signin/") and path.endswith("/callback") else BODY_LIMIT


async def _read(receive: Receive, limit: int) -> bytes | None:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        more = message.get("more_body", False)
    return bytes(body)


def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form; a field given twice is refused, because two readers would choose differently."""
    return once(read_fields(request))


def once(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Each field has one value, or the form is refused."""
    form = dict(fields)
    if len(form) != len(fields):
        raise FormRefused("A field of this form was given twice.")
    return form


def read_fields(request: Request) -> list[tuple[str, str]]:
    """The same for forms in which a name may come more than once, in order."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM_TYPE:
        raise FormRefused(f"This address takes forms as {_FORM_TYPE}.", 415)
    try:
        text = request.state.form_body.decode("ascii")
        fields = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=FIELD_LIMIT
        )
    except (ValueError, UnicodeDecodeError) as refused:
        raise FormRefused("This form cannot be read.") from refused
    if any("\0" in name + value for name, value in fields):
        raise FormRefused("This form holds a character that no field can have.")
    return fields
