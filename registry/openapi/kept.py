"""What is kept of an HTTP API besides its definitions: where its description is, and what was chosen of it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from sqlmodel import Session, col, select

from registry.errors import DescriptionRefused
from registry.observing import Seen
from registry.openapi.definitions import draw
from registry.openapi.operations import Choice, chosen, operations
from registry.openapi.places import is_at, place_of
from registry.openapi.reading import read_description
from registry.openapi.security import Way, ways
from registry.screening import Described
from registry.servers import find
from registry.tables import ApiDescription, Definition, Era, Kind, Transport

CAPABILITIES: Final[dict[str, Any]] = {"tools": {}}
MOST_TEXT: Final = 32 * 1024 * 1024  # characters of all definitions together


@dataclass(frozen=True, slots=True)
class Text:
    """A description; `url` is empty for a file. With `etag` and `modified` it is asked whether it is still the same."""

    content: bytes
    url: str = ""
    etag: str = ""
    modified: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Api:
    """What a description comes to: definitions to store, where the API is, why the rest of the choice is none, and how
    it says that it knows who calls.
    """

    text: Text
    choice: Choice
    seen: Seen
    address: str
    left: tuple[str, ...]
    ways: tuple[Way, ...] = ()


def understand(text: Text, choice: Choice, *, address: str = "", strict: bool = True) -> Api:
    """Raises DescriptionRefused. Without `address` the API is where the description says, if it says so.

    `strict`: every word of the choice must match something, as when it is made.
    """
    document = read_description(text.content)
    address = address or place_of(document, text.url)
    here = partial(is_at, document, place=address, source=text.url)
    wanted = chosen(operations(document, here), choice, strict=strict)
    drawn = draw(document, wanted)
    if sum(len(one.raw) for one in drawn.definitions) > MOST_TEXT:
        raise DescriptionRefused(f"its definitions are larger than {MOST_TEXT >> 20} MiB together: choose less of it")
    seen = Seen(
        era=Era.MODERN,
        protocol_version=f"OpenAPI {document.version}",
        capabilities=CAPABILITIES,
        definitions=drawn.definitions,
    )
    return Api(text, choice, seen, address, drawn.left, ways(document, wanted))


def keep(session: Session, slug: str, api: Api) -> None:
    """From now on the server is what this description says, as far as it was chosen."""
    row = session.get(ApiDescription, slug) or ApiDescription(server=slug)
    row.url, row.choice = api.text.url, msgspec.to_builtins(api.choice)
    session.add(row)
    mark(session, slug, api.text)


def mark(session: Session, slug: str, text: Text) -> None:
    """What was read last, so that the same is not read again."""
    row = session.get_one(ApiDescription, slug)
    row.digest, row.etag, row.modified, row.read_at = text.digest, text.etag, text.modified, time.time()
    session.add(row)


def forget_mark(session: Session, slug: str) -> None:
    """Read it anew, whatever was read before."""
    row = session.get(ApiDescription, slug)
    if row is not None:
        row.digest = row.etag = row.modified = ""
        session.add(row)


def kept(session: Session, slug: str) -> ApiDescription:
    """Raises DescriptionRefused if the server is no described API."""
    row = session.get(ApiDescription, slug)
    if row is None or find(session, slug).transport != Transport.OPENAPI:
        raise DescriptionRefused(f"{slug} is no HTTP API with a description; `ostiary server show {slug}`")
    return row


def choice_of(row: ApiDescription) -> Choice:
    return msgspec.convert(row.choice, Choice)


def seen_before(session: Session, slug: str) -> Seen:
    """What was seen when the description was read last: it says the same still."""
    server = find(session, slug)
    listed = select(Definition.kind, Definition.name, Definition.raw).order_by(col(Definition.position))
    rows = session.exec(listed.where(Definition.server == slug, col(Definition.missing).is_(False)))
    return Seen(
        era=Era(server.era),
        protocol_version=server.protocol_version,
        capabilities=dict(server.capabilities),
        definitions=[Described(Kind(kind), name, raw) for kind, name, raw in rows],
    )
