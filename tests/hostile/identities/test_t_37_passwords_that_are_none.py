"""T-37: a password that a server takes for no password, and calls it success."""

import pytest

from idp_adapters.contract import IdentityRefused, ProviderDown
from tests.idp_adapters.directory.liar import ALICE, READER, Lab, answering, person

pytestmark = pytest.mark.servers  # python-ldap is an extra


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.mark.parametrize(
    "password", ["", " ", "\t \n", "\0", "\0secret", "a\0", "x" * 2000, None, [], ["secret"], {}, b"x"]
)
def test_t_37_what_is_no_password_is_refused_before_anything_is_connected_to(lab, password):
    """The server accepts whatever comes."""
    with lab.directory(answering(person())) as directory:
        with pytest.raises(IdentityRefused):
            lab.adapter(directory.url).authenticate("alice", password)
        assert directory.seen.connections == 0


def test_t_37_a_password_arrives_as_it_was_typed_and_only_encrypted(lab):
    with lab.directory(answering(person())) as directory:
        lab.adapter(directory.url).authenticate("alice", " pässword ")
        assert (ALICE, " pässword ") in directory.seen.binds
        assert b"ssword" not in directory.seen.plain


@pytest.mark.parametrize("password", [b"", b"\xff no text"])
def test_t_37_our_own_account_is_never_nobody_either(lab, password):
    with lab.directory(answering(person())) as directory:
        with pytest.raises(ProviderDown):
            lab.adapter(directory.url, password=password).authenticate("alice", "a good password")
        assert directory.seen.binds == []


def test_t_37_the_search_is_never_done_as_the_person(lab):
    """What our account may not see, a person's rights do not show."""
    with lab.directory(answering(person())) as directory:
        lab.adapter(directory.url).authenticate("alice", "a good password")
        assert [dn for dn, _ in directory.seen.binds] == [READER, ALICE, READER]
