from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.journal.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.journal.writer import FileJournal

    Open = Callable[..., FileJournal]


def test_the_tail_is_the_newest_of_all_writers(opened: Open, directory: Path) -> None:
    first, second = opened(), opened()
    for number in range(30):
        (first, second)[number % 2].note("probe", who="test", number=number)
    tail = Tail(directory)
    newest = [line.split(b'"number":')[1].split(b",")[0] for line in tail.newest(10)]
    assert newest == [b"%d" % number for number in range(20, 30)]
    first.note("probe", who="test", number=30)
    third = opened()
    third.note("probe", who="test", number=31)
    coming = tail.following()
    seen = [next(coming) for _ in range(3)]
    assert [b'"number":30' in seen[0], b"journal.opened" in seen[1], b'"number":31' in seen[2]] == [True] * 3
