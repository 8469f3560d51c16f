"""A browser without a person: follows redirects, signs in, consents, and stops where it is sent away from us."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import httpx2

if TYPE_CHECKING:
    from typing import Self

MOST_STEPS = 12


class Lost(Exception):
    """There was no way on; the text says what the last page showed."""


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """The forms of a page that are sent with POST, and where the page itself sends on to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.onward: str | None = None
        self._open: Form | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "meta" and given.get("http-equiv") == "refresh":
            self.onward = given["content"].partition("url=")[2]
        elif tag == "form":
            self._open = Form(given.get("action", ""))
            if given.get("method", "").lower() == "post":
                self.forms.append(self._open)
        elif self._open is not None and given.get("name"):
            self._field(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None

    def _field(self, tag: str, given: dict[str, str]) -> None:
        assert self._open is not None
        unchecked = given.get("type") in {"checkbox", "radio"} and "checked" not in given
        if tag == "button" or given.get("type") == "submit":
            self._open.buttons.append((given["name"], given.get("value", "")))
        elif tag == "input" and not unchecked:
            self._open.fields[given["name"]] = given.get("value", "")


def _onward(answer: httpx2.Response) -> str | None:
    """Where the answer sends the browser without asking the person: by its status, or in its page."""
    if answer.status_code in {302, 303, 307}:
        location: str = answer.headers["location"]
        return location
    return Page(answer.text).onward


class Browser:
    """One person's browser; `visit` gives the address that it is sent to outside of `home`."""

    def __init__(self, home: str, handle: str, password: str) -> None:
        self.home = home
        self.known = {"handle": handle, "password": password}
        self.http = httpx2.AsyncClient(trust_env=False, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def visit(self, url: str) -> str:
        answer = await self.http.get(url)
        for _ in range(MOST_STEPS):
            onward = _onward(answer)
            if onward is not None:
                url = urljoin(url, onward)
                if self._outside(url):
                    return url
                answer = await self.http.get(url)
            else:
                form = self._form(answer)
                url = urljoin(url, form.action)
                answer = await self.http.post(url, data=self._filled(form), headers={"Origin": self.home})
        raise Lost(f"still at {url}")

    def _outside(self, url: str) -> bool:
        return urlsplit(url).netloc != urlsplit(self.home).netloc

    def _form(self, answer: httpx2.Response) -> Form:
        forms = Page(answer.text).forms if answer.status_code == 200 else []
        wanted = [form for form in forms if "signout" not in form.action]
        if not wanted:
            raise Lost(f"{answer.status_code} {answer.text[:2000]}")
        return wanted[-1]

    def _filled(self, form: Form) -> dict[str, str]:
        filled = form.fields | {name: value for name, value in self.known.items() if name in form.fields}
        agreeing = [(name, value) for name, value in form.buttons if value not in {"deny", "no", "cancel"}]
        return filled | dict(agreeing[:1])
