"""Servers that are processes of ours: what the operator's file says becomes something to review."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from registry.catalogue.assembling import SERVER_WORDS
from registry.database import Concern
from registry.declaring import COMMAND, GONE, Declaration, News, declare, drop, news_of, undeclared
from registry.errors import RegistryError
from registry.servers import find, retire, suspend
from registry.tables import ServerState, Transport
from tests.registry.shelf import Shelf, tool, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.catalogue import Catalogue


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.database.close()


def said(*command: str, slug: str = "git", **more: str) -> Declaration:
    raw = json.dumps({"command": list(command or ("git-server",)), "slug": slug})
    return Declaration(**({"slug": slug, "title": "", "owner": "", "command": raw} | more))


def take(shelf: Shelf, declaration: Declaration) -> News | None:
    with shelf.database.change(Concern.CATALOGUE) as session:
        news = news_of(session, declaration)
        if news is not None:
            declare(session, declaration, who="ostiary")
    return news


def approved(shelf: Shelf) -> None:
    take(shelf, said())
    shelf.see("git", words("Use me."), tool("status"))
    shelf.approve("git")


def tools(shelf: Shelf) -> list[str]:
    return list(catalogue(shelf).mounts["/mcp"].tools)


def catalogue(shelf: Shelf) -> Catalogue:
    from registry.catalogue.assembling import load_catalogue

    with shelf.database.read() as session:
        return load_catalogue(session, 1)


def test_a_new_one_is_proposed_with_its_command(shelf: Shelf) -> None:
    assert take(shelf, said()) is News.ADDED
    with shelf.database.read() as session:
        server = find(session, "git")
    assert (server.state, server.transport, server.url) == (ServerState.SUBMITTED, Transport.STDIO, "stdio:git")
    assert shelf.items("git")[COMMAND].awaits
    assert take(shelf, said()) is None


def test_a_look_at_what_it_offers_does_not_miss_its_command(shelf: Shelf) -> None:
    take(shelf, said())
    observation = shelf.see("git", words("Use me."), tool("status"))
    assert not observation.missing
    assert set(shelf.items("git")) == {COMMAND, SERVER_WORDS, "status"}


def test_it_can_be_called_once_its_command_is_approved_too(shelf: Shelf) -> None:
    take(shelf, said())
    shelf.see("git", tool("status"))
    items = shelf.items("git")
    shelf.approve("git", {items["status"].key: items["status"].digest})
    assert not tools(shelf)
    shelf.approve("git", {items[COMMAND].key: items[COMMAND].digest})
    assert tools(shelf) == ["git_status"]


def test_its_instructions_are_its_own_and_not_its_commands(shelf: Shelf) -> None:
    approved(shelf)
    upstream = catalogue(shelf).upstreams["git"]
    assert upstream.instructions == "Use me."
    assert upstream.command == shelf.items("git")[COMMAND].digest


def test_another_command_takes_everything_away_until_it_is_approved(shelf: Shelf) -> None:
    approved(shelf)
    assert take(shelf, said("git-server", "--all")) is News.CHANGED
    assert not tools(shelf)
    assert "awaits review" in catalogue(shelf).paused["tool", "git.status"]
    (change,) = [one for one in shelf.items("git")[COMMAND].changes() if one.after is not None]
    assert "--all" in str(change.after)
    shelf.approve("git")
    assert tools(shelf) == ["git_status"]


def test_the_old_command_again_is_the_approved_one_again(shelf: Shelf) -> None:
    approved(shelf)
    take(shelf, said("other"))
    assert take(shelf, said()) is News.CHANGED
    assert tools(shelf) == ["git_status"]


def test_one_that_the_file_no_longer_declares_is_suspended_until_it_does(shelf: Shelf) -> None:
    approved(shelf)
    with shelf.database.change() as session:
        assert undeclared(session, {"other"}) == ["git"]
        drop(session, "git")
    assert not tools(shelf)
    assert take(shelf, said()) is News.DECLARED
    assert tools(shelf) == ["git_status"]


def test_one_that_comes_back_otherwise_waits(shelf: Shelf) -> None:
    approved(shelf)
    with shelf.database.change() as session:
        drop(session, "git")
    assert take(shelf, said("other")) is News.CHANGED
    assert not tools(shelf)


def test_one_that_an_administrator_suspended_stays_so(shelf: Shelf) -> None:
    approved(shelf)
    with shelf.database.change() as session:
        suspend(session, "git", "no")
    take(shelf, said())
    with shelf.database.read() as session:
        assert find(session, "git").state == ServerState.SUSPENDED


def test_one_that_was_never_approved_says_that_it_is_gone(shelf: Shelf) -> None:
    take(shelf, said())
    with shelf.database.change() as session:
        drop(session, "git")
    with shelf.database.read() as session:
        assert find(session, "git").failure == GONE


def test_another_title_is_no_other_command(shelf: Shelf) -> None:
    approved(shelf)
    assert take(shelf, said(title="Git")) is News.DECLARED
    assert tools(shelf) == ["git_status"]
    assert catalogue(shelf).upstreams["git"].title == "Git"


def test_a_name_that_belongs_to_something_else_is_refused(shelf: Shelf) -> None:
    shelf.add("git")
    with pytest.raises(RegistryError, match="is a server at https"):
        take(shelf, said())


def test_a_retired_one_does_not_come_back(shelf: Shelf) -> None:
    approved(shelf)
    with shelf.database.change() as session:
        retire(session, "git", shelf.vault)
    with pytest.raises(RegistryError, match="was retired"):
        take(shelf, said())
