"""An OpenID provider on loopback that does as it is told, also what no provider should. Nobody types a password."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

from authz import jose
from idp_adapters.contract import Arrival
from tests.fakes.providers.issuers import Signer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from idp_adapters.contract import Departure

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
CLIENT, SECRET = "web", "canary-7f3a9-websecret"
PEOPLE: dict[str, dict[str, Any]] = {
    "alice": {"name": "Alice A.", "preferred_username": "alice@corp.example", "email": "alice@corp.example",
              "groups": ["devs", "eng"]},
    "bob": {"name": "Bob", "preferred_username": "bob", "groups": []},
}  # fmt: skip


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Heard:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]
    body: bytes = b""


class Listener(Protocol):
    """Whatever answers at an address that it is told."""

    origin: str
    heard: list[Heard]

    def reply(self, heard: Heard) -> Reply: ...

    def now(self) -> int: ...


class OpenIdProvider:
    """`twist` changes an ID token's claims before it is signed; `replies` answers a path in its own way."""

    prefix = ""

    def __init__(self, algorithm: str = "RS256") -> None:
        self.signer = Signer("k1", algorithm)
        self.published = [self.signer]
        self.twist: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.forge: Callable[[dict[str, Any]], str] = self.sign
        self.twist_assertion: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.assertion_typ: str | None = "oauth-id-jag+jwt"
        self.exchanged: dict[str, Any] = {}
        self.replies: dict[str, Callable[[Heard], Reply]] = {}
        self.metadata: dict[str, Any] = {}
        self.people = {name: dict(person) for name, person in PEOPLE.items()}
        self.heard: list[Heard] = []
        self.ahead = 0.0
        self._codes: dict[str, dict[str, Any]] = {}
        self._refreshes: dict[str, dict[str, Any]] = {}
        self.origin = ""

    @property
    def issuer(self) -> str:
        return self.origin + self.prefix

    def sign(self, claims: dict[str, Any]) -> str:
        return self.signer.sign(claims)

    def asked(self, path: str) -> list[Heard]:
        return [one for one in self.heard if one.path.split("?")[0] == self.prefix + path]

    def rotate(self) -> Signer:
        """A new key, under a new name; the old one is gone."""
        self.signer = Signer(secrets.token_hex(4), self.signer.algorithm)
        self.published = [self.signer]
        return self.signer

    def remove(self, person: str) -> None:
        del self.people[person]

    def answer(self, departure: Departure, person: str = "alice", **more: str) -> Arrival:
        """The person signs in, and the browser comes back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
        code = secrets.token_urlsafe(16)
        self._codes[code] = {**asked, "person": person, "auth_time": self.now()}
        parameters = {"code": code, "state": asked["state"], "iss": self.issuer, **more}
        url = asked["redirect_uri"]
        return Arrival(method="GET", url=url, parameters={name: value for name, value in parameters.items() if value})

    def now(self) -> int:
        return int(time.time() + self.ahead)

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "end_session_endpoint": f"{self.issuer}/logout",
            "claims_supported": ["sub", "groups", "preferred_username"],
            "authorization_response_iss_parameter_supported": True,
        } | self.metadata

    def reply(self, heard: Heard) -> Reply:
        path = heard.path.split("?")[0]
        if path in self.replies:
            return self.replies[path](heard)
        own = path.removeprefix(self.prefix)
        if own == "/.well-known/openid-configuration":
            return Reply(200, {name: value for name, value in self.document().items() if value is not None})
        if own == "/jwks":
            return Reply(200, {"keys": [key for signer in self.published for key in signer.jwks["keys"]]})
        if own == "/token":
            return self.token(heard)
        return self.userinfo(heard) if own == "/userinfo" else Reply(404, {"error": "not_found"})

    def token(self, heard: Heard) -> Reply:
        if not self.knows_client(heard):
            return Reply(401, {"error": "invalid_client", "error_description": "call 555-EVIL"})
        grant = heard.form.get("grant_type")
        if grant == EXCHANGE:
            return self.vouched(heard)
        if grant == "refresh_token":
            signed_in = self._refreshes.pop(heard.form.get("refresh_token", ""), None)
        else:
            signed_in = self._codes.pop(heard.form.get("code", ""), None)
            if signed_in and not proves(heard.form.get("code_verifier", ""), signed_in["code_challenge"]):
                signed_in = None
        if signed_in is None or signed_in["person"] not in self.people:
            return Reply(400, {"error": "invalid_grant", "error_description": "call 555-EVIL"})
        return Reply(200, self.tokens(signed_in, renewed=grant == "refresh_token"))

    def vouched(self, heard: Heard) -> Reply:
        """An identity assertion for an ID token, to whatever audience and resource is asked for (ID-JAG)."""
        form = heard.form
        said = jose.verify_foreign(form["subject_token"], self.signer.jwks["keys"], [self.signer.algorithm]).claims
        claims = {
            "iss": self.issuer, "sub": said["sub"], "aud": form["audience"], "resource": form["resource"],
            "client_id": "us-there", "jti": secrets.token_hex(8), "iat": self.now(), "exp": self.now() + 300,
            "scope": form.get("scope"),
        }  # fmt: skip
        assertion = self.signer.sign(self.twist_assertion(claims), self.assertion_typ)
        answer = {"issued_token_type": ID_JAG, "token_type": "N_A", "access_token": assertion, "expires_in": 300}
        return Reply(200, answer | self.exchanged)

    def knows_client(self, heard: Heard) -> bool:
        basic = heard.headers.get("authorization", "").removeprefix("Basic ")
        if basic:
            pair = base64.b64decode(basic).decode().split(":")
            return [unquote_plus(part) for part in pair] == [CLIENT, SECRET]
        return heard.form.get("client_id") == CLIENT and (
            heard.form.get("client_secret") == SECRET or "client_assertion" in heard.form
        )

    def tokens(self, signed_in: dict[str, Any], *, renewed: bool) -> dict[str, Any]:
        access, refresh = f"at-{signed_in['person']}-{secrets.token_hex(8)}", secrets.token_hex(16)
        self._refreshes[refresh] = signed_in
        claims = {**self.claims_of(signed_in["person"]), "auth_time": signed_in["auth_time"], "sid": "sid-1"}
        if not renewed:
            claims["nonce"] = signed_in["nonce"]
        return {
            "access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": refresh,
            "id_token": self.forge(self.twist(claims)), "scope": signed_in.get("scope", ""),
        }  # fmt: skip

    def claims_of(self, person: str) -> dict[str, Any]:
        """The standard ones; the rest is for userinfo."""
        return {"iss": self.issuer, "sub": f"sub-{person}", "aud": CLIENT, "exp": self.now() + 300, "iat": self.now()}

    def userinfo(self, heard: Heard) -> Reply:
        person = heard.headers.get("authorization", "").removeprefix("Bearer at-").partition("-")[0]
        if person not in self.people:
            return Reply(401, {"error": "invalid_token"})
        return Reply(200, {"sub": f"sub-{person}", **self.people[person]})


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def proves(verifier: str, challenge: str) -> bool:
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return secrets.compare_digest(made, challenge)


@contextmanager
def listening(provider: Listener, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[None]:
    """While the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            heard = Heard(self.command, self.path, headers, _form(body), body)
            provider.heard.append(heard)
            self.say(provider.reply(heard))

        do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

        def say(self, reply: Reply) -> None:
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in (*reply.headers, ("Content-Type", "application/json"), ("Connection", "close")):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # whoever asked may have heard enough
                self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(timestamp or provider.now())

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    provider.origin = f"{'https' if tls else 'http'}://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
