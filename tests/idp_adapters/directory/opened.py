"""An adapter before a real directory, and who is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from idp_adapters.config import open_provider
from tests.fakes.ports import free_port
from tests.idp_adapters.contract_suite import CANARY
from tests.idp_adapters.equipment import equipment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from idp_adapters.contract import Equipment

PASSWORDS = {"alice": f"{CANARY}-Alice1", "bob": f"{CANARY}-Bob2"}


def opened(server: Any, reader: str, password: str, base: str, **config: Any) -> Any:
    """An adapter over StartTLS, where nothing else is said."""
    said = {"urls": [server.url], "ca_file": str(server.ca_file), "bind_dn": reader, "base": base, **config}
    return open_provider("ldap", said, equipment(secrets={"bind_password": password.encode()}))


@dataclass
class Directory:
    """What the contract suite wants to know of an adapter (`Adapted`)."""

    config: Mapping[str, Any]
    secrets: Mapping[str, bytes] = field(repr=False)
    delete: Callable[[str], None] = field(repr=False)
    kind: str = "ldap"

    def __post_init__(self) -> None:
        self.equipment: Equipment = equipment(secrets=self.secrets)
        self.adapter = open_provider("ldap", self.config, self.equipment)
        self.removed: list[str] = []

    def down(self) -> Any:
        nowhere = {**self.config, "urls": [f"ldaps://127.0.0.1:{free_port()}"]}
        return open_provider("ldap", nowhere, self.equipment)

    def password(self, person: str = "alice") -> str:
        return PASSWORDS[person]

    def remove(self, person: str) -> None:
        self.removed.append(person)
        self.delete(person)
