"""What a server may ask of the one who calls, whichever era it asks in.

It may ask what it was registered for (`--allow`), under its own name, and never for a secret in a form: what is typed
there passes through the client and its model (MCP 2026-07-28, Elicitation, "Security considerations"; trap 32). A link
goes on as it is, but only to https or to this machine, and never to a page of ours, where it could be an act of the
person.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from gateway.portal.answers.secrets_asked import secret_in
from gateway.portal.calls.refusing import in_band, note_refusal
from gateway.portal.wire import join, members_of
from gateway.problems import INTERNAL_ERROR, Problem
from gateway.upstream import Answer
from gateway.upstream.legacy.parked import ASKABLE

if TYPE_CHECKING:
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Upstream

KINDS: Final = {method: kind for kind, method in ASKABLE.items()}
REQUESTS: Final = "inputRequests"
LONGEST_FORM: Final = 64 * 1024  # bytes; nobody reads more, and all of it is looked through
_ELICITATION: Final = "elicitation/create"
# What every reader of an address takes for the same host: a browser decodes escapes, maps characters and knows
# numbers in other notations, and would go where another name stands.
_PLAIN_HOST: Final = re.compile(r"(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*")

_encode: Final = msgspec.json.Encoder().encode


class _Request(msgspec.Struct):
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


_requests: Final = msgspec.json.Decoder(dict[str, _Request])


def refusal(server: Upstream, method: str, params: bytes, home: str) -> str:
    """Why a question may not be put to anybody; empty when it may. `home` is our own address."""
    kind = KINDS.get(method)
    if kind is None or kind not in server.allowed:
        return f"{name_of(server)} asked for {kind or method[:64]}, which it is not allowed to."
    return _of_elicitation(server, params, home) if method == _ELICITATION else ""


def signed(server: Upstream, method: str, params: bytes) -> bytes:
    """A person must see which server asks: its title stands before its words."""
    if method != _ELICITATION:
        return params
    members = members_of(params)
    said: Any = msgspec.json.decode(members.get("message", msgspec.Raw(b'""')))
    members["message"] = msgspec.Raw(_encode(f"[{name_of(server)}] {said}"))
    return join(members)


def screened(exchange: Exchange, target: Target, answer: Answer) -> Answer:
    """A result that asks: its questions as they may be put, or, where one may not be, what the caller is told instead.

    The server has nothing open: it would have gone on with the next call.
    """
    members = members_of(answer.result)
    if REQUESTS not in members:
        return answer
    server = exchange.snapshot.catalogue.upstreams[target.server]
    asked, refused = put(exchange, server, bytes(members[REQUESTS]))
    if refused:
        note_refusal(exchange, target, "question")
        return in_band(target, f"{refused} It was not answered, and nothing more was done.", {"reason": refused})
    members[REQUESTS] = msgspec.Raw(asked)
    return Answer(result=join(members))


def put(exchange: Exchange, server: Upstream, requests: bytes) -> tuple[bytes, str]:
    """The questions under the server's name, and why they may not be put, if any of them may not."""
    home = exchange.world.settings.base_url
    shown: dict[str, msgspec.Raw] = {}
    try:
        for key, one in _requests.decode(requests).items():
            why = refusal(server, one.method, bytes(one.params), home)
            if why:
                return b"{}", why
            params = signed(server, one.method, bytes(one.params))
            shown[key] = msgspec.Raw(join({"method": _encode(one.method), "params": params}))
    except msgspec.DecodeError as error:
        raise Problem(502, INTERNAL_ERROR, "The server answered with something that is no question.") from error
    return join(shown), ""


def name_of(server: Upstream) -> str:
    return server.title or server.slug


def _of_elicitation(server: Upstream, params: bytes, home: str) -> str:
    try:
        asked: Any = msgspec.json.decode(params)
    except msgspec.DecodeError:
        asked = None
    if type(asked) is not dict:
        return f"{name_of(server)} asked something that is no question."
    mode = asked.get("mode", "form")
    if mode == "url":
        wrong = _wrong_with(asked.get("url"), home)
        return f"{name_of(server)} wanted to send you to {wrong}." if wrong else ""
    if mode != "form":
        return f"{name_of(server)} asked in a way that is not known here."
    if len(params) > LONGEST_FORM:
        return f"{name_of(server)} asked for more than a form may hold."
    secret = secret_in(asked)
    return f"{name_of(server)} asked for a secret in a form ({secret}); no secret is given that way." if secret else ""


def _wrong_with(url: Any, home: str) -> str:
    if type(url) is not str or not url.isprintable() or " " in url:
        return "something that is no link"
    try:
        parts, ours = urlsplit(url), urlsplit(home)
        _ = parts.port
    except ValueError:
        return "something that is no link"
    if not parts.hostname or parts.username is not None or not _is_plain(parts.hostname):
        return "a link that does not say plainly where it leads"
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts)):
        return "a link that is not https"
    return "a page of this gateway" if (parts.hostname, _port(parts)) == (ours.hostname, _port(ours)) else ""


def _is_plain(host: str) -> bool:
    try:
        return bool(_PLAIN_HOST.fullmatch(host)) or ip_address(host).compressed == host
    except ValueError:
        return False


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_here(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
