"""The fixed table of assets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.pages.assets import asset

if TYPE_CHECKING:
    from tests.gateway.pages.desk import Desk


@pytest.mark.parametrize(
    ("name", "kind"), [("style.css", "text/css"), ("copy.js", "text/javascript"), ("mark.svg", "image/svg+xml")]
)
def test_an_asset_is_kept_for_ever_under_a_name_with_its_digest(desk: Desk, name: str, kind: str) -> None:
    browser = desk.browser()
    answer = browser.get(asset(name))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert "immutable" in answer.headers["cache-control"]
    again = browser.get(asset(name), headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["style.css", "..%2fassets.py", "../assets.py", "style.0000000000000000.css", ""])
def test_nothing_else_is_served(desk: Desk, path: str) -> None:
    assert desk.browser().get(f"/assets/{path}").status_code == 404


def test_no_asset_asks_another_host(desk: Desk) -> None:
    for name in ("style.css", "copy.js"):
        assert "//" not in desk.browser().get(asset(name)).text.replace("// ", "")
