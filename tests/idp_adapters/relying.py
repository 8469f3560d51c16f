"""Adapters of ours with a provider behind them that does as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from idp_adapters.config import open_provider
from tests.fakes.providers.openid import CLIENT, SECRET, OpenIdProvider
from tests.idp_adapters.equipment import equipment

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_adapters.contract import Arrival, Departure, Equipment, ExternalIdentity

CALLBACK = "http://127.0.0.1:9000/signin/corp/callback"
STATE = "state-of-one-browser-and-one-sign-in-only"


@dataclass
class Relying:
    """An `Adapted` for the suite of contracts; `options` and `equipped` change what it is opened with."""

    provider: OpenIdProvider
    kind: str = "oidc"
    options: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=lambda: {"client_secret": SECRET.encode()})
    equipped: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.configured() | self.options
        told = {"secrets": self.secrets, "addresses": [self.provider.origin]} | self.equipped
        self.equipment: Equipment = equipment(**told)
        self.adapter: Any = open_provider(self.kind, self.config, self.equipment)

    def configured(self) -> dict[str, Any]:
        scopes = ["openid", "profile", "offline_access"]
        return {"issuer": self.provider.issuer, "client_id": CLIENT, "scopes": scopes}

    def elsewhere(self, origin: str) -> dict[str, Any]:
        """The configuration, had the provider another address."""
        return self.config | {"issuer": origin + self.provider.prefix}

    def down(self) -> Any:
        nobody = f"{self.provider.origin.partition('/')[0]}//localhost:1"
        told = {"secrets": self.secrets} | self.equipped | {"addresses": [nobody]}
        return open_provider(self.kind, self.elsewhere(nobody), equipment(**told))

    def answer(self, departure: Departure, person: str = "alice") -> Arrival:
        return self.provider.answer(departure, person)

    def remove(self, person: str) -> None:
        self.provider.remove(person)

    def depart(self) -> Departure:
        found: Departure = self.adapter.depart(CALLBACK, STATE)
        return found

    def sign_in(self, person: str = "alice", **more: str) -> ExternalIdentity:
        departure = self.depart()
        found: ExternalIdentity = self.adapter.arrive(self.provider.answer(departure, person, **more), departure.kept)
        return found


class RelyingOnEntra(Relying):
    """On one that looks like Microsoft Entra ID."""

    def configured(self) -> dict[str, Any]:
        provider: Any = self.provider
        return {
            "tenant": provider.tenant,
            "client_id": CLIENT,
            "authority": provider.origin,
            "graph": f"{provider.origin}/v1.0",
        }

    def elsewhere(self, origin: str) -> dict[str, Any]:
        return self.config | {"authority": origin, "graph": f"{origin}/v1.0"}


def again(relying: Relying, **options: Any) -> Relying:
    """Another adapter on the same provider."""
    return Relying(relying.provider, options=options, equipped=relying.equipped)


def changed(**claims: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A claim given as None is left away; one that is a function is made of what it was."""

    def twist(before: dict[str, Any]) -> dict[str, Any]:
        made = {name: value(before) if callable(value) else value for name, value in claims.items()}
        return {name: value for name, value in (before | made).items() if value is not None}

    return twist
