"""npm oauth2-mock-server: a provider that signs whatever it is told, and says so with a straight face."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers.oidc.node import NodeServer, node_server
from tests.servers.oidc.provider import OpenIdServer

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE, VERSION = "oauth2-mock-server", "8.2.3"


class Liar(OpenIdServer):
    """Everybody is `johndoe` there; nobody is asked for a password."""

    def __init__(self, node: NodeServer) -> None:
        super().__init__(node)

    def lie(self, **what: Any) -> None:
        self.node.tell("lie", **what)


@contextmanager
def liar() -> Iterator[Liar]:
    """While the block runs."""
    with node_server("liar.mjs", PACKAGE, VERSION, {}) as node:
        yield Liar(node)
