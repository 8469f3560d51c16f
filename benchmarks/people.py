"""People at a gateway that runs, made all at once: a command for each would take longer than what is measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.people.accounts import add_person
from authz.policy.rules import Draft, write_rule
from authz.tables import Client
from authz.tokens.keys import load_keys
from authz.tokens.minting import Minting, mint
from benchmarks.wire import Door
from gateway.assembly import open_office, remembered
from gateway.settings import Settings
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fakes.gateway import Gateway

CLIENT = "bench"
SOON = 1.5  # seconds in which the gateway has heard of them


class People:
    """So many of them, who may use these servers."""

    def __init__(self, gateway: Gateway, count: int, slugs: Sequence[str]) -> None:
        self._gateway = gateway
        self._office = open_office(remembered(Settings(data=gateway.data)))
        now = time.time()
        with self._office.database.change(Concern.PEOPLE, Concern.POLICY) as session:
            session.add(
                Client(id=CLIENT, name=CLIENT, origin="registered", redirect_uris=[], grant_types=[], created_at=now)
            )
            self._ids = [add_person(session, f"one{number}", password_hash="").id for number in range(count)]
            for number in range(count):
                for slug in slugs:
                    draft = Draft(subject=f"user:one{number}", object=f"{slug}.*", action="*")
                    write_rule(session, draft, who="operator:bench", now=now)
        time.sleep(SOON)

    def doors(self, slug: str) -> list[Door]:
        """The mount of a server, with a token of each."""
        path = f"/servers/{slug}/mcp"
        with self._office.database.read() as session:
            keys = load_keys(session, self._office.vault)
        url = self._gateway.url + path
        asks = (
            Minting(issuer=self._gateway.url, subject=one, client=CLIENT, resource=url, scope="mcp", life=300)
            for one in self._ids
        )
        return [Door(url, mint(keys, ask).token) for ask in asks]

    def close(self) -> None:
        self._office.close()
