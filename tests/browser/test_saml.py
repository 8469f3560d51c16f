"""SAML in a real browser, with a provider on another site: its post comes without our cookie, and leads in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.fakes.gateway import Gateway
from tests.servers.simplesamlphp import simplesamlphp

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Request

pytestmark = pytest.mark.servers


def type_in(page: Page, person: str) -> None:
    page.fill("input[name=username]", person)
    page.fill("input[name=password]", f"{person}pass")
    page.keyboard.press("Enter")


def test_somebody_signs_in_across_sites_and_out_on_both(chromium: Browser, tmp_path: Path) -> None:
    metadata = tmp_path / "idp.xml"
    with simplesamlphp([], host="localhost") as server, Gateway(tmp_path / "data") as gateway:
        metadata.write_bytes(httpx2.get(server.metadata_url, trust_env=False).content)
        gateway.run(
            "idp", "add", "saml", "uni", "--title", "University", "--entity-id", server.entity_id,
            "--metadata-file", str(metadata),
        )  # fmt: skip
        server.told(httpx2.get(f"{gateway.url}/signin/uni/metadata", trust_env=False).content)
        context = chromium.new_context(base_url=gateway.url)
        page = context.new_page()
        page.set_default_timeout(60_000)
        sent: list[Request] = []
        page.on("request", lambda request: sent.append(request))  # noqa: PLW0108 - it hangs something on it

        page.goto("/signin")
        page.click("text=University")
        type_in(page, "alice")
        page.wait_for_selector("text=Alice")
        assert page.url == f"{gateway.url}/"
        posted, finished = (next(one for one in sent if part in one.url) for part in ("/callback", "/finish"))
        assert posted.method == "POST"
        assert "cookie" not in posted.all_headers()
        assert "cookie" in finished.all_headers()

        page.click("text=Sign out")
        page.wait_for_selector("a:has-text('Sign in')")
        assert page.url.startswith(gateway.url)
        page.goto("/signin/uni")
        type_in(page, "bob")  # asked anew: alice is signed out there too
        page.wait_for_selector("text=Bob")
        context.close()
