"""Reading everything that a server offers: what it says of itself, and every page of every list."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.upstream import Ask, AskRefused, UpstreamBroken
from registry.catalogue.assembling import SERVER_WORDS
from registry.observing import Seen
from registry.screening import Described
from registry.screening.hidden import visible
from registry.tables import Kind

if TYPE_CHECKING:
    from gateway.upstream import Probed
    from gateway.upstream.upstreams import Upstreams
    from registry.catalogue import Credential, Upstream

MOST_PAGES = 1000  # a cursor that never ends is no list
MOST_DEFINITIONS = 20_000
MOST_TEXT = 32 * 1024 * 1024  # characters of all definitions together
LONGEST_NAME = 2100  # of what is stored; screening refuses shorter ones already
METHOD_NOT_FOUND = -32601


@dataclass(frozen=True, slots=True)
class _List:
    capability: str
    method: str
    member: str
    kind: Kind
    key: str  # the field that names one


_LISTS = (
    _List("tools", "tools/list", "tools", Kind.TOOL, "name"),
    _List("prompts", "prompts/list", "prompts", Kind.PROMPT, "name"),
    _List("resources", "resources/list", "resources", Kind.RESOURCE, "uri"),
    _List("resources", "resources/templates/list", "resourceTemplates", Kind.TEMPLATE, "uriTemplate"),
)


class _Page(msgspec.Struct):
    nextCursor: str | None = None  # noqa: N815  # the protocol's spelling


class _Named(msgspec.Struct):
    name: str | None = None
    uri: str | None = None
    uriTemplate: str | None = None  # noqa: N815


class _Failure(msgspec.Struct):
    code: int = 0


class Nobody:
    """The gateway asks for itself: nobody hears notifications, nobody can be asked back."""

    async def notify(self, method: str, params: bytes) -> None:
        pass

    async def request(self, method: str, params: bytes) -> bytes:  # noqa: ARG002  # the seam's signature
        raise AskRefused(b'{"code":-32601,"message":"nobody can be asked"}')

    def refuses(self, method: str, params: bytes) -> str:  # noqa: ARG002  # the seam's signature
        return "nobody can be asked"


async def read_server(upstreams: Upstreams, server: Upstream, credential: Credential | None) -> Seen:
    """Probes the era afresh and reads all lists. Raises UpstreamError."""
    probed = await upstreams.probe(server, credential)
    server = replace(
        server, era=probed.era, protocol_version=probed.protocol_version, capabilities=dict(probed.capabilities)
    )
    definitions = [_words(probed)]
    for which in _LISTS:
        if which.capability in probed.capabilities:
            definitions += await _read_list(upstreams, server, credential, which)
    if len(definitions) > MOST_DEFINITIONS:
        raise UpstreamBroken(f"it lists more than {MOST_DEFINITIONS} definitions")
    if sum(len(one.raw) for one in definitions) > MOST_TEXT:
        raise UpstreamBroken(f"its definitions are larger than {MOST_TEXT // 1024 // 1024} MiB together")
    return Seen(
        era=probed.era,
        protocol_version=probed.protocol_version,
        capabilities=dict(probed.capabilities),
        definitions=definitions,
    )


async def _read_list(
    upstreams: Upstreams, server: Upstream, credential: Credential | None, which: _List
) -> list[Described]:
    found: list[Described] = []
    cursors: set[str] = set()
    params: dict[str, bytes] = {}
    for _ in range(MOST_PAGES):
        answer = await upstreams.send(
            server, Ask(method=which.method, params=params, principal=None), Nobody(), credential
        )
        if answer.error:
            return _without(answer.error, which, found)
        cursor = _page(answer.result, which, found)
        if cursor is None:  # an empty string is a cursor like any other
            return found
        if cursor in cursors or len(found) > MOST_DEFINITIONS:
            break
        cursors.add(cursor)
        params = {"cursor": msgspec.json.encode(cursor)}
    raise UpstreamBroken(f"its {which.method} never ends")


def _without(error: bytes, which: _List, found: list[Described]) -> list[Described]:
    """Many servers have resources and know no templates; any other refusal is a fault."""
    if which.kind == Kind.TEMPLATE and not found and _decode(error, _Failure).code == METHOD_NOT_FOUND:
        return []
    raise UpstreamBroken(f"it refuses {which.method}")


def _page(result: bytes, which: _List, found: list[Described]) -> str | None:
    members = _decode(result, dict[str, msgspec.Raw])
    if which.member not in members:
        raise UpstreamBroken(f"its {which.method} has no {which.member}")
    listed = _decode(bytes(members[which.member]), list[msgspec.Raw])
    found.extend(_described(bytes(raw), which) for raw in listed)
    page: _Page = _decode(result, _Page)
    return page.nextCursor


def _described(raw: bytes, which: _List) -> Described:
    name = getattr(_decode(raw, _Named), which.key)
    if name is None:
        raise UpstreamBroken(f"its {which.method} has an entry without {which.key}")
    try:
        return Described(which.kind, visible(name)[:LONGEST_NAME], raw.decode())
    except UnicodeDecodeError as error:
        raise UpstreamBroken(f"its {which.method} is not UTF-8") from error


def _words(probed: Probed) -> Described:
    """What a model is told about the server itself, as one definition to review like the others."""
    words = {key: probed.info[key] for key in ("name", "title", "description") if probed.info.get(key)}
    if probed.instructions:
        words["instructions"] = probed.instructions
    return Described(Kind.SERVER, SERVER_WORDS, json.dumps(words, ensure_ascii=True))


def _decode(raw: bytes, form: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken("its answer is not of the form that the protocol asks for") from error
