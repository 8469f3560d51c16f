"""What a description says of how its API knows who calls: read as a proposal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from registry.openapi.kept import Text, understand
from registry.openapi.operations import Choice
from registry.tables import Auth

if TYPE_CHECKING:
    from registry.openapi.security import Way

AGREE, TOKEN = "https://as.example/authorize", "https://as.example/token"
CODE = {"authorizationUrl": AGREE, "tokenUrl": TOKEN, "scopes": {"read": "", "write": ""}}
PEOPLE = (Auth.OAUTH_PERSON, Auth.OAUTH_SHARED)


def ways(scheme: Any, *chosen: str, **more: Any) -> tuple[Way, ...]:
    """Of two operations, that say which scopes they need."""
    operation = {"responses": {}}
    paths = {
        "/a": {"get": {"operationId": "a", "security": [{"it": ["read"]}], **operation}},
        "/b": {"post": {"operationId": "b", "security": [{}, {"it": ["write", "read"]}], **operation}},
        "/c": {"get": {"operationId": "c", **operation}},
    }
    described = {"openapi": "3.1.0", "info": {}, "paths": paths, "components": {"securitySchemes": {"it": scheme}}}
    text = Text(json.dumps(described | more).encode())
    return understand(text, Choice(operations=chosen or ("*",)), address="https://api.example").ways


def test_codes_are_for_people_and_the_rest_for_ourselves() -> None:
    flows = {"authorizationCode": CODE, "clientCredentials": {"tokenUrl": TOKEN, "scopes": {}}}
    people, ourselves = ways({"type": "oauth2", "flows": flows})
    assert people.modes == PEOPLE
    assert people.settings == {
        "authorization_endpoint": AGREE, "token_endpoint": TOKEN, "scopes": ("read", "write"),
    }  # fmt: skip
    assert ourselves.modes == (Auth.CLIENT_CREDENTIALS,)
    assert ourselves.settings == {"token_endpoint": TOKEN, "scopes": ("read", "write")}


@pytest.mark.parametrize(
    ("chosen", "scopes"), [(["a"], ("read",)), (["b"], ("write", "read")), (["c"], None), (["a", "c"], ("read",))]
)
def test_only_scopes_that_the_chosen_operations_need(chosen: list[str], scopes: Any) -> None:
    (way,) = ways({"type": "oauth2", "flows": {"authorizationCode": CODE}}, *chosen)
    assert way.settings.get("scopes") == scopes


def test_what_is_needed_everywhere_counts_where_an_operation_says_nothing() -> None:
    (way,) = ways({"type": "oauth2", "flows": {"authorizationCode": CODE}}, "c", security=[{"it": ["all"]}])
    assert way.settings["scopes"] == ("all",)


def test_a_scheme_that_no_chosen_operation_names_is_left_out() -> None:
    assert ways({"type": "oauth2", "flows": {"authorizationCode": CODE}}, "c", security=[{"other": []}]) == ()


def test_openid_is_its_issuer() -> None:
    address = "https://as.example/tenant/.well-known/openid-configuration"
    (way,) = ways({"type": "openIdConnect", "openIdConnectUrl": address}, "c")
    assert way.settings == {"issuer": "https://as.example/tenant"}
    assert Auth.CLIENT_CREDENTIALS in way.modes


@pytest.mark.parametrize("place", ["query", "cookie"])
def test_a_key_is_where_it_says(place: str) -> None:
    (way,) = ways({"type": "apiKey", "in": place, "name": "api_key"}, "c")
    assert (way.modes, way.settings) == ((Auth.STATIC,), {place: "api_key"})


@pytest.mark.parametrize(
    "scheme",
    [
        {"type": "apiKey", "in": "header", "name": "X-Key"},  # which is a line, and nothing to say of
        {"type": "apiKey", "in": "query", "name": "a&b=c"},
        {"type": "apiKey", "in": "query"},
        {"type": "http", "scheme": "bearer"},
        {"type": "openIdConnect", "openIdConnectUrl": "https://as.example/elsewhere"},
        {"type": "openIdConnect", "openIdConnectUrl": ["x"]},
        {"type": "oauth2"},
        {"type": "oauth2", "flows": {"implicit": CODE}},
        {"type": "oauth2", "flows": {"authorizationCode": CODE | {"tokenUrl": "/token"}}},
        {"type": "oauth2", "flows": {"authorizationCode": CODE | {"tokenUrl": 7}}},
        {"type": "oauth2", "flows": {"authorizationCode": CODE | {"authorizationUrl": "javascript:alert(1)"}}},
        {"type": "oauth2", "flows": {"authorizationCode": CODE | {"authorizationUrl": "https://a b"}}},
        {"type": "oauth2", "flows": {"authorizationCode": CODE | {"authorizationUrl": "http://as.example/a"}}},
        {"type": "oauth2", "flows": {"authorizationCode": CODE | {"tokenUrl": "https://u:p@as.example/"}}},
        {"type": "oauth2", "flows": {"authorizationCode": CODE | {"tokenUrl": "https://ex\u0430mple.com/token"}}},
        "nothing",
        None,
    ],
)
def test_what_cannot_be_used_as_it_is_is_no_proposal(scheme: Any) -> None:
    assert ways(scheme) == ()


@pytest.mark.parametrize("schemes", [None, [], "x", {"it": {"$ref": "#/components/securitySchemes/it"}}])
def test_a_description_may_be_broken_here(schemes: Any) -> None:
    assert ways({}, components={"securitySchemes": schemes}) == ()


def test_scopes_that_are_none_and_more_than_anybody_agrees_to_are_left_out() -> None:
    (way,) = ways({"type": "oauth2", "flows": {"authorizationCode": CODE}}, "c", security=[{"it": ["a b", 'q"', "ok"]}])
    assert way.settings["scopes"] == ("ok",)
    many = [f"s{number}" for number in range(65)]
    (way,) = ways({"type": "oauth2", "flows": {"authorizationCode": CODE}}, "c", security=[{"it": many}])
    assert "scopes" not in way.settings
