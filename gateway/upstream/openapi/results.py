"""From an API's answer to the result of a call: JSON as structure, text as text, pictures and sounds as such."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from gateway.upstream import UpstreamBroken
from gateway.upstream.troubles import Trouble
from registry.openapi.answers import is_json

if TYPE_CHECKING:
    from gateway.egress.reply import Reply
    from registry.openapi.plan import Plan

STATUS: Final = "dev.ostiary/status"
NEXT: Final = "dev.ostiary/next"
TOTAL: Final = "dev.ostiary/total"
PAGING: Final = ("limit", "per_page", "page_size", "pagesize", "page", "count", "max_results", "maxresults", "fields")
_LINK: Final = re.compile(r"<([^<>]{1,4000})>([^<]*)")  # an address, and what is said of it
_REL: Final = re.compile(r';\s{0,9}rel\s{0,9}=\s{0,9}(?:"([^"]{0,200})"|([^\s",;]{1,200}))', re.IGNORECASE)
_TEXT: Final = ("text/", "application/xml", "application/yaml", "application/x-yaml", "application/javascript")

_encode = msgspec.json.Encoder().encode


def result_of(reply: Reply, body: bytes, plan: Plan, slug: str, *, promised: bool) -> bytes:
    """The result of a call that succeeded. `promised`: the definition has a schema for it, so there is an object."""
    told = _told(reply, plan)
    structured = b""
    kind = reply.content_type.decode("latin-1")
    if not body:
        content = [_words(f"Done (HTTP {reply.status}); the API had nothing to say.")]
    elif is_json(kind):
        content = [_words(_json(body))]
        structured = body.strip() if body.lstrip()[:1] == b"{" else b""
    else:
        content = [_block(kind, body, slug)]
    if NEXT in told:
        again = ", ".join(f"{name}={text}" for name, text in told[NEXT].items())
        content.append(_words(f"There is more: call again with {again}."))
    more = b',"structuredContent":%b' % (structured or b"{}") if structured or promised else b""
    return b'{"resultType":"complete","content":%b,"isError":false%b,"_meta":%b}' % (
        _encode(content),
        more,
        _encode({STATUS: reply.status} | told),
    )


def refused(text: str, status: int = 0) -> bytes:
    """A result that says what went wrong, to be acted on (MCP, Tools, "Error handling")."""
    result: dict[str, Any] = {"resultType": "complete", "content": [_words(text)], "isError": True}
    return _encode(result | ({"_meta": {STATUS: status}} if status else {}))


def too_large(plan: Plan, limit: int) -> str:
    """What to do about an answer that may not be held; the tool's own arguments, where they look like it."""
    ours = [name for name in plan.arguments() if name.lower().replace("-", "_") in PAGING]
    how = f"ask for less with {', '.join(ours)}" if ours else "ask for less at a time"
    return f"The API's answer is larger than {limit // 1024} KiB, which is the most that is passed on: {how}."


def _json(body: bytes) -> str:
    """The text of it, once it is sure that it is JSON (T-74)."""
    try:
        text = body.decode("utf-8")
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken("the API's answer is not JSON, although it says so", Trouble.PROTOCOL) from error
    return text


def _block(kind: str, body: bytes, slug: str) -> dict[str, Any]:
    if kind.startswith(_TEXT) or kind.endswith("+xml") or not kind:
        return _words(body.decode("utf-8", errors="replace"))
    data = base64.b64encode(body).decode("ascii")
    first = kind.partition("/")[0]
    if first in {"image", "audio"}:
        return {"type": first, "data": data, "mimeType": kind}
    return {"type": "resource", "resource": {"uri": f"api://{slug}/answer", "mimeType": kind, "blob": data}}


def _words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _told(reply: Reply, plan: Plan) -> dict[str, Any]:
    """What the API says beside its answer: how much there is, and with which arguments the next of it is had."""
    found: dict[str, Any] = {}
    total = reply.told.get(b"x-total-count", b"")
    if total.isdigit() and len(total) < 16:
        found[TOTAL] = int(total)
    again = _next(reply.told.get(b"link", b"").decode("latin-1"), plan)
    return found | ({NEXT: again} if again else {})


def _next(link: str, plan: Plan) -> dict[str, str]:
    """The arguments that the next page differs in (RFC 8288): values for parameters there are, and nothing else."""
    address = next((one[1] for one in _LINK.finditer(link[:16_000]) if _is_next(one[2])), "")
    called = {one.name: one.called for one in plan.parameters if one.place == "query"}
    try:
        pairs = parse_qsl(urlsplit(address).query, max_num_fields=50)
    except ValueError:
        return {}
    return {called[name]: text for name, text in pairs if name in called and len(text) <= 1000 and text.isprintable()}


def _is_next(said: str) -> bool:
    """Of several relations each counts; of several parameters of that name the first (RFC 8288 section 3.3)."""
    found = _REL.search(said)
    return found is not None and "next" in (found[1] or found[2] or "").lower().split()
