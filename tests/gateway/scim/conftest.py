from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from authz.people.accounts import add_group
from authz.people.provisioning import make_token
from authz.tables import ClaimMapping, Group, Person, Provider
from registry.database import Concern

if TYPE_CHECKING:
    import httpx2

    from tests.gateway.oauth.house import House

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Client:
    """A provider's SCIM client."""

    house: House
    slug: str
    token: str

    def ask(self, method: str, path: str, json: Any = None, **headers: str) -> httpx2.Response:
        with self.house.http() as http:
            own = {"authorization": f"Bearer {self.token}", **headers}
            return http.request(method, f"/scim/v2{path}", json=json, headers=own)

    def user(self, name: str, **more: Any) -> dict[str, Any]:
        answer = self.ask("POST", "/Users", {"schemas": [USER], "userName": name, "externalId": f"x-{name}", **more})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def group(self, name: str, *members: dict[str, Any]) -> dict[str, Any]:
        listed = [{"value": member["id"]} for member in members]
        answer = self.ask("POST", "/Groups", {"schemas": [GROUP], "displayName": name, "members": listed})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def patch(self, path: str, *operations: dict[str, Any]) -> httpx2.Response:
        return self.ask("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})

    def map(self, value: str, group: str) -> None:
        with self.house.office.database.change(Concern.PEOPLE) as session:
            if session.get(Group, group) is None:
                add_group(session, group)
            session.merge(ClaimMapping(provider=self.slug, claim="groups", value=value, group=group))

    def person(self, user: dict[str, Any]) -> Person:
        from sqlmodel import select

        subject = user["externalId"]
        with self.house.office.database.read() as session:
            return session.exec(
                select(Person).where(Person.subject == subject, Person.issuer == issuer(self.slug))
            ).one()

    def groups(self, user: dict[str, Any]) -> set[str]:
        """The groups of ours that the person behind `user` is in."""
        member = self.house.members().get(self.person(user).id)
        return set(member.groups) if member else set()


def issuer(slug: str) -> str:
    return f"https://{slug}.example"


def client(house: House, slug: str) -> Client:
    with house.office.database.change(Concern.PEOPLE) as session:
        provider = Provider(slug=slug, kind="oidc", config={"issuer": issuer(slug)}, created_at=time.time())
        session.add(provider)
        session.flush()
        _, token = make_token(session, provider, 30, time.time())
    return Client(house, slug, token)


@pytest.fixture(scope="module")
def corp(house: House) -> Client:
    return client(house, "corp")


@pytest.fixture(scope="module")
def other(house: House) -> Client:
    return client(house, "other")
