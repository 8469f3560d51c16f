from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.credentials import connection_states as states
from registry.credentials.connection_states import ALIVE, Life, Standing
from registry.errors import WrongState
from registry.tables import ConnectionState

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR

seconds = st.floats(1, 90 * DAY)
chances = st.floats(0, 1, exclude_max=True)


@st.composite
def lives(draw: st.DrawFn, now: float = NOW) -> Life:
    return Life(
        expires_at=draw(st.none() | seconds.map(lambda left: now + left)),
        ends_at=draw(st.none() | seconds.map(lambda left: now + left)),
        renewable=draw(st.booleans()),
    )


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, Callable[[Standing, float], Standing]]:
    """Anything that may befall a connection, except that a person connects it."""
    life, chance, asked = draw(lives()), draw(chances), draw(st.floats(0, 10 * DAY))
    known: list[tuple[str, Callable[[Standing, float], Standing]]] = [
        ("refreshing", lambda one, now: states.refreshing(one, now, 90.0)),
        ("renewed", lambda one, now: states.renewed(one, life, now, chance)),
        ("put_off", lambda one, now: states.put_off(one, "it is away", now, chance, asked)),
        ("needing", lambda one, now: states.needing(one, "it was refused", now)),
        ("revoked", lambda one, now: states.revoked(one, "somebody ended it", now)),
        ("settled", states.settled),
        ("warned", states.warned),
    ]
    return draw(st.sampled_from(known))


@given(lives(), chances, st.lists(st.tuples(steps(), seconds), max_size=12))
def test_only_a_person_who_connects_leads_back_from_what_is_over(
    life: Life, chance: float, befallen: list[tuple[tuple[str, Callable[[Standing, float], Standing]], float]]
) -> None:
    now, one = NOW, states.connected(life, NOW, chance)
    over = False
    for (name, step), passed in befallen:
        now += passed
        try:
            after = step(one, now)
        except WrongState:
            assert over, name
            continue
        assert not (over and after.state in ALIVE), name
        assert after.changed_at <= now
        assert after.alive or after.refresh_at is None
        over, one = over or after.state not in ALIVE, after
    assert states.connected(Life(), now, chance).state is ConnectionState.CONNECTED


@given(lives(), chances, chances, st.lists(st.floats(0, 10 * DAY), min_size=1, max_size=20))
def test_each_attempt_in_vain_waits_longer_within_bounds(
    life: Life, chance: float, other: float, asked: list[float]
) -> None:
    one, now = states.connected(replace_ends(life), NOW, chance), NOW
    for at, wanted in enumerate(asked):
        one = states.put_off(one, "it is away", now, other, wanted)
        assert one.refresh_at is not None
        pause = one.refresh_at - now
        least = min(states.LONGEST_PAUSE, states.FIRST_PAUSE * 2**at) / 2
        assert least <= pause + 1e-3
        assert pause <= max(states.LONGEST_PAUSE, min(wanted, states.LONGEST_ASKED)) + 1e-3
        assert (one.attempts, one.state) == (at + 1, ConnectionState.REFRESHING)
        now = one.refresh_at


@given(st.floats(0, 20), chances)
def test_an_authorization_server_whose_tokens_are_over_at_once_is_not_asked_all_the_time(
    life: float, chance: float
) -> None:
    one = states.connected(Life(expires_at=NOW + life, renewable=True), NOW, chance)
    assert one.refresh_at is not None
    assert one.refresh_at >= NOW + states.SOONEST


def replace_ends(life: Life) -> Life:
    return replace(life, ends_at=None)


@given(st.floats(60, 30 * DAY), chances)
def test_a_token_is_renewed_well_before_it_ends_and_not_at_once(life: float, chance: float) -> None:
    one = states.connected(Life(expires_at=NOW + life, renewable=True), NOW, chance)
    assert one.refresh_at is not None
    assert NOW + 0.6 * life < one.refresh_at < NOW + 0.9 * life
    assert one.end is None


def test_what_cannot_be_renewed_warns_before_it_ends_and_then_is_over() -> None:
    one = states.connected(Life(expires_at=NOW + 8 * HOUR), NOW, 0.5)
    assert one.state is ConnectionState.CONNECTED
    assert states.settled(one, NOW + 5 * HOUR) is one
    late = states.settled(one, NOW + 6 * HOUR + 1)
    assert (late.state, late.changed_at) == (ConnectionState.EXPIRING, NOW + 6 * HOUR + 1)
    assert "connect it again" in late.why
    over = states.settled(late, NOW + 8 * HOUR)
    assert (over.state, over.alive) == (ConnectionState.NEEDS_RECONNECT, False)


def test_of_a_long_life_people_are_told_three_days_before_its_end() -> None:
    one = states.connected(Life(expires_at=NOW + HOUR, ends_at=NOW + 90 * DAY, renewable=True), NOW, 0.5)
    assert one.warn_at == NOW + 87 * DAY


def test_people_are_told_once_of_one_end_and_again_of_another() -> None:
    soon = Life(expires_at=NOW + HOUR, ends_at=NOW + DAY, renewable=True)
    one = states.warned(states.settled(states.connected(soon, NOW, 0.5), NOW + 23 * HOUR), NOW + 23 * HOUR)
    assert one.warned_at == NOW + 23 * HOUR
    assert states.warned(one, NOW + 24 * HOUR).warned_at == NOW + 23 * HOUR
    same = states.renewed(one, soon, NOW + 23 * HOUR, 0.5)
    assert (same.state, same.warned_at) == (ConnectionState.EXPIRING, NOW + 23 * HOUR)
    later = states.renewed(one, replace(soon, ends_at=NOW + 60 * DAY), NOW + 23 * HOUR, 0.5)
    assert (later.state, later.warned_at) == (ConnectionState.CONNECTED, None)


def test_what_is_well_is_told_to_nobody() -> None:
    one = states.connected(Life(expires_at=NOW + HOUR, renewable=True), NOW, 0.5)
    assert states.warned(one, NOW).warned_at is None


def test_what_was_revoked_keeps_why_it_was() -> None:
    one = states.revoked(states.connected(Life(), NOW, 0.5), "first", NOW)
    assert states.revoked(one, "second", NOW + 1) == one
    with pytest.raises(WrongState, match="a person has to connect it"):
        states.needing(one, "third", NOW + 1)


def test_an_attempt_of_which_nothing_is_heard_is_made_again() -> None:
    one = states.connected(Life(expires_at=NOW + HOUR, renewable=True), NOW, 0.5)
    trying = states.refreshing(one, NOW + 60, 90.0)
    assert (trying.state, trying.refresh_at) == (ConnectionState.REFRESHING, NOW + 150)
    again = states.refreshing(trying, NOW + 150, 90.0)
    assert (again.changed_at, again.refresh_at) == (NOW + 60, NOW + 240)
