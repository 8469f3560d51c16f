"""At each start, what the operator's file says of `[[stdio_servers]]` is stored, for review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.journal import GATEWAY
from gateway.settings.loading import ConfigurationError
from registry.database import Concern
from registry.declaring import Declaration, News, declare, drop, news_of, undeclared
from registry.errors import RegistryError

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.upstream.channels.declared import DeclaredServer

EVENTS: Final = {
    News.ADDED: "server.added",
    News.CHANGED: "server.command_changed",
    News.DECLARED: "server.declared",
}


def enrol(office: Office) -> None:
    """A new one is proposed; one whose command changed waits for review; one that is gone is suspended.

    Raises ConfigurationError.
    """
    declared = office.settings.stdio_servers
    with office.database.read() as session:
        gone = undeclared(session, {one.slug for one in declared})
    for slug in gone:
        with office.change("server.undeclared", Concern.CATALOGUE, who=GATEWAY, server=slug) as (session, _):
            drop(session, slug)
    for one in declared:
        _take_up(office, one)


def _take_up(office: Office, one: DeclaredServer) -> None:
    declaration = Declaration(slug=one.slug, title=one.title, owner=one.owner, command=one.raw())
    try:
        with office.database.read() as session:
            news = news_of(session, declaration)
        if news is not None:
            with office.change(EVENTS[news], Concern.CATALOGUE, who=GATEWAY, server=one.slug) as (session, _):
                declare(session, declaration, who=GATEWAY)
    except RegistryError as refused:
        raise ConfigurationError([f"stdio_servers: {refused}"]) from refused
