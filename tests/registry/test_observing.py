"""What a probe or refresh saw, against what was known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.observing import FLAP_MEMORY, Seen, differs, failed, observe, touch
from registry.reviewing import Status
from registry.tables import Era, ExposedName, Server, ServerState
from tests.registry.shelf import resource, tool

if TYPE_CHECKING:
    import pytest

    from registry.screening import Described
    from tests.registry.shelf import Shelf


def seen(*definitions: Described, version: str = "2026-07-28") -> Seen:
    return Seen(era=Era.MODERN, protocol_version=version, capabilities={"tools": {}}, definitions=definitions)


def would_change(shelf: Shelf, what: Seen) -> bool:
    with shelf.database.read() as session:
        return differs(session, "notes", what)


def test_the_same_again_is_no_news(shelf: Shelf) -> None:
    shelf.add("notes")
    assert shelf.see("notes", tool("list"), resource("n://a")).new == ["tool list", "resource n://a"]
    assert not would_change(shelf, seen(tool("list"), resource("n://a")))
    assert not shelf.see("notes", tool("list"), resource("n://a"))


def test_the_order_in_which_a_server_lists_is_no_news(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"), tool("read"))
    assert not would_change(shelf, seen(tool("read"), tool("list")))
    assert shelf.tools() == ["notes_list", "notes_read"]


def test_each_kind_of_difference_is_named(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"), tool("read"))
    found = shelf.see("notes", tool("read", "Other."), tool("add"))
    assert (found.new, found.changed, found.missing) == (["tool add"], ["tool read"], ["tool list"])
    assert found.facts()["missing"] == ["tool list"]
    back = shelf.see("notes", tool("list"), tool("read", "Other."), tool("add"))
    assert back.returned == ["tool list"]


def test_what_was_approved_is_usable_again_when_it_comes_back_as_it_was(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"), tool("read"))
    shelf.see("notes", tool("read"))
    assert shelf.tools() == ["notes_read"]
    shelf.see("notes", tool("list"), tool("read"))
    assert shelf.tools() == ["notes_list", "notes_read"]


def test_what_comes_back_changed_is_not(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"), tool("read"))
    shelf.see("notes", tool("read"))
    shelf.see("notes", tool("list", "Other."), tool("read"))
    assert shelf.tools() == ["notes_read"]


def test_unapproved_definitions_that_are_taken_back_leave_nothing_behind(shelf: Shelf) -> None:
    shelf.add("notes")
    for number in range(5):
        shelf.see("notes", tool(f"tool_number_{'abcde'[number]}"))
    assert list(shelf.items("notes")) == ["tool_number_e"]
    from sqlmodel import select

    with shelf.database.read() as session:
        assert [row.name for row in session.exec(select(ExposedName))] == ["tool_number_e"]


def test_an_exposed_name_stays_with_its_definition(shelf: Shelf) -> None:
    shelf.approved("notes", tool("a.b"))
    assert shelf.tools() == ["notes_a_b"]
    shelf.see("notes")
    shelf.see("notes", tool("a.b"), tool("a_b"))
    assert shelf.tools() == ["notes_a_b"]
    assert shelf.items("notes")["a_b"].status == Status.REFUSED


def test_a_definition_listed_twice_is_refused(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"), tool("list", "Another."))
    assert shelf.rules("notes", "list") == {"listed-twice"}
    assert not would_change(shelf, seen(tool("list"), tool("list", "Another.")))
    assert would_change(shelf, seen(tool("list")))
    shelf.see("notes", tool("list"))
    shelf.approve("notes")
    assert shelf.tools() == ["notes_list"]
    shelf.see("notes", tool("list"), tool("list", "Another."))
    assert shelf.tools() == []
    assert ("tool", "notes.list") in shelf.catalogue().paused


def test_a_servers_own_words_are_not_taken_for_our_mark(shelf: Shelf) -> None:
    odd = tool("list", inputSchema={"type": "object", "properties": {"listed-twice": {"description": "a\u200bb"}}})
    shelf.add("notes")
    shelf.see("notes", odd)
    found = [finding.where for finding in shelf.items("notes")["list"].findings]
    assert any("listed-twice" in where for where in found)
    assert not would_change(shelf, seen(odd))


def test_a_pinned_name_is_never_the_twin_of_a_newer_one(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"))
    shelf.see("notes", tool("l1st"), tool("list"))
    assert shelf.tools() == ["notes_list"]
    assert shelf.rules("notes", "l1st") == {"twin"}


def test_a_failure_is_noted_once_and_ends_with_the_next_success(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"))
    with shelf.database.change() as session:
        assert failed(session, "notes", "it cannot be reached: ...")
        assert not failed(session, "notes", "it cannot be reached: ...")
    since = shelf.server("notes").failing_since
    assert since is not None
    assert shelf.catalogue().upstreams["notes"].stale_since == since
    assert shelf.tools() == ["notes_list"]
    assert would_change(shelf, seen(tool("list")))
    assert shelf.see("notes", tool("list")).recovered
    assert shelf.catalogue().upstreams["notes"].stale_since is None


def test_another_version_is_news_without_a_changed_definition(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"))
    assert would_change(shelf, seen(tool("list"), version="2027-01-01"))
    with shelf.database.change() as session:
        found = observe(session, "notes", seen(tool("list"), version="2027-01-01"))
    assert found.facts_changed
    assert shelf.catalogue().upstreams["notes"].protocol_version == "2027-01-01"


def test_flaps_far_apart_do_not_add_up(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("registry.observing.time.time", lambda: now)
    shelf.approved("notes", tool("list"))
    for text in ("B", "Does a thing.", "B", "Does a thing."):
        now += FLAP_MEMORY + 1
        assert not shelf.see("notes", tool("list", text)).suspended
    assert shelf.server("notes").state == ServerState.APPROVED


def test_a_look_without_news_is_dated(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"))
    with shelf.database.change() as session:
        session.get_one(Server, "notes").probed_at = 1.0
    with shelf.database.change() as session:
        touch(session, "notes")
    assert (shelf.server("notes").probed_at or 0) > 1.0
