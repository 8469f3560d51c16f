"""`ostiary server limits|tls|status`, as an operator types them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from gateway.operating.doctor import examine
from gateway.operating.standing import resuming
from gateway.upstream.troubles import Trouble
from registry.credentials.tls import TLS_KEY, owner, read_tls
from registry.database import Concern
from registry.declaring import GONE
from registry.errors import SecretRefused
from registry.observing import failed
from registry.servers import find
from registry.tables import Auth, Connection, ConnectionState, Definition, Kind, Server
from tests.fakes.network.certificates import Authority
from tests.fakes.processes import running
from tests.gateway.cli.test_server import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def notes() -> Iterator[str]:
    with running("examples/servers/notes.py", "--port", "0") as url:
        yield url


@pytest.fixture
def console(tmp_path: Path, notes: str) -> Console:
    made = Console(tmp_path / "data")
    made.do("add", "notes", notes, "--allow-address")
    return made


@pytest.fixture
def unreachable(tmp_path: Path) -> Console:
    made = Console(tmp_path / "data")
    made.refused("add", "gone", "http://127.0.0.1:9/mcp", "--allow-address")
    return made


def test_limits_are_set_for_a_server_and_for_a_tool_and_taken_back(console: Console) -> None:
    console.do("limits", "notes", "--deadline", "5", "--at-once", "4")
    console.do("limits", "notes", "--tool", "add", "--deadline", "120", "--total", "300", "--repeat")
    assert console.json("limits", "notes") == {
        "deadline": 5.0,
        "at_once": 4,
        "tools": {"add": {"deadline": 120.0, "total": 300.0, "repeat": True}},
    }
    shown = console.do("limits", "notes").splitlines()
    assert shown[1].split() == ["(all)", "5", "600", "4", "-"]
    assert shown[2].split() == ["add", "120", "300", "-", "yes"]
    console.do("limits", "notes", "--deadline", "0", "--at-once", "0")
    console.do("limits", "notes", "--tool", "add", "--deadline", "0", "--total", "0", "--no-repeat")
    assert console.json("limits", "notes") == {}
    assert console.records("server.limits")[0]["who"].startswith("operator:")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--deadline", "700"], "longer than a call may last at all (600 s): give --total too"),
        (["--tool", "add", "--deadline", "700"], "of add"),
        (["--tool", "nothing", "--deadline", "7"], "offers no tool 'nothing'"),
        (["--at-once", "9999"], "at_once"),
        (["--total", "-3"], "greater than 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused_and_nothing_changes(
    console: Console, words: list[str], said: str
) -> None:
    assert said in console.refused("limits", "notes", *words)
    assert console.json("limits", "notes") == {}


def test_a_certificate_is_kept_with_its_key_sealed_and_goes_with_the_server(console: Console, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.certify("gateway")
    said = console.do("tls", "notes", "--cert", str(certificate), "--key", str(key), "--ca", str(authority.certificate))
    assert "our certificate, good until" in said
    with console.office().database.read() as session:
        stored = find(session, "notes")
        kept = read_tls(stored.tls)
        assert kept is not None
        assert kept.certificate == certificate.read_text()
        assert kept.authorities == authority.certificate.read_text()
        assert "PRIVATE" not in str(stored)
        vault = console.office().vault
        assert vault.open_secret(session, owner("notes"), TLS_KEY) == key.read_bytes().strip()
    (record,) = console.records("server.tls")
    assert record["client_certificate"]
    assert "PRIVATE" not in str(record)
    assert "is good until" in console.do("status", "notes")
    assert "none of ours" in console.do("tls", "notes", "--none")
    with console.office().database.read() as session:
        assert read_tls(find(session, "notes").tls) is None


def test_the_key_goes_with_the_server(console: Console, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).certify("gateway")
    console.do("tls", "notes", "--cert", str(certificate), "--key", str(key))
    console.do("retire", "notes")
    office = console.office()
    with office.database.read() as session, pytest.raises(SecretRefused, match="no secret is kept"):
        office.vault.open_secret(session, owner("notes"), TLS_KEY)


def test_changing_the_mode_leaves_the_certificate_alone(console: Console, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).certify("gateway")
    console.do("tls", "notes", "--cert", str(certificate), "--key", str(key))
    console.do("auth", "notes", "static", given="X-Api-Key: abcdef")
    with console.office().database.read() as session:
        assert console.office().vault.open_secret(session, owner("notes"), TLS_KEY)


def test_what_cannot_be_a_certificate_of_ours_is_refused_in_words(console: Console, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.certify("gateway")
    other, _ = authority.certify("other")
    ended, its_key = authority.certify("ended", days=-1)
    certificate.chmod(0o644)  # whatever is the rule for new files here
    for words, said in (
        (["--cert", str(certificate)], "go together"),
        (["--cert", str(other), "--key", str(key)], "not that of the certificate"),
        (["--cert", str(ended), "--key", str(its_key)], "has expired"),
        (["--cert", str(key), "--key", str(key)], "--cert: that is no certificate"),
        (["--cert", str(certificate), "--key", str(certificate)], "chmod 600"),
        (["--ca", str(key)], "--ca: that is no certificate"),
    ):
        assert said in console.refused("tls", "notes", *words)


def test_a_server_that_is_well_has_nothing_to_do(console: Console) -> None:
    found = console.json("status", "notes")
    assert (found["state"], found["trouble"], found["remedy"]) == ("submitted", "", "")
    assert found["looked_at_every"] == 30.0
    assert "do:" not in console.do("status")


def test_a_server_that_is_down_is_shown_with_its_kind_of_trouble_and_what_to_do(unreachable: Console) -> None:
    found = unreachable.json("status", "gone")
    assert found["trouble"] == "unreachable"
    assert found["why"] == "the server cannot be reached; nothing was sent"
    assert found["remedy"].startswith("see that it runs")
    said = unreachable.do("status")
    assert "do: see that it runs" in said
    assert "Upstream" not in said + unreachable.do("status", "gone")


def test_accounts_that_only_a_person_can_mend_are_told(console: Console) -> None:
    with console.office().database.change() as session:
        for subject, state in (("", ConnectionState.CONNECTED), ("p1", ConnectionState.NEEDS_RECONNECT)):
            session.add(Connection(server="notes", subject=subject, state=state, changed_at=1.0, connected_at=1.0))
    found = console.json("status", "notes")
    assert found["connections"] == {"connected": 1, "needs-reconnect": 1}
    assert found["trouble"] == "not-connected"
    assert "ostiary connection list" in found["remedy"]


def test_since_when_nobody_sees_what_changes_at_a_server_is_told(console: Console) -> None:
    """It was read once, and wants an account for that since: drift would not be noticed."""
    with console.office().database.change() as session:
        find(session, "notes").probed_at = 86400.0
        failed(session, "notes", "it wants an account; connect one", "not-connected")

    assert console.json("status", "notes")["why"].startswith(
        "what it offers is not checked for changes since 1970-01-02 00:00 UTC: it wants an account"
    )
    assert "not checked for changes since 1970-01-02" in console.do("status", "notes")
    (check,) = [one for one in examine(console.office()) if one.name == "server notes" and "fails" in one.why]
    assert "not checked for changes since 1970-01-02" in check.why


def test_a_certificate_that_expires_is_told_before(console: Console, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).certify("gateway", days=5)
    console.do("tls", "notes", "--cert", str(certificate), "--key", str(key))
    found = console.json("status", "notes")
    assert found["why"] in {f"our certificate for it expires in {days} days" for days in (4, 5)}
    assert "ostiary server tls notes" in found["remedy"]


def test_what_calls_came_to_and_who_leaves_a_server_alone_is_read_from_the_record(console: Console) -> None:
    office = console.office()
    outcomes: list[dict[str, str]] = [{"outcome": "ok"}, {"outcome": "ok"}, {"outcome": "timeout", "trouble": "slow"}]
    for number, said in enumerate(outcomes):
        office.journal.note("call.intent", who="user:a", call=f"c{number}", server="notes", object="notes.add")
        office.journal.note("call.outcome", who="user:a", call=f"c{number}", **said)
    office.journal.note("server.left_alone", who="ostiary", server="notes", trouble="slow")
    assert office.journal.book.settled()  # the segment has a row before anybody copies it
    found = console.json("status", "notes")
    assert found["calls"] == {"ok": 2, "timeout": 1}
    assert found["failures"] == {"slow": 1}
    assert list(found["left_alone"].values()) == ["slow"]
    assert found["trouble"] == "slow"
    office.journal.note("server.answers", who="ostiary", server="notes")
    assert console.json("status", "notes")["left_alone"] == {}
    office.journal.note("server.left_alone", who="ostiary", server="notes", trouble="slow")
    office.close()  # a process that has ended leaves nobody alone
    assert console.json("status", "notes")["left_alone"] == {}


def test_the_doctor_says_that_a_certificate_of_ours_ends(console: Console, tmp_path: Path) -> None:
    from gateway.operating.doctor import examine

    certificate, key = Authority(tmp_path).certify("gateway", days=5)
    console.do("tls", "notes", "--cert", str(certificate), "--key", str(key))
    ends = [check for check in examine(console.office()) if "our certificate" in check.why]
    assert [(check.name, check.state.name) for check in ends] == [("server notes", "AMBER")]
    later = [check for check in examine(console.office(), 2**33) if "our certificate" in check.why]
    assert [check.state.name for check in later] == ["RED"]


def test_why_a_server_is_suspended_and_what_to_do_is_said_by_status_and_doctor(console: Console) -> None:
    console.do("approve", "notes", "--yes", "--accept-findings")
    console.do("suspend", "notes", "--because", "a drill")
    said = console.do("status")
    assert "it is suspended: a drill" in said
    assert "`ostiary server resume notes`" in said
    office = console.office()
    found = [check for check in examine(office) if check.name == "server notes"]
    assert [(check.state.name, check.why) for check in found] == [("AMBER", "is suspended: a drill")]
    office.close()


def test_what_changed_and_is_hidden_is_said_by_status_and_doctor(console: Console) -> None:
    console.do("approve", "notes", "--yes", "--accept-findings")
    office = console.office()
    with office.database.change(Concern.CATALOGUE) as session:
        row, *others = session.exec(select(Definition).where(Definition.kind == Kind.TOOL)).all()
        row.digest, others[0].missing = "another", True
    said = console.do("status")
    assert "1 of its definitions changed since and 1 of its definitions are listed no more since" in said
    assert "`ostiary server diff notes`" in said
    assert console.json("status", "notes")["why"].startswith("1 of its definitions changed")
    found = [check for check in examine(office) if check.name == "server notes"]
    assert [(check.state.name, "offered to nobody" in check.why) for check in found] == [("AMBER", True)]
    office.close()


def test_accounts_that_could_not_be_renewed_are_said_by_status_and_doctor(console: Console) -> None:
    office, late = console.office(), ConnectionState.REFRESHING
    with office.database.change() as session:
        for subject, attempts in (("usr_1", 2), ("usr_2", 1), ("usr_3", 0)):
            row = Connection(server="notes", subject=subject, state=late, changed_at=1.0, connected_at=1.0)
            row.attempts, row.why = attempts, "it does not answer"
            session.add(row)
    assert "2 of its accounts could not be renewed (it does not answer)" in console.do("status")
    found = [check.why for check in examine(office) if check.name == "server notes"]
    assert [why for why in found if why.startswith("2 of its accounts")]
    office.close()


def test_what_to_do_about_a_suspension_depends_on_its_reason() -> None:
    server = Server(slug="s", url="https://s.example/mcp", auth=Auth.STATIC, suspended_because=GONE)
    assert "declare it there again" in resuming(server)
    server.suspended_because, server.trouble = "it does not open", Trouble.CREDENTIAL
    tampered = resuming(server)
    assert tampered.index("ostiary server credential s") < tampered.index("ostiary server resume s")
