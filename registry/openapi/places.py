"""Where a description says that an API is (OpenAPI, Server Object)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from registry.addresses import exception_line
from registry.errors import AddressRefused
from registry.openapi.reading import plain

if TYPE_CHECKING:
    from registry.openapi.reading import Document


def place_of(document: Document, source: str) -> str:
    """The first of its addresses, which may be told from its own, `source`; empty where it is not said in full."""
    listed = document.root.get("servers")
    first = listed[0] if isinstance(listed, list) and listed else {"url": "/"}
    return _place(document, first, source)


def is_at(document: Document, servers: list[Any], *, place: str, source: str) -> bool:
    """Whether `place` is one of these servers, however either is written."""
    wanted = _canonical(place)
    return bool(wanted) and any(_canonical(_place(document, server, source)) == wanted for server in servers[:50])


def _place(document: Document, server: Any, source: str) -> str:
    said = document.resolved(server)
    url = plain(said.get("url"), 2000)
    variables = said.get("variables")
    for name, variable in variables.items() if isinstance(variables, dict) else ():
        url = url.replace(f"{{{name}}}", plain(document.resolved(variable).get("default"), 200))
    try:
        joined = urljoin(source, url) if source else url
        whole = urlsplit(joined).scheme in {"http", "https"}
    except ValueError:
        return ""
    return joined.rstrip("/") if url and whole and not any(char in joined for char in "{}?#") else ""


def _canonical(url: str) -> str:
    try:
        return exception_line(url) + urlsplit(url).path.rstrip("/")
    except (AddressRefused, ValueError):
        return ""
