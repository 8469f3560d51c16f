"""Every request of the data plane comes in here: who asks, what for, and where that is done."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from authz.errors import ProofRefused, TokenRefused
from gateway import clock
from gateway.edge.request import JSON
from gateway.journal import JournalDown
from gateway.oauth.challenges import challenge_401, challenge_dpop
from gateway.oauth.resources import is_mount_path, metadata_url
from gateway.portal import listing
from gateway.portal.calls import call
from gateway.portal.calls.plans import Known
from gateway.portal.calls.recording import Recording
from gateway.portal.calls.underway import revoked
from gateway.portal.exchange import Exchange, Found
from gateway.portal.headers import MODERN, check_modern, is_modern, mirror_of
from gateway.portal.legacy.batches import is_batch
from gateway.portal.legacy.clients import Legacy
from gateway.portal.legacy.planned import InSession
from gateway.portal.listening import subscriptions
from gateway.portal.listening.hub import Hub
from gateway.portal.planned import Again, Planned
from gateway.portal.possession import BEARER, once, presented, prove
from gateway.portal.reply import Pulse, Reply, accepts, envelope
from gateway.portal.wire import Message, parse
from gateway.problems import METHOD_NOT_FOUND, Problem, journal_down, unavailable
from gateway.running import Run, as_task

if TYPE_CHECKING:
    from authz.principals import Principal
    from authz.tokens.access import Proved
    from gateway.edge import Arrival
    from gateway.edge.request import Request
    from gateway.snapshots import Snapshot
    from gateway.world import World
    from registry.catalogue import Mount

log = logging.getLogger("ostiary")

_ALLOW: Final = (b"allow", b"POST")
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"POST, GET, DELETE"),
    (b"access-control-max-age", b"600"),
)
_NOTHING: Final = Message(b"", "", {}, {}, {})
_SAFE_HEADER: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_, ")


class Portal:
    """The data plane: everything at a mount, from the head of a request to its answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._base = world.settings.base_url
        self._lists = listing.Lists()
        self._hub = Hub(world)
        self._pulse = Pulse(lambda: [one for one in world.underway if isinstance(one, Known)])
        self._legacy = Legacy(world, self._hub, self._lists, self._pulse)
        recording = Recording(world.journal)
        in_session = InSession(self._pulse, self._end, recording, self._legacy)
        self.again = Again(world, Planned(self._pulse, self._end, recording), in_session).again

    def enter(self, request: Request, arrival: Arrival) -> None:
        """The head of a request: who asks is proved, and where it goes found, before any of its body is looked at."""
        reply = Reply(request, arrival, *accepts(arrival.headers.get(b"accept", b"*/*")))
        try:
            self._enter(request, arrival, reply)
        except Exception as error:  # noqa: BLE001 - the edge of the data plane
            request.serve(self._tell(reply, _problem(error)))

    def _enter(self, request: Request, arrival: Arrival, reply: Reply) -> None:
        method = request.method
        if method == "OPTIONS" and arrival.origin is not None:
            request.serve(reply.text(204, "", _preflight(arrival)))
            return
        snapshot = self._world.snapshots.current
        if request.head is not None and request.head.found is not None and self._again(request, arrival, reply):
            return
        path = request.path.decode("ascii")
        proved = self._prove(path, arrival, snapshot)
        principal = proved.principal
        mount = _mount(path, request, snapshot)
        exchange = Exchange(self._world, snapshot, mount, principal, arrival, _NOTHING, reply, True)
        if principal.jkt or not arrival.headers[b"authorization"].startswith(BEARER):
            exchange.proof = self._proof(principal, arrival, path)
        if method == "POST":
            _check_types(arrival, reply)
            request.taker = partial(self._take, exchange)
            if not exchange.proof:
                exchange.found = Found(snapshot, principal, mount, mirror_of(arrival), proved.until)
                request.remember(exchange.found, snapshot)
        elif method in {"GET", "DELETE"} and b"mcp-session-id" in arrival.headers and not is_modern(arrival):
            exchange.modern = False
            request.serve(self._without_body(exchange))
        else:
            raise Problem(405, 0, "This endpoint takes POST.", headers=(_ALLOW,))

    def _again(self, request: Request, arrival: Arrival, reply: Reply) -> bool:
        """Whether what was found out about whoever sent this very head still holds; then it need not be asked again."""
        found: Found = request.head.found  # type: ignore[union-attr] # looked at before
        if found.snapshot is not self._world.snapshots.current or time.time() >= found.until:
            return False
        self._check_fresh()
        exchange = Exchange(self._world, found.snapshot, found.mount, found.principal, arrival, _NOTHING, reply, True)
        exchange.found = found
        request.taker = partial(self._take, exchange)
        return True

    async def _end(self, exchange: Exchange, error: BaseException) -> None:
        """The answer to a request that ended in `error`; raises it where that was none of its own."""
        if isinstance(error, Exception):
            await self._tell(exchange.reply, self._noted(exchange, error))
        elif not _gave_up(exchange):
            raise error
        elif not _request(exchange).disconnected:
            await self._tell(exchange.reply, revoked(exchange.message.id))

    def _take(self, exchange: Exchange, body: bytes) -> None:
        _request(exchange).serve(self._post(exchange, body))

    async def _post(self, exchange: Exchange, body: bytes) -> None:
        """A message from its body to its answer, in as few coroutines within each other as can be: each costs."""
        try:
            if exchange.proof:
                await as_task()
                await self._once(exchange)
            self._judge_anew(exchange)
            if not self._read(exchange, body):
                await self._other(exchange, body)
                return
            reply = exchange.reply
            self._pulse.add(reply)
            status, said = envelope(exchange.message.id, await call.call(exchange))
            if reply.started:
                await reply.finish(status, said)
            else:
                reply.whole(status, JSON, said)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the edge of the data plane
            await self._end(exchange, error)
        finally:
            self._pulse.discard(exchange.reply)

    async def _without_body(self, exchange: Exchange) -> None:
        await as_task()
        request = _request(exchange)
        try:
            if exchange.proof:
                await self._once(exchange)
            request.ends_with_client = True
            self._pulse.add(exchange.reply)
            await (self._legacy.get if request.method == "GET" else self._legacy.delete)(exchange)
        except asyncio.CancelledError:
            if not _gave_up(exchange):
                raise
        except Exception as error:  # noqa: BLE001 - the edge of the data plane
            await self._tell(exchange.reply, _problem(error))
        finally:
            self._pulse.discard(exchange.reply)

    def _prove(self, path: str, arrival: Arrival, snapshot: Snapshot) -> Proved:
        """Before anything of the body is looked at. There is one way to be somebody here, and no other."""
        if path not in snapshot.catalogue.mounts and not is_mount_path(path):
            raise Problem(404, 0, "Not found.")
        try:
            proved = self._world.verifier.prove(presented(arrival), self._base + path, snapshot)
        except TokenRefused as refused:
            raise self._unauthorized(path, arrival, refused) from refused
        self._check_fresh()
        return proved

    def _check_fresh(self) -> None:
        if not self._world.snapshots.fresh():
            late = "It has not been possible for a minute to learn what was revoked; calls wait for that."
            raise unavailable(clock.MOVED if clock.moved() else late, 5)

    def _proof(self, principal: Principal, arrival: Arrival, path: str) -> str:
        try:
            return prove(principal, arrival, self._base + path)
        except ProofRefused as refused:
            raise self._unproved(path, arrival, principal, refused) from refused

    async def _once(self, exchange: Exchange) -> None:
        try:
            await once(self._world, exchange.proof)
        except ProofRefused as refused:
            raise self._unproved(exchange.mount.path, exchange.arrival, exchange.principal, refused) from refused

    def _unproved(self, path: str, arrival: Arrival, principal: Principal, refused: ProofRefused) -> Problem:
        """Whose token it is is known, who presents it is not: counted and written down as somebody unknown."""
        self._world.telemetry.refused("token")
        self._world.journal.refused_unauthenticated(
            arrival.source,
            reason=f"dpop.{refused.reason}",
            path=path[:200],
            client=principal.client,
            request_id=arrival.request_id,
        )
        challenge = challenge_dpop(metadata_url(self._base, path), bearer=refused.reason == "bearer")
        return Problem(401, 0, "A DPoP proof for this very request is needed.", headers=(challenge,))

    def _unauthorized(self, path: str, arrival: Arrival, refused: TokenRefused) -> Problem:
        self._world.telemetry.refused("token")
        self._world.journal.refused_unauthenticated(
            arrival.source, reason=refused.reason, path=path[:200], request_id=arrival.request_id
        )
        challenge = challenge_401(metadata_url(self._base, path), invalid=refused.reason != "absent")
        return Problem(401, 0, "A bearer token for this resource is needed.", headers=(challenge,))

    def _judge_anew(self, exchange: Exchange) -> None:
        """A body may take half a minute: what was revoked while it came is revoked for its call too (T-84)."""
        snapshot = self._world.snapshots.current
        if snapshot is exchange.snapshot and time.time() < exchange.principal.expires_at:
            return
        path = exchange.mount.path
        exchange.principal = self._prove(path, exchange.arrival, snapshot).principal
        exchange.mount = _mount(path, _request(exchange), snapshot)
        exchange.snapshot = snapshot

    def _read(self, exchange: Exchange, body: bytes) -> bool:
        """Takes the message apart, and through the checks of its era if it is a modern one; whether that is a call."""
        exchange.modern = is_modern(exchange.arrival)
        if not exchange.modern and is_batch(body):
            return False
        message = exchange.message = parse(body)
        if not exchange.modern:
            return False
        if message.reply is not None:
            raise Problem(400, -32600, "Clients send no responses in this protocol version.")
        mirror = exchange.found.mirror if exchange.found is not None else mirror_of(exchange.arrival)
        check_modern(exchange.arrival, mirror, message)
        _request(exchange).ends_with_client = True  # in this era that cancels
        return message.method in call.METHODS and message.id != b""

    async def _other(self, exchange: Exchange, body: bytes) -> None:
        """What is no call of the modern era."""
        method = exchange.message.method
        if not exchange.modern:
            await self._legacy_post(exchange, body)
        elif not exchange.message.id:
            await exchange.reply.text(202, "")
        elif method in listing.METHODS:
            await exchange.reply.json(200, self._lists.envelope(exchange))
        elif method == "subscriptions/listen":
            await as_task()
            self._pulse.add(exchange.reply)
            await subscriptions.listen(exchange, self._hub, self._lists)
        else:
            known = f" This is {MODERN}; the handshake belongs to earlier versions." if method == "initialize" else ""
            raise Problem(404, METHOD_NOT_FOUND, f"Method not found.{known}")

    async def _legacy_post(self, exchange: Exchange, body: bytes) -> None:
        if exchange.message is _NOTHING:
            await as_task()
            await self._legacy.batch(exchange, body)
        else:
            await self._legacy.post(exchange)

    def _noted(self, exchange: Exchange, error: Exception) -> Problem:
        """What ends a message, on record unless it was a call, which has a record of its own."""
        problem = _problem(error)
        if isinstance(error, Problem):
            problem.ident = problem.ident or exchange.message.id
            self._note(exchange, problem)
        return problem

    def _note(self, exchange: Exchange, problem: Problem) -> None:
        """A message that never became a call; those that did are on record already."""
        if problem.status in {400, 404} and problem.code:
            self._world.telemetry.refused("wire")
            self._world.journal.note(
                "request.refused",
                **exchange.asker,
                portal=exchange.mount.portal,
                code=problem.code,
                reason=problem.message,
                request_id=exchange.arrival.request_id,
            )

    async def _tell(self, reply: Reply, problem: Problem) -> None:
        if problem.code:
            body = b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (problem.ident or b"null", problem.error)
            await reply.finish(problem.status, body, problem.headers)
        elif not reply.started:
            await reply.text(problem.status, problem.message, problem.headers)
        else:
            await reply.end()


def _problem(error: Exception) -> Problem:
    """What is answered when a request ends in `error`."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, JournalDown):
        return journal_down()
    log.error("a request broke: %s", type(error).__name__, exc_info=error)  # our log shows where, and no values
    return unavailable("Something broke on our side; it is in the gateway's log.")


def _gave_up(exchange: Exchange) -> bool:
    """Whether it was cancelled because nobody waits for it any more, or nobody may have it, and for no other reason."""
    request = _request(exchange)
    run = request.run
    return (request.disconnected or request.recalled) and isinstance(run, Run) and run.uncancel() <= 0


def _request(exchange: Exchange) -> Request:
    request = exchange.arrival.request
    assert request is not None
    return request


def _mount(path: str, request: Request, snapshot: Snapshot) -> Mount:
    mount = snapshot.catalogue.mounts.get(path)
    if mount is None or request.query:
        raise Problem(404, 0, "Not found.")
    return mount


def _check_types(arrival: Arrival, reply: Reply) -> None:
    kind = arrival.headers.get(b"content-type", b"")
    if kind != JSON and kind.partition(b";")[0].strip().lower() != JSON:
        raise Problem(415, 0, "Send application/json.")
    if not reply.takes_json:
        raise Problem(406, 0, "Accept application/json and text/event-stream.")


def _preflight(arrival: Arrival) -> tuple[tuple[bytes, bytes], ...]:
    """CORS: reflects the headers that are asked for; `Mcp-Param-*` cannot be listed, and `*` skips Authorization."""
    asked = arrival.headers.get(b"access-control-request-headers", b"")
    safe = asked if _SAFE_HEADER.issuperset(asked) else b""
    return (*_PREFLIGHT, (b"access-control-allow-headers", safe or b"authorization, content-type"))
