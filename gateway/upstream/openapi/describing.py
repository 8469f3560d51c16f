"""Keeping an HTTP API's definitions true to its description, which is asked for again where it has an address."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.credentials.own_tls import of_server
from gateway.fetch import Fetcher, FetchFailed
from gateway.upstream import UpstreamBroken, UpstreamUnreachable
from gateway.upstream.openapi.keys import authenticated
from gateway.upstream.troubles import Trouble
from registry.errors import AddressRefused, DescriptionRefused
from registry.openapi.kept import Text, choice_of, kept, mark, seen_before, understand
from registry.openapi.reading import LARGEST
from registry.servers import exception_lines, find

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.upstream.upstreams import Upstreams
    from registry.catalogue import Credential, Upstream
    from registry.observing import Seen
    from registry.tables import ApiDescription

PATIENCE = 30.0  # seconds for the whole of a description
READ_EVERY = 600.0  # seconds between readings of one that does not say whether it changed
_HEADERS = {"accept": "application/json, application/yaml;q=0.9, */*;q=0.5"}


@dataclass(frozen=True, slots=True)
class News:
    """What a server says now; `text` is the description that says it, where one was read just now."""

    seen: Seen
    text: Text | None = None


async def look(office: Office, upstreams: Upstreams, server: Upstream, credential: Credential | None) -> News:
    """Sees that the API can be connected to, and what its description says. Raises UpstreamError, AddressRefused."""
    await upstreams.probe(server, credential)
    return await asyncio.to_thread(_look, office, server, credential)


def note(office: Office, slug: str, news: News) -> None:
    """After what was seen is stored: the same text is no news from now on, and need not be asked for at once again."""
    if news.text is not None:
        with office.database.change() as session:
            mark(session, slug, news.text)


def fetch(
    fetcher: Fetcher, url: str, before: ApiDescription | None = None, credential: Credential | None = None
) -> Text | None:
    """The description at `url`; None if the server says that it is still the one of `before`.

    At the origin that a credential is for, it goes with it, and nowhere else (T-49). Raises AddressRefused or
    FetchFailed.
    """
    conditions = {} if before is None else {"if-none-match": before.etag, "if-modified-since": before.modified}
    headers = _HEADERS | {name: value for name, value in conditions.items() if value}
    asked, ours = authenticated(url, credential)
    answer = fetcher.send("GET", asked, headers=headers | ours, limit=LARGEST, timeout=PATIENCE)
    if answer.status == 304:
        return None
    if answer.status != 200:
        raise FetchFailed(f"{url} answers with HTTP status {answer.status}; a file can be given instead")
    return Text(answer.body, url, _kept(answer.headers.get("etag")), _kept(answer.headers.get("last-modified")))


def _look(office: Office, server: Upstream, credential: Credential | None) -> News:
    slug = server.slug
    with office.database.read() as session:
        row = kept(session, slug)
        session.expunge(row)
        lines = [*office.settings.allow_addresses, *exception_lines(session)]
        before, address = seen_before(session, slug), find(session, slug).url
    fetcher = Fetcher(lines, own=of_server(office, server))
    text = _fetched(fetcher, row, credential) if _is_due(row) else None
    if text is None or text.digest == row.digest:
        return News(before, text)
    try:
        return News(understand(text, choice_of(row), address=address, strict=False).seen, text)
    except DescriptionRefused as refused:
        raise UpstreamBroken(f"its description cannot be used: {refused}", Trouble.PROTOCOL) from refused


def _is_due(row: ApiDescription) -> bool:
    """One that can be asked whether it changed is, each time; any other is read whole, and so less often."""
    if not row.url:
        return False
    return bool(row.etag or row.modified) or not row.digest or time.time() - row.read_at > READ_EVERY


def _fetched(fetcher: Fetcher, row: ApiDescription, credential: Credential | None) -> Text | None:
    try:
        return fetch(fetcher, row.url, row, credential)
    except FetchFailed as failed:
        raise UpstreamUnreachable(f"its description cannot be read: {failed}") from failed
    except AddressRefused as refused:
        raise UpstreamUnreachable(f"the address of its description is refused: {refused}", Trouble.ADDRESS) from refused


def _kept(value: str | None) -> str:
    """A validator that can be sent back as it came."""
    return value if value is not None and len(value) <= 200 and value.isascii() and value.isprintable() else ""
