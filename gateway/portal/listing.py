"""What somebody may see: lists and server/discover, as ready bytes that everybody of the same standing shares.

Definitions lie in the catalogue as fragments; a list joins those that policy shows, once per view, and from then on
only the id of a request is put in front of it.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from authz.policy.decisions import SEEN_AS
from gateway.portal import discovery
from gateway.portal.calls.call import is_stale
from gateway.portal.headers import SERVER_INFO_KEY
from gateway.portal.legacy.tasks.announcing import shown
from gateway.portal.wire import INVALID_PARAMS
from gateway.problems import Problem, unavailable
from registry.errors import SecretRefused
from registry.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.portal.exchange import Exchange
    from gateway.snapshots import Snapshot
    from registry.catalogue import Entry, Mount

PAGE: Final = 1000
KEPT_BYTES: Final = 64 * 1024 * 1024  # of ready lists; what does not fit is made again
KEPT_VIEWS: Final = 4096
TTL_MS: Final = 30_000  # as often as servers are asked; list_changed comes earlier
TTL_STALE_MS: Final = 5_000

_KINDS: Final[dict[str, tuple[str, Callable[[Mount], Mapping[str, Entry]]]]] = {
    "tools/list": ("tools", lambda mount: mount.tools),
    "prompts/list": ("prompts", lambda mount: mount.prompts),
    "resources/list": ("resources", lambda mount: mount.resources),
    "resources/templates/list": ("resourceTemplates", lambda mount: mount.templates),
}
METHODS: Final = frozenset((*_KINDS, "server/discover"))

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class View:
    """What one standing sees of one kind on one mount. `mark` changes when anything in it does."""

    entries: tuple[Entry, ...]
    mark: bytes
    until: float
    stale: bool


class Lists:
    """Ready lists of the present snapshot; a new snapshot starts with none."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._views: dict[object, View] = {}
        self._pages: dict[object, tuple[float, bytes]] = {}
        self._held = 0

    def envelope(self, exchange: Exchange) -> bytes:
        """The whole JSON-RPC answer."""
        return b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (exchange.message.id, self.result(exchange))

    def result(self, exchange: Exchange) -> bytes:
        method = exchange.message.method
        exchange.world.telemetry.listed(method)
        exchange.world.journal.note(
            "list",
            **exchange.asker,
            method=method,
            portal=exchange.mount.portal,
            epoch=exchange.snapshot.epoch,
            request_id=exchange.arrival.request_id,
        )
        return self._page(exchange)

    def view(self, exchange: Exchange, method: str) -> View:
        """What may be seen now; the same for everybody of the same standing until `until`."""
        self._turn(exchange.snapshot)
        key = self._key(exchange, method)
        view = self._views.get(key)
        if view is None or view.until <= time.time():
            if len(self._views) >= KEPT_VIEWS:
                self._views.clear()
            view = self._views[key] = _look(exchange, method)
        return view

    def _turn(self, snapshot: Snapshot) -> None:
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._views.clear()
            self._forget()

    def _key(self, exchange: Exchange, method: str) -> object:
        mount = exchange.mount
        return mount.path, method, exchange.snapshot.policy.view_key(exchange.principal, mount.portal)

    def _page(self, exchange: Exchange) -> bytes:
        method, cursor = exchange.message.method, exchange.message.value("cursor")
        if "cursor" in exchange.message.params and method in _KINDS:
            return self._made(exchange, self.view(exchange, method), cursor)
        self._turn(exchange.snapshot)
        key = (exchange.modern, self._key(exchange, method))
        kept = self._pages.get(key)
        if kept is not None and kept[0] > time.time():
            return kept[1]
        if method not in _KINDS:
            page = discovery.discover(exchange)
            self._keep(key, _until(exchange), page)
            return page
        view = self.view(exchange, method)
        page = self._made(exchange, view, None)
        if len(view.entries) <= PAGE:  # a cursor is sealed to one principal, so a page with one is nobody else's
            self._keep(key, view.until, page)
        return page

    def _keep(self, key: object, until: float, page: bytes) -> None:
        if self._held + len(page) > KEPT_BYTES or len(self._pages) >= KEPT_VIEWS:
            self._forget()
        self._held += len(page)
        self._pages[key] = (until, page)

    def _forget(self) -> None:
        self._pages.clear()
        self._held = 0

    def _made(self, exchange: Exchange, view: View, cursor: object) -> bytes:
        start = 0 if "cursor" not in exchange.message.params else _position(exchange, view, cursor)
        chosen = view.entries[start : start + PAGE]
        fragments = [entry.shown if exchange.modern else _shown_before(exchange, entry) for entry in chosen]
        name = _KINDS[exchange.message.method][0].encode()
        more = b""
        if start + PAGE < len(view.entries):
            more = b',"nextCursor":"%s"' % _cursor(exchange, view, start + PAGE)
        tail = _modern_tail(exchange, stale=view.stale) if exchange.modern else b"{"
        return b'%s"%s":[%s]%s}' % (tail, name, b",".join(fragments), more)


def _shown_before(exchange: Exchange, entry: Entry) -> bytes:
    server = exchange.snapshot.catalogue.upstreams[entry.server]
    return shown(server, entry) if entry.kind is Kind.TOOL else entry.shown_legacy


def _modern_tail(exchange: Exchange, *, stale: bool) -> bytes:
    """The members that only modern results have; a list depends on who asks, so it is private."""
    ttl = TTL_STALE_MS if stale else TTL_MS
    info = discovery.server_info(exchange.mount)
    return b'{"resultType":"complete","ttlMs":%d,"cacheScope":"private","_meta":{"%s":%s},' % (
        ttl,
        SERVER_INFO_KEY.encode(),
        info,
    )


def _look(exchange: Exchange, method: str) -> View:
    snapshot, mount, principal = exchange.snapshot, exchange.mount, exchange.principal
    limit = exchange.world.settings.stale_limit
    upstreams = [snapshot.catalogue.upstreams[slug] for slug in mount.servers]
    gone = {upstream.slug for upstream in upstreams if is_stale(upstream, limit)}
    if upstreams and len(gone) == len(upstreams):
        raise unavailable("None of the servers behind this URL can be reached.", 30)
    decide, portal = snapshot.policy.decide, mount.portal
    entries = tuple(
        entry
        for entry in _KINDS[method][1](mount).values()
        if entry.server not in gone and decide(principal, portal, entry.object, SEEN_AS[entry.kind])
    )
    ends = [
        upstream.stale_since + limit for upstream in upstreams if upstream.stale_since and upstream.slug not in gone
    ]
    until = min((*ends, _until(exchange)))
    mark = sha256(b"\n".join(f"{entry.exposed} {entry.digest}".encode() for entry in entries)).digest()[:12]
    return View(entries, mark, until, bool(ends))


def _until(exchange: Exchange) -> float:
    end = exchange.snapshot.policy.view_until(exchange.principal, exchange.mount.portal)
    return float("inf") if end is None else end


def _context(exchange: Exchange) -> bytes:
    principal = exchange.principal
    parts = [principal.issuer, principal.subject, principal.client, exchange.mount.path, exchange.message.method]
    return b"cursor\x00" + _encode(parts)


def _cursor(exchange: Exchange, view: View, position: int) -> bytes:
    """Opaque, and good only for the same principal as long as the same list stands behind it."""
    sealed = exchange.world.office.vault.wrap(_context(exchange), b"%s%d" % (view.mark, position))
    return base64.urlsafe_b64encode(sealed)


def _position(exchange: Exchange, view: View, cursor: object) -> int:
    try:
        sealed = base64.b64decode(str(cursor).encode(), altchars=b"-_", validate=True)
        opened = exchange.world.office.vault.unwrap(_context(exchange), sealed)
    except (ValueError, SecretRefused):
        opened = b""
    if not isinstance(cursor, str) or not opened.startswith(view.mark):
        raise Problem(200, INVALID_PARAMS, "params.cursor is not valid (any more); list from the start.")
    return int(opened[len(view.mark) :])
