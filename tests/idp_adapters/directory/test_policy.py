"""What a login and a password may be, before any directory hears of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_adapters.contract import IdentityRefused
from idp_adapters.directory.policy import PUNCTUATION, WRONG, read_login, read_password

SPECIAL = frozenset('*()\\/,;<>="#\0\n\r\t ')


@pytest.mark.parametrize("login", ["alice", "o'brien", "anna-maria.v2", "alice@ad.lab.test", "josé", "алиса", "7of9"])
def test_a_name_that_people_have_passes(login):
    assert read_login(login).name == login


def test_the_domain_before_a_backslash_is_taken_off():
    login = read_login("CORP\\alice")
    assert (login.domain, login.name) == ("CORP", "alice")


@pytest.mark.parametrize(
    "login",
    ["", " ", "*", "a*", "alice ", " alice", "a b", "alice)(uid=*", "alice\0", "#alice", "alice\n", "uid=alice", "a,b",
     "\\alice", "A\\B\\alice", "CORP\\alice@corp.test", "alice\\",
     "x" * 257, "\N{RIGHT-TO-LEFT OVERRIDE}alice", "\ud800", "-alice"],
)  # fmt: skip
def test_what_a_filter_or_a_name_could_take_for_more_is_refused(login):
    with pytest.raises(IdentityRefused, match=WRONG):
        read_login(login)


@pytest.mark.parametrize("login", ["ａlice", "аdmin", "alіce", "ﬁona", "alice\N{ZERO WIDTH SPACE}"])  # noqa: RUF001
def test_the_twin_of_a_name_is_refused(login):
    with pytest.raises(IdentityRefused, match=WRONG):
        read_login(login)


@pytest.mark.parametrize("login", [None, 7, b"alice", ["alice"], {"alice": ""}, ("alice",)])
def test_what_is_no_text_is_refused(login):
    with pytest.raises(IdentityRefused, match=WRONG):
        read_login(login)
    with pytest.raises(IdentityRefused, match=WRONG):
        read_password(login)


@pytest.mark.parametrize("password", ["", " ", "\t\n ", "\0", "\0secret", "secret\0", "x" * 1025, "é" * 513, "\ud800x"])
def test_a_password_that_a_server_could_take_for_none_is_refused(password):
    with pytest.raises(IdentityRefused, match=WRONG):
        read_password(password)


@pytest.mark.parametrize("password", [" spaces are fine ", "pässwörd", "*)(uid=*", "x" * 1024])
def test_a_password_may_be_anything_else(password):
    assert read_password(password) == password


@given(st.text(max_size=300))
def test_nothing_that_passes_needs_escaping(text):
    try:
        login = read_login(text)
    except IdentityRefused:
        return
    for part in (login.name, login.domain):
        assert not SPECIAL & set(part)
        assert all(character.isalnum() or character in PUNCTUATION or ord(character) > 127 for character in part)
