"""Against OpenLDAP's own server."""

import time

import pytest

from idp_adapters.contract import IdentityRefused, ProviderDown
from idp_adapters.directory.policy import WRONG
from tests.idp_adapters.contract_suite import AskingSuite, ContractSuite, SurveyingSuite
from tests.idp_adapters.directory.opened import PASSWORDS, Directory, opened
from tests.servers.slapd import BASE, READER, READER_PASSWORD

pytestmark = pytest.mark.servers

GROUPS = f"ou=groups,{BASE}"
PEOPLE = f"ou=people,{BASE}"


@pytest.fixture(scope="module")
def server(openldap):
    for name, password in PASSWORDS.items():
        openldap.person(name, password)
    openldap.group(f"cn=devs,{GROUPS}", f"uid=alice,{PEOPLE}")
    return openldap


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
            delete=lambda name: server.delete(f"uid={name},{PEOPLE}"),
        )
        yield directory
        for name in directory.removed:
            server.person(name, PASSWORDS[name])


def test_groups_of_groups_count_and_a_circle_of_them_ends(server, adapter):
    carol = server.person("carol", "carols password")
    first, second, third = (f"cn={name},{GROUPS}" for name in ("first", "second", "third"))
    server.group(first, carol, third)
    server.group(second, first)
    server.group(third, second)
    server.group(f"cn=others,{GROUPS}", READER)
    assert adapter.authenticate("carol", "carols password").groups == {"first", "second", "third"}


def test_a_group_whose_name_means_something_in_filters_is_walked_through(server, adapter):
    odd = rf"cn=ops\, (night) *\23\5c,{GROUPS}"
    server.group(odd, server.person("dave", "daves password"))
    server.group(f"cn=above,{GROUPS}", odd)
    identity = adapter.authenticate("dave", "daves password")
    assert identity.groups == {"ops, (night) *#\\", "above"}


def test_member_of_alone_gives_the_direct_groups_and_none_gives_none(server):
    member = server.person("erin", "erins password")
    server.group(f"cn=inner,{GROUPS}", member)
    server.group(f"cn=outer,{GROUPS}", f"cn=inner,{GROUPS}")
    direct = opened(server, READER, READER_PASSWORD, BASE, groups="member-of").authenticate("erin", "erins password")
    nothing = opened(server, READER, READER_PASSWORD, BASE, groups="none").authenticate("erin", "erins password")
    assert direct.groups == {"inner"}
    assert direct.claims["group_dns"] == {f"cn=inner,{GROUPS}"}
    assert nothing.groups == frozenset()


@pytest.mark.parametrize("how", ["in-chain", "token-groups"])
def test_what_only_active_directory_understands_is_not_an_empty_list_of_groups(server, how):
    wrong = opened(server, READER, READER_PASSWORD, BASE, groups=how)
    with pytest.raises(ProviderDown):
        wrong.authenticate("alice", PASSWORDS["alice"])
    assert "use walk" in list(wrong.check())[-1].words


def test_groups_outside_their_base_do_not_count(server):
    server.group(f"cn=self-made,{PEOPLE}", f"uid=bob,{PEOPLE}")
    server.group(f"cn=given,{GROUPS}", f"uid=bob,{PEOPLE}")
    for how in ("walk", "member-of"):
        narrow = opened(server, READER, READER_PASSWORD, BASE, groups=how, group_base=GROUPS)
        assert narrow.authenticate("bob", PASSWORDS["bob"]).groups == {"given"}


def test_posix_groups_have_names_of_people(server):
    server.add(
        f"cn=posix,{GROUPS}", objectClass="posixGroup", cn="posix", gidNumber="7", memberUid=["alice", "somebody"]
    )
    adapter = opened(server, READER, READER_PASSWORD, BASE, member_attribute="memberUid")
    assert adapter.authenticate("alice", PASSWORDS["alice"]).groups == {"posix"}
    assert adapter.authenticate("bob", PASSWORDS["bob"]).groups == frozenset()


@pytest.mark.parametrize("piece", [4, 500])
def test_more_people_than_the_server_gives_at_once_are_surveyed(server, adapter, monkeypatch, piece):
    """Its limit is five."""
    monkeypatch.setattr("idp_adapters.directory.provider.PIECE", piece)
    names = [f"many{piece}-{number}" for number in range(13)]
    for name in names:
        server.person(name, f"{name} password")
    known = [adapter.authenticate(name, f"{name} password").subject for name in names]
    assert [identity.login for identity in sorted(adapter.survey(known), key=lambda one: one.login)] == sorted(names)


def test_more_groups_than_the_server_gives_at_once_count(server, adapter):
    member = server.person("frank", "franks password")
    for number in range(12):
        server.group(f"cn=of-frank-{number},{GROUPS}", member)
    assert len(adapter.authenticate("frank", "franks password").groups) == 12


def test_who_is_in_too_many_groups_is_refused_alone(server, monkeypatch):
    """Otherwise they could keep everybody who left."""
    monkeypatch.setattr("idp_adapters.directory.groups.COUNT", 3)
    member = server.person("greedy", "greedys password")
    adapter = opened(server, READER, READER_PASSWORD, BASE, groups="walk")
    known = [adapter.authenticate(*who).subject for who in (("greedy", "greedys password"), ("bob", PASSWORDS["bob"]))]
    for number in range(4):
        server.group(f"cn=greedy-{number},{GROUPS}", member)
    with pytest.raises(ProviderDown) as down:
        adapter.authenticate("greedy", "greedys password")
    assert down.value.reason == "too_many_groups"
    assert [identity.login for identity in adapter.survey(known)] == ["bob"]


def test_somebody_who_is_renamed_is_the_same_and_a_namesake_is_another(server, adapter):
    dn = server.person("grace", "graces password")
    before = adapter.authenticate("grace", "graces password")
    connection = server.connected()
    connection.rename_s(dn, "uid=grace-married")
    connection.unbind_s()
    server.person("grace", "graces password")
    after = adapter.authenticate("grace-married", "graces password")
    assert after.subject == before.subject
    assert adapter.authenticate("grace", "graces password").subject != before.subject


def test_a_locked_account_is_on_record_and_not_said(server, adapter):
    server.person("heidi", "heidis password")
    seen = []
    for password in ("wrong", "wrong", "wrong", "heidis password"):
        with pytest.raises(IdentityRefused) as refused:
            adapter.authenticate("heidi", password)
        seen.append((refused.value.reason, str(refused.value)))
    assert seen[:3] == [("wrong_password", WRONG)] * 3
    assert seen[3] == ("account_locked.policy_1", WRONG)


def test_whoever_has_to_change_the_password_is_told_when_it_was_right(server, adapter):
    server.set(server.person("ivan", "ivans password"), pwdReset="TRUE")
    with pytest.raises(IdentityRefused) as refused:
        adapter.authenticate("ivan", "ivans password")
    assert refused.value.reason == "password_must_change.policy_2"
    assert "new password" in str(refused.value)
    with pytest.raises(IdentityRefused, match=WRONG):
        adapter.authenticate("ivan", "another password")


def test_whose_password_is_too_old_is_told_when_it_was_right(server, adapter):
    server.person("judy", "judys password", pwdPolicySubentry=f"cn=short,ou=policies,{BASE}")
    refused = _refused_soon(adapter, "judy", "judys password")
    assert refused.reason == "password_expired.policy_0"
    assert "expired" in str(refused)


def _refused_soon(adapter, login, password):
    """It is too old after a second."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            adapter.authenticate(login, password)
        except IdentityRefused as refused:
            return refused
        time.sleep(0.1)
    raise AssertionError("the password never expired")


def test_whom_an_administrator_locked_is_gone_from_a_survey_and_back_when_unlocked(server, adapter):
    dn = server.person("kim", "kims password")
    known = adapter.authenticate("kim", "kims password").subject
    server.set(dn, pwdAccountLockedTime="000001010000Z")
    assert not adapter.survey([known, "0b0a0908-0000-0000-0000-000000000000"])
    with pytest.raises(IdentityRefused, match=WRONG):
        adapter.authenticate("kim", "kims password")
    server.set(dn, pwdAccountLockedTime=[])
    assert [(one.login, one.authenticated_at, one.amr) for one in adapter.survey([known])] == [("kim", 0.0, ())]


def test_who_may_sign_in_can_be_narrowed(server):
    server.person("temp", "temps password", employeeType="temporary")
    narrow = opened(server, READER, READER_PASSWORD, BASE, people_filter="(!(employeeType=temporary))")
    with pytest.raises(IdentityRefused, match=WRONG):
        narrow.authenticate("temp", "temps password")
    assert narrow.authenticate("alice", PASSWORDS["alice"]).login == "alice"


def test_a_domain_before_the_name_means_nothing_here(adapter):
    with pytest.raises(IdentityRefused, match=WRONG):
        adapter.authenticate("LAB\\alice", PASSWORDS["alice"])


def test_two_people_with_one_name_are_nobody(server):
    for name in ("lou1", "lou2"):
        server.person(name, "lous password", mail="lou@lab.test")
    by_mail = opened(server, READER, READER_PASSWORD, BASE, login_attribute="mail")
    with pytest.raises(IdentityRefused) as refused:
        by_mail.authenticate("lou@lab.test", "lous password")
    assert refused.value.reason == "several_people"


def test_attributes_that_were_asked_for_come_along(server):
    server.person("mia", "mias password", departmentNumber=["17", "18"])
    adapter = opened(server, READER, READER_PASSWORD, BASE, carry=["departmentNumber"])
    identity = adapter.authenticate("mia", "mias password")
    assert identity.claims["departmentNumber"] == {"17", "18"}


def test_names_are_shown_without_what_turns_or_ends_a_line(server, adapter):
    server.person("nina", "ninas password", displayName="Nina\N{RIGHT-TO-LEFT OVERRIDE}\nadmin" + "x" * 500)
    name = adapter.authenticate("nina", "ninas password").name
    assert name.startswith("Ninaadmin")
    assert len(name) == 256


def test_when_one_server_is_down_another_is_asked(server):
    both = opened(server, READER, READER_PASSWORD, BASE, urls=["ldaps://127.0.0.1:1", server.secure_url])
    assert both.authenticate("alice", PASSWORDS["alice"]).login == "alice"


def test_a_wrong_password_of_our_own_account_refuses_nobody(server):
    """And is not tried at every server, where it would be locked."""
    broken = opened(server, READER, "not the readers", BASE, urls=[server.url, server.secure_url])
    with pytest.raises(ProviderDown) as down:
        broken.authenticate("alice", PASSWORDS["alice"])
    assert down.value.reason == "invalid_credentials"


def test_an_account_that_sees_nobody_any_more_ends_nobody(server, adapter):
    known = adapter.authenticate("alice", PASSWORDS["alice"]).subject
    blind = opened(server, f"uid=bob,{PEOPLE}", PASSWORDS["bob"], BASE)
    with pytest.raises(ProviderDown):
        blind.survey([known])
    filtered = opened(server, READER, READER_PASSWORD, BASE, people_filter="(uid=nobody-at-all)")
    with pytest.raises(ProviderDown) as down:
        filtered.survey([known])
    assert down.value.reason == "nobody_to_be_seen"


@pytest.mark.parametrize(
    ("config", "step", "words"),
    [
        ({"bind_dn": f"cn=nobody,{BASE}"}, "sign in as", "is wrong, or that account is locked"),
        ({"bind_dn": "nobody"}, "sign in as", "no distinguished name"),
        ({"base": "dc=other,dc=test"}, "read", "no such entry"),
        ({"people_filter": "(&(objectClass=person)"}, "find people", "no search filter"),
        ({"people_filter": "(uid=nobody-at-all)"}, "find people", "nobody is found"),
        ({"login_attribute": "sAMAccountName"}, "find people", "login_attribute"),
        ({"id_attribute": "objectGUID"}, "find people", "id_attribute"),
        ({"group_base": "ou=nowhere," + BASE}, "find groups", "no such entry"),
    ],
)
def test_a_walk_says_what_is_wrong(server, config, step, words):
    said = {"bind_dn": READER, "base": BASE, **config}
    last = list(opened(server, said.pop("bind_dn"), READER_PASSWORD, said.pop("base"), **said).check())[-1]
    assert not last.ok
    assert last.step.startswith(step)
    assert words in last.words
