"""What may be configured of an OpenID provider and of Entra ID, and what is said of the rest."""

from __future__ import annotations

import sys

import pytest

from idp_adapters.config import ConfigRefused, ExtraMissing, open_provider, read_config
from tests.fakes.providers.entra import TENANT
from tests.idp_adapters.equipment import equipment

OIDC = {"issuer": "https://id.example", "client_id": "web"}
ENTRA = {"tenant": TENANT, "client_id": "web"}


def test_what_is_asked_for_is_always_a_sign_in():
    assert read_config("oidc", OIDC | {"scopes": ["groups"]}).scopes == ("openid", "groups")
    assert read_config("oidc", OIDC | {"scopes": ["groups", "openid"]}).scopes == ("groups", "openid")


@pytest.mark.parametrize(
    "option",
    [
        {"issuer": "local"},
        {"issuer": "https://id.example/?realm=x"},
        {"issuer": "https://id.example/\nx"},
        {"issuer": "file:///etc/passwd"},
        {"client_id": ""},
        {"client_auth": "none"},
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"leeway": 301},
        {"max_age": -1},
        {"client_secret": "canary-7f3a9"},
    ],
)
def test_an_option_of_an_openid_provider_that_would_not_hold_is_refused(option):
    with pytest.raises(ConfigRefused, match=next(iter(option))) as refused:
        read_config("oidc", OIDC | option)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "option",
    [
        {"tenant": "corp.example"},
        {"tenants": ["corp.example"]},
        {"authority": "http://login.example"},
        {"authority": "https://login.example/tenant"},
        {"graph": "http://graph.example/v1.0"},
        {"graph": "https://graph.example/v1.0/"},
        {"graph_as": "everybody"},
        {"certificate": "-----BEGIN PRIVATE KEY-----\ncanary-7f3a9\n-----BEGIN CERTIFICATE-----"},
        {"certificate": "certificate.pem"},
    ],
)
def test_an_option_of_entra_that_would_not_hold_is_refused(option):
    with pytest.raises(ConfigRefused, match=next(iter(option))) as refused:
        read_config("entra", ENTRA | option)
    assert "canary" not in str(refused.value)


def test_each_way_to_prove_our_client_needs_its_own_secret():
    assert read_config("oidc", OIDC).needs() == {"client_secret"}
    assert read_config("oidc", OIDC | {"client_auth": "private_key_jwt"}).needs() == {"client_key"}
    assert read_config("entra", ENTRA).needs() == {"client_secret"}
    certificate = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
    assert read_config("entra", ENTRA | {"certificate": certificate}).needs() == {"certificate_key"}


def test_a_library_that_is_not_installed_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "msal", None)
    for module in ("idp_adapters.entra.provider", "idp_adapters.entra.msal_client"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ExtraMissing, match=r"pip install 'ostiary\[entra\]'"):
        open_provider("entra", ENTRA, equipment())


def test_an_openid_provider_needs_nothing_more(monkeypatch):
    monkeypatch.setitem(sys.modules, "msal", None)
    assert open_provider("oidc", OIDC, equipment())
