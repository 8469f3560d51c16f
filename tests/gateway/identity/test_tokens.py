"""What a provider said of a sign-in is in the tokens that come of it."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from authz.people.accounts import add_group
from authz.tables import ClaimMapping, Provider, Rule
from registry.database import Concern
from tests.fakes.providers.identity import fake_kinds
from tests.gateway.oauth.house import House, answer_of, pkce

if TYPE_CHECKING:
    from pathlib import Path


def claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def test_assurance_goes_from_the_provider_into_every_token_and_through_refreshing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation = fake_kinds(monkeypatch)
    organisation.groups["alice"] = ["devs"]
    organisation.acr, organisation.amr, organisation.ago = "urn:corp:high", ("hwk", "mfa"), 900.0
    with House(tmp_path) as house, house.browser() as browser:
        with house.office.database.change(Concern.PEOPLE, Concern.POLICY) as session:
            session.add(Provider(slug="corp", kind="away"))
            add_group(session, "developers")
            session.add(ClaimMapping(provider="corp", claim="groups", value="devs", group="developers"))
            session.add(Rule(id="r", subject="group:developers", object="notes.*", action="call"))
        state = parse_qs(urlsplit(browser.http.get("/signin/corp").headers["location"]).query)["state"][0]
        browser.http.get("/signin/corp/callback", params={"state": state, "code": "alice"})
        client, proof = house.client(), pkce()
        got = house.redeem(client, answer_of(browser.consent(client, proof))["code"], proof).json()
        again = house.refresh(client, got["refresh_token"]).json()
        for token in (got["access_token"], again["access_token"]):
            said = claims(token)
            assert (said["acr"], said["amr"]) == ("urn:corp:high", ["hwk", "mfa"])
            assert said["auth_time"] == pytest.approx(time.time() - 900, abs=30)
        member = next(member for member in house.members().values() if member.label == "user:alice@corp")
        assert "group:developers" in member.subjects(time.time())
