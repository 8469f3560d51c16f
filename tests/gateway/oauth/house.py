"""The whole gateway in this process, on a real socket, and the steps of an OAuth client against it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx2

from authz.clients.known import TOKEN_EXCHANGE, new_secret
from authz.people.accounts import disable_person, load_members
from authz.people.sessions import begin_session
from authz.tables import Client, Person
from gateway.app import build
from gateway.assembly import open_office, open_world
from gateway.serve import _listener
from gateway.settings import Settings
from gateway.starting.first_start import ensure_signing_key
from registry.database import Concern
from registry.tables import Server, ServerState

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.world import World

REDIRECT = "https://app.example/callback"
LOOPBACK = "http://127.0.0.1:33418/callback"


@dataclass
class Pkce:
    verifier: str
    challenge: str


def pkce(length: int = 64) -> Pkce:
    verifier = secrets.token_urlsafe(96)[:length]
    return Pkce(verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode())


class House:
    """`with House(tmp_path) as house:`"""

    def __init__(self, data: Path, **settings: Any) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.settings = Settings(data=data, port=self._sock.getsockname()[1], metrics_listen="", **settings)
        self.office = open_office(self.settings, create=True, role="gateway")
        ensure_signing_key(self.office)
        self.mount("notes")
        self.world: World
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def base(self) -> str:
        return self.settings.base_url

    @property
    def resource(self) -> str:
        return f"{self.base}/mcp"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(60), "the gateway did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(60)
        self.office.close()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        async with open_world(self.office) as self.world:
            self._server = _listener(build(self.world), self.settings)
            watching = asyncio.create_task(self.world.snapshots.watch())
            self._up.set()
            await self._server.serve([self._sock])
            watching.cancel()

    # What a test says of the world

    def mount(self, slug: str) -> str:
        with self.office.database.change(Concern.CATALOGUE) as session:
            if session.get(Server, slug) is None:
                session.add(Server(slug=slug, url="https://notes.example/mcp", state=ServerState.APPROVED))
        return f"{self.base}/servers/{slug}/mcp"

    def change_server(self, slug: str, state: ServerState) -> None:
        with self.office.database.change(Concern.CATALOGUE) as session:
            session.get_one(Server, slug).state = state

    def person(self, handle: str | None = None) -> Person:
        handle = handle or f"p{secrets.token_hex(4)}"
        person = Person(id=f"usr_{secrets.token_hex(16)}", issuer="local", subject=handle, handle=handle)
        with self.office.database.change(Concern.PEOPLE) as session:
            session.add(person)
        return person

    def disable(self, person: Person) -> None:
        with self.office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
            disable_person(session, session.get_one(Person, person.id), time.time())

    def client(self, *redirect_uris: str, secret: str = "", origin: str = "registered", **more: Any) -> Client:
        uris = list(redirect_uris or (REDIRECT, LOOPBACK))
        client = Client(
            id=f"cl_{secrets.token_hex(8)}", name="An app", origin=origin, redirect_uris=uris,
            grant_types=["authorization_code", "refresh_token"], created_at=time.time(), **more,
        )  # fmt: skip
        return self.keep(client)

    def confidential(self, **more: Any) -> tuple[Client, str]:
        secret, hashed = new_secret()
        return self.client(secret_hash=hashed, auth_method="client_secret_basic", **more), secret

    def agent(self, handle: str = "") -> tuple[Client, str]:
        secret, hashed = new_secret()
        handle = handle or f"a{secrets_hex()}"
        client = Client(
            id=f"agt_{secrets_hex()}", handle=handle, name=handle, origin="agent", secret_hash=hashed,
            grant_types=["client_credentials", TOKEN_EXCHANGE], auth_method="client_secret_basic",
            created_at=time.time(),
        )  # fmt: skip
        return self.keep(client), secret

    def keep(self, client: Client) -> Client:
        with self.office.database.change(Concern.PEOPLE) as session:
            session.add(client)
        return client

    def members(self) -> Any:
        with self.office.database.read() as session:
            return load_members(session)

    def records(self, event: str = "") -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for file in sorted((self.settings.data / "journal").rglob("*.jsonl")):
            lines += [json.loads(line) for line in file.read_text().splitlines()]
        return [line for line in lines if not event or line.get("event") == event]

    def everything_written(self) -> str:
        return "".join(file.read_text() for file in (self.settings.data / "journal").rglob("*.jsonl"))

    # What clients and browsers do

    def http(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.base, trust_env=False, follow_redirects=False, timeout=20)

    def browser(self, person: Person | None = None) -> Browser:
        return Browser(self, person)

    def post(self, path: str, form: dict[str, str], auth: tuple[str, str] | None = None) -> httpx2.Response:
        with self.http() as http:
            return http.post(path, data=form, auth=auth or httpx2.USE_CLIENT_DEFAULT)

    def token(self, form: dict[str, str], auth: tuple[str, str] | None = None) -> httpx2.Response:
        return self.post("/oauth/token", form, auth)

    def code(self, person: Person, client: Client, proof: Pkce, **more: str) -> str:
        """A code, by way of the consent page."""
        with self.browser(person) as browser:
            return answer_of(browser.consent(client, proof, **more))["code"]

    def redeem(
        self, client: Client, code: str, proof: Pkce, redirect_uri: str = REDIRECT, **more: str
    ) -> httpx2.Response:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "client_id": client.id, "code_verifier": proof.verifier, **more,
        }  # fmt: skip
        return self.token(form)

    def tokens(self, person: Person, client: Client, **more: str) -> dict[str, Any]:
        proof = pkce()
        got = self.redeem(client, self.code(person, client, proof, **more), proof)
        assert got.status_code == 200, got.text
        given: dict[str, Any] = got.json()
        return given

    def refresh(self, client: Client, token: str, **more: str) -> httpx2.Response:
        return self.token({"grant_type": "refresh_token", "refresh_token": token, "client_id": client.id, **more})

    def call(self, token: str, path: str = "/mcp") -> int:
        """The status of an `initialize` with this token."""
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        headers = {"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"}
        with self.http() as http:
            return http.post(path, json=body, headers=headers).status_code

    def until_call(self, token: str, status: int, path: str = "/mcp") -> None:
        """Waits, within bounds, until a call with this token is answered so."""
        end = time.monotonic() + 60
        while (got := self.call(token, path)) != status:
            assert time.monotonic() < end, f"still answered with {got}"
            time.sleep(0.05)


class Browser:
    """A browser, signed in as `person` if one is given."""

    def __init__(self, house: House, person: Person | None) -> None:
        self.house = house
        self.http = house.http()
        if person is not None:
            with house.office.database.change() as session:
                cookie = begin_session(session, person, now=time.time(), life=3600, amr="pwd", address="127.0.0.1")
            self.http.cookies.set("ostiary", cookie, domain="127.0.0.1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def authorize(self, client: Client | str, proof: Pkce | None = None, **more: Any) -> httpx2.Response:
        """GET /oauth/authorize; a parameter given as None is left away."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client if isinstance(client, str) else client.id,
            "redirect_uri": REDIRECT,
            "state": "st&te",
            "scope": "mcp",
            "resource": self.house.resource,
            "code_challenge": (proof or pkce()).challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return self.http.get(
            "/oauth/authorize", params={name: value for name, value in asked.items() if value is not None}
        )

    def answer(self, page: httpx2.Response, answer: str = "allow", **headers: str) -> httpx2.Response:
        """Sends the form of a consent page."""
        fields = hidden_fields(page.text)
        return self.http.post("/oauth/consent", data=fields | {"answer": answer}, headers=headers)

    def consent(self, client: Client | str, proof: Pkce | None = None, **more: Any) -> httpx2.Response:
        page = self.authorize(client, proof, **more)
        assert page.status_code == 200, (page.status_code, page.text)
        return self.answer(page)


def hidden_fields(html: str) -> dict[str, str]:
    form = html[html.index('action="/oauth/consent"') :]
    return dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([0-9a-f]+)"', form))


def answer_of(response: httpx2.Response) -> dict[str, str]:
    """The parameters with which a browser is sent back to the client."""
    assert response.status_code == 303, (response.status_code, response.text)
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}


def secrets_hex() -> str:
    return secrets.token_hex(6)
