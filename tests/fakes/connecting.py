"""A person at a browser without a browser, who reads what the pages of accounts say, and agrees."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import httpx2

if TYPE_CHECKING:
    from tests.fakes.servers.upstream_oauth import Upstream


class Visitor:
    """`with Visitor(url, "ada", cookie, fakes) as ada:`; `cookie` is of a session, `fakes` have accounts of theirs."""

    def __init__(self, base: str, handle: str, cookie: str, *fakes: Upstream) -> None:
        self.handle = handle
        self.fakes = {fake.origin: fake for fake in fakes}
        self.http = httpx2.Client(base_url=base, trust_env=False, follow_redirects=False, timeout=20)
        self.http.cookies.set("ostiary", cookie, domain="127.0.0.1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def connect(self, url: str, *also: str) -> httpx2.Response:
        """From the link of a call to the page that says that all is connected; `also` are servers ticked with it."""
        page = self.http.get(url)
        assert page.status_code == 200, page.text
        path = urlsplit(url).path
        data = hidden(page.text, path) | ({"server": list(also)} if also else {})
        return self.through(self.http.post(path, data=data))

    def through(self, answer: httpx2.Response) -> httpx2.Response:
        """Wherever it leads, with a yes at each authorization server."""
        for _ in range(12):
            onward = answer.headers.get("location") or _continued(answer.text)
            if onward is None:
                return answer
            parts = urlsplit(onward)
            fake = self.fakes.get(f"{parts.scheme}://{parts.netloc}")
            answer = self.http.get(fake.arrive(onward, self.handle) if fake is not None else onward)
        raise AssertionError("it led on and on")


def hidden(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that posts to `action`."""
    start = page.index(f'<form method="post" action="{action}"')
    form = page[start : page.index("</form>", start)]
    found = re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


def _continued(page: str) -> str | None:
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page)
    return html.unescape(found[1]) if found is not None else None
