"""Debian's chromium, driven by Playwright, before the real control plane on loopback."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gateway.edge import Edge
from tests.gateway.pages.desk import Desk, control_plane, open_desk
from tests.npm import package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
AXE = "4.14.1"
START_DEADLINE = 120.0
expect.set_options(timeout=60_000)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS), timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def axe() -> str:
    return (package("axe-core", AXE) / "axe.min.js").read_text()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose pages are served where its settings say."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        desk = open_desk(tmp_path, port=listener.getsockname()[1])
        app = Edge(control_plane(desk), desk.settings)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        _wait(lambda: server.started)
        yield desk
        server.should_exit = True
        thread.join(20)
        desk.office.close()


@pytest.fixture
def page(chromium: Browser, desk: Desk) -> Iterator[Page]:
    with window(chromium, desk.settings.base_url) as page:
        yield page


@contextmanager
def window(chromium: Browser, base_url: str) -> Iterator[Page]:
    """A fresh window; whatever the browser complains about (a CSP violation, a script error) fails the test."""
    context = chromium.new_context(base_url=base_url, bypass_csp=False)
    complaints: list[str] = []
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert [text for text in complaints if "status of 4" not in text] == []


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while not done():
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
