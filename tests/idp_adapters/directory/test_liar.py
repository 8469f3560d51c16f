"""Against a directory of npm's ldapjs that lies: it accepts every password."""

import pytest

from idp_adapters.contract import IdentityRefused, ProviderDown
from idp_adapters.directory.policy import WRONG
from tests.idp_adapters.directory.opened import opened
from tests.servers.ldapjs import BASE, ldapjs

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def liar(tmp_path_factory):
    with ldapjs(tmp_path_factory.mktemp("liar")) as server:
        yield server


@pytest.fixture
def adapter(liar):
    return opened(liar, f"cn=reader,{BASE}", "whatever", BASE)


def test_it_can_tell_the_truth(adapter):
    assert adapter.authenticate("alice", "any password").login == "alice"


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        ("another", "another_name"),
        ("twins", "several_people"),
        ("many", "several_people"),
        ("elsewhere", "outside_the_base"),
        ("nobody", "unknown_person"),
    ],
)
def test_whom_it_puts_in_the_place_of_somebody_is_nobody(adapter, login, reason):
    with pytest.raises(IdentityRefused, match=WRONG) as refused:
        adapter.authenticate(login, "any password")
    assert refused.value.reason == reason


@pytest.mark.parametrize("login", ["silent", "broken"])
def test_what_it_does_not_answer_lets_nobody_in_and_is_not_repeated(adapter, login):
    with pytest.raises(ProviderDown) as down:
        adapter.authenticate(login, "any password")
    assert "EVIL" not in str(down.value) + down.value.reason


def test_its_names_are_cleaned_and_cut(adapter):
    name = adapter.authenticate("odd", "any password").name
    assert name.startswith("Oddnimdaxxx")
    assert len(name) == 256
