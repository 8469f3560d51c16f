"""What a call is aimed at: the definition, the action that policy is asked about, the arguments it is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.policy.decisions import Action, Word
from gateway.portal import handles
from gateway.portal.exchange import check_declared
from gateway.portal.wire import INVALID_PARAMS
from gateway.problems import METHOD_NOT_FOUND, Problem
from gateway.upstream.tasks import offers
from registry.catalogue.uris import meanings
from registry.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.policy.decisions import Decision
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Entry

_encode: Final = msgspec.json.Encoder().encode
_WORDS: Final = {Kind.TOOL: "tool", Kind.PROMPT: "prompt", Kind.RESOURCE: "resource", Kind.TEMPLATE: "resource"}


class Target(msgspec.Struct, gc=False):
    """`name` is as the caller says it; `upstream_name` as the server knows it, which for a resource is its URI.

    `object` and `server` are those of the entry.
    """

    kind: Kind
    name: str
    entry: Entry | None
    action: Action
    arguments: bytes
    upstream_name: str
    replaced: dict[str, bytes]  # members of params that leave in other words than they came in
    object: str = ""
    server: str = ""
    noun: str = ""  # what the caller names, where it is not the definition itself
    account: str = ""  # with which alone it may be asked about, where it runs with one


def decided(exchange: Exchange, target: Target) -> Decision:
    """Policy's word about a target. What a template stands for may be forbidden by its own name as well."""
    policy, portal, who = exchange.snapshot.policy, exchange.mount.portal, exchange.principal
    decision = policy.decide(who, portal, target.object, target.action, target.arguments)
    if not decision or target.kind is not Kind.RESOURCE or target.entry is None or target.entry.kind is Kind.RESOURCE:
        return decision
    for uri in meanings(target.upstream_name):
        own = policy.decide(who, portal, f"{target.server}.{uri}", target.action, target.arguments)
        if own.word is Word.DENIED:
            return own
    return decision


def unknown(target: Target) -> Problem:
    """One and the same text for what is absent, not approved, drifted, or not visible to the caller."""
    if target.kind in {Kind.RESOURCE, Kind.TEMPLATE}:
        return Problem(200, INVALID_PARAMS, "Unknown resource", data={"uri": target.name})
    return Problem(200, INVALID_PARAMS, f"Unknown {target.noun or _WORDS[target.kind]}: {target.name[:128]}")


def _tool(exchange: Exchange) -> Target:
    name = _text(exchange, "name")
    arguments = _arguments(exchange)
    return _named(Kind.TOOL, name, exchange.mount.tools.get(name), Action.CALL, arguments)


def _prompt(exchange: Exchange) -> Target:
    name = _text(exchange, "name")
    arguments = _arguments(exchange)
    return _named(Kind.PROMPT, name, exchange.mount.prompts.get(name), Action.GET, arguments)


def _resource(exchange: Exchange) -> Target:
    uri = _text(exchange, "uri")
    arguments = b'{"uri":%s}' % _encode(uri)
    tool = _shown_with(exchange, uri, arguments)
    if tool is not None:
        return aimed(Kind.RESOURCE, uri, tool, Action.SEE_TOOL, arguments, uri, {})
    return aimed(Kind.RESOURCE, uri, exchange.mount.resource(uri), Action.READ, arguments, uri, {})


def _shown_with(exchange: Exchange, uri: str, arguments: bytes) -> Entry | None:
    """The tool by which somebody may have a page: who sees it sees what it is shown with, unless a rule denies that.

    None where the page is listed and may be read like any other resource.
    """
    policy, mount, who = exchange.snapshot.policy, exchange.mount, exchange.principal
    for tool in mount.pages.get(uri, ()):
        own = policy.decide(who, mount.portal, f"{tool.server}.{uri}", Action.READ, arguments)
        if own.word is Word.DENIED or (own and uri in mount.resources):
            return None
        if policy.decide(who, mount.portal, tool.object, Action.SEE_TOOL):
            return tool
    return None


def _completion(exchange: Exchange) -> Target:
    """Completion of an argument of a prompt or a template: its server answers, so it needs the right to use it."""
    ref, argument = exchange.message.value("ref"), exchange.message.value("argument")
    if type(ref) is not dict or type(argument) is not dict:
        raise invalid("completion/complete needs ref and argument.")
    raw = bytes(exchange.message.params["argument"])
    if ref.get("type") == "ref/prompt" and type(ref.get("name")) is str:
        return _prompt_completion(exchange, ref, raw)
    if ref.get("type") == "ref/resource" and type(ref.get("uri")) is str:
        uri = ref["uri"]
        entry = exchange.mount.templates.get(uri) or exchange.mount.resource(uri)
        return aimed(Kind.TEMPLATE, uri, entry, Action.READ, raw, "", {})
    raise invalid("params.ref must be a ref/prompt with a name or a ref/resource with a uri.")


def _prompt_completion(exchange: Exchange, ref: dict[str, Any], raw: bytes) -> Target:
    entry = exchange.mount.prompts.get(ref["name"])
    replaced = {"ref": _encode({**ref, "name": entry.name})} if entry is not None else {}
    return aimed(Kind.PROMPT, ref["name"], entry, Action.GET, raw, "", replaced)


def _task(exchange: Exchange) -> Target:
    """A task is aimed at as the call was that began it; what is not allowed any more has no state to tell."""
    upstreams = exchange.snapshot.catalogue.upstreams
    if not any(offers(upstreams[slug]) for slug in exchange.mount.servers):
        raise Problem(404, METHOD_NOT_FOUND, "Method not found.")
    check_declared(exchange)
    given = _text(exchange, "taskId")
    handle = handles.opened(exchange, given)
    entry = exchange.mount.tools.get(handle.tool) if handle is not None else None
    if handle is None or entry is None or entry.server != handle.server:
        return Target(Kind.TOOL, given, None, Action.CALL, b"", "", {}, noun="task")
    target = aimed(
        Kind.TOOL, given, entry, Action.CALL, handle.arguments, handle.task, {"taskId": _encode(handle.task)}
    )
    target.noun = "task"
    target.account = handle.bond.account if handle.bond is not None else ""
    return target


TARGETS: Final[dict[str, Callable[[Exchange], Target]]] = {
    "tools/call": _tool,
    "prompts/get": _prompt,
    "resources/read": _resource,
    "completion/complete": _completion,
    "tasks/get": _task,
    "tasks/update": _task,
    "tasks/cancel": _task,
}


def _named(kind: Kind, name: str, entry: Entry | None, action: Action, arguments: bytes) -> Target:
    if entry is None or entry.name == name:
        return aimed(kind, name, entry, action, arguments, name, {})
    return aimed(kind, name, entry, action, arguments, entry.name, {"name": _encode(entry.name)})


def aimed(
    kind: Kind,
    name: str,
    entry: Entry | None,
    action: Action,
    arguments: bytes,
    upstream_name: str,
    replaced: dict[str, bytes],
) -> Target:
    """The target, which bears its entry's names if there is one."""
    if entry is None:
        return Target(kind, name, None, action, arguments, upstream_name, replaced)
    return Target(kind, name, entry, action, arguments, upstream_name, replaced, entry.object, entry.server)


def _text(exchange: Exchange, member: str) -> str:
    value = exchange.message.value(member)
    if type(value) is not str:
        raise invalid(f"params.{member} must be a string.")
    return value


def _arguments(exchange: Exchange) -> bytes:
    raw = exchange.message.params.get("arguments")
    if raw is None:
        return b"{}"
    if type(exchange.message.value("arguments")) is not dict:
        raise invalid("params.arguments must be an object.")
    return bytes(raw)


def invalid(text: str) -> Problem:
    return Problem(400, INVALID_PARAMS, text)
