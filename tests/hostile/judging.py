"""Servers of every mode, and whoever gives out what they take: each believes what it can prove, and nothing else.

Tokens begin alike for longer than anything would compare by accident. What a server answers a call with is whom it took
the credential to be about, so that a test sees a foreign one wherever it came from.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final

from authz import jose
from authz.acting import read_chain
from tests.fakes.providers.entra import EntraShaped
from tests.fakes.providers.openid import CLIENT, OpenIdProvider
from tests.fakes.servers.aws import is_signed
from tests.fakes.servers.raw import http, result
from tests.fakes.servers.upstream_authority import Account
from tests.gateway.credentials.derived.company import EXCHANGE, JWT_BEARER, Service

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tests.fakes.providers.openid import Heard
    from tests.fakes.servers.raw import Asked

ALIKE: Final = "t" * 200
THERE: Final = "us-there"  # how the provider of `Company` calls us at other authorization servers
NOTES: Final = "api://notes/read"
REGION, SERVICE = "eu-central-1", "bedrock-agentcore"
KEYS: Final = {"east": "AKIDEAST", "west": "AKIDWEST"}  # by server; their secrets differ in the last letter


def aws_secret(server: str) -> str:
    return f"wJalrXUtnFEMI/K7MDENG+{server}"


def told(whose: str, *actors: str) -> str:
    """How a server says whom a credential is about, and who acted."""
    return "/".join((whose, *actors))


class Company(OpenIdProvider):
    """An identity provider that vouches for its people elsewhere (ID-JAG)."""

    def __init__(self, *people: str) -> None:
        super().__init__("RS256")
        self.people = {name: {"preferred_username": name, "groups": []} for name in people}


class Entra(EntraShaped):
    """Another, in whose tenant our app asks on behalf of people."""

    def __init__(self, *people: str) -> None:
        super().__init__()
        self.people = {name: {"preferred_username": name, "groups": []} for name in people}
        self.alike = ALIKE

    def config(self, ca_file: object) -> dict[str, Any]:
        places = {"authority": self.origin, "graph": f"{self.origin}/v1.0", "allow_addresses": [self.origin]}
        return places | {"tenant": self.tenant, "client_id": CLIENT, "on_behalf": True, "ca_file": str(ca_file)}


class Services(Service):
    """The authorization server of all the servers: it redeems what others say once, for the server that it names."""

    def __init__(self) -> None:
        super().__init__()
        self.alike = ALIKE
        self.used: set[str] = set()

    def account_of(self, heard: Heard, client: str) -> Account | None:
        form, grant = heard.form, heard.form.get("grant_type", "")
        if grant not in {EXCHANGE, JWT_BEARER}:
            return super().account_of(heard, client)
        brought = form["subject_token" if grant == EXCHANGE else "assertion"]
        said = self.read(brought)
        meant = (f"{self.issuer}/token", "JWT") if grant == EXCHANGE else (self.issuer, "oauth-id-jag+jwt")
        if (said["aud"], jose.read_foreign(brought).header.get("typ")) != meant or said["jti"] in self.used:
            return None
        if grant == JWT_BEARER and (said["client_id"], said["resource"]) != (client, form.get("resource")):
            return None
        self.used.add(said["jti"])
        return Account(told(said["sub"], *read_chain(said)), client, frozenset(), form["resource"])


class Judging:
    """One address with a server of each mode at `/{slug}/mcp`."""

    def __init__(self, services: Services, entra: Entra) -> None:
        self.services, self.entra = services, entra
        self.keys: list[dict[str, Any]] = []  # of the gateway
        self.kept: dict[str, tuple[str, str]] = {}  # what it gave by hand: (server, whose)
        self.refused: list[str] = []  # servers that were shown what they could not prove
        self.judges: dict[str, Callable[[Asked, str], str]] = {
            "minted": self._minted, "behalf": self._on_behalf, **dict.fromkeys(KEYS, self._signed)
        }  # fmt: skip
        self.judges |= dict.fromkeys(("ourselves", "exchanged", "asserted", "vouched"), self._redeemed)

    def give(self, slug: str, whose: str) -> str:
        """What somebody is given at this server, by hand."""
        token = ALIKE + secrets.token_hex(16)
        self.kept[token] = slug, whose
        return token

    async def respond(self, asked: Asked, _: asyncio.StreamWriter) -> bytes:
        path = asked.line.split(" ")[1]
        if path.startswith("/.well-known"):
            here = f"http://{asked.headers['host']}{path.removeprefix('/.well-known/oauth-protected-resource')}"
            return http(json.dumps({"resource": here, "authorization_servers": [self.services.issuer]}).encode())
        if "authorization" not in asked.headers:  # as the gateway asks who gives tokens for it
            return http(b"{}", "401 Unauthorized")
        slug = path.split("/")[1]
        whose = self.judges.get(slug, self._known)(asked, slug)
        if not whose:
            self.refused.append(slug)
            return http(b"{}", "401 Unauthorized")
        text = json.dumps([slug, asked.message["params"]["name"], whose])
        return http(result(asked, {"resultType": "complete", "content": [{"type": "text", "text": text}]}))

    def _known(self, asked: Asked, slug: str) -> str:
        server, whose = self.kept.get(_bearer(asked), ("", ""))
        return whose if server == slug else ""

    def _redeemed(self, asked: Asked, slug: str) -> str:
        account = self.services.accounts.get(_bearer(asked))
        return account.person if account is not None and account.resource == _here(asked, slug) else ""

    def _on_behalf(self, asked: Asked, _: str) -> str:
        whose, scopes = self.entra.lent.get(_bearer(asked), ("", ""))
        return whose if NOTES in scopes.split() else ""

    def _minted(self, asked: Asked, slug: str) -> str:
        said = jose.verify_foreign(_bearer(asked), self.keys, ["ES256"]).claims
        meant = (_here(asked, slug), f"{slug}.{asked.message['params']['name']}")
        return told(said["sub"], *read_chain(said)) if (said["aud"], said["scope"]) == meant else ""

    def _signed(self, asked: Asked, slug: str) -> str:
        """Which key signed, of all that there are."""
        proved = (name for name in KEYS if is_signed(asked, REGION, SERVICE, aws_secret(name)))
        key = KEYS[next(proved, slug)]
        return key if f"Credential={key}/" in asked.headers["authorization"] and key == KEYS[slug] else ""


def _bearer(asked: Asked) -> str:
    return asked.headers.get("authorization", "").removeprefix("Bearer ")


def _here(asked: Asked, slug: str) -> str:
    return f"http://{asked.headers['host']}/{slug}/mcp"
