"""T-01, T-02, T-07, T-12 and T-25 at the door of the whole gateway."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import resource
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

import authz
import gateway
import registry
from tests.fakes.deadlines import within
from tests.fakes.furnished import minted
from tests.fakes.tokens import Judge, b64, claims, new_key, signed
from tests.gateway.oauth.house import House, answer_of

if TYPE_CHECKING:
    from authz.tables import Client, Person


@pytest.fixture(scope="module")
def party(house: House) -> tuple[Person, Client]:
    person, client = house.person(), house.client()
    house.until_call(house.tokens(person, client)["access_token"], 200)
    return person, client


async def status(house: House, authorization: bytes, body: bytes = b"{}") -> int:
    """What the very bytes of a header get."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.settings.port)
    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{house.settings.port}\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: %d\r\nAuthorization:%b\r\n\r\n" % (len(body), authorization) + body)
    line = await within(reader.readline(), 20)
    writer.close()
    return int(line.split()[1])


async def test_t_01_a_good_token_with_anything_beside_it_is_none(house: House, party: tuple[Person, Client]) -> None:
    token = minted(house, *party).encode()
    assert await status(house, b" Bearer " + token) == 400, "the token is good; the body is nothing"
    beside = [
        b"%b,",
        b"%b;",
        b'"%b"',
        b"%b\xa0",
        b"\xc2\xa0%b",
        b"%b\x85",
        b"%b%%20",
        b"Bearer %b",
        b"%b %b",
        b"%b=",
        b".",
    ]
    for form in beside:
        text = form.replace(b"%b", token).replace(b"%%", b"%")
        assert await status(house, b" Bearer " + text) in {400, 401}, form
        assert await status(house, b" Bearer " + text, b"{not json") in {400, 401}, form
    for scheme in (b"", b"Basic ", b"Token ", b"DPoP ", b"Digest ", b"Bearer: ", b"Bearer=", b"Bearer\xa0", b"MAC "):
        assert await status(house, b" " + scheme + token) == 401, scheme


async def test_t_01_white_space_after_the_value_is_no_part_of_it(house: House, party: tuple[Person, Client]) -> None:
    """RFC 9110 section 5.5: it is taken off before anybody looks, so this is the same token and no other."""
    token = minted(house, *party).encode()
    assert {await status(house, b" Bearer " + token + after) for after in (b"", b" ", b"\t", b"  ")} <= {400, 401}
    assert await status(house, b" Bearer " + token[:-1] + b" ") == 401


def every_exception() -> list[type[BaseException]]:
    """All classes of our packages, and those that anything may raise."""
    for package in (authz, gateway, registry):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, queue = set[type[BaseException]](), [Exception]
    while queue:
        queue += (below := queue.pop().__subclasses__())
        found |= {one for one in below if one.__module__.partition(".")[0] in {"authz", "gateway", "registry"}}
    return [*sorted(found, key=lambda one: f"{one.__module__}.{one.__name__}"), *ANYBODYS]


ANYBODYS = [RuntimeError, TimeoutError, MemoryError, RecursionError, OSError, KeyError, ValueError, StopIteration,
            AttributeError, UnicodeDecodeError, ZeroDivisionError, asyncio.TimeoutError, AssertionError]  # fmt: skip


@pytest.mark.parametrize("part", ["_prove", "_judge", "_remember"])
async def test_t_02_whatever_the_verifier_raises_nobody_is_let_in(
    house: House, party: tuple[Person, Client], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    kinds = every_exception()
    assert len(kinds) > 40
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    for kind in kinds:

        def broken(*_: Any, kind: type[BaseException] = kind) -> Any:
            raise kind.__new__(kind)

        monkeypatch.setattr(type(house.world.verifier), part, broken)
        got = await status(house, b" Bearer " + minted(house, *party).encode(), body)
        assert 400 <= got < 600, kind
        assert got in {401, 503} or kind.__name__ in {"Refusal", "Problem"}, (kind, got)


async def test_t_07_a_key_that_a_token_names_is_never_fetched(house: House, party: tuple[Person, Client]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        attacker = Judge(key=new_key())
        said = claims(iss=house.base, aud=house.resource, sub=party[0].id, client_id=party[1].id)
        for header in ({"jku": url}, {"x5u": url}, {"kid": url}, {"jwk": dict(attacker.key.jwk)}, {"x5c": [url]}):
            for foreign in (said, said | {"iss": url}):
                assert await status(house, b" Bearer " + signed(attacker, foreign, **header)) == 401
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_t_12_tokens_without_measure_cost_the_whole_gateway_next_to_nothing(house: House) -> None:
    huge = [b"a" * 7000, b"a" * 1_048_576, b"a." * 1_048_576, b64(b'{"alg":"dir","zip":"DEF"}') + b"." * 4]
    before, spent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for token in huge:
        assert await status(house, b" Bearer " + token) in {401, 431}
    assert time.process_time() - spent < 0.5  # the rule says 5 ms for each; this process also sends them
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 * 2 * 1024  # KiB; the sender is here too


def test_t_25_every_answer_names_its_issuer_errors_too(house: House) -> None:
    """RFC 9207: a client of several authorization servers can tell whose answer it has, whatever it says."""
    with house.http() as http:
        told = http.get("/.well-known/oauth-authorization-server").json()
    assert told["authorization_response_iss_parameter_supported"] is True
    with house.browser(house.person()) as browser:
        client = house.client()
        page = browser.authorize(client)
        answers = [
            answer_of(browser.answer(page, "allow")),
            answer_of(browser.answer(browser.authorize(house.client()), "deny")),
            answer_of(browser.authorize(client, response_type="token")),
            answer_of(browser.authorize(client, code_challenge=None)),
            answer_of(browser.authorize(client, resource="https://elsewhere.example/mcp")),
            answer_of(browser.authorize(client, iss="https://elsewhere.example", scope="everything")),
        ]
    assert {answer["iss"] for answer in answers} == {told["issuer"]} == {house.base}
    assert sum("error" in answer for answer in answers) >= 4


def test_t_25_nobody_elses_words_are_shown(house: House) -> None:
    words = "call+555-0100+to+unlock"
    with house.browser(house.person()) as browser:
        for path in ("/signin", "/oauth/authorize", "/", "/oauth/consent"):
            asked = f"{path}?error=access_denied&error_description={words}&iss=https://elsewhere.example"
            assert "555-0100" not in browser.http.get(asked).text
