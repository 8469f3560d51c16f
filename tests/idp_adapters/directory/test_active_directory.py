"""Against Samba as an Active Directory domain controller."""

import pytest

from idp_adapters.contract import IdentityRefused
from idp_adapters.directory.policy import WRONG
from tests.idp_adapters.contract_suite import AskingSuite, ContractSuite, SurveyingSuite
from tests.idp_adapters.directory.opened import PASSWORDS, Directory, opened
from tests.servers.samba import BASE, DISABLED, PEOPLE, READER, READER_PASSWORD

pytestmark = pytest.mark.servers

EVERYBODY = {"Domain Users", "Users"}  # the primary group, and what it is in


@pytest.fixture(scope="module")
def server(domain):
    for name, password in PASSWORDS.items():
        domain.person(name, password)
    domain.group("devs", f"CN=alice,{PEOPLE}")
    domain.group("engineering", f"CN=devs,{PEOPLE}")
    domain.group("everything", f"CN=engineering,{PEOPLE}")
    return domain


@pytest.fixture
def adapter(server):
    return opened(server, READER, READER_PASSWORD, BASE)


class TestContract(ContractSuite, AskingSuite, SurveyingSuite):
    @pytest.fixture(params=["url", "secure_url"])
    def subject(self, server, request):
        config = {"urls": [getattr(server, request.param)], "ca_file": str(server.ca_file)}
        directory = Directory(
            config={**config, "bind_dn": READER, "base": BASE},
            secrets={"bind_password": READER_PASSWORD.encode()},
            delete=lambda name: server.delete(f"CN={name},{PEOPLE}"),
        )
        yield directory
        for name in directory.removed:
            server.person(name, PASSWORDS[name])
            server.set(f"CN=devs,{PEOPLE}", member=f"CN=alice,{PEOPLE}")


@pytest.mark.parametrize("how", ["auto", "walk", "in-chain", "token-groups"])
def test_every_way_finds_groups_of_groups_and_the_primary_group(server, how):
    identity = opened(server, READER, READER_PASSWORD, BASE, groups=how).authenticate("alice", PASSWORDS["alice"])
    assert identity.groups == {"devs", "engineering", "everything"} | EVERYBODY
    assert f"cn=devs,{PEOPLE}".lower() in identity.claims["group_dns"]


def test_member_of_knows_neither(server):
    identity = opened(server, READER, READER_PASSWORD, BASE, groups="member-of").authenticate(
        "alice", PASSWORDS["alice"]
    )
    assert identity.groups == {"devs"}


@pytest.mark.parametrize("login", ["alice", "ALICE", "alice@ad.lab.test", "ADLAB\\alice", "adlab\\Alice"])
def test_somebody_is_known_by_each_name_that_windows_takes(adapter, login):
    identity = adapter.authenticate(login, PASSWORDS["alice"])
    assert (identity.login, identity.name) == ("alice", "Alice")
    assert identity.subject == adapter.authenticate("alice", PASSWORDS["alice"]).subject


@pytest.mark.parametrize(
    "login", ["OTHER\\alice", "alice@other.test", "ADLAB\\alice@ad.lab.test", "ad.lab.test\\alice"]
)
def test_a_name_of_another_domain_is_nobody_here(adapter, login):
    with pytest.raises(IdentityRefused, match=WRONG):
        adapter.authenticate(login, PASSWORDS["alice"])


def test_the_subject_is_the_guid_as_windows_writes_it(server, adapter):
    import uuid

    import ldap

    connection = server.connected()
    [(_, entry)] = connection.search_s(f"CN=alice,{PEOPLE}", ldap.SCOPE_BASE, attrlist=["objectGUID"])
    connection.unbind_s()
    identity = adapter.authenticate("alice", PASSWORDS["alice"])
    assert identity.subject == str(uuid.UUID(bytes_le=entry["objectGUID"][0]))
    assert identity.issuer == "ldap:corp"


@pytest.mark.parametrize(
    ("name", "state", "reason", "word"),
    [
        ("disabled", {"control": DISABLED}, "account_disabled.533", "disabled"),
        ("changing", {"pwdLastSet": "0"}, "password_must_change.773", "new password"),
        ("ended", {"accountExpires": "130000000000000000"}, "account_expired.701", "expired"),
    ],
)
def test_why_somebody_may_not_is_said_to_those_who_know_the_password(server, adapter, name, state, reason, word):
    server.person(name, "Right-passw0rd", **state)
    with pytest.raises(IdentityRefused, match=WRONG) as refused:
        adapter.authenticate(name, "Wrong-passw0rd")
    assert refused.value.reason == "wrong_password.52e"
    with pytest.raises(IdentityRefused, match=word) as refused:
        adapter.authenticate(name, "Right-passw0rd")
    assert refused.value.reason == reason


def test_a_locked_account_is_on_record_and_not_said(server, adapter):
    server.person("locked", "Right-passw0rd")
    for password in ("wrong", "wrong", "wrong", "Right-passw0rd"):
        with pytest.raises(IdentityRefused, match=WRONG) as refused:
            adapter.authenticate("locked", password)
    assert refused.value.reason == "account_locked.775"


def test_whoever_is_disabled_or_past_the_end_is_gone_from_a_survey(server, adapter):
    known = {}
    for name in ("staying", "leaving", "ending"):
        server.person(name, "Right-passw0rd")
        known[name] = adapter.authenticate(name, "Right-passw0rd").subject
    server.set(f"CN=leaving,{PEOPLE}", userAccountControl=str(DISABLED))
    server.set(f"CN=ending,{PEOPLE}", accountExpires="130000000000000000")
    found = adapter.survey(known.values())
    assert [identity.login for identity in found] == ["staying"]
    assert found[0].groups == EVERYBODY


def test_a_letter_without_its_accent_is_another_name(server, adapter):
    """Active Directory itself takes them for equal."""
    server.person("rené", "Right-passw0rd")
    with pytest.raises(IdentityRefused, match=WRONG):
        adapter.authenticate("rene", "Right-passw0rd")
    assert adapter.authenticate("rené", "Right-passw0rd").login == "rené"


def test_an_organisational_unit_is_enough_of_a_base_and_groups_may_be_elsewhere(server):
    narrow = opened(server, READER, READER_PASSWORD, f"OU=Domain Controllers,{BASE}", group_base=BASE)
    with pytest.raises(IdentityRefused, match=WRONG):
        narrow.authenticate("alice", PASSWORDS["alice"])
    wide = opened(server, READER, READER_PASSWORD, PEOPLE, group_base=PEOPLE)
    assert wide.authenticate("alice", PASSWORDS["alice"]).groups >= {"devs", "engineering", "everything"}
