"""T-13, T-14: a token that is bound to a key is worth nothing without a fresh proof of that key, for that request."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from authz import jose
from authz.tokens.minting import Minting, mint
from gateway.rendezvous import RendezvousDown
from gateway.rendezvous.shared import SharedRendezvous
from registry.database import Database, sqlite_url
from registry.schema import migrate
from tests.fakes.door import Door, Got, Line, modern, open_door
from tests.fakes.proofs import Holder
from tests.gateway.oauth.house import House, pkce

if TYPE_CHECKING:
    from pathlib import Path

HOLDER, OTHER = Holder(), Holder()


def bound(door: Door, jkt: str = HOLDER.jkt) -> str:
    ask = Minting(
        issuer=door.base, subject="editor", client="app", resource=f"{door.base}/mcp", scope="mcp", life=300, jkt=jkt
    )
    return mint(door.keys, ask).token


async def call(line: Line, token: str, *proofs: str, scheme: str = "DPoP") -> Got:
    headers, body = modern("x", "tools/list")
    own = [("Authorization", f"{scheme} {token}"), *(("DPoP", proof) for proof in proofs)]
    return await line.ask("POST", "/mcp", [*headers[1:], *own], body)


async def test_a_bound_token_with_its_proof_is_somebody(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        token = bound(door)
        for _ in range(3):
            got = await call(line, token, HOLDER.proof("POST", f"{door.base}/mcp", token))
            assert got.status == 200, got.body


WRONG: dict[str, dict[str, Any]] = {
    "another method": {"htm": "GET"},
    "another address": {"htu": "https://elsewhere.example/mcp"},
    "another path": {"htu": "PATH"},
    "no address": {"htu": None},
    "no token": {"ath": None},
    "another token": {"ath": "x" * 43},
    "ten minutes old": {"iat": -600},
    "ten minutes ahead": {"iat": 600},
    "no time": {"iat": None},
    "true for a time": {"iat": True},
    "no name": {"jti": None},
    "an endless name": {"jti": "j" * 4000},
    "another type": {"header": {"typ": "JWT"}},
    "no key": {"header": {"jwk": None}},
    "a private key": {"header": {"jwk": OTHER.key.as_dict(private=True)}},
    "the key of another": {"header": {"jwk": OTHER.key.as_dict(private=False)}},
    "a shared secret": {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
    "a critical extension": {"header": {"crit": ["exp"]}},
}


@pytest.mark.parametrize("name", WRONG)
async def test_t_13_a_proof_of_anything_else_is_none(tmp_path: Path, name: str) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        token, wrong = bound(door), WRONG[name]
        if wrong.get("htu") == "PATH":
            wrong = {"htu": f"{door.base}/servers/notes/mcp"}
        if type(wrong.get("iat")) is int:  # from now, which may be long after these were collected
            wrong = {"iat": int(time.time()) + wrong["iat"]}

        got = await call(line, token, HOLDER.proof("POST", f"{door.base}/mcp", token, **wrong))

        assert got.status == 401
        assert got.headers["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"')
        assert door.upstreams.asks == []


async def test_t_13_a_bound_token_without_a_proof_or_with_two_is_nobody(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        token = bound(door)
        proofs = [HOLDER.proof("POST", f"{door.base}/mcp", token) for _ in range(2)]

        assert (await call(line, token)).status == 401
        assert (await call(line, token, *proofs)).status == 400


async def test_t_13_a_bound_token_is_no_bearer_token(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        token = bound(door)
        for scheme in ("Bearer", "bearer", "BEARER"):
            got = await call(line, token, HOLDER.proof("POST", f"{door.base}/mcp", token), scheme=scheme)
            assert got.status == 401
            assert 'error="invalid_token"' in got.headers["www-authenticate"]


async def test_t_13_a_bearer_token_is_not_taken_for_a_bound_one(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        token = door.token()
        assert (await call(line, token, HOLDER.proof("POST", f"{door.base}/mcp", token))).status == 401


async def test_t_13_the_proof_of_another_key_is_refused(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        token = bound(door)
        assert (await call(line, token, OTHER.proof("POST", f"{door.base}/mcp", token))).status == 401


async def test_t_13_a_proof_counts_once(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        token = bound(door)
        proof = HOLDER.proof("POST", f"{door.base}/mcp", token)

        assert [(await call(line, token, proof)).status for _ in range(3)] == [200, 401, 401]
        assert [record["reason"] for record in door.records("refused")] == ["dpop.replayed"] * 2
        assert proof not in str(door.records())


async def test_t_14_of_two_doors_that_get_the_same_proof_one_opens(tmp_path: Path) -> None:
    """Two gateways that share a database, as two workers do."""
    meetings = []
    for _ in range(2):
        database = Database(sqlite_url(tmp_path))
        migrate(database)
        meetings.append((database, SharedRendezvous(database)))
    first, second = (rendezvous for _, rendezvous in meetings)
    async with (
        open_door(tmp_path / "a", rendezvous=first) as one,
        open_door(tmp_path / "b", rendezvous=second, like=one, public_url=one.base) as two,
    ):
        token = bound(one)
        proof = HOLDER.proof("POST", f"{one.base}/mcp", token)

        async def knock(door: Door) -> int:
            async with Line(door) as line:
                return (await call(line, token, proof)).status

        got = await asyncio.gather(*(knock(door) for door in (one, two) * 5))

    assert sorted(got) == [200] + [401] * 9
    for database, _ in meetings:
        database.close()


async def test_t_14_where_it_cannot_be_known_nobody_comes_in(tmp_path: Path) -> None:
    class Down:
        async def add(self, *_: object) -> bool:
            raise RendezvousDown("gone")

        async def close(self) -> None: ...

    async with open_door(tmp_path, rendezvous=Down()) as door, Line(door) as line:
        token = bound(door)
        assert (await call(line, token, HOLDER.proof("POST", f"{door.base}/mcp", token))).status == 503


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with House(tmp_path_factory.mktemp("house")) as opened:
        yield opened


def ask(house: House, form: dict[str, str], *proofs: str, auth: tuple[str, str] | None = None) -> Any:
    with house.http() as http:
        headers = [("DPoP", proof) for proof in proofs]
        return http.post("/oauth/token", data=form, headers=headers, **({"auth": auth} if auth else {}))


def proof(house: House, holder: Holder = HOLDER, **claims: Any) -> str:
    return holder.proof("POST", f"{house.base}/oauth/token", **claims)


def test_an_agent_that_proves_a_key_gets_a_token_that_is_bound_to_it(house: House) -> None:
    agent, secret = house.agent()

    given = ask(house, {"grant_type": "client_credentials"}, proof(house), auth=(agent.id, secret)).json()

    assert given["token_type"] == "DPoP"
    keys = house.world.snapshots.current.keys
    token = given["access_token"].encode()
    claims = jose.verify(token, keys.keys[jose.read_header(token)["kid"]].public)
    assert claims["cnf"] == {"jkt": HOLDER.jkt}
    assert house.call(given["access_token"]) == 401, "as a bearer token it is nothing"


def test_t_13_at_the_token_endpoint_a_proof_counts_once_and_for_it_alone(house: House) -> None:
    agent, secret = house.agent()
    form, good = {"grant_type": "client_credentials"}, proof(house)

    def errors(*proofs: str) -> str:
        return str(ask(house, form, *proofs, auth=(agent.id, secret)).json().get("error"))

    assert [errors(good), errors(good)] == ["None", "invalid_dpop_proof"]
    assert errors(proof(house, htm="GET")) == "invalid_dpop_proof"
    assert errors(proof(house, htu=f"{house.base}/mcp")) == "invalid_dpop_proof"
    assert errors(proof(house, iat=int(time.time()) - 600)) == "invalid_dpop_proof"
    assert ask(house, form, proof(house), proof(house), auth=(agent.id, secret)).status_code == 400
    assert errors("garbage") == "invalid_dpop_proof"


def test_a_public_clients_refresh_token_wants_the_key_that_it_was_given_with(house: House) -> None:
    client, person, exchanged = house.client(), house.person(), pkce()
    code = house.code(person, client, exchanged)
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": client.redirect_uris[0],
        "client_id": client.id, "code_verifier": exchanged.verifier,
    }  # fmt: skip
    given = ask(house, form, proof(house)).json()
    again = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"], "client_id": client.id}

    assert ask(house, again).json()["error"] == "invalid_dpop_proof"
    assert ask(house, again, proof(house, OTHER)).json()["error"] == "invalid_dpop_proof"
    renewed = ask(house, again, proof(house)).json()
    assert renewed["token_type"] == "DPoP"
    assert ask(house, again | {"refresh_token": renewed["refresh_token"]}).json()["error"] == "invalid_dpop_proof"


def test_a_code_that_was_asked_for_with_a_key_wants_that_key(house: House) -> None:
    client = house.client()

    def redeem(*proofs: str) -> str:
        exchanged = pkce()
        code = house.code(house.person(), client, exchanged, dpop_jkt=HOLDER.jkt)
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": client.redirect_uris[0],
            "client_id": client.id, "code_verifier": exchanged.verifier,
        }  # fmt: skip
        return str(ask(house, form, *proofs).json().get("error"))

    assert redeem() == redeem(proof(house, OTHER)) == "invalid_dpop_proof"
    assert redeem(proof(house)) == "None"
