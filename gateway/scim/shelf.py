"""The resources of one provider: kept as documents, read as models, changed one transaction at a time."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from scim2_models import (
    Context,
    Meta,
    NotFoundException,
    PreconditionFailedException,
    TooManyException,
    UniquenessException,
)
from sqlmodel import col, func, select

from authz.people import provisioning
from authz.people.provisioning import GROUP, USER
from authz.tables import Person, ScimResource
from gateway.scim.words import GROUPS, PATH, USERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from scim2_models import Resource, ScimFilter
    from sqlmodel import Session

    from authz.tables import Provider

    AnyResource = Resource[Any]

SEARCHED_MOST: Final = 20_000  # documents that one search reads; what asks by name or externalId reads one
MODELS: Final[dict[str, type[AnyResource]]] = {USER: USERS, GROUP: GROUPS}
_COLUMNS: Final = {"username": "name", "displayname": "name", "externalid": "external_id", "id": "id"}
_OURS: Final = ("id", "meta", "schemas")


@dataclass(frozen=True, slots=True)
class Shelf:
    """One provider's users or groups, within a transaction."""

    session: Session
    provider: Provider
    kind: str
    base: str
    now: float

    @property
    def model(self) -> type[AnyResource]:
        return MODELS[self.kind]

    def find(self, id_: str, *, to_change: bool = False) -> ScimResource:
        """NotFoundException also for what is another provider's (T-56). What is to be changed is locked."""
        place = (self.provider.slug, id_)
        found = self.session.get(ScimResource, place, with_for_update=to_change or None, populate_existing=to_change)
        if found is None or found.kind != self.kind:
            raise NotFoundException(detail=f"there is no {self.kind} {id_[:80]}")
        return found

    def take(self, id_: str, if_match: str) -> ScimResource:
        """The same to be changed; PreconditionFailedException if it has moved (RFC 7644 section 3.14)."""
        found = self.find(id_, to_change=True)
        if if_match not in {"", "*"} and version(found) not in {part.strip() for part in if_match.split(",")}:
            raise PreconditionFailedException
        return found

    def read(self, row: ScimResource) -> AnyResource:
        """The resource as its document says, with what we know of it (RFC 7643 section 3.1)."""
        return self._read(row, self._enabled([row]))

    def _read(self, row: ScimResource, enabled: Collection[str]) -> AnyResource:
        resource = self.model.model_validate(row.document)
        resource.id = row.id
        resource.meta = Meta(
            resource_type=row.kind,
            created=datetime.fromtimestamp(row.created_at, UTC),
            last_modified=datetime.fromtimestamp(row.modified_at, UTC),
            location=f"{self.base}{PATH}/{self.kind}s/{row.id}",
            version=version(row),
        )
        if row.kind == USER and row.person not in enabled:
            resource.active = False  # type: ignore[attr-defined]  # also where an administrator here said so
        return resource

    def add(self, resource: AnyResource) -> ScimResource:
        row = ScimResource(
            provider=self.provider.slug,
            id=secrets.token_hex(16),
            kind=self.kind,
            name="",
            created_at=self.now,
            modified_at=self.now,
        )
        row.version = 0
        if self.kind == USER and resource.active is None:  # type: ignore[attr-defined]
            resource.active = True  # type: ignore[attr-defined]
        self.write(row, resource)
        return row

    def write(self, row: ScimResource, resource: AnyResource) -> None:
        """Stores what the resource says now, and makes people and groups of ours follow. UniquenessException."""
        said = resource.model_dump(scim_ctx=Context.DEFAULT)
        row.document = {name: value for name, value in said.items() if name not in _OURS and name != "password"}
        row.name = str(said.get("userName") or said.get("displayName") or "").casefold()
        row.external_id = str(said.get("externalId") or "")
        row.version, row.modified_at = row.version + 1, self.now
        self._refuse_twins(row)
        self.session.add(row)
        self.session.flush()
        self._follow(row)

    def remove(self, row: ScimResource) -> None:
        person = self.session.get(Person, row.person) if row.person else None
        if person is not None:
            provisioning.dismiss(self.session, self.provider, person, self.now)
        self.session.delete(row)
        self.session.flush()
        provisioning.reconcile(self.session, self.provider)

    def count(self) -> int:
        return self.session.exec(select(func.count()).select_from(ScimResource).where(*self._mine())).one()

    def page(self, start: int, most: int) -> list[AnyResource]:
        rows = select(ScimResource).where(*self._mine()).order_by(col(ScimResource.created_at), col(ScimResource.id))
        return list(self._read_all(rows.offset(start).limit(most)))

    def search(self, wanted: ScimFilter[Any]) -> list[AnyResource]:
        """All that match, in the order in which they came. TooManyException where that would mean reading too many."""
        narrowed = self._narrowed(wanted)
        if narrowed is None and self.count() > SEARCHED_MOST:
            raise TooManyException
        rows = select(ScimResource).where(*self._mine(), *(narrowed or ()))
        found = self._read_all(rows.order_by(col(ScimResource.created_at), col(ScimResource.id)))
        return [resource for resource in found if wanted.match(resource)]

    def _read_all(self, query: Any) -> Iterator[AnyResource]:
        rows = self.session.exec(query).all()
        enabled = self._enabled(rows)
        return (self._read(row, enabled) for row in rows)

    def _mine(self) -> Sequence[Any]:
        return (col(ScimResource.provider) == self.provider.slug, col(ScimResource.kind) == self.kind)

    def _narrowed(self, wanted: ScimFilter[Any]) -> Sequence[Any] | None:
        """What the database can look for: `userName eq "…"` and its like, which is what provisioning asks all day."""
        from scim2_models.path.expressions import Comparison

        asked = wanted.ast
        if not isinstance(asked, Comparison) or asked.op != "eq" or not isinstance(asked.value, str):
            return None
        column = _COLUMNS.get(str(asked.attr_path).rpartition(":")[2].lower())
        if column is None:
            return None
        value = asked.value.casefold() if column == "name" else asked.value
        return (col(getattr(ScimResource, column)) == value,)

    def _refuse_twins(self, row: ScimResource) -> None:
        """`userName` is unique (RFC 7643 section 4.1.1), and here so are groups' names: a mapping means one of them."""
        twins = (*self._mine(), ScimResource.name == row.name, ScimResource.id != row.id)
        if self.session.exec(select(ScimResource.id).where(*twins)).first() is not None:
            attribute = "userName" if self.kind == USER else "displayName"
            raise UniquenessException(detail=f"{attribute} is taken", attribute=attribute)

    def _follow(self, row: ScimResource) -> None:
        if row.kind == USER:
            provisioning.apply_user(self.session, self.provider, row, self.now)
        if row.kind == GROUP or row.version > 1:  # of somebody new no group can know yet
            provisioning.reconcile(self.session, self.provider)

    def _enabled(self, rows: Sequence[ScimResource]) -> set[str]:
        """Those of their people who may come in, asked for at once."""
        people = [row.person for row in rows if row.person]
        alive = (col(Person.id).in_(people), col(Person.disabled_at).is_(None))
        return set(self.session.exec(select(Person.id).where(*alive)).all()) if people else set()


def version(row: ScimResource) -> str:
    """A weak entity tag (RFC 9110 section 8.8.1)."""
    return f'W/"{row.version}"'
