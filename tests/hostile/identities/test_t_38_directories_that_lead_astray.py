"""T-38: a directory sends us elsewhere, speaks in the open, or says nothing, or never stops."""

import contextlib
import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from idp_adapters.contract import IdentityRefused, ProviderDown
from tests.fakes.network.certificates import Authority
from tests.fakes.providers.directory import (
    OPERATIONS_ERROR,
    PROTOCOL_ERROR,
    REFERRAL,
    FakeDirectory,
    done,
    entry,
    reference,
)
from tests.idp_adapters.directory.liar import BASE, READER, Lab, answering, person

pytestmark = pytest.mark.servers  # python-ldap is an extra

PASSWORD = "a good password"
START_TLS = b"1.3.6.1.4.1.1466.20037"
DEADLINE = 5.0  # seconds, for a directory that says nothing


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@contextlib.contextmanager
def trap():
    """An address that nobody should come to, and how many did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        came = []

        def count():
            with contextlib.suppress(OSError):
                while True:
                    came.append(listener.accept())

        threading.Thread(target=count, daemon=True).start()
        yield f"ldap://127.0.0.1:{listener.getsockname()[1]}/{BASE}", came
        listener.shutdown(socket.SHUT_RDWR)
    for connection, _ in came:
        connection.close()


def test_t_38_references_among_the_answers_are_not_followed(lab):
    with trap() as (elsewhere, came):
        found = (reference(elsewhere), person(), reference(elsewhere))
        with lab.directory(answering(*found)) as directory:
            assert lab.adapter(directory.url).authenticate("alice", PASSWORD).login == "alice"
        assert not came


@pytest.mark.parametrize("what", ["person", "groupOfNames", "supportedCapabilities"])
def test_t_38_an_answer_that_is_a_referral_is_not_followed(lab, what):
    with trap() as (elsewhere, came):

        def answer(search):
            asked = "supportedCapabilities" if search.base == "" else search.filter
            if what in asked:
                yield done(REFERRAL, elsewhere)
                return
            if "(objectClass=person)" in search.filter:
                yield person()
            yield done()

        with lab.directory(answer) as directory, pytest.raises(ProviderDown) as down:
            lab.adapter(directory.url).authenticate("alice", PASSWORD)
        assert down.value.reason == "referral"
        assert not came


def test_t_38_a_referral_in_answer_to_a_password_takes_it_nowhere(lab):
    with trap() as (_, came):
        binds = lambda dn, password: 0 if dn == READER else REFERRAL  # noqa: E731
        with lab.directory(answering(person()), binds=binds) as directory, pytest.raises(ProviderDown):
            lab.adapter(directory.url).authenticate("alice", PASSWORD)
        assert not came


@pytest.mark.parametrize("answer", [PROTOCOL_ERROR, OPERATIONS_ERROR, 52])
def test_t_38_where_encryption_is_refused_nothing_is_said(lab, answer):
    with lab.directory(answering(person()), start=answer) as directory:
        adapter = lab.adapter(directory.url)
        with pytest.raises(ProviderDown):
            adapter.authenticate("alice", PASSWORD)
        assert "StartTLS" in list(adapter.check())[-1].words
        assert directory.seen.binds == []
        assert START_TLS in directory.seen.plain
        assert not [secret for secret in (b"readers", b"good", b"alice") if secret in directory.seen.plain]


@pytest.mark.parametrize(
    ("host", "days", "words"),
    [("127.0.0.2", 2, "not for this address"), ("other.test", 2, "not for this address"), ("127.0.0.1", -1, "expired")],
)
def test_t_38_a_server_with_a_certificate_that_proves_nothing_hears_no_password(lab, host, days, words):
    context = lab.authority.certify(host, days=days).context()
    with FakeDirectory(context, answering(person())) as directory:
        adapter = lab.adapter(directory.url)
        with pytest.raises(ProviderDown):
            adapter.authenticate("alice", PASSWORD)
        assert words in list(adapter.check())[-1].words
        assert directory.seen.binds == []


def test_t_38_a_server_of_another_authority_hears_no_password(lab, tmp_path):
    context = Authority(tmp_path, "other").certify("127.0.0.1").context()
    with FakeDirectory(context, answering(person())) as directory:
        adapter = lab.adapter(directory.url)
        with pytest.raises(ProviderDown):
            adapter.authenticate("alice", PASSWORD)
        assert "authority that is not trusted" in list(adapter.check())[-1].words
        assert directory.seen.binds == []


def test_t_38_what_the_environment_says_about_trust_is_not_heard(lab, tmp_path, monkeypatch):
    other = Authority(tmp_path, "other")
    monkeypatch.setenv("LDAPTLS_REQCERT", "never")
    monkeypatch.setenv("LDAPTLS_CACERT", str(other.certificate))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ldaprc").write_text(f"TLS_REQCERT never\nTLS_CACERT {other.certificate}\nREFERRALS on\n")
    with FakeDirectory(other.certify("127.0.0.1").context(), answering(person())) as directory:
        with pytest.raises(ProviderDown):
            lab.adapter(directory.url).authenticate("alice", PASSWORD)
        assert directory.seen.binds == []


def silent_from_the_start(lab):
    listener = socket.create_server(("127.0.0.1", 0))
    return contextlib.closing(listener), f"ldaps://127.0.0.1:{listener.getsockname()[1]}"


def silent_when_encryption_is_asked_for(lab):
    directory = lab.directory(answering(person()), start=None)
    return directory, directory.url


def silent_when_the_encryption_begins(lab):
    directory = FakeDirectory(None, answering(person()))
    return directory, directory.url


def silent_when_it_is_searched(lab):
    directory = lab.directory(lambda search: iter(()))
    return directory, directory.url


@pytest.mark.parametrize(
    "silent",
    [
        silent_from_the_start,
        silent_when_encryption_is_asked_for,
        silent_when_the_encryption_begins,
        silent_when_it_is_searched,
    ],
)
def test_t_38_a_directory_that_says_nothing_is_left(lab, silent):
    server, url = silent(lab)
    with server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lab.adapter(url).authenticate, "alice", PASSWORD)
        assert isinstance(asked.exception(DEADLINE), ProviderDown)


def test_t_38_an_answer_that_comes_byte_by_byte_has_an_end(lab, monkeypatch):
    """Each byte is in time, and the whole never would be."""
    monkeypatch.setattr("idp_adapters.directory.provider.SIGN_IN", 1.0)
    with lab.directory(answering(person()), pause=1.0) as directory, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lab.adapter(directory.url).authenticate, "alice", PASSWORD)
        assert isinstance(asked.exception(DEADLINE), ProviderDown)


def test_t_38_a_directory_that_never_stops_is_left(lab):
    def endless(search):
        if search.base == "":
            yield done()
            return
        for number in itertools.count():
            yield person(f"uid=alice,ou=o{number},{BASE}")

    with lab.directory(endless) as directory:
        with pytest.raises(IdentityRefused) as refused:
            lab.adapter(directory.url).authenticate("alice", PASSWORD)
        assert refused.value.reason == "several_people"


def test_t_38_groups_that_never_end_let_nobody_in(lab):
    """Each answer is a group that nobody has seen."""
    numbers = itertools.count()

    def answer(search):
        if "groupOfNames" in search.filter:
            yield entry(f"cn=g{next(numbers)},{BASE}", {"cn": [b"g"]})
        elif "(objectClass=person)" in search.filter:
            yield person()
        yield done()

    with lab.directory(answer) as directory:
        with pytest.raises(ProviderDown) as down:
            lab.adapter(directory.url).authenticate("alice", PASSWORD)
        assert down.value.reason == "too_many_groups"
