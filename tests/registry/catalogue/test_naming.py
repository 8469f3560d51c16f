"""Names: legal ones, twins, and the ones that clients see."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalogue.naming import check_slug, expose, is_legal, skeleton, twins
from registry.errors import NameRefused

slugs = st.from_regex(r"[a-z][a-z0-9]{0,15}(-[a-z0-9]{1,15})?", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9_.-]{1,128}", fullmatch=True)


def test_a_plain_name_is_prefixed_with_its_server() -> None:
    assert expose("notes", "list", {}) == "notes_list"
    assert expose("git-hub", "pulls.list", {}) == "git-hub_pulls_list"


@given(st.lists(st.tuples(slugs, names), unique=True, max_size=40))
def test_exposed_names_fit_differ_and_lead_back(pairs: list[tuple[str, str]]) -> None:
    taken: dict[str, tuple[str, str]] = {}
    for server, name in pairs:
        exposed = expose(server, name, taken)
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", exposed)
        assert exposed not in taken
        taken[exposed] = (server, name)
    assert len(taken) == len(pairs)


@given(slugs, names)
def test_the_same_name_is_exposed_the_same_way_every_time(server: str, name: str) -> None:
    exposed = expose(server, name, {})
    assert expose(server, name, {}) == exposed
    assert expose(server, name, {exposed: (server, name)}) == exposed


def test_two_long_names_with_the_same_beginning_stay_apart() -> None:
    one, other = expose("s", "x" * 100 + "a", {}), expose("s", "x" * 100 + "b", {})
    assert one != other
    assert len(one) == len(other) == 64


@pytest.mark.parametrize("slug", ["", "A", "a_b", "1a", "-a", "a--b", "a-", "a" * 33, "a.b", "ä", "a b", "a\n"])
def test_a_slug_has_one_form(slug: str) -> None:
    with pytest.raises(NameRefused):
        check_slug(slug, ())


def test_words_of_the_gateway_are_no_slugs() -> None:
    for slug in ("default", "ostiary", "mcp"):
        with pytest.raises(NameRefused, match="word of the gateway"):
            check_slug(slug, ())


@pytest.mark.parametrize(
    ("one", "other"), [("list", "l1st"), ("send", "SEND"), ("a.b", "a_b"), ("a-b", "a_b"), ("o0", "00")]
)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)
    assert twins([one, other]) == {other: one}


def test_different_names_are_no_twins() -> None:
    assert twins(["list", "read", "add", "delete", "list_all", "reads"]) == {}


@pytest.mark.parametrize("name", ["srv/../x", "srv/x\n", "a b", "", "x" * 129, "é", "a%2Fb", "a\u200bb"])
def test_a_tool_has_a_name_of_ascii_letters_digits_and_three_marks(name: str) -> None:
    assert not is_legal(name)
