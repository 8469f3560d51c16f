"""What the tables of commands say."""

from __future__ import annotations

from gateway.cli.output import table


def test_a_count_is_a_number_and_a_yes_a_yes() -> None:
    rows = [{"users": 1, "groups": 0, "admin": True, "declared": False}]
    assert table(rows, "users groups admin declared", "").splitlines()[1].split() == ["1", "0", "yes", "no"]
