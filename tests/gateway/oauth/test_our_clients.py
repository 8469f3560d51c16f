"""What we say of ourselves where our address is our client id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.credentials.oauth.own_documents import PATHS, address
from gateway.oauth.clients.documents import is_document_id, read_document
from gateway.oauth.metadata import AUTH_METHODS
from idp_adapters.contract import HttpAnswer
from registry.database import Concern
from registry.tables import Auth, Server, ServerState
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as opened:
        yield opened


def register(house: House, slug: str, auth: Auth, state: ServerState = ServerState.APPROVED) -> None:
    with house.office.database.change(Concern.CATALOGUE) as session:
        session.add(Server(slug=slug, url=f"https://{slug}.example/mcp", auth=auth, state=state))


@pytest.mark.parametrize("method", PATHS)
def test_it_lists_the_callback_of_every_server_with_accounts(house: House, method: str) -> None:
    register(house, "mail", Auth.OAUTH_PERSON)
    register(house, "wiki", Auth.OAUTH_SHARED, ServerState.SUBMITTED)
    register(house, "gone", Auth.OAUTH_PERSON, ServerState.RETIRED)
    register(house, "open", Auth.NONE)
    with house.http() as http:
        said = http.get(PATHS[method]).json()
    assert said["client_id"] == address(house.base, method)
    assert said["redirect_uris"] == [f"{house.base}/connect/{slug}/callback" for slug in ("mail", "wiki")]
    assert said["token_endpoint_auth_method"] == method


@pytest.mark.parametrize("method", PATHS)
def test_an_authorization_server_of_our_own_making_would_believe_it(house: House, method: str) -> None:
    register(house, "mail", Auth.OAUTH_PERSON)
    with house.http() as http:
        got = http.get(PATHS[method])
    read = read_document(address(house.base, method), HttpAnswer(got.status_code, dict(got.headers), got.content))
    assert is_document_id(address(house.base, method))
    assert read.redirect_uris == [f"{house.base}/connect/mail/callback"]
    assert method in AUTH_METHODS


def test_its_keys_are_those_that_we_publish(house: House) -> None:
    with house.http() as http:
        keys = http.get(http.get(PATHS["private_key_jwt"]).json()["jwks_uri"].removeprefix(house.base)).json()
    assert keys["keys"]
    assert not any("d" in key for key in keys["keys"])
