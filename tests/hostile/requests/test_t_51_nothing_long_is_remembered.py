"""T-51: what a caller makes long is read, and then forgotten: nobody can fill our memory through a cache."""

from __future__ import annotations

import pytest

from gateway.edge import middleware as edge
from gateway.portal import exchange, headers, reply
from tests.fakes.door import upstream

LONG = {
    "the capabilities of a client": (
        lambda given: exchange.relayable(given, upstream("notes"), "tools/call"),
        exchange._relayable,
        b'{"x":"%s"}',
    ),
    "a header that mirrors the body": (headers.decode, headers._decode, b"%s"),
    "an Accept header": (reply.accepts, reply._accepts, b"%s"),
    "a path": (edge._troubled, edge._is_troubled, b"/%s"),
}


@pytest.mark.parametrize(("read", "kept", "form"), LONG.values(), ids=list(LONG))
def test_t_51_what_is_long_is_not_remembered(read, kept, form: bytes) -> None:
    read(form % b"short")
    before = kept.cache_info().currsize
    read(form % (b"a" * 60_000))
    assert kept.cache_info().currsize == before


@pytest.mark.parametrize(("read", "kept", "form"), LONG.values(), ids=list(LONG))
def test_t_51_what_is_short_is_remembered(read, kept, form: bytes) -> None:
    read(form % b"the very same")
    hits = kept.cache_info().hits
    read(form % b"the very same")
    assert kept.cache_info().hits == hits + 1
