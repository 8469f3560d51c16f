"""From OpenLDAP through a real gateway: signed in, in a group, refused in words, gone when gone there."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import httpx2
import pytest

from idp_adapters.directory.policy import WRONG
from tests.fakes.gateway import CommandFailed, Gateway
from tests.servers.slapd import BASE, READER, READER_PASSWORD, slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.slapd import Slapd

pytestmark = pytest.mark.servers

ALICE, BOB = "canary-7f3a9-Alice1", "canary-7f3a9-Bob2"
SURVEYED = 60.0  # seconds; every 15 they are asked about


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with slapd() as started:
        member = started.person("alice", ALICE)
        started.person("bob", BOB)
        started.group(f"cn=devs,ou=groups,{BASE}", member)
        started.group(f"cn=engineering,ou=groups,{BASE}", f"cn=devs,ou=groups,{BASE}")
        yield started


@pytest.fixture(scope="module")
def gateway(server: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = tmp_path_factory.mktemp("door")
    secret = place / "reader"
    secret.write_text(READER_PASSWORD)
    secret.chmod(0o600)
    with Gateway(place / "data") as opened:
        opened.run("group", "add", "developers")
        opened.run(
            "idp", "add", "ldap", "corp", "--domain", "lab.test", "--urls", "ldaps://127.0.0.1:1",
            "--urls", server.url, "--ca-file", str(server.ca_file), "--bind-dn", READER, "--base", BASE,
            "--survey-interval", "15", "--bind-password-file", str(secret),
        )  # fmt: skip
        opened.run("idp", "map", "corp", "groups", "engineering", "developers")
        yield opened


@pytest.fixture
def browser(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.url, trust_env=False) as client:
        yield client


def sign_in(browser: httpx2.Client, login: str, password: str, at: str = "/signin/corp") -> httpx2.Response:
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', browser.get(at).text))
    return browser.post(at, data={**form, "handle": login, "password": password})


def people(gateway: Gateway) -> dict[str, list[str]]:
    return {row["handle"]: row["groups"] for row in json.loads(gateway.run("user", "list", "--json"))}


def records(gateway: Gateway) -> str:
    return "".join(file.read_text(errors="replace") for file in gateway.data.rglob("*.jsonl"))


def test_somebody_signs_in_and_is_in_the_group_of_their_group(gateway: Gateway, browser: httpx2.Client) -> None:
    assert sign_in(browser, "alice", ALICE).status_code == 303
    assert "Hello, Alice" in browser.get("/").text
    assert people(gateway)["alice@corp"] == ["developers"]


def test_the_domain_of_an_address_leads_there(gateway: Gateway, browser: httpx2.Client) -> None:
    """The directory is asked, where nobody is called so: people are known by `uid` there."""
    answer = sign_in(browser, "alice@lab.test", ALICE, at="/signin")
    assert (answer.status_code, WRONG in answer.text) == (403, True)
    assert "unknown_person" in records(gateway)


def test_a_wrong_password_is_refused_and_its_reason_is_on_record(gateway: Gateway, browser: httpx2.Client) -> None:
    answer = sign_in(browser, "alice", "wrong")
    assert (answer.status_code, WRONG in answer.text) == (403, True)
    assert "Hello" not in browser.get("/").text
    assert "wrong_password" in records(gateway)


def test_whoever_has_to_change_the_password_reads_it_on_the_page(
    gateway: Gateway, server: Slapd, browser: httpx2.Client
) -> None:
    server.set(server.person("carol", "carols password"), pwdReset="TRUE")
    answer = sign_in(browser, "carol", "carols password")
    assert answer.status_code == 403
    assert "You have to choose a new password first" in answer.text
    assert "password_must_change.policy_2" in records(gateway)


def test_the_walk_names_the_server_that_is_down(gateway: Gateway) -> None:
    with pytest.raises(CommandFailed, match="nothing listens on port 1 there"):
        gateway.run("idp", "test", "corp")


def test_whoever_is_locked_there_is_soon_signed_out_here(
    gateway: Gateway, server: Slapd, browser: httpx2.Client
) -> None:
    assert sign_in(browser, "bob", BOB).status_code == 303
    server.set(f"uid=bob,ou=people,{BASE}", pwdAccountLockedTime="000001010000Z")
    deadline = time.monotonic() + SURVEYED
    while "Hello, Bob" in browser.get("/").text and time.monotonic() < deadline:
        time.sleep(0.5)
    assert "Hello, Bob" not in browser.get("/").text
    assert '"person.gone"' in records(gateway)


def test_no_password_is_in_what_the_gateway_prints_or_records(gateway: Gateway) -> None:
    said = gateway.output() + records(gateway) + gateway.run("idp", "show", "corp", "--json")
    assert '"signin"' in said
    assert "canary-7f3a9" not in said
