"""Names in rules that mean nobody and nothing yet: allowed, because a policy may come first, and worth a word."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from sqlmodel import col, select

from authz.clients.known import Origin
from authz.tables import Client, Group, Person, RoleBinding
from registry.tables import Definition, Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlmodel import Session

    from authz.policy.rules import Binding, Draft


def strangers(session: Session, written: Iterable[Draft | Binding], roles: Iterable[str] = ()) -> list[str]:
    """One sentence for each name that is not known, with the one that may have been meant; `roles` are about to be."""
    items = list(written)
    found = [*_subjects(session, {item.subject for item in items} - {f"role:{role}" for role in roles})]
    found += _objects(session, {item.object for item in items if hasattr(item, "object")})
    return found


def _subjects(session: Session, subjects: set[str]) -> Iterator[str]:
    known = {f"user:{handle}" for handle in session.exec(select(Person.handle))}
    known |= {f"group:{name}" for name in session.exec(select(Group.name))}
    known |= {f"agent:{handle}" for handle in session.exec(select(Client.handle).where(Client.origin == Origin.AGENT))}
    known |= {f"role:{role}" for role in session.exec(select(RoleBinding.role))}
    known |= {f"client:{client}" for client in session.exec(select(Client.id))}
    for subject in sorted(subjects - known):
        kind, _, name = subject.partition(":")
        alike = {one.partition(":")[2]: one for one in sorted(known, key=lambda one: one.startswith(f"{kind}:"))}
        verb = "nobody has" if kind == "role" else "there is no"
        yield f"{verb} {subject} yet{_meant(name, alike)}"


def _objects(session: Session, objects: set[str]) -> Iterator[str]:
    slugs = set(session.exec(select(Server.slug)))
    for name in sorted(objects):
        slug, _, local = name.partition(".")
        if slug not in slugs:
            yield f"there is no server {slug} yet{_meant(slug, {one: one for one in slugs})}"
        elif local != "*":
            known = {one: one for one in session.exec(select(Definition.name).where(col(Definition.server) == slug))}
            if local not in known:
                yield f"the server {slug} offers nothing called {local}{_meant(local, known)}"


def _meant(name: str, known: Mapping[str, str]) -> str:
    """Of what is `known` by a name like this one, how it is written; what it is called alone says how alike it is."""
    close = get_close_matches(name, list(known), 1, 0.6)
    return f": did you mean {known[close[0]]}?" if close else ""
