"""T-57 to T-59 with both planes behind the edge: no spelling of an address leads to another route than its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.fakes.deadlines import within

if TYPE_CHECKING:
    from tests.gateway.oauth.house import House


TARGETS = [
    "/mcp%2f..%2fadmin", "/mcp%2F..%2Fadmin%2Fservers", "//mcp", "/mcp;x", "/MCP", "/mcp/", "/mcp%00",
    "/mcp%20", "/mcp/..", "/mcp/../admin/servers", "/mcp/..;/admin/servers", "/mcp\\..\\admin", "/%6dcp", "/m%63p",
    "/./mcp", "/x/../mcp", "//admin/servers", "/admin//servers", "/ADMIN/servers", "/admin%2fservers",
    "/admin/servers;x",
    "/admin/servers/", "/%61dmin/servers", "/admin/./servers", "/servers/../admin/servers", "/servers/..%2fadmin",
    "/servers/%2e%2e/mcp", "/servers/notes%2fmcp", "/servers/notes/mcp/", "/servers/notes/mcp/../../../admin/servers",
    "/servers//mcp", "/servers/NOTES/mcp", "/servers/notes;x/mcp", "/servers/notes", "/servers/", "/oauth/token/",
    "/OAUTH/token", "//oauth/token", "/oauth%2ftoken", "/oauth/../oauth/token", "/assets/..%2f..%2fetc%2fpasswd",
    "/assets/../admin/servers", "/assets/%2e%2e/%2e%2e/etc/passwd", "/\u2215mcp", "/mcp\u200b", "/healthz/../mcp",
    "/healthz;/mcp", "/readyz/x", "/.well-known/../mcp", "/setup/../admin/servers", "/admin/servers%3fx",
]  # fmt: skip
HOSTS = ["a/#@x", "a?x=", "evil.example", "127.0.0.1", "[::1]", "127.0.0.1:PORT@evil", "127.0.0.1:PORT/mcp", "", "*",
         "127.0.0.1:0PORT", "127.0.0.1.:PORT", "127.1:PORT",
         "evil.example:PORT", "127.0.0.1:PORT, evil", "127.0.0.1:PORT#x"]  # fmt: skip
FORMS = ["http://evil/mcp", "http://127.0.0.1:PORT/mcp", "https://127.0.0.1:PORT/mcp", "*", "evil:80", "mcp", "/mcp#x"]
PATHS = ["/mcp", "/servers/notes/mcp", "/", "/admin/servers", "/signin", "/oauth/token", "/oauth/jwks"]


async def status(house: House, target: str, host: str = "127.0.0.1:PORT", method: str = "GET") -> int:
    port = str(house.settings.port)
    lines = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".replace("PORT", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.settings.port)
    writer.write(lines.encode())
    answer = await within(reader.readline(), 10)
    writer.close()
    return int(answer.split()[1])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_t_58_every_other_spelling_of_a_path_is_nothing(house: House, method: str) -> None:
    found = {target: await status(house, target, method=method) for target in TARGETS}
    assert not {target: code for target, code in found.items() if code not in {400, 404}}


async def test_t_57_t_58_at_every_route_a_host_that_is_not_ours_is_misdirected(house: House) -> None:
    found = {(host, path): await status(house, path, host) for host in HOSTS for path in PATHS}
    assert not {what: code for what, code in found.items() if code not in {400, 421}}
    assert found["evil.example", "/mcp"] == found["a?x=", "/admin/servers"] == 421


async def test_t_58_at_every_route_a_target_is_a_path(house: House) -> None:
    found = {form: await status(house, form) for form in FORMS}
    assert set(found.values()) == {400}


async def test_t_58_the_right_spellings_lead_somewhere(house: House) -> None:
    """So that the refusals above are for what they spell."""
    assert [await status(house, path) for path in ("/mcp", "/servers/notes/mcp", "/oauth/jwks", "/signin")] == [
        401, 401, 200, 200,
    ]  # fmt: skip
