"""An adapter before a directory that says what a test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idp_adapters.config import open_provider
from tests.fakes.network.certificates import Authority
from tests.fakes.providers.directory import FakeDirectory, done, entry
from tests.idp_adapters.equipment import equipment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.fakes.providers.directory import Search

BASE = "dc=lab,dc=test"
READER = f"cn=reader,{BASE}"
ALICE = f"uid=alice,{BASE}"
ID = b"11111111-2222-3333-4444-555555555555"


def person(dn: str = ALICE, login: str = "alice", **more: Sequence[bytes]) -> bytes:
    said: Mapping[str, Sequence[bytes]] = {"uid": [login.encode()], "entryUUID": [ID], "cn": [b"Alice"], **more}
    return entry(dn, said)


def answering(*people: bytes) -> Callable[[Search], Iterator[bytes]]:
    """These to a search for people; no groups, and a plain server."""

    def answer(search: Search) -> Iterator[bytes]:
        if "(objectClass=person)" in search.filter:
            yield from people
        yield done()

    return answer


class Lab:
    """Certificates, and adapters that trust them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)

    def directory(self, answer: Callable[[Search], Iterator[bytes]], **more: Any) -> FakeDirectory:
        return FakeDirectory(self.authority.certify("127.0.0.1").context(), answer, **more)

    def adapter(self, url: str, password: bytes = b"readers password", **config: Any) -> Any:
        said = {"urls": [url], "ca_file": str(self.authority.certificate), "bind_dn": READER, "base": BASE, **config}
        return open_provider("ldap", said, equipment(secrets={"bind_password": password}))
