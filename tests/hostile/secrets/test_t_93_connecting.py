"""T-93 where accounts are connected: canaries in everything that people, browsers and authorization servers bring."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.fakes.providers.openid import Heard, Reply
from tests.gateway.pages.test_connecting import back, departure, town  # noqa: F401 - a fixture
from tests.hostile.canaries import canary, everything_in, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.fakes.servers.upstream_oauth import Upstream
    from tests.gateway.pages.desk import Browser
    from tests.gateway.pages.test_connecting import Town

NAMES = (
    "ticket", "then", "code", "state", "issuer", "error", "description", "value refused", "value kept", "access",
    "refresh", "client secret", "token error", "metadata", "registration", "subject",
)  # fmt: skip
WORDS = {name: canary(f"c{number}") for number, name in enumerate(NAMES)}


def test_t_93_nothing_that_connects_leaves_a_secret_anywhere(
    town: Town,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", logger="ostiary")
    ada, fake = town.browser("ada"), town.fakes["notes"]
    told = [*_refused(ada, fake), *_failing(ada, fake), *_connected(ada, fake), *_given(ada)]
    assert len(told) > 12
    assert found(WORDS, b"\n".join(told)) == []
    assert found(WORDS, caplog.text.encode()) == []
    assert found(WORDS, everything_in(town.desk.settings.data)) == []


def _refused(ada: Browser, fake: Upstream) -> Iterator[bytes]:
    """What a browser brings that was never begun, or is another's answer."""
    yield ada.get(f"/connect/notes?ticket={WORDS['ticket']}").content
    yield ada.get(f"/connect?then={WORDS['then']}").content
    query = {"code": WORDS["code"], "state": WORDS["state"], "iss": WORDS["issuer"], "error": WORDS["error"]}
    yield ada.get(f"/connect/notes/callback?{urlencode(query)}").content
    yield ada.get(f"/connect/notes/callback?code={WORDS['code']}&code={WORDS['code']}").content
    for more in (
        {"iss": WORDS["issuer"]},
        {"error": WORDS["error"], "error_description": WORDS["description"], "code": ""},
        {"code": WORDS["code"]},
    ):
        yield ada.get(back(fake, departure(ada.post("/connect/notes", seen="/connect")), **more)).content
    yield ada.post("/admin/servers/notes/connections/end", seen="/connect", subject=WORDS["subject"]).content


def _failing(ada: Browser, fake: Upstream) -> Iterator[bytes]:
    """What an authorization server says when it does not do what it should."""
    said = {"error": "invalid_grant", "error_description": WORDS["token error"], "access_token": WORDS["access"]}
    for path, answer in (
        ("/token", Reply(400, said)),
        ("/token", Reply(500, WORDS["token error"].encode())),
        ("/token", Reply(200, {"access_token": WORDS["access"], "token_type": WORDS["token error"]})),
        ("/.well-known/oauth-authorization-server", Reply(200, {"issuer": WORDS["metadata"]})),
    ):

        def answers(_heard: Heard, answer: Reply = answer) -> Reply:
            return answer

        begun = ada.post("/connect/notes", seen="/connect") if path == "/token" else None
        fake.replies[path] = answers
        if begun is not None:
            yield ada.get(back(fake, departure(begun))).content
        else:
            yield ada.post("/connect/notes", seen="/connect").content
        del fake.replies[path]


def _connected(ada: Browser, fake: Upstream) -> Iterator[bytes]:
    """All goes well, and what was given is nowhere to be read."""
    fake.token = {"access_token": WORDS["access"], "refresh_token": WORDS["refresh"]}
    assert ada.get(back(fake, departure(ada.post("/connect/notes", seen="/connect")))).status_code == 303
    for path in ("/connect", "/connect/notes", "/connect?done=notes", "/", "/account"):
        yield ada.get(path).content


def _given(ada: Browser) -> Iterator[bytes]:
    yield ada.post("/connect/wiki/value", seen="/connect/wiki", value=WORDS["value refused"] + "\x7f").content
    yield ada.post("/connect/wiki/value", seen="/connect/wiki", value=WORDS["value kept"]).content
    for path in ("/connect", "/connect/wiki", "/connect?done=wiki"):
        yield ada.get(path).content
