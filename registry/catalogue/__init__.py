"""The approved catalogue in memory: which definitions exist for whom to be asked about, found by exposed name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from registry.catalogue.uris import is_plain, meanings
from registry.credentials.modes import NO_SETTINGS
from registry.limits import NO_LIMITS
from registry.tables import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from registry.credentials.modes.settings import AuthSettings
    from registry.credentials.tls import Tls
    from registry.limits import Limits
    from registry.tables import Auth, Era, Kind

DEFAULT_PORTAL = "default"
PORTAL_PATH = "/mcp"  # where it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An approved server as the data plane needs it: a constant of the snapshot, nothing a caller says enters it."""

    slug: str
    title: str
    url: str
    scheme: str
    host: str
    port: int
    target: str  # path and query, as registered
    era: Era
    protocol_version: str
    auth: Auth
    capabilities: Mapping[str, Any]
    transport: Transport = Transport.HTTP
    auth_settings: AuthSettings = NO_SETTINGS
    allowed: frozenset[str] = frozenset({"elicitation"})  # what it may ask of whoever calls
    limits: Limits = NO_LIMITS
    command: str = ""  # of a process of ours: the digest of the command that was approved; empty while it is reviewed
    tls: Tls | None = None  # what TLS with it needs besides the system's authorities
    instructions: str = ""  # empty unless approved as it is now
    address_exception: bool = False
    stale_since: float | None = None  # set while it fails; its last good definitions stay callable for a while
    failure: str = ""  # why it fails, in our words, with what to do
    trouble: str = ""  # of what kind that is, in one word


@dataclass(frozen=True, slots=True)
class Credential:
    """What we authenticate with at one server: a header for one origin, attached last and to nothing else.

    `subject` is the id of the person whose it is, empty when it is shared. `account` tells accounts apart: it stays
    when a token is renewed, so that what was begun with the old one (a session) goes on with the new one; where nobody
    says it, another value is another account. `until` is when it ends, in seconds since the epoch; `since` when whoever
    obtained it began to look, 0 for what is no account's. With `sign` nothing
    is sent but what it makes of each request: given the head, as far as it is written, and the content, it gives the
    lines that follow. With `heard` it is told what each answer says beside its content (status, challenge, other
    headers), and answers whether the same request is to be signed and sent once more: nothing was done then.
    """

    server: str
    origin: str  # scheme://host:port
    header: bytes
    value: bytes = field(repr=False)
    subject: str = ""
    account: str = ""
    scope: str = ""  # the tool it is good for, where it is good for one alone
    until: float = math.inf
    since: float = field(default=0.0, compare=False)
    query: str = ""  # of an HTTP API: the parameter that it goes into, and then into no header
    sign: Callable[[bytes, bytes], bytes] | None = field(default=None, repr=False, compare=False)
    heard: Callable[[int, bytes, Mapping[bytes, bytes]], bool] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.account:
            object.__setattr__(self, "account", sha256(b"%b:%b" % (self.header, self.value)).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An approved definition under its exposed name.

    `object` is what policy and records call it: `server.name`. `raw` is the definition as the upstream gave it,
    `shown` the same with the exposed name in it, ready to be joined into a list.
    """

    server: str
    kind: Kind
    name: str
    exposed: str
    object: str
    digest: str
    raw: bytes
    shown: bytes
    shown_legacy: bytes  # with what a client before 2026-07-28 cannot read taken out
    param_headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # x-mcp-header → path in the arguments
    template: Any = None  # for templates: a compiled pattern that matches the URIs it stands for
    page: str = ""  # of a tool: the ui:// URI of what it is shown with (MCP Apps)
    for_apps: bool = False  # of a tool: for the pages of its own server, and no model


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A URL with definitions behind it: a portal (prefixed names) or one server (its own names).

    `portal` is the policy's domain: a portal's name, or `server:{slug}`. The dictionaries are in listing order.
    """

    path: str
    portal: str
    title: str
    servers: tuple[str, ...]
    tools: Mapping[str, Entry]
    prompts: Mapping[str, Entry]
    resources: Mapping[str, Entry]
    templates: Mapping[str, Entry]
    pages: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)  # by URI, the tools that are shown with it
    _listed: frozenset[str] = field(init=False, repr=False, compare=False)  # every meaning of the resources' URIs

    def __post_init__(self) -> None:
        listed = frozenset(each for uri in self.resources for each in meanings(uri)) if self.templates else frozenset()
        object.__setattr__(self, "_listed", listed)

    def entries(self) -> Iterator[Entry]:
        """All of it, whatever its kind."""
        for table in (self.tools, self.prompts, self.resources, self.templates):
            yield from table.values()

    def resource(self, uri: str) -> Entry | None:
        """The listed resource, or else the first template that `uri` fits.

        A listed one is reached by the spelling in the list alone: another, which a template would match, could reach
        what a rule forbids.
        """
        found = self.resources.get(uri)
        if found is not None:
            return found
        if not is_plain(uri) or not self._listed.isdisjoint(meanings(uri)):
            return None
        return next((entry for entry in self.templates.values() if entry.template.fullmatch(uri)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything approved, by path. `paused` maps what drifted or is new, (kind, object), to why: shown only to its
    people.
    """

    epoch: int
    mounts: Mapping[str, Mount]
    upstreams: Mapping[str, Upstream]
    paused: Mapping[tuple[str, str], str]
