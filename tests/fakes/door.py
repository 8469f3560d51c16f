"""A door without a database: the real edge, portal, policy, tokens, vault and journal before servers that are scripted.

What a test says of the world is here; what it asks goes over a real socket, through uvicorn and `EdgeProtocol`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from msgspec import structs

from authz import jose
from authz.policy.policy import Policy
from authz.principals import Member
from authz.tables import Rule
from authz.tokens.access import TokenVerifier
from authz.tokens.cutoffs import CutOffs
from authz.tokens.keys import Key, KeySet
from authz.tokens.minting import Minting, mint
from gateway.credentials.holding import Credentials
from gateway.edge import Edge, EdgeProtocol
from gateway.journal.writer import open_journal
from gateway.office import Office
from gateway.portal import Portal
from gateway.portal.calls.underway import Underway
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.settings import Settings
from gateway.snapshots import Snapshot
from gateway.upstream import Answer
from gateway.world import World
from registry.catalogue import Catalogue, Entry, Mount, Upstream
from registry.secrets.vault import Vault
from registry.tables import Auth, Era, Kind
from tests.fakes.deadlines import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.upstream import Ask, Downstream, FeedEvent

MODERN = "2026-07-28"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


def entry(server: str, name: str, kind: Kind = Kind.TOOL, *, prefixed: bool = True, **more: Any) -> Entry:
    exposed = f"{server}_{name}" if prefixed and kind in {Kind.TOOL, Kind.PROMPT} else name
    template = more.pop("template", None)
    params = more.pop("param_headers", {})
    shown = (
        {"name": exposed, "inputSchema": {"type": "object"}, **more} if kind is Kind.TOOL else {"name": exposed, **more}
    )
    if kind is Kind.RESOURCE:
        shown = {"uri": name, "name": name, **more}
    if kind is Kind.TEMPLATE:
        shown = {"uriTemplate": name, "name": name, **more}
    raw = json.dumps(shown).encode()
    return Entry(
        server=server, kind=kind, name=name, exposed=exposed, object=f"{server}.{name}", digest=f"d-{name}", raw=raw,
        shown=raw, shown_legacy=raw, param_headers=params, template=template,
    )  # fmt: skip


def upstream(slug: str, era: Era = Era.MODERN, **more: Any) -> Upstream:
    more.setdefault("allowed", frozenset({"elicitation", "sampling", "roots"}))
    said = more.pop("capabilities", {"tools": {}, "resources": {"subscribe": True}, "completions": {}, "logging": {}})
    return Upstream(
        slug=slug, title=slug.title(), url=f"http://127.0.0.1:9/{slug}", scheme="http", host="127.0.0.1", port=9,
        target=f"/{slug}", era=era, protocol_version=MODERN, auth=Auth.NONE, capabilities=said, **more,
    )  # fmt: skip


NOTES = [
    entry("notes", "add", description="Add a note"),
    entry("notes", "delete"),
    entry("notes", "secret"),
    entry("notes", "regional", param_headers={"Region": ("region",), "Count": ("nested", "count")}),
    entry("notes", "ask", Kind.PROMPT),
    entry("notes", "note://one", Kind.RESOURCE),
    entry("notes", "note://{id}", Kind.TEMPLATE, template=re.compile(r"note://[a-z]+")),
    entry("clock", "now"),
]
RULES = [
    Rule(id="r1", subject="user:editor", object="notes.*", action="*"),
    Rule(id="r2", subject="user:editor", object="clock.*", action="*"),
    Rule(id="r3", subject="user:editor", object="notes.secret", action="*", effect="deny"),
    Rule(id="r4", subject="user:reader", object="notes.add", action="call"),
    Rule(id="r5", subject="user:reader", object="notes.delete", action="list"),
    Rule(id="r6", subject="user:reader", object="notes.ask", action="list"),
    Rule(id="r7", subject="user:reader", object="notes.note://one", action="list"),
]


def mount(entries: list[Entry], path: str = "/mcp", portal: str = "default") -> Mount:
    def table(kind: Kind) -> dict[str, Entry]:
        return {each.exposed: each for each in entries if each.kind is kind}

    return Mount(
        path=path, portal=portal, title="Ostiary", servers=tuple(dict.fromkeys(each.server for each in entries)),
        tools=table(Kind.TOOL), prompts=table(Kind.PROMPT),
        resources=table(Kind.RESOURCE), templates=table(Kind.TEMPLATE),
    )  # fmt: skip


def catalogue(entries: list[Entry], upstreams: list[Upstream], epoch: int = 1) -> Catalogue:
    own = [replace(each, exposed=each.name) for each in entries if each.server == "notes"]
    mounts = {"/mcp": mount(entries), "/servers/notes/mcp": mount(own, "/servers/notes/mcp", "server:notes")}
    return Catalogue(epoch=epoch, mounts=mounts, upstreams={each.slug: each for each in upstreams}, paused={})


def keys() -> KeySet:
    private = jose.generate()
    kid = jose.thumbprint(private)
    jwk = jose.public_jwk(private, kid)
    return KeySet({kid: Key(kid, jose.import_public(jwk), private, jwk, 0, None)})


Script = "Callable[[Upstream, Ask, Downstream], Awaitable[Answer]]"


async def echo(server: Upstream, ask: Ask, down: Downstream) -> Answer:
    text = json.dumps(ask.params.get("arguments", b"{}").decode())
    return Answer(result=b'{"resultType":"complete","content":[{"type":"text","text":%s}]}' % text.encode())


@dataclass
class ScriptedWay:
    """Calls that differ in their arguments alone, and always wait for their answer."""

    upstreams: ScriptedUpstreams
    server: Upstream
    ask: Ask

    def trip(self, *_: object) -> None:
        return None

    async def along(self, arguments: bytes, credential: object, down: Any) -> Answer:
        ask = structs.replace(self.ask, params={**self.ask.params, "arguments": arguments})
        return await self.upstreams.send(self.server, ask, down(), credential)


@dataclass
class ScriptedUpstreams:
    """Answers as `script` says and keeps what was asked."""

    script: Any = echo
    asks: list[Ask] = field(default_factory=list)
    servers: list[Upstream] = field(default_factory=list)
    feeds: asyncio.Queue[FeedEvent] = field(default_factory=asyncio.Queue)

    async def send(self, server: Upstream, ask: Ask, down: Downstream, credential: object) -> Answer:
        self.asks.append(ask)
        self.servers.append(server)
        return await self.script(server, ask, down)

    def way(self, server: Upstream, ask: Ask) -> Any:
        return ScriptedWay(self, server, ask)

    async def events(self, *_: object) -> AsyncIterator[FeedEvent]:
        while True:
            yield await self.feeds.get()

    async def probe(self, *_: object) -> Any:
        raise NotImplementedError

    async def is_other(self, *_: object) -> bool:
        return False

    def heed(self, *_: object) -> None: ...

    def strains(self) -> dict[str, Any]:
        return {}

    def leave(self, server: str) -> None: ...
    def forsake(self, ended: object, telling: object = ()) -> None: ...

    async def close(self) -> None: ...


class Snapshots:
    """Holds a snapshot; `turn` swaps it, as an epoch would."""

    def __init__(self, current: Snapshot) -> None:
        self.current = current
        self.is_fresh = True
        self._turned = asyncio.Event()

    def turn(self, **changes: Any) -> None:
        self.current = replace(self.current, epoch=self.current.epoch + 1, **changes)
        self._turned.set()

    def fresh(self) -> bool:
        return self.is_fresh

    def age(self) -> float:
        return 0.0

    async def changes(self) -> AsyncIterator[Snapshot]:
        while True:
            await self._turned.wait()
            self._turned.clear()
            yield self.current


class CountingTelemetry:
    traces = False

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if name == "trace":
            return lambda *_: None
        return lambda *arguments: self.seen.append((name, *arguments))


class Door:
    """One serving process in this one. `base` is what it calls itself; `port` is where it listens."""

    def __init__(
        self, data: Path, port: int = 0, *, like: Door | None = None, rendezvous: Any = None, **settings: Any
    ) -> None:
        self.port = port
        self.settings = Settings(data=data, port=port, **settings)
        self.keys = like.keys if like is not None else keys()
        self.edge: Edge
        self.connections: Any = ()  # of its clients
        self.upstreams = ScriptedUpstreams()
        self.telemetry = CountingTelemetry()
        self.vault = Vault({"1": b"v" * 32})
        self.journal = open_journal(data / "journal", b"j" * 32, role="cli")
        members = {name: Member(name, f"user:{name}", {}) for name in ("editor", "reader", "nobody")}
        servers = [upstream("notes"), upstream("clock", Era.LEGACY)]
        self.snapshots = Snapshots(
            Snapshot(
                epoch=1,
                catalogue=catalogue(NOTES, servers),
                policy=Policy(RULES, epoch=1),
                keys=self.keys,
                cutoffs=CutOffs({}),
                members=members,
                clients=frozenset({"app", "other"}),
                personal={},
                credentials={},
            )
        )
        office = Office(settings=self.settings, database=None, vault=self.vault, journal=self.journal)  # type: ignore[arg-type]
        self.world = World(
            office=office,
            snapshots=self.snapshots,  # type: ignore[arg-type]
            rendezvous=rendezvous or MemoryRendezvous(),
            verifier=TokenVerifier(self.settings.base_url),
            upstreams=self.upstreams,
            credentials=Credentials(office),
            fetcher=SimpleNamespace(),  # type: ignore[arg-type]
            providers=SimpleNamespace(),  # type: ignore[arg-type]
            keysets=SimpleNamespace(),  # type: ignore[arg-type]
            underway=Underway(),
            telemetry=self.telemetry,  # type: ignore[arg-type]
        )

    @property
    def base(self) -> str:
        return self.settings.base_url

    def token(
        self,
        who: str = "editor",
        path: str = "/mcp",
        scope: str = "mcp",
        life: int = 300,
        client: str = "app",
        **more: Any,
    ) -> str:
        facts = {"subject": who, "client": client, "resource": self.base + path, "scope": scope, "life": life}
        return mint(self.keys, Minting(issuer=self.base, **(facts | more))).token

    def records(self, event: str = "") -> list[dict[str, Any]]:
        """What the journal holds, of one event or of all."""
        files = [file for file in sorted((self.settings.data / "journal").glob("*")) if file.is_file()]
        texts = [text for file in files for text in file.read_bytes().splitlines() if text.startswith(b"{")]
        return [line for line in map(json.loads, texts) if not event or line.get("event") == event]


async def nothing(_scope: Any, _receive: Any, send: Any) -> None:
    """A control plane with no pages."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def open_door(data: Path, **settings: Any) -> AsyncIterator[Door]:
    """A door that listens on loopback until the block ends."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        door = Door(data, sock.getsockname()[1], **settings)
        door.edge = Edge(nothing, door.settings, Portal(door.world))
        config = uvicorn.Config(
            door.edge, http=EdgeProtocol, ws="none", lifespan="off",
            interface="asgi3", log_config=None, access_log=False, proxy_headers=False, server_header=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        door.connections = server.server_state.connections
        server.config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup([sock])
        try:
            yield door
        finally:
            server.should_exit = True
            await server.shutdown([sock])
            await door.world.rendezvous.close()
            door.journal.close()


@dataclass
class Got:
    """An HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        frames = self.body.decode().split("\n\n")
        return [json.loads(line[6:]) for frame in frames for line in frame.split("\n") if line.startswith("data: {")]


class Line:
    """A raw client: what a test writes is what goes out."""

    def __init__(self, door: Door) -> None:
        self._port = door.port
        self._host = door.base.removeprefix("http://")
        self.last_id = ""  # of the events that were read
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def raw(self, data: bytes) -> Got:
        self.writer.write(data)
        return await self.answer()

    async def send(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        lines = [f"{method} {target} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.append(f"Host: {self._host}")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers if value != "\0"]
        self.writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def ask(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes = b"") -> Got:
        await self.send(method, target, headers, body)
        return await self.answer(head=method == "HEAD")

    async def head(self) -> Got:
        text = (await within(self.reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
        status, *lines = text.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Got(int(status.split()[1]), headers, b"")

    async def answer(self, *, head: bool = False) -> Got:
        got = await self.head()
        if "content-length" in got.headers and not head:
            got.body = await within(self.reader.readexactly(int(got.headers["content-length"])), 10)
        elif got.headers.get("transfer-encoding") == "chunked":
            while chunk := await self.chunk():
                got.body += chunk
        return got

    async def chunk(self) -> bytes:
        size = int(await within(self.reader.readline(), 10), 16)
        data = await within(self.reader.readexactly(size), 10)
        await self.reader.readexactly(2)
        return data

    async def event(self) -> Any:
        """The next event of a stream, comments passed over."""
        while True:
            chunk = await self.chunk()
            if not chunk:
                return None
            for line in chunk.decode().split("\n"):
                if line.startswith("id: "):
                    self.last_id = line[4:]
                if line.startswith("data: {"):
                    return json.loads(line[6:])


def modern(
    token: str, method: str, params: dict[str, Any] | None = None, *, ident: Any = 1
) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of a well-formed request of today."""
    params = {**(params or {})}
    params["_meta"] = {**META, **params.get("_meta", {})}
    headers = [
        ("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"), ("MCP-Protocol-Version", MODERN), ("Mcp-Method", method),
    ]  # fmt: skip
    named = "taskId" if method.startswith("tasks/") else NAMED.get(method)
    if named and named in params:
        headers.append(("Mcp-Name", params[named]))
    return headers, json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}).encode()


async def ask(
    door: Door,
    method: str,
    params: dict[str, Any] | None = None,
    *,
    who: str = "editor",
    path: str = "/mcp",
    ident: Any = 1,
) -> Got:
    """One well-formed request of today on a line of its own."""
    async with Line(door) as line:
        return await line.ask("POST", path, *modern(door.token(who, path), method, params, ident=ident))


async def eventually(what: Callable[[], Any], within: float = 20.0) -> Any:
    """Waits until `what()` is true; a bound, not a pause."""
    deadline = time.monotonic() + within
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)
    return found


class Legacy(Line):
    """A client of an earlier revision with a session."""

    def __init__(
        self, door: Door, who: str = "editor", version: str = "2025-11-25", path: str = "/mcp", **capabilities: Any
    ) -> None:
        super().__init__(door)
        self.headers = [
            ("Authorization", f"Bearer {door.token(who, path)}"), ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ]  # fmt: skip
        self._capabilities = capabilities
        self._version = version
        self._path = path
        self.greeting: Any = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        told = {
            "protocolVersion": self._version,
            "capabilities": self._capabilities,
            "clientInfo": {"name": "t", "version": "1"},
        }
        got = await self.say("initialize", told)
        self.greeting = got.json["result"]
        self.headers += [
            ("Mcp-Session-Id", got.headers["mcp-session-id"]),
            ("MCP-Protocol-Version", self.greeting["protocolVersion"]),
        ]
        assert (await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})).status == 202
        return self

    async def post(self, message: Any) -> Got:
        return await self.ask("POST", self._path, self.headers, json.dumps(message).encode())

    async def start(self, method: str, params: Any, ident: Any = 1) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}).encode()
        await self.send("POST", self._path, self.headers, body)

    async def say(self, method: str, params: Any = None, ident: Any = 1) -> Got:
        await self.start(method, params or {}, ident)
        return await self.answer()

    async def another(self, door: Door) -> Line:
        """A second connection in the same session."""
        line = Line(door)
        await line.__aenter__()
        return line
