"""T-36: a name that would be a filter, several people, or somebody else."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idp_adapters.contract import IdentityRefused, ProviderDown
from idp_adapters.directory.policy import Login
from tests.fakes.providers.directory import done, entry
from tests.idp_adapters.directory.liar import ALICE, BASE, READER, Lab, answering, person

pytestmark = pytest.mark.servers  # python-ldap is an extra

PASSWORD = "a good password"


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.mark.parametrize(
    "login",
    ["", " ", "*", "al*", "a)(uid=*", "alice)(|(uid=*", "\\00", "alice\0", "#", "#alice", "alice ", " alice",
     "x" * 10240, "\uff41lice", "\u0430lice", "alice\u200b", ["alice"], {"alice": 1}, ("alice",), b"alice", None],
)  # fmt: skip
def test_t_36_a_name_that_could_mean_more_is_refused_before_anything_is_connected_to(lab, login):
    with lab.directory(answering(person())) as directory:
        with pytest.raises(IdentityRefused):
            lab.adapter(directory.url).authenticate(login, PASSWORD)
        assert directory.seen.connections == 0


@pytest.mark.parametrize(
    ("login", "written"),
    [("alice", "alice"), ("o'brien", "o'brien"), ("a.b-c_d@e+f", "a.b-c_d@e+f"), ("josé", r"jos\c3\a9")],
)
def test_t_36_the_filter_that_arrives_is_the_one_that_was_meant(lab, login, written):
    with lab.directory(answering()) as directory:
        with pytest.raises(IdentityRefused):
            lab.adapter(directory.url).authenticate(login, PASSWORD)
        assert directory.seen.searches[-1].filter == f"(&(objectClass=person)(uid={written}))"


@pytest.mark.parametrize(
    ("login", "written"),
    [("*", r"\2a"), ("a)(uid=*", r"a\29\28uid=\2a"), ("\\00", r"\5c00"), ("a\0", r"a\00"), ("# ", "# ")],
)
def test_t_36_what_a_laxer_policy_let_through_would_still_be_one_value(lab, monkeypatch, login, written):
    monkeypatch.setattr("idp_adapters.directory.policy.read_login", Login)
    with lab.directory(answering()) as directory:
        with pytest.raises(IdentityRefused):
            lab.adapter(directory.url).authenticate(login, PASSWORD)
        assert directory.seen.searches[-1].filter == f"(&(objectClass=person)(uid={written}))"


@given(login=st.text(string.ascii_letters + string.digits + "._-@+'*()\\\0#= ", min_size=1, max_size=40))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_t_36_whatever_is_typed_is_one_value_of_one_filter_or_never_arrives(lab, login):
    with lab.directory(answering()) as directory:
        with pytest.raises(IdentityRefused):
            lab.adapter(directory.url).authenticate(login, PASSWORD)
        asked = [search.filter for search in directory.seen.searches[1:]]  # the first is what the server is
    assert asked in ([], [f"(&(objectClass=person)(uid={login.rpartition(chr(92))[2]}))"])


def test_t_36_a_name_in_the_directory_is_escaped_where_it_is_asked_about(lab):
    odd = rf"cn=Doe\2C Jo (x) * \5C \23,{BASE}"
    with lab.directory(answering(person(odd))) as directory:
        lab.adapter(directory.url).authenticate("alice", PASSWORD)
        asked = directory.seen.searches[-1].filter
    assert asked.endswith(rf"(|(member=cn=Doe\5c2C Jo \28x\29 \2a \5c5C \5c23,{BASE})))")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([person(f"uid=admin,{BASE}", "admin")], "another_name"),
        ([person(ALICE, "alice\0")], "another_name"),
        ([person(ALICE, "aliсe")], "another_name"),  # noqa: RUF001
        ([entry(ALICE, {"entryUUID": [b"x"]})], "another_name"),
        ([person("uid=alice,dc=evil,dc=test")], "outside_the_base"),
        ([person(rf"uid=alice\,{BASE}")], "outside_the_base"),
        ([person("") ], "outside_the_base"),
        ([person(), person(f"uid=alice,ou=other,{BASE}")], "several_people"),
        ([], "unknown_person"),
    ],
)  # fmt: skip
def test_t_36_nobody_binds_as_somebody_who_was_not_asked_for(lab, found, reason):
    with lab.directory(answering(*found)) as directory:
        with pytest.raises(IdentityRefused) as refused:
            lab.adapter(directory.url).authenticate("alice", PASSWORD)
        assert refused.value.reason == reason
        assert [dn for dn, _ in directory.seen.binds] == [READER, f"cn=nobody-of-this-name,{BASE}"]


@pytest.mark.parametrize("more", [{"entryUUID": []}, {"entryUUID": [b"one", b"two"]}, {"entryUUID": [b"a\0b"]}])
def test_t_36_whoever_has_no_lasting_id_is_nobody(lab, more):
    with lab.directory(answering(person(**more))) as directory, pytest.raises(ProviderDown):
        lab.adapter(directory.url).authenticate("alice", PASSWORD)


def test_t_36_a_group_whose_name_is_no_name_lets_nobody_in(lab):
    def answer(search):
        if "(objectClass=person)" in search.filter:
            yield person()
        if "groupOfNames" in search.filter:
            yield entry("this is no name", {"cn": [b"admins"]})
        yield done()

    with lab.directory(answer) as directory, pytest.raises(ProviderDown):
        lab.adapter(directory.url).authenticate("alice", PASSWORD)
