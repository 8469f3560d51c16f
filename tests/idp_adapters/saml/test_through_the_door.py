"""From SimpleSAMLphp through a real gateway: signed in, in a group, signed out from both ends."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.fakes.gateway import CommandFailed, Gateway
from tests.idp_adapters.saml.house import ISSUER, idp_metadata
from tests.servers.simplesamlphp import Browser, simplesamlphp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.simplesamlphp import SimpleSamlPhp

pytestmark = pytest.mark.servers

LARGE = 200 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleSamlPhp]:
    with simplesamlphp([]) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(server: SimpleSamlPhp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("door")) as opened:
        opened.run("group", "add", "developers")
        opened.run(
            "idp", "add", "saml", "corp", "--entity-id", server.entity_id, "--metadata-url", server.metadata_url,
            "--allow-addresses", server.url,
        )  # fmt: skip
        opened.run("idp", "map", "corp", "groups", "devs", "developers")
        server.told(httpx2.get(f"{opened.url}/signin/corp/metadata", trust_env=False).content)
        yield opened


def sign_in(gateway: Gateway, browser: Browser, person: str = "alice") -> None:
    begun = browser.client.get(f"{gateway.url}/signin/corp")
    assert begun.status_code == 303
    action, form = browser.until(begun.headers["location"], gateway.url, person)
    with httpx2.Client(trust_env=False) as without_cookies:  # as browsers send what another site posts
        posted = without_cookies.post(action, data=form)
    assert posted.status_code == 303
    finished = browser.client.get(f"{gateway.url}{posted.headers['location']}")
    assert finished.status_code == 303


def home(gateway: Gateway, browser: Browser) -> str:
    return browser.client.get(f"{gateway.url}/").text


def test_the_connection_is_walked_to_its_end(gateway: Gateway) -> None:
    printed = gateway.run("idp", "test", "corp")
    assert "xmlsec1" in printed
    assert f"{gateway.url}/signin/corp/metadata" in printed


def test_somebody_signs_in_and_is_in_their_group(gateway: Gateway) -> None:
    with Browser() as browser:
        sign_in(gateway, browser)
        assert "Alice" in home(gateway, browser)
    people = {row["handle"]: row for row in json.loads(gateway.run("user", "list", "--json"))}
    assert people["alice@corp"]["groups"] == ["developers"]


def test_an_answer_brought_by_another_browser_signs_nobody_in(gateway: Gateway) -> None:
    with Browser() as browser, Browser() as other:
        begun = browser.client.get(f"{gateway.url}/signin/corp")
        action, form = browser.until(begun.headers["location"], gateway.url)
        posted = other.client.post(action, data=form)
        assert other.client.get(f"{gateway.url}{posted.headers['location']}").status_code == 400
        assert "Alice" not in home(gateway, other)


def test_signing_out_there_ends_the_session_here(gateway: Gateway, server: SimpleSamlPhp) -> None:
    with Browser() as browser:
        sign_in(gateway, browser, "bob")
        assert "Bob" in home(gateway, browser)
        started = f"{server.url}/saml2/idp/SingleLogoutService.php?ReturnTo={server.url}/done"
        told, _ = browser.until(started, gateway.url)
        answer = browser.client.get(told)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(server.url)
        assert "Bob" not in home(gateway, browser)


def test_signing_out_here_ends_the_session_there(gateway: Gateway) -> None:
    with Browser() as browser:
        sign_in(gateway, browser)
        on = browser.sign_out(gateway.url)
        back, _ = browser.until(on, gateway.url)
        assert browser.client.get(back).headers["location"] == "/"
        sign_in(gateway, browser, "bob")  # who could not type a name were alice still signed in there
        assert "Bob" in home(gateway, browser)


def test_an_answer_may_be_larger_than_a_form_of_ours(gateway: Gateway) -> None:
    """It is read, and refused for what it says: nobody began this."""
    large = {"SAMLResponse": base64.b64encode(b"x" * LARGE).decode(), "RelayState": "nobody's"}
    assert httpx2.post(f"{gateway.url}/signin/corp/callback", data=large, trust_env=False).status_code == 400
    assert httpx2.post(f"{gateway.url}/signin/corp", data=large, trust_env=False).status_code == 413


def test_nothing_of_the_key_is_in_what_the_gateway_prints_or_records(gateway: Gateway) -> None:
    said = gateway.output() + "".join(file.read_text(errors="replace") for file in gateway.data.rglob("*.jsonl"))
    assert '"signin"' in said
    assert "PRIVATE KEY" not in said
    assert "SAMLResponse" not in said
    assert "<saml" not in said


def test_t_33_the_door_stays_shut_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "idp.xml").write_text(idp_metadata())
    with Gateway(tmp_path / "data") as opened:
        opened.run(
            "idp", "add", "saml", "corp", "--entity-id", ISSUER, "--metadata-file", str(tmp_path / "idp.xml")
        )  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    shut = Gateway(tmp_path / "data")
    with pytest.raises(CommandFailed, match="apt install xmlsec1"):
        shut.__enter__()
    assert shut.wait() == 78
