"""Review, difference and approval."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from registry.approving import Approver, withdraw
from registry.database import Concern
from registry.differences import Change
from registry.errors import NotApprovable
from registry.reviewing import Status, review
from registry.tables import ServerState
from tests.registry.shelf import tool, words

if TYPE_CHECKING:
    from tests.registry.shelf import Shelf

OPERATOR_OF_TWO = Approver(name="operator:root", signed_in=False, admins=2)
ALICE = Approver(name="user:alice", signed_in=True, admins=2)
BOB = Approver(name="user:bob", signed_in=True, admins=2)


def shown(shelf: Shelf) -> str:
    with shelf.database.read() as session:
        return review(session, "notes").shown


def test_an_approval_pins_what_was_shown_and_nothing_else(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"), tool("read"))
    done = shelf.approve("notes", {("tool", "list"): shelf.items("notes")["list"].digest})
    assert done.approved == ("tool list",)
    assert shelf.tools() == ["notes_list"]
    assert shelf.items("notes")["read"].status == Status.NEW


def test_nothing_is_approved_when_one_thing_changed_since_it_was_shown(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"), tool("read"))
    digests = {item.key: item.digest for item in shelf.items("notes").values()}
    shelf.see("notes", tool("list"), tool("read", "Other."))
    with pytest.raises(NotApprovable, match=r"changed since it was shown.*tool read"):
        shelf.approve("notes", digests)
    assert shelf.server("notes").state == ServerState.SUBMITTED
    assert shelf.tools() == []


@pytest.mark.parametrize("key", [("tool", "nothing"), ("prompt", "list")])
def test_what_is_not_there_cannot_be_approved(shelf: Shelf, key: tuple[str, str]) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"))
    with pytest.raises(NotApprovable):
        shelf.approve("notes", {key: shelf.items("notes")["list"].digest})


def test_a_server_that_nobody_has_read_cannot_be_approved(shelf: Shelf) -> None:
    shelf.add("notes")
    with pytest.raises(NotApprovable, match="could not be read yet"):
        shelf.approve("notes", {})


def test_with_one_admin_an_approval_says_that_nobody_else_looked(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"))
    assert "second pair of eyes" in shelf.approve("notes").remark


def test_with_two_admins_the_command_line_is_sent_to_the_review_page(shelf: Shelf) -> None:
    shelf.add("notes", who="user:alice")
    shelf.see("notes", tool("list"))
    with pytest.raises(NotApprovable, match="/admin/servers/notes"):
        shelf.approve("notes", by=OPERATOR_OF_TWO)
    with pytest.raises(NotApprovable, match="another administrator"):
        shelf.approve("notes", by=ALICE)
    assert shelf.approve("notes", by=BOB).remark == ""


def test_the_word_for_what_was_shown_changes_with_any_of_it(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"))
    first = shown(shelf)
    shelf.see("notes", tool("list"))
    assert shown(shelf) == first
    shelf.see("notes", tool("list", "Other."))
    assert shown(shelf) != first


def test_a_difference_is_told_field_by_field(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list", annotations={"readOnlyHint": True}, title="List"))
    shelf.see("notes", tool("list", annotations={"readOnlyHint": False}, title="Lists", extra=[1]))
    changes = {change.where: change for change in shelf.items("notes")["list"].changes()}
    assert changes == {
        "/annotations/readOnlyHint": Change("/annotations/readOnlyHint", "true", "false"),
        "/title": Change("/title", '"List"', '"Lists"'),
        "/extra/0": Change("/extra/0", None, "1"),
    }
    assert changes["/annotations/readOnlyHint"].severe
    assert not changes["/title"].severe


def test_nothing_differs_from_what_was_approved(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"))
    assert shelf.items("notes")["list"].changes() == []


def test_what_is_gone_leaves_with_the_next_approval(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"), tool("read"))
    shelf.see("notes", tool("list"))
    assert shelf.items("notes")["read"].status == Status.MISSING
    shelf.approve("notes", {})
    assert list(shelf.items("notes")) == ["list"]
    shelf.see("notes", tool("list"), tool("read"))
    assert shelf.items("notes")["read"].status == Status.NEW


def test_approving_ends_the_count_of_flaps_but_not_a_suspension(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"))
    for text in ("B", "Does a thing.", "B"):
        shelf.see("notes", tool("list", text))
    shelf.approve("notes")
    assert shelf.server("notes").state == ServerState.SUSPENDED
    assert shelf.server("notes").flaps == 0
    assert shelf.tools() == []


def test_a_pin_keeps_the_text_that_was_approved(shelf: Shelf) -> None:
    shelf.approved("notes", words("First."))
    shelf.see("notes", words("Second."))
    item = shelf.items("notes")["server"]
    assert json.loads(item.pinned or "")["instructions"] == "First."
    assert item.status == Status.CHANGED


def test_an_approval_that_is_taken_back_hides_what_it_was_for_until_the_next(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"), tool("read"))
    shelf.approve("notes")
    with shelf.database.change(Concern.CATALOGUE) as session:
        assert withdraw(session, "notes", "list") == ["tool"]
    assert shelf.tools() == ["notes_read"]
    assert shelf.items("notes")["list"].status == Status.NEW
    shelf.approve("notes")
    assert sorted(shelf.tools()) == ["notes_list", "notes_read"]


def test_what_is_not_approved_cannot_be_taken_back(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"))
    with shelf.database.change(Concern.CATALOGUE) as session, pytest.raises(NotApprovable, match="nothing approved"):
        withdraw(session, "notes", "list")
