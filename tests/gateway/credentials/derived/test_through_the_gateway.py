"""From a sign-in at the company's provider, through a whole gateway, to a server that takes exchanged tokens."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz.tables import Person
from gateway.identity.registering import Described, register
from registry.addresses import exception_line
from registry.credentials import authenticating
from registry.database import Concern
from registry.servers import find
from registry.tables import Auth
from tests.fakes.door import modern
from tests.fakes.furnished import allow, furnish, minted
from tests.fakes.providers.openid import CLIENT, SECRET, OpenIdProvider, listening
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.derived.company import EXCHANGE, Service
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx2

    from idp_adapters.contract import Departure

APP_SECRET = "canary-7f3a9-sts"


@pytest.fixture
def company() -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider("RS256")
    with listening(provider):
        yield provider


@pytest.fixture
def service(company: OpenIdProvider) -> Iterator[Service]:
    with serving(Service()) as fake:
        fake.add_app("ostiary", APP_SECRET)
        fake.issuers[company.issuer] = company.signer.jwks["keys"]
        yield fake


@pytest.fixture
def house(tmp_path: Path, company: OpenIdProvider, service: Service) -> Iterator[House]:
    closed = House(tmp_path, allow_addresses=(exception_line(company.origin),))
    furnish(closed, "board", service.url, "whoami")
    settings = {
        "token_endpoint": f"{service.issuer}/token", "client_id": "ostiary", "subject": "identity", "provider": "corp",
    }  # fmt: skip
    with closed.office.database.change(Concern.CATALOGUE) as session:
        secrets = {"client_secret": APP_SECRET.encode()}
        server = find(session, "board")
        authenticating.set_auth(session, server, Auth.TOKEN_EXCHANGE, settings, secrets, closed.office.vault)
    config = {"issuer": company.issuer, "client_id": CLIENT, "scopes": ["openid", "offline_access"]}
    described = Described(slug="corp", kind="oidc", config=config, secrets={"client_secret": SECRET.encode()})
    register(closed.office, described, who="operator:test")
    with closed as opened:
        yield opened


class Came:
    """Where a provider is told to send a browser back to, as `OpenIdProvider.answer` reads it."""

    def __init__(self, url: str) -> None:
        self.url = url


def sign_in(house: House, company: OpenIdProvider, http: httpx2.Client) -> Person:
    """A browser goes to the provider, and comes back."""
    begun = http.get("/signin/corp")
    departure: Departure = Came(begun.headers["location"])  # type: ignore[assignment]
    arrival = company.answer(departure)
    done = http.get(arrival.url.removeprefix(house.base), params=dict(arrival.parameters))
    assert done.status_code == 303, done.text
    with house.office.database.read() as session:
        return session.exec(select(Person).where(Person.issuer == company.issuer)).one()


def call(house: House, token: str) -> dict[str, Any]:
    headers, body = modern(token, "tools/call", {"name": "board_whoami", "arguments": {}})
    with house.http() as http:
        answer: dict[str, Any] = http.post("/mcp", content=body, headers=headers).json()
    return answer


def until(condition: Callable[[], Any], within: float = 60.0) -> Any:
    end = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.1)
    return found


def text_of(answer: dict[str, Any]) -> str:
    return json.dumps(answer.get("result", {}).get("content", ""))


def test_a_sign_in_is_enough_and_when_it_is_over_the_person_is_led_to_the_next(
    house: House, company: OpenIdProvider, service: Service
) -> None:
    client = house.client()
    with house.http() as http:
        person = sign_in(house, company, http)
        allow(house, person, "board.*")
        token = minted(house, person, client)

        until(lambda: "sub-alice" in text_of(call(house, token)))
        calls = [call(house, token) for _ in range(5)]
        assert all("sub-alice" in text_of(answer) for answer in calls)
        assert len([one for one in service.presented if one[0] == EXCHANGE]) == 1  # and then it was at hand

        page = http.get("/").text
        fields = page[page.index('action="/signout"') :]
        csrf = fields.split('name="csrf" value="')[1].split('"')[0]
        http.post("/signout", data={"csrf": csrf}, headers={"origin": house.base})

    service.expire()  # the server takes none of the tokens any more that were at hand
    led = until(lambda: "/connect/board" in (told := json.dumps(call(house, token))) and told)
    assert "Sign in again" in led
    assert service.calls[-1] == ("whoami", "sub-alice")
    with house.http() as http:
        sign_in(house, company, http)
    until(lambda: "sub-alice" in text_of(call(house, token)))
    written = house.everything_written()
    assert not any(heard in written for heard in service.accounts)
