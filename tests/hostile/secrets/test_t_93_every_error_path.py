"""T-93 with a whole gateway: canaries wherever something secret can be, over every way to fail."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest

from gateway.assembly import open_office
from gateway.settings.loading import EXIT_CONFIGURATION, ConfigurationError, load
from tests.fakes.gateway import ROOT, Gateway
from tests.fakes.modern import headers, meta
from tests.fakes.ports import free_port
from tests.fakes.processes import running
from tests.hostile.canaries import canary, everything_in, found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/servers/counting/mcp"
MASTER = os.urandom(32)
NAMES = [
    "environment", "proxy", "credential", "password", "header", "cookie", "bearer", "basic", "trace", "argument",
    "deep argument", "token in text", "result", "error of a server", "header of a server", "body", "query", "form",
    "code", "refresh token", "client secret", "stack",
]  # fmt: skip
WORDS = {name: canary(f"e{number}") for number, name in enumerate(NAMES)}
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": WORDS["environment"],
    "HTTP_PROXY": f"http://user:{WORDS['proxy']}@127.0.0.1:1",
    "HTTPS_PROXY": f"http://user:{WORDS['proxy']}@127.0.0.1:1",
    "NO_PROXY": "",
    "OSTIARY_MASTER_KEY": base64.b64encode(MASTER).decode(),
}
SECRETS = {
    "password": WORDS["argument"],
    "text": f"Authorization: Bearer {WORDS['token in text']}",
    "in": [{"api_key": {"x": [WORDS["deep argument"]]}}],
}
ODD_HEADERS = ("Cookie", "X-Api-Key", "User-Agent", "Referer", "X-Request-Id", "Last-Event-ID", "Accept-Language",
               "Proxy-Authorization", "Baggage", "Tracestate", "X-Forwarded-For", "Forwarded", "Via")  # fmt: skip
WRONG_HEADERS = ("Origin", "Host", "Content-Type", "Accept", "Content-Encoding", "MCP-Protocol-Version", "Mcp-Method",
                 "Mcp-Session-Id", "Mcp-Name", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade")  # fmt: skip
FAILING = [
    {"status": 500, "body": WORDS["error of a server"]},
    {"status": 401, "body": WORDS["error of a server"], "headers": {"WWW-Authenticate": WORDS["header of a server"]}},
    {"status": 302, "body": "x", "headers": {"Location": f"http://127.0.0.1:1/{WORDS['header of a server']}"}},
    {"body": f"<html>{WORDS['error of a server']}", "headers": {"Content-Type": "text/html"}},
    {"body": f'{{"jsonrpc":"2.0","id":{{{{id}}}},"result":"{WORDS["error of a server"]}"}}'},
    {"body": f'{{"jsonrpc":"2.0","id":"{WORDS["error of a server"]}","result":{{}}}}'},
    {"body": f'{{"half":"{WORDS["error of a server"]}'},
    {"body": f"data: {WORDS['error of a server']}\n\n", "headers": {"Content-Type": "text/event-stream"}},
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, metrics: str) -> None:
    for name, value in (ENVIRONMENT | {"OSTIARY_METRICS_LISTEN": metrics}).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def metrics() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def upstream() -> Iterator[str]:
    with running("-m", "tests.fakes.servers.counting") as url:
        yield url


@pytest.fixture
def gateway(environment: None, upstream: str, tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "data") as opened:
        credential = f"Authorization: Bearer {WORDS['credential']}"
        opened.run("server", "add", "counting", upstream, "--allow-address", "--auth", "static", given=credential)
        opened.run("server", "approve", "counting", "--yes", "--accept-findings")
        opened.add_user("ada")
        opened.allow("user:ada", "counting.*")
        yield opened


def trust_no_environment() -> httpx2.Client:
    return httpx2.Client(trust_env=False, timeout=30)


def call(http: httpx2.Client, gateway: Gateway, token: str) -> httpx2.Response:
    params = {"name": "echo", "arguments": SECRETS, "_meta": meta()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return http.post(gateway.url + PATH, json=body, headers=headers("tools/call", token, name="echo"))


def bodies(gateway: Gateway, upstream: str, token: str) -> bytes:
    """What everybody was told, over every way to fail."""
    told: list[bytes] = []
    with trust_no_environment() as http:
        told += [answer.content for answer in _refused(http, gateway)]
        told += [answer.content for answer in _broken(http, gateway, token)]
        told += _by_the_server(http, gateway, upstream, token)
    told += [_raw(gateway, token, name) for name in WRONG_HEADERS]
    errors = [answer for answer in told if b'"result"' not in answer]  # a result is the caller's own
    assert len(errors) > len(told) / 2
    return b"\n".join(errors)


def _refused(http: httpx2.Client, gateway: Gateway) -> Iterator[httpx2.Response]:
    """Everything with which one is nobody."""
    url = gateway.url + PATH
    basic = base64.b64encode(f"user:{WORDS['basic']}".encode()).decode()
    for credential in (f"Bearer {WORDS['bearer']}", f"Basic {basic}", WORDS["bearer"], f"Bearer a.{WORDS['bearer']}.c"):
        yield http.post(url, json={}, headers={"authorization": credential})
    yield http.post(f"{url}?access_token={WORDS['query']}", json={})
    yield http.get(f"{gateway.url}/account/password", headers={"cookie": f"ostiary={WORDS['cookie']}"})
    yield http.get(f"{gateway.url}/setup/{WORDS['query']}")
    yield http.get(f"{gateway.url}/connect/counting?ticket={WORDS['query']}")
    yield http.get(f"{gateway.url}/connect/counting/callback?code={WORDS['code']}&state={WORDS['query']}")
    yield http.post(f"{gateway.url}/connect/counting/value", data={"value": WORDS["form"]})
    yield http.post(f"{gateway.url}/signin", data={"handle": "ada", "password": WORDS["password"]})
    client = {"client_id": "x", "client_secret": WORDS["client secret"]}
    code = {"grant_type": "authorization_code", "code": WORDS["code"], "code_verifier": WORDS["code"]}
    owner = {"grant_type": "password", "username": "ada", "password": WORDS["form"]}
    refresh = {"grant_type": "refresh_token", "refresh_token": WORDS["refresh token"]}
    for form in (client | code, client | refresh, {"x": WORDS["form"]}, owner):
        yield http.post(f"{gateway.url}/oauth/token", data=form)
        yield http.post(f"{gateway.url}/oauth/token", data=form, headers={"authorization": f"Basic {basic}"})
    yield http.post(f"{gateway.url}/oauth/revoke", data=client | {"token": WORDS["refresh token"]})
    yield http.post(f"{gateway.url}/oauth/register", json={"client_secret": WORDS["client secret"], "redirect_uris": 1})


def _broken(http: httpx2.Client, gateway: Gateway, token: str) -> Iterator[httpx2.Response]:
    """Requests that are none, by somebody."""
    url, good = gateway.url + PATH, headers("tools/call", token, name="echo")
    call = {"name": "echo", "arguments": SECRETS, "_meta": meta(traceparent=WORDS["trace"])}
    whole = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    text = json.dumps(whole)
    for body in (
        text[:-3],
        text + "x",
        f'"{WORDS["body"]}"',
        "\x00" + text,
        text.replace('"2.0"', '"1.0"'),
        f"[{text}]",
    ):
        yield http.post(url, content=body, headers=good | {"content-type": "application/json"})
    for change in ({"id": None}, {"id": {"x": WORDS["body"]}}, {"method": 7}, {"params": WORDS["body"]}):
        yield http.post(url, json=whole | change, headers=good)
    for name in ODD_HEADERS:
        yield http.post(
            url, json=whole | {"params": call | {"name": "nothing"}}, headers=good | {name: WORDS["header"]}
        )
        yield http.post(url, json=whole, headers=good | {name: WORDS["header"]})


def _by_the_server(http: httpx2.Client, gateway: Gateway, upstream: str, token: str) -> Iterator[bytes]:
    base = upstream.removesuffix("/mcp")
    for answer in FAILING:
        http.post(f"{base}/answer", json=answer)
        yield call(http, gateway, token).content
    good = {"content": [{"type": "text", "text": WORDS["result"]}], "resultType": "complete"}
    body = f'{{"jsonrpc":"2.0","id":{{{{id}}}},"result":{json.dumps(good)}}}'
    http.post(f"{base}/answer", json={"body": body})
    for _ in range(3):  # a breaker may be open
        call(http, gateway, token)  # to the caller it may say it


def _raw(gateway: Gateway, token: str, name: str) -> bytes:
    """One header that is wrong, with a canary as its value."""
    lines = {"Host": gateway.url[7:], "Authorization": f"Bearer {token}", "Content-Length": "2", name: WORDS["header"]}
    head = "".join(f"{each}: {value}\r\n" for each, value in lines.items())
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as line:
        line.sendall(f"POST {PATH} HTTP/1.1\r\n{head}\r\n{{}}".encode())
        line.settimeout(10)
        return line.recv(65536)


def test_t_93_no_error_log_metric_or_record_holds_a_canary(
    gateway: Gateway, metrics: str, upstream: str, tmp_path: Path
) -> None:
    token = gateway.token("ada", PATH)
    told = bodies(gateway, upstream, token)
    with contextlib.suppress(Exception):
        gateway.run("server", "refresh", "counting")
    with trust_no_environment() as http:
        seen = http.get(f"{upstream.removesuffix('/mcp')}/seen").text
        counted = http.get(f"http://{metrics}/metrics")
        ready = http.get(f"{gateway.url}/readyz").content
    assert counted.status_code == 200
    assert WORDS["credential"] in seen, "the server does get it"
    commands = "".join(gateway.run(*one) for one in COMMANDS).encode()
    words = WORDS | {"the token": token, "its signature": token.rpartition(".")[2]}
    kept = everything_in(tmp_path / "data")
    for where, content in {"told": told, "metrics": counted.content, "ready": ready, "commands": commands}.items():
        assert found(words, content) == [], where
    assert found(words, kept) == [], "logs, journal, database"
    assert b"call.intent" in kept
    assert MASTER not in kept
    assert base64.b64encode(MASTER) not in kept


COMMANDS = [("audit", "search", "--json"), ("server", "show", "counting", "--json"), ("client", "list")]


DATABASES = [
    "postgresql://user:{}@127.0.0.1:1/ostiary", "postgresql://user:{}@127.0.0.1:1/ostiary?sslmode=require",
    "postgresql://user:{}@127.0.0.1:port/ostiary", "postgresql://user:an@{}@127.0.0.1:1/ostiary",
    "postgresql://user:a/{}@127.0.0.1:1/ostiary", "postgresql://127.0.0.1:1/ostiary?user=u&password={}",
    "postgresql://{}:{}@[/x", "postgresql:user:{}", "postgres://user:{}@127.0.0.1:1/x", "mysql://user:{}@h/x", "x:{}",
]  # fmt: skip


@pytest.mark.parametrize("url", DATABASES)
def test_t_93_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, url: str) -> None:
    word = canary("dsn")
    with pytest.raises(ConfigurationError, match="database_url") as refused:
        open_office(load(None, {"OSTIARY_DATABASE_URL": url.replace("{}", word)}, data=tmp_path / "data"), create=True)
    assert found({"the password": word}, f"{refused.value} {refused.value!r}".encode()) == []


def test_t_93_a_start_that_fails_says_no_secret(tmp_path: Path) -> None:
    word = canary("dsn")
    command = [sys.executable, "-m", "gateway", "up", "--data", str(tmp_path / "data"), "--port", str(free_port())]
    command += ["--database-url", f"postgresql://user:{word}@127.0.0.1:port/ostiary"]
    command += ["--public-url", f"https://user:{word}@mcp.example.com"]
    environment = os.environ | {"OSTIARY_MASTER_KEY": word}
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment, timeout=60, check=False)
    assert done.returncode == EXIT_CONFIGURATION
    assert b"database_url" in done.stderr
    assert found({"the secret": word}, done.stdout + done.stderr) == []


@pytest.mark.parametrize("key", ["", "short", "c2hvcnQ=", "{}" * 3])
def test_t_93_t_98_a_master_key_that_is_none_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    word = canary("key")
    monkeypatch.setenv("OSTIARY_MASTER_KEY", key.replace("{}", word))
    with pytest.raises(ConfigurationError, match="OSTIARY_MASTER_KEY: must be 32") as refused:
        open_office(load(None, {}, data=tmp_path / "data"), create=True)
    assert word not in str(refused.value)
