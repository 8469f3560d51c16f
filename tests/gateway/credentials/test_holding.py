"""What a process has at hand: whose it is and where it may go is looked at on every use; each is obtained once."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from authz.principals import VerifiedClaims
from authz.tokens.cutoffs import CutOffs
from gateway.credentials import Asked, ConnectionNeeded, CredentialUnavailable, Held, holding
from gateway.credentials.holding import Credentials
from gateway.upstream.messages import CredentialRefused
from registry.catalogue import Credential
from registry.credentials.modes.minted import MintedSettings
from registry.credentials.modes.oauth import OAuthPersonSettings, OAuthSettings
from registry.credentials.modes.static import StaticSettings
from registry.tables import Auth
from tests.fakes.door import eventually
from tests.fakes.door import upstream as reached
from tests.fakes.servers.raw import principal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from authz.principals import Principal
    from gateway.credentials import Key
    from registry.catalogue import Upstream

ORIGIN = "http://127.0.0.1:9"


@dataclass
class Scripted:
    """A source that gives what a test says, and counts."""

    gives: Callable[[Asked], Held]
    asked: list[Asked] = field(default_factory=list)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_go_on.set()

    def obtain(self, asked: Asked) -> Held:
        self.asked.append(asked)
        assert self.may_go_on.wait(20)
        return self.gives(asked)


def given(asked: Asked, value: str = "", **more: Any) -> Held:
    renew_at = more.pop("renew_at", math.inf)
    text = value or f"token-of-{asked.subject}-{'-'.join(asked.actors)}-{asked.tool}"
    told = {
        "server": asked.upstream.slug, "origin": ORIGIN, "header": b"authorization", "value": text.encode(),
        "subject": asked.subject, "scope": asked.tool,
    }  # fmt: skip
    return Held(credential=Credential(**(told | more)), renew_at=renew_at)


def of_person(slug: str = "notes", **more: Any) -> Upstream:
    return replace(reached(slug), auth=Auth.OAUTH_PERSON, auth_settings=OAuthPersonSettings(), **more)


def at_hand(
    credentials: Credentials, server: Upstream, who: Principal | None, tool: str = "", cut: Any = None
) -> Credential | None:
    """With as much of a snapshot as is looked at."""
    snapshot = SimpleNamespace(credentials={}, cutoffs=CutOffs(cut or {}))
    return credentials.at_hand(snapshot, server, who, tool)  # type: ignore[arg-type]


def again(credentials: Credentials, server: Upstream, *said: Any, cut: Any = None) -> Coroutine[None, None, Credential]:
    return credentials.again(SimpleNamespace(cutoffs=CutOffs(cut or {})), server, *said)  # type: ignore[arg-type]


@pytest.fixture
async def credentials(tmp_path: Path) -> AsyncIterator[Credentials]:
    from gateway.assembly import open_office
    from gateway.settings import Settings

    office = open_office(Settings(data=tmp_path), create=True)
    held = Credentials(office)
    yield held
    held.close()
    office.close()


def _value(credentials: Credentials, key: Key) -> bytes:
    entry = credentials._shelf.last(key)
    assert entry is not None
    return entry.credential.value


def script(credentials: Credentials, gives: Callable[[Asked], Held] = given) -> Scripted:
    source = Scripted(gives)
    credentials._sources.of = lambda _auth: source  # type: ignore[method-assign,assignment]
    return source


async def test_what_was_obtained_is_at_hand_for_that_person_alone(credentials: Credentials) -> None:
    source, notes = script(credentials), of_person()
    obtained = await credentials.obtain(notes, principal("usr_a"))
    assert obtained is not None
    assert at_hand(credentials, notes, principal("usr_a")) is obtained
    assert at_hand(credentials, notes, principal("usr_b")) is None
    assert at_hand(credentials, notes, None) is None
    assert at_hand(credentials, of_person("board"), principal("usr_a")) is None
    assert len(source.asked) == 1


async def test_a_hundred_who_want_the_same_wait_for_one(credentials: Credentials) -> None:
    source, notes = script(credentials), of_person()
    source.may_go_on.clear()
    waiting = [asyncio.create_task(credentials.obtain(notes, principal("usr_a"))) for _ in range(100)]
    await eventually(lambda: source.asked)
    source.may_go_on.set()
    assert len({id(one) for one in await asyncio.gather(*waiting)}) == 1
    assert len(source.asked) == 1


async def test_it_is_obtained_although_whoever_wanted_it_is_gone(credentials: Credentials) -> None:
    source, notes = script(credentials), of_person()
    source.may_go_on.clear()
    waiting = asyncio.create_task(credentials.obtain(notes, principal("usr_a")))
    await eventually(lambda: source.asked)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    source.may_go_on.set()
    await eventually(lambda: at_hand(credentials, notes, principal("usr_a")))


async def test_a_process_that_ends_stores_what_it_is_just_being_given(tmp_path: Path) -> None:
    from gateway.assembly import open_office, open_world
    from gateway.settings import Settings

    office, stored = open_office(Settings(data=tmp_path), create=True), []

    def slowly(asked: Asked) -> Held:
        time.sleep(0.3)
        stored.append(asked)
        return given(asked)

    async with open_world(office) as world:
        source = script(world.credentials, slowly)
        waiting = asyncio.create_task(world.credentials.obtain(of_person(), principal("usr_a")))
        await eventually(lambda: source.asked)
        waiting.cancel()
    assert stored
    office.close()


async def test_who_waits_is_not_kept_waiting_for_ever(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, notes = script(credentials), of_person()
    source.may_go_on.clear()
    monkeypatch.setattr(holding, "PATIENCE", 0.05)
    with pytest.raises(CredentialUnavailable, match="is not had in time"):
        await credentials.obtain(notes, principal("usr_a"))
    source.may_go_on.set()


async def test_one_server_that_hangs_keeps_no_other_from_its_credentials(credentials: Credentials) -> None:
    slow, quick = Scripted(given), Scripted(given)
    credentials._sources.of = lambda auth: slow if auth is Auth.OAUTH_SHARED else quick  # type: ignore[method-assign]
    slow.may_go_on.clear()
    hanging = replace(reached("slow"), auth=Auth.OAUTH_SHARED, auth_settings=OAuthPersonSettings())
    waiting = [
        asyncio.create_task(credentials.obtain(hanging, principal(f"usr_{number}")))
        for number in range(holding.THREADS * 2)
    ]
    await eventually(lambda: len(slow.asked) == holding.AT_ONCE)
    async with asyncio.timeout(10):
        assert await credentials.obtain(of_person(), principal("usr_a")) is not None
    assert len(slow.asked) == holding.AT_ONCE
    slow.may_go_on.set()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("another address", {"url": "http://127.0.0.2:9/notes"}),
        ("another path", {"url": "http://127.0.0.1:9/other"}),
        ("another mode", {"auth": Auth.TOKEN_EXCHANGE}),
        ("other settings", {"auth_settings": OAuthPersonSettings(issuer="https://other.example")}),
    ],
)
async def test_what_was_obtained_for_a_server_as_it_was_is_not_used_for_it_as_it_is(
    credentials: Credentials, what: str, changed: dict[str, Any]
) -> None:
    script(credentials)
    notes = of_person()
    await credentials.obtain(notes, principal("usr_a"))
    again = replace(notes, title="The same, with another title")
    assert at_hand(credentials, again, principal("usr_a")) is not None
    moved = replace(notes, **changed)
    assert at_hand(credentials, moved, principal("usr_a")) is None, what


@pytest.mark.parametrize(
    ("cut", "felt"),
    [
        (("connection", "notes/usr_a"), True),
        (("person", "usr_a"), True),
        (("connection", "notes/usr_b"), False),
        (("connection", "board/usr_a"), False),
        (("person", "usr_b"), False),
    ],
)
async def test_what_was_ended_is_not_used_again(credentials: Credentials, cut: tuple[str, str], *, felt: bool) -> None:
    script(credentials)
    notes, somebody = of_person(), principal("usr_a")
    await credentials.obtain(notes, somebody)
    assert at_hand(credentials, notes, somebody, cut={cut: time.time() - 60}) is not None
    assert (at_hand(credentials, notes, somebody, cut={cut: time.time() + 1}) is None) is felt


async def test_what_is_about_to_end_is_not_used(credentials: Credentials) -> None:
    script(credentials, lambda asked: given(asked, until=time.time() + 5))
    await credentials.obtain(of_person(), principal("usr_a"))
    assert at_hand(credentials, of_person(), principal("usr_a")) is None


async def test_the_next_is_had_beside_the_calls_while_the_last_is_good(credentials: Credentials) -> None:
    number = iter(range(10))
    source = script(credentials, lambda asked: given(asked, f"token-{next(number)}", renew_at=0))
    notes, somebody = of_person(), principal("usr_a")
    await credentials.obtain(notes, somebody)
    source.may_go_on.clear()
    key = Asked(upstream=notes, principal=somebody).key
    for _ in range(5):
        found = at_hand(credentials, notes, somebody)
        assert found is not None
        assert found.value == b"token-0"
    source.may_go_on.set()
    await eventually(lambda: _value(credentials, key) != b"token-0")
    assert len(source.asked) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": "board"}, {"origin": "http://127.0.0.2:9"}, {"subject": "usr_b"}, {"subject": ""},
        {"scope": "notes.add"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_source_is_not_believed_whose_a_credential_is_nor_where_it_goes(
    credentials: Credentials, wrong: dict[str, str]
) -> None:
    script(credentials, lambda asked: given(asked, **wrong))
    with pytest.raises(CredentialUnavailable, match="cannot be used"):
        await credentials.obtain(of_person(), principal("usr_a"))
    assert at_hand(credentials, of_person(), principal("usr_a")) is None


async def test_an_attempt_in_vain_answers_for_those_that_follow_at_once(credentials: Credentials) -> None:
    def refusing(_: Asked) -> Held:
        raise CredentialUnavailable("the authorization server is away")

    source = script(credentials, refusing)
    for _ in range(5):
        with pytest.raises(CredentialUnavailable, match="is away"):
            await credentials.obtain(of_person(), principal("usr_a"))
    assert len(source.asked) == 1
    with pytest.raises(CredentialUnavailable):
        await credentials.obtain(of_person(), principal("usr_b"))
    assert len(source.asked) == 2


async def test_what_a_person_does_is_felt_at_once(credentials: Credentials) -> None:
    connected = False

    def once_connected(asked: Asked) -> Held:
        if not connected:
            raise ConnectionNeeded("notes", asked.subject, "connect it first")
        return given(asked)

    script(credentials, once_connected)
    with pytest.raises(ConnectionNeeded):
        await credentials.obtain(of_person(), principal("usr_a"))
    connected = True
    assert await credentials.obtain(of_person(), principal("usr_a")) is not None


async def test_a_refused_credential_is_replaced_once_for_all_who_were_refused(credentials: Credentials) -> None:
    def better(asked: Asked) -> Held:
        return given(asked, "second" if asked.instead_of is not None else "first")

    source, notes, somebody = script(credentials, better), of_person(), principal("usr_a")
    used = await credentials.obtain(notes, somebody)
    assert used is not None
    refused = CredentialRefused("it is refused", 401)
    given_to = await asyncio.gather(*(again(credentials, notes, somebody, used, refused) for _ in range(10)))
    assert {one.value for one in given_to} == {b"second"}
    assert len(source.asked) == 2
    assert (await again(credentials, notes, somebody, used, refused)).value == b"second"
    assert len(source.asked) == 2
    with pytest.raises(CredentialRefused):  # the new one as well: there is nothing better
        await again(credentials, notes, somebody, given_to[0], refused)


async def test_what_was_ended_while_a_call_was_under_way_is_not_what_it_is_sent_with_next(
    credentials: Credentials,
) -> None:
    """The call left with the first; the second was connected and ended again before the server refused the first."""
    source, notes, somebody = script(credentials, lambda asked: given(asked, "first")), of_person(), principal("usr_a")
    used = await credentials.obtain(notes, somebody)
    assert used is not None
    source.gives = lambda asked: given(asked, "second")
    await credentials.obtain(notes, somebody)

    def over(asked: Asked) -> Held:
        raise ConnectionNeeded("notes", asked.subject, "it was ended")

    source.gives = over
    cut = {("connection", "notes/usr_a"): time.time() + 1}
    with pytest.raises(ConnectionNeeded):
        await again(credentials, notes, somebody, used, CredentialRefused("it is refused", 401), cut=cut)


async def test_what_a_server_asks_for_besides_is_asked_for_from_then_on(credentials: Credentials) -> None:
    source = script(credentials, lambda asked: given(asked, f"with {sorted(asked.scopes)}", renew_at=0))
    notes, somebody = of_person(), principal("usr_a")
    used = await credentials.obtain(notes, somebody)
    assert used is not None
    challenge = b'Bearer error="insufficient_scope", scope="write"'
    wider = await again(credentials, notes, somebody, used, CredentialRefused("no", 403, challenge))
    assert wider.value == b"with ['write']"
    assert at_hand(credentials, notes, somebody) is wider
    await eventually(lambda: len(source.asked) == 3)
    assert source.asked[-1].scopes == {"write"}
    the_same = b'Bearer error="insufficient_scope", scope="write"'
    with pytest.raises(CredentialRefused):
        await again(credentials, notes, somebody, wider, CredentialRefused("no", 403, the_same))
    more = b'Bearer error="insufficient_scope", scope="admin"'
    assert (await again(credentials, notes, somebody, wider, CredentialRefused("no", 403, more))).value == (
        b"with ['admin', 'write']"
    )


@pytest.mark.parametrize("challenge", [b"", b'Bearer error="access_denied"', b'Basic realm="x"'])
async def test_a_refusal_that_no_credential_would_change_stays_one(credentials: Credentials, challenge: bytes) -> None:
    source, notes, somebody = script(credentials), of_person(), principal("usr_a")
    used = await credentials.obtain(notes, somebody)
    assert used is not None
    with pytest.raises(CredentialRefused):
        await again(credentials, notes, somebody, used, CredentialRefused("no", 403, challenge))
    assert len(source.asked) == 1


async def test_a_minted_token_is_found_by_who_acts_and_by_the_tool_as_well(credentials: Credentials) -> None:
    source = script(credentials)
    minted = replace(reached("notes"), auth=Auth.MINTED, auth_settings=MintedSettings())
    alone, acted = principal("usr_a"), replace(principal("usr_a"), claims=VerifiedClaims({"act": {"sub": "agt_1"}}))
    who = [(alone, "notes.add"), (alone, "notes.delete"), (acted, "notes.add")]
    values = {(await credentials.obtain(minted, one, tool)).value for one, tool in who}  # type: ignore[union-attr]
    assert len(values) == len(source.asked) == 3
    for one, tool in who:
        assert at_hand(credentials, minted, one, tool) is not None
    assert at_hand(credentials, minted, acted, "notes.delete") is None


async def test_the_oldest_of_too_many_goes(credentials: Credentials) -> None:
    from gateway.credentials.shelf import Shelf

    script(credentials)
    credentials._shelf = Shelf(most=3)
    notes = of_person()
    for number in range(3):
        await credentials.obtain(notes, principal(f"usr_{number}"))
    at_hand(credentials, notes, principal("usr_0"))
    await credentials.obtain(notes, principal("usr_3"))
    there = [at_hand(credentials, notes, principal(f"usr_{number}")) is not None for number in range(4)]
    assert there == [True, False, True, True]


@pytest.mark.parametrize(
    ("auth", "settings", "wanted"),
    [
        (Auth.OAUTH_PERSON, OAuthPersonSettings(), None),
        (Auth.STATIC, StaticSettings(per="person", header="X-Key"), None),
        (Auth.MINTED, MintedSettings(), None),
        (Auth.OAUTH_SHARED, OAuthSettings(), ConnectionNeeded),
    ],
)
async def test_the_gateway_reads_as_nobody_where_each_person_has_their_own_and_it_has_nothing(
    credentials: Credentials, auth: Auth, settings: Any, wanted: type[Exception] | None
) -> None:
    def needing(asked: Asked) -> Held:
        raise ConnectionNeeded(asked.upstream.slug, asked.subject, "connect it first")

    source = script(credentials, needing)
    asked = Asked(upstream=replace(reached("notes"), auth=auth, auth_settings=settings), principal=None)
    if wanted is None:
        assert credentials.obtain_now(asked) is None
    else:
        with pytest.raises(wanted):
            credentials.obtain_now(asked)
    assert [one.subject for one in source.asked] == [""]
    with pytest.raises(ConnectionNeeded):  # nobody calls as nobody
        credentials.obtain_now(replace(asked, principal=principal("usr_a")))


def test_no_value_is_in_what_is_shown_of_a_credential() -> None:
    held = given(Asked(upstream=of_person(), principal=principal("usr_a")), "canary-token")
    assert "canary" not in repr(held)
    asked = Asked(upstream=of_person(), principal=principal("usr_a"), instead_of=held.credential)
    assert "canary" not in repr(asked)


async def test_nobody_without_an_id_has_an_account(credentials: Credentials) -> None:
    """The empty one is the shared one's."""
    script(credentials)
    with pytest.raises(CredentialUnavailable, match="whose account"):
        await credentials.obtain(of_person(), replace(principal("usr_a"), subject=""))
