"""An organisation with people, and two adapters to it: one that sends browsers away, one that asks for passwords."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import Field

from idp_adapters.common import ProviderConfig
from idp_adapters.config import KINDS, Kind
from idp_adapters.contract import (
    GROUPS,
    Arrival,
    Departure,
    Ended,
    Equipment,
    ExternalIdentity,
    Finding,
    IdentityRefused,
    ProviderDown,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import pytest

ISSUER = "https://idp.example"


@dataclass
class Organisation:
    """Who is there; a test changes it as it likes."""

    groups: dict[str, list[str]] = field(default_factory=dict)  # of each person
    passwords: dict[str, str] = field(default_factory=dict)
    down: bool = False
    asked: list[str] = field(default_factory=list)  # what adapters were asked, in order
    sessions: int = 0
    amr: tuple[str, ...] = ("pwd",)
    acr: str = ""
    ago: float = 0.0  # how long before now people have authenticated

    def identity(self, person: str, session: str = "", **others: Any) -> ExternalIdentity:
        if self.down:
            raise ProviderDown("unreachable", "nobody answers at idp.example")
        if person not in self.groups:
            raise IdentityRefused("gone", "You are not known there any more.")
        made: dict[str, Any] = {
            "issuer": ISSUER,
            "subject": f"subject-of-{person}",
            "login": person,
            "name": person.title(),
            "email": f"{person}@corp.example",
            "claims": {GROUPS: frozenset(self.groups[person]), "dept": frozenset({"sales"})},
            "authenticated_at": time.time() - self.ago,
            "acr": self.acr,
            "amr": self.amr,
            "session": session,
            "keep": f"{person} {session}".encode(),
        }
        return ExternalIdentity(**made | others)


class AwayConfig(ProviderConfig):
    issuer: str = Field(ISSUER, description="the issuer")
    as_form: bool = Field(False, description="whether browsers are sent with a form")

    def needs(self) -> frozenset[str]:
        return frozenset({"client_secret"})


class AskConfig(ProviderConfig):
    url: str = Field("ldaps://ldap.example", description="where it is")


class Away:
    """Sends the browser away. What comes back as `code` is the person's name."""

    organisation: Organisation

    def __init__(self, config: AwayConfig, equipment: Equipment) -> None:
        self.config, self.equipment = config, equipment

    def check(self) -> Iterator[Finding]:
        yield Finding("the issuer is reached", not self.organisation.down, "start it" if self.organisation.down else "")

    def depart(self, callback: str, state: str, *, again: bool = False) -> Departure:
        if self.organisation.down:
            raise ProviderDown("unreachable", "nobody answers at idp.example")
        self.organisation.asked.append(f"depart {callback}{' again' if again else ''}")
        sent = {"state": state, "redirect_uri": callback}
        if self.config.as_form:
            return Departure(url=f"{ISSUER}/sso", form={"RelayState": state}, kept={"nonce": "n"})
        return Departure(url=f"{ISSUER}/authorize?{urlencode(sent)}", kept={"nonce": "n"})

    def arrive(self, arrival: Arrival, kept: Mapping[str, str]) -> ExternalIdentity:
        assert kept == {"nonce": "n"}
        self.organisation.asked.append(f"arrive {arrival.method}")
        if "error" in arrival.parameters:
            raise IdentityRefused("denied", "The provider did not let you in.")
        self.organisation.sessions += 1
        return self.organisation.identity(arrival.parameters.get("code", ""), f"sid-{self.organisation.sessions}")

    def leave(self, keep: bytes, back: str, state: str) -> Departure | None:
        return Departure(url=f"{ISSUER}/logout?{urlencode({'hint': keep.decode(), 'back': back, 'state': state})}")

    def hear(self, arrival: Arrival) -> Ended | None:
        token = arrival.parameters.get("logout_token", "")
        if not token.startswith("signed:"):
            raise IdentityRefused("logout_token", "That is not a logout token.")
        subject, _, session = token.removeprefix("signed:").partition("/")
        return Ended(issuer=ISSUER, subject=subject, session=session)

    def renew(self, keep: bytes) -> ExternalIdentity:
        person, session = keep.decode().split(" ")
        self.organisation.asked.append(f"renew {person}")
        return self.organisation.identity(person, session)


class Ask:
    """Asks for passwords, and can be asked about many people."""

    organisation: Organisation

    def __init__(self, config: AskConfig, equipment: Equipment) -> None:
        self.config, self.equipment = config, equipment

    def check(self) -> Iterator[Finding]:
        yield Finding("a connection", ok=True)

    def authenticate(self, login: str, password: str) -> ExternalIdentity:
        self.organisation.asked.append("authenticate")
        person = login.partition("@")[0]
        if self.organisation.down:
            raise ProviderDown("unreachable", "nobody answers at ldap.example")
        if not password or self.organisation.passwords.get(person) != password:
            raise IdentityRefused("wrong_password", "That name and password do not go together.")
        return self._identity(person)

    def survey(self, subjects: Collection[str]) -> Iterable[ExternalIdentity]:
        self.organisation.asked.append("survey")
        if self.organisation.down:
            raise ProviderDown("unreachable", "nobody answers at ldap.example")
        known = (person for person in self.organisation.groups if f"subject-of-{person}" in subjects)
        return [self._identity(person) for person in known]

    def _identity(self, person: str) -> ExternalIdentity:
        return self.organisation.identity(person, issuer=f"ldap:{self.equipment.slug}", keep=b"")


def fake_kinds(monkeypatch: pytest.MonkeyPatch) -> Organisation:
    """Kinds `away` and `ask`, of one organisation, for as long as the test."""
    organisation = Organisation()
    for name, adapter in (("Away", Away), ("Ask", Ask)):
        fresh = type(name, (adapter,), {"organisation": organisation})
        monkeypatch.setattr(f"tests.fakes.providers.identity.{name}Of", fresh, raising=False)
    secrets = {"client_secret": "the secret of our client"}
    away = Kind(model=AwayConfig, adapter="tests.fakes.providers.identity:AwayOf", title="Away", secrets=secrets)
    ask = Kind(model=AskConfig, adapter="tests.fakes.providers.identity:AskOf", title="Ask", asks=True)
    monkeypatch.setitem(KINDS, "away", away)  # type: ignore[arg-type]
    monkeypatch.setitem(KINDS, "ask", ask)  # type: ignore[arg-type]
    return organisation
