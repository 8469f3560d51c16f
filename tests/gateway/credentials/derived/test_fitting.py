"""A registration that names an identity provider which is not there, or cannot, is refused at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from authz.people import providers
from authz.tables import Provider
from gateway.credentials.derived.fitting import check_named
from registry.credentials.modes import read_auth
from registry.errors import RegistryError
from registry.tables import Auth
from tests.fakes.providers.entra import TENANT

if TYPE_CHECKING:
    from tests.gateway.credentials.derived.bench import Bench

ENTRA = {"tenant": TENANT, "client_id": "web"}
STANDING: tuple[Auth, dict[str, Any]] = (Auth.ON_BEHALF_OF, {"scopes": ["api://notes/a"]})
EXCHANGE: tuple[Auth, dict[str, Any]] = (
    Auth.TOKEN_EXCHANGE,
    {"subject": "identity", "token_endpoint": "https://x.example", "client_id": "c"},
)
VOUCHED: tuple[Auth, dict[str, Any]] = (Auth.ID_JAG, {"client_id": "c", "client_auth": "none"})


def check(opened: Bench, mode: tuple[Auth, dict[str, Any]], kind: str = "", **config: Any) -> None:
    auth, settings = mode
    with opened.office.database.change() as session:
        if kind:
            providers.put(session, "corp", kind, config, now=1)
        check_named(session, (), read_auth(auth, settings | {"provider": "corp"}))


@pytest.mark.parametrize("mode", [STANDING, EXCHANGE, VOUCHED])
def test_a_provider_that_is_not_there_is_named(opened: Bench, mode: Any) -> None:
    with pytest.raises(RegistryError, match="no identity provider 'corp'"):
        check(opened, mode)


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        (STANDING, "oidc", "on-behalf-of is Entra ID's"),
        (STANDING, "entra", "--on-behalf"),
        (EXCHANGE, "saml", "oidc or entra"),
        (VOUCHED, "entra", "oidc does"),
        (VOUCHED, "ldap", "oidc does"),
    ],
)
def test_one_that_cannot_is_said_with_what_would(opened: Bench, mode: Any, kind: str, words: str) -> None:
    config: dict[str, Any] = ENTRA if kind == "entra" else {"issuer": "https://corp.example", "client_id": "web"}
    with pytest.raises(RegistryError, match=words):
        check(opened, mode, kind, **config)


def test_those_that_can_are_taken(opened: Bench) -> None:
    oidc = {"issuer": "https://corp.example", "client_id": "web"}
    for mode in (EXCHANGE, VOUCHED):
        check(opened, mode, "oidc", **oidc)
    with opened.office.database.change() as session:
        session.delete(session.get_one(Provider, "corp"))
    for mode in (EXCHANGE, STANDING):
        check(opened, mode, "entra", **ENTRA, on_behalf=True)


def test_nothing_is_asked_of_modes_that_name_none(opened: Bench) -> None:
    with opened.office.database.read() as session:
        check_named(session, (), read_auth(Auth.MINTED, {}))
        check_named(session, (), read_auth(Auth.NONE, {}))
