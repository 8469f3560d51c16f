"""What we say of ourselves where our address is our client id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.credentials.oauth.client.own_documents import OURSELVES, PATHS, address, document_of
from gateway.oauth.clients.documents import is_document_id, read_document
from gateway.oauth.metadata import AUTH_METHODS
from idp_adapters.contract import HttpAnswer
from registry.database import Concern
from registry.tables import Auth, Server, ServerState, UpstreamClient
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUBLIC, KEYS = PATHS["none"], PATHS["private_key_jwt"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as opened:
        yield opened


def register(house: House, slug: str, auth: Auth, state: ServerState = ServerState.APPROVED) -> None:
    with house.office.database.change(Concern.CATALOGUE) as session:
        session.add(Server(slug=slug, url=f"https://{slug}.example/mcp", auth=auth, state=state))


def known(house: House, slug: str, how: str, method: str, issuer: str = "https://as.example") -> None:
    with house.office.database.change() as session:
        session.add(UpstreamClient(server=slug, issuer=issuer, client_id="x", how=how, auth_method=method))


@pytest.mark.parametrize("method", PATHS)
def test_the_document_of_a_server_lists_its_callback_and_no_other(house: House, method: str) -> None:
    for slug in ("mail", "wiki"):
        register(house, slug, Auth.OAUTH_PERSON)
        known(house, slug, "metadata", method)
    with house.http() as http:
        said = http.get(PATHS[method].format(slug="mail")).json()
    assert said["client_id"] == document_of(house.base, "mail", method)
    assert said["redirect_uris"] == [f"{house.base}/connect/mail/callback"]
    assert said["token_endpoint_auth_method"] == method


@pytest.mark.parametrize("method", PATHS)
def test_there_is_none_where_nobody_connects_an_account(house: House, method: str) -> None:
    register(house, "gone", Auth.OAUTH_PERSON, ServerState.RETIRED)
    register(house, "open", Auth.NONE)
    with house.http() as http:
        for slug in ("gone", "open", "never-was"):
            assert http.get(PATHS[method].format(slug=slug)).status_code == 404


def test_t_30_the_one_without_keys_is_there_only_where_it_is_what_we_are_known_by(house: House) -> None:
    """Whoever else could name it to a good authorization server, and have the code of somebody brought to itself."""
    register(house, "mail", Auth.OAUTH_PERSON)
    with house.http() as http:
        assert http.get(PUBLIC.format(slug="mail")).status_code == 404
        assert http.get(KEYS.format(slug="mail")).status_code == 200
        known(house, "mail", "metadata", "none")
        assert http.get(PUBLIC.format(slug="mail")).status_code == 200
        known(house, "mail", "dynamic", "none", "https://another.example")
        assert http.get(PUBLIC.format(slug="mail")).status_code == 404


def test_we_ourselves_are_called_by_a_document_that_leads_nobody_anywhere(house: House) -> None:
    register(house, "mail", Auth.OAUTH_PERSON)
    with house.http() as http:
        said = http.get(OURSELVES).json()
    assert (said["client_id"], said["redirect_uris"]) == (address(house.base), [])


@pytest.mark.parametrize("method", PATHS)
def test_an_authorization_server_of_our_own_making_would_believe_it(house: House, method: str) -> None:
    register(house, "mail", Auth.OAUTH_PERSON)
    known(house, "mail", "metadata", method)
    ident = document_of(house.base, "mail", method)
    with house.http() as http:
        got = http.get(ident.removeprefix(house.base))
    read = read_document(ident, HttpAnswer(got.status_code, dict(got.headers), got.content))
    assert is_document_id(ident)
    assert read.redirect_uris == [f"{house.base}/connect/mail/callback"]
    assert method in AUTH_METHODS


def test_its_keys_are_those_that_we_publish(house: House) -> None:
    register(house, "mail", Auth.OAUTH_PERSON)
    with house.http() as http:
        said = http.get(KEYS.format(slug="mail")).json()
        keys = http.get(said["jwks_uri"].removeprefix(house.base)).json()
    assert keys["keys"]
    assert not any("d" in key for key in keys["keys"])
