"""Clients whose id is the address of a document about them (draft-ietf-oauth-client-id-metadata-document).

Fetched only for somebody who has signed in, through the guarded fetcher, and kept as long as its headers allow.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authz.clients.known import UNUSED_LIFE, Origin
from authz.tables import Client
from gateway.fetch import FetchFailed
from gateway.oauth.clients import metadata
from registry.database import Concern, ensure
from registry.errors import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.world import World
    from idp_adapters.contract import HttpAnswer

LIMIT = 16 * 1024  # bytes of a document; the draft speaks of 5 KiB
TIMEOUT = 5.0  # seconds for all of it; somebody waits at a browser
FRESH_DEFAULT, FRESH_LEAST, FRESH_MOST = 300.0, 60.0, 86400.0  # seconds

_SHAPE = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+/?")


class DocumentRefused(Exception):
    """The document cannot be had or does not say what it must; the text is for the person at the browser."""


def is_document_id(client_id: str) -> bool:
    """Section 2 of the draft: a URL with a path, without dot segments, query, fragment or user name.

    https, unless the operator has listed the address; the fetcher sees to that.
    """
    if len(client_id) > 512 or _SHAPE.fullmatch(client_id) is None:
        return False
    return not any(segment in {".", ".."} for segment in client_id.split("/"))


def know(world: World, client_id: str, who: str) -> Client:
    """The client as its document describes it; fetched again when what is kept is too old."""
    now = time.time()
    with world.office.database.read() as session:
        known = session.get(Client, client_id)
    if known is not None and known.disabled_at is not None:
        raise DocumentRefused("an administrator has disabled this client")
    if known is not None and known.fresh_until is not None and now < known.fresh_until:
        return known
    said, document, fresh = _fetch(world, client_id)
    return _keep(world, client_id, said, document, now + fresh, who)


def _fetch(world: World, client_id: str) -> tuple[metadata.ClientMetadata, bytes, float]:
    host = urlsplit(client_id).netloc
    try:
        fetched = world.fetcher.get(client_id, limit=LIMIT, timeout=TIMEOUT)
    except AddressRefused as refused:
        raise DocumentRefused(f"the client's document at {host} may not be fetched: {refused}") from refused
    except FetchFailed as failed:
        raise DocumentRefused(f"the client's document at {host} cannot be fetched") from failed
    if fetched.status != 200:
        raise DocumentRefused(f"the client's document at {host} is answered with status {fetched.status}")
    return read_document(client_id, fetched), fetched.body, _freshness(fetched.headers)


def read_document(client_id: str, fetched: HttpAnswer) -> metadata.ClientMetadata:
    """Section 4 of the draft: what the document must say, and what it must not."""
    try:
        said = metadata.read_metadata(fetched.body)
        metadata.redirect_uris(said, web=False)
        metadata.grant_types(said)
        _keys(said)
    except metadata.MetadataRefused as refused:
        raise DocumentRefused(f"the client's document cannot be used: {refused.description}") from refused
    if said.client_id != client_id:
        raise DocumentRefused("the client's document is about another client_id than its own address")
    if said.client_secret is not None or said.token_endpoint_auth_method not in {None, "none", "private_key_jwt"}:
        raise DocumentRefused("the client's document asks for a way to authenticate that a document cannot have")
    return said


def _keep(
    world: World, client_id: str, said: metadata.ClientMetadata, document: bytes, fresh_until: float, who: str
) -> Client:
    now, uris = time.time(), metadata.redirect_uris(said, web=False)
    with world.office.change("client.described", Concern.PEOPLE, who=who, client=client_id, redirect_uris=uris) as (
        session,
        _,
    ):
        row = ensure(session, Client(id=client_id, origin=Origin.METADATA, created_at=now, expires_at=now))
        row.name = metadata.client_name(said) or urlsplit(client_id).netloc
        row.redirect_uris, row.grant_types = uris, metadata.grant_types(said)
        row.auth_method = said.token_endpoint_auth_method or "none"
        row.keys, row.keys_uri = _keys(said)
        row.metadata_document, row.fresh_until = {"raw": document.decode("utf-8", "replace")}, fresh_until
        row.expires_at = None if row.expires_at is None else now + UNUSED_LIFE
        session.add(row)
    return row


def _keys(said: metadata.ClientMetadata) -> tuple[dict[str, Any] | None, str]:
    """A document without a word about authentication is that of a public client, whatever RFC 7591's default."""
    return (None, "") if said.token_endpoint_auth_method is None else metadata.keys(said)


def _freshness(headers: Mapping[str, str]) -> float:
    """RFC 9111 section 5.2.2, as far as it speaks of a life; bounded, because the document is somebody else's."""
    control = headers.get("cache-control", "").lower()
    found = re.search(r"(?:^|[\s,])max-age=([0-9]{1,9})(?:$|[\s,])", control)
    if "no-store" in control or "no-cache" in control:
        return FRESH_LEAST
    return min(max(float(found[1]) if found else FRESH_DEFAULT, FRESH_LEAST), FRESH_MOST)
