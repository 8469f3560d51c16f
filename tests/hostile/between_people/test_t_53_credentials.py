"""T-53: no credential of one person is ever sent for another, in any mode, however their calls are mixed."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from authz.principals import VerifiedClaims
from gateway.credentials import Asked
from gateway.credentials.shelf import Shelf
from registry.credentials.modes import MODES, read_auth
from registry.tables import Auth
from tests.fakes.door import Line, modern
from tests.fakes.door import upstream as reached
from tests.fakes.furnished import door_of, minted
from tests.fakes.network.certificates import make_certificate
from tests.fakes.providers.openid import listening
from tests.fakes.servers.raw import principal, raw_server
from tests.gateway.oauth.house import House
from tests.hostile.judging import KEYS, THERE, Company, Entra, Judging, Services, told
from tests.hostile.town import ACTED, ALL, AT, LENT, SHARED, TOOLS, Town

if TYPE_CHECKING:
    from pathlib import Path

    from authz.tables import Client, Person

CALLS = 10_000
EACH = CALLS // (2 * len(AT))  # by themselves, and by the agent that acts for them
ROOM = 40  # credentials that are at hand at a time: fewer than are used


def test_t_53_every_mode_that_sends_something_is_tried() -> None:
    assert {auth for auth, _ in ALL.values()} == set(Auth) - {Auth.NONE}


@dataclass
class Caller:
    """Somebody with a token, and how each server should know them."""

    name: str
    person: Person
    token: str
    actors: tuple[str, ...] = ()
    right: int = 0  # answers so far

    def may_use(self, slug: str) -> bool:
        return LENT.get(slug, AT[self.name]) == AT[self.name]

    def known_as(self, slug: str) -> str:
        if slug in SHARED:
            return KEYS.get(slug, THERE if slug == "ourselves" else "us")
        if slug in ACTED:
            return told(self.person.id, *self.actors)
        return f"sub-{self.name}" if slug == "vouched" else self.name


async def on_one_line(town: Town, caller: Caller, chance: random.Random) -> None:
    slugs = [slug for slug in ALL if caller.may_use(slug)]
    async with Line(door_of(town.house)) as line:
        while caller.right < EACH:
            slug, tool = chance.choice(slugs), chance.choice(TOOLS)
            got = await line.ask("POST", "/mcp", *modern(caller.token, "tools/call", {"name": f"{slug}_{tool}"}))
            assert got.status == 200, got.body
            said = json.loads(got.body)["result"]["content"][0]["text"]
            assert json.loads(said) == [slug, tool, caller.known_as(slug)]
            caller.right += 1
            await town.passed()


def callers_of(town: Town, client: Client, agent: Client) -> list[Caller]:
    """Each person themselves, and the agent that acts for each of them."""
    acting: tuple[tuple[str, ...], ...] = ((), (agent.id,))
    who = itertools.product(town.people.items(), acting)
    return [Caller(name, person, minted(town.house, person, client, act=act), act) for (name, person), act in who]


async def test_t_53_ten_thousand_calls_of_many_people_over_all_modes_never_cross(tmp_path: Path) -> None:
    ca_file, tls = make_certificate(tmp_path, "localhost")
    services, corp = Services(), Company(*AT)
    services.add_app(THERE, "secret")
    entra = Entra(*AT)
    judging = Judging(services, entra)
    with listening(services), listening(corp), listening(entra, tls, "localhost"):
        async with raw_server(judging.respond) as server:
            house = House(tmp_path / "data", allow_addresses=(services.origin, corp.origin, entra.origin))
            town = Town(house, judging, {"corp": corp, "entra": entra}, f"http://127.0.0.1:{server.port}")
            town.furnish(ca_file)
            client, (agent, _) = house.client(), house.agent()
            town.allow(agent)
            with house:
                judging.keys = house.world.snapshots.current.keys.published(time.time())["keys"]
                services.issuers |= {house.base: judging.keys, corp.issuer: corp.signer.jwks["keys"]}
                await asyncio.to_thread(town.admit)
                await asyncio.to_thread(town.connect)
                house.world.credentials._shelf = Shelf(ROOM)
                callers = callers_of(town, client, agent)
                lines = (on_one_line(town, caller, random.Random(seed)) for seed, caller in enumerate(callers))
                await asyncio.gather(*lines)
    assert (sum(caller.right for caller in callers), judging.refused) == (CALLS, [])


people_ = st.tuples(st.sampled_from(["usr_1", "usr_2"]), st.lists(st.sampled_from(["agt_1", "agt_2"]), max_size=2))
asks = st.tuples(
    st.sampled_from(["notes", "board"]), st.sampled_from([*Auth]), people_, st.sampled_from(["notes.one", "notes.two"])
)


def key_of(ask: tuple[str, Auth, tuple[str, list[str]], str]) -> tuple[Any, tuple[Any, ...]]:
    """By what it is found, and all that must tell it from any other."""
    slug, auth, (person, actors), tool = ask
    needs = {
        "header": "X-Key",
        "source": "provider",
        "subject": "identity",
        "client_id": "c",
        "issuer": "https://x.example",
        "token_endpoint": "https://x.example",
        "provider": "p",
    }
    needs |= {"region": "r", "service": "s", "access_key": "k", "per": "person"}
    wanted: dict[str, Any] = {name: value for name, value in needs.items() if name in MODES[auth].model_fields}
    if auth is Auth.ON_BEHALF_OF:
        wanted["scopes"] = ("a",)
    if auth is not Auth.TOKEN_EXCHANGE:
        wanted.pop("token_endpoint", None)  # elsewhere it is of an authorization server that is written down
    settings = read_auth(auth, wanted)
    chain: dict[str, Any] = {}
    for actor in reversed(actors):
        chain = {"sub": actor, **({"act": chain} if chain else {})}
    somebody = principal(person, claims=VerifiedClaims({"act": chain} if chain else {}))
    asked = Asked(upstream=replace(reached(slug), auth=auth, auth_settings=settings), principal=somebody, object=tool)
    own = settings.personal or settings.derived
    telling = (person if own else "", tuple(actors) if settings.derived else (), tool if settings.per_tool else "")
    return asked.key, (slug, auth, *telling)


@given(asks, asks)
def test_t_53_two_that_differ_in_anything_that_matters_are_never_found_by_one_key(one: Any, other: Any) -> None:
    (first, first_is), (second, second_is) = key_of(one), key_of(other)
    assert (first == second) == (first_is == second_is)
