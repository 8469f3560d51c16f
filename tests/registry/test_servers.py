"""A server's life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.credentials.authenticating import load_credentials
from registry.credentials.placing import split_header
from registry.errors import AddressRefused, NameRefused, RegistryError, SecretRefused, UnknownServer, WrongState
from registry.servers import (
    STEPS,
    Step,
    all_servers,
    exception_lines,
    resume,
    retire,
    step,
    suspend,
)
from registry.tables import Auth, Server, ServerState
from tests.registry.shelf import tool

if TYPE_CHECKING:
    from tests.registry.shelf import Shelf

HERE = "http://127.0.0.1:9000/mcp"


def lines(shelf: Shelf) -> list[str]:
    with shelf.database.read() as session:
        return exception_lines(session)


def take(shelf: Shelf, which: Step, slug: str = "notes") -> None:
    with shelf.database.change() as session:
        if which == Step.SUSPEND:
            suspend(session, slug, "a reason")
        elif which == Step.RESUME:
            resume(session, slug)
        else:
            retire(session, slug, shelf.vault)


def test_a_proposed_server_is_submitted_and_exists_for_nobody(shelf: Shelf) -> None:
    shelf.add("notes")
    shelf.see("notes", tool("list"))
    assert shelf.server("notes").state == ServerState.SUBMITTED
    assert shelf.tools() == []
    assert "/servers/notes/mcp" not in shelf.catalogue().mounts


def test_an_approved_server_can_be_suspended_resumed_and_retired(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"))
    assert shelf.tools() == ["notes_list"]
    take(shelf, Step.SUSPEND)
    assert shelf.tools() == []
    assert shelf.catalogue().paused == {("tool", "notes.list"): "the server is suspended"}
    take(shelf, Step.RESUME)
    assert shelf.tools() == ["notes_list"]
    take(shelf, Step.RETIRE)
    assert shelf.tools() == []


def test_retiring_is_final_and_the_name_stays_taken(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"))
    take(shelf, Step.RETIRE)
    with pytest.raises(WrongState):
        take(shelf, Step.RESUME)
    with pytest.raises(NameRefused, match="already"):
        shelf.add("notes")


def test_a_server_that_was_never_approved_can_be_taken_back_whole(shelf: Shelf) -> None:
    shelf.add("notes", HERE, allow_address=True)
    shelf.see("notes", tool("list"))
    take(shelf, Step.RETIRE)
    assert lines(shelf) == []
    shelf.add("notes")
    assert shelf.items("notes") == {}


@given(st.lists(st.sampled_from(list(Step))))
def test_no_walk_leaves_retired_or_reaches_approved_without_approval(steps: list[Step]) -> None:
    server = Server(slug="x", url="https://x.example")
    approved = False
    for which in steps:
        before = ServerState(server.state)
        try:
            step(server, which)
        except WrongState:
            assert before not in STEPS[which]
            continue
        approved |= which == Step.APPROVE
        assert before != ServerState.RETIRED
        assert approved or server.state != ServerState.APPROVED


def test_an_unknown_server_is_named(shelf: Shelf) -> None:
    with pytest.raises(UnknownServer, match="'nets'"):
        take(shelf, Step.SUSPEND, "nets")


def test_an_exception_is_made_for_one_origin_and_goes_with_its_last_server(shelf: Shelf) -> None:
    with pytest.raises(AddressRefused, match="allow-address"):
        shelf.add("notes", HERE)
    shelf.add("notes", HERE, allow_address=True)
    shelf.add("clock", "http://127.0.0.1:9000/clock")
    assert lines(shelf) == ["http://127.0.0.1:9000"]
    take(shelf, Step.RETIRE, "notes")
    assert lines(shelf) == ["http://127.0.0.1:9000"]
    take(shelf, Step.RETIRE, "clock")
    assert lines(shelf) == []


def test_taking_an_exception_back_takes_the_server_away(shelf: Shelf) -> None:
    from sqlmodel import delete

    from registry.tables import AddressException

    shelf.add("notes", HERE, allow_address=True)
    shelf.see("notes", tool("list"))
    shelf.approve("notes")
    assert shelf.tools() == ["notes_list"]
    with shelf.database.change() as session:
        session.connection().execute(delete(AddressException))
    assert shelf.tools() == []
    assert "notes" not in shelf.catalogue().upstreams


def test_a_static_credential_is_sealed_and_bound_to_the_origin(shelf: Shelf) -> None:
    shelf.add("notes", auth=Auth.STATIC, secrets={"header": b"Authorization: Bearer  s3cret"})
    with shelf.database.read() as session:
        found = load_credentials(session, shelf.vault)["notes"]
    assert (found.header, found.value) == (b"authorization", b"Bearer  s3cret")
    assert found.origin == "https://notes.example.com:443"
    assert "s3cret" not in repr(found)


def test_retiring_removes_the_secret(shelf: Shelf) -> None:
    shelf.add("notes", auth=Auth.STATIC, secrets={"header": b"X-Api-Key: s3cret"})
    take(shelf, Step.RETIRE)
    with shelf.database.read() as session, pytest.raises(SecretRefused):
        shelf.vault.open_secret(session, "server:notes", "header")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no colon",
        b": x",
        b"X-Key:",
        b"X Key: a",
        b"Host: a",
        b"Content-Length: 1",
        b"Mcp-Name: x",
        b"a: b\r\nc: d",
        b"a: b\nc",
        b"a: \xff",
        b"transfer-encoding: chunked",
        b"X-Key: \x00",
    ],
)
def test_a_credential_is_one_header_that_is_not_the_transports(line: bytes) -> None:
    with pytest.raises(RegistryError):
        split_header(line)


def test_only_static_auth_comes_with_a_header(shelf: Shelf) -> None:
    for more in ({"auth": Auth.STATIC}, {"secrets": {"header": b"X-Key: x"}}):
        with pytest.raises(RegistryError, match="header"):
            shelf.add("notes", **more)
    with shelf.database.read() as session:
        assert all_servers(session) == []


@pytest.mark.parametrize(
    ("auth", "given_settings", "words"),
    [
        (Auth.STATIC, {"per": "person"}, "--header is missing"),
        (Auth.STATIC, {"header": "X-Api-Key: canary"}, "--header and --scheme go with --per person"),
        (
            Auth.CLIENT_CREDENTIALS,
            {"issuer": "https://as.example"},
            "--client-id is missing: the app registered for us",
        ),
        (Auth.ON_BEHALF_OF, {"provider": "corp"}, "--scope is missing"),
        (Auth.NONE, {"scopes": ("x",)}, "--scope is none of its settings"),
    ],
)
def test_a_setting_that_is_missing_or_misplaced_is_named_as_it_is_given(
    shelf: Shelf, auth: Auth, given_settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(RegistryError, match=words) as refused:
        shelf.add("notes", auth=auth, auth_settings=given_settings)
    assert "canary" not in str(refused.value)


def test_people_may_have_values_of_their_own_beside_a_line_that_lists_are_read_with(shelf: Shelf) -> None:
    own = {"per": "person", "header": "X-Api-Key"}
    shelf.add("notes", auth=Auth.STATIC, auth_settings=own, secrets={"header": b"X-Api-Key: s3cret"})
    with shelf.database.read() as session:
        assert load_credentials(session, shelf.vault) == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_header_or_are_refused(shelf: Shelf, line: bytes) -> None:
    try:
        name, value = split_header(line)
    except RegistryError:
        return
    assert not set(name + value) & set(b"\r\n\x00")
