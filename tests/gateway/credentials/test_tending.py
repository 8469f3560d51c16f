"""What becomes of connections while nobody looks, and who is told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from gateway.credentials.connections import tending
from gateway.credentials.connections.deeds import end
from gateway.credentials.connections.tending import OF_ONE_SERVER, Tending
from gateway.notices import webhook
from gateway.notices.webhook import Webhook
from gateway.operating.doctor.webhook import outbox
from gateway.settings import Settings
from registry.database import Concern
from registry.leases import give_back
from registry.tables import ConnectionState, Lease, Notice, Secret, Server, ServerState, UpstreamClient
from tests.fakes.providers.openid import Heard, Reply, listening
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


DAY = 86400.0


class Hook:
    """Somebody's webhook; answers as `status` says."""

    def __init__(self) -> None:
        self.origin = ""
        self.heard: list[Heard] = []
        self.status = 204

    def now(self) -> int:
        return int(time.time())

    def reply(self, heard: Heard) -> Reply:
        return Reply(self.status, b"")

    def told(self) -> list[str]:
        return [json.loads(heard.body)["type"] for heard in self.heard]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    with listening(made):
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Upstream, hook: Hook) -> Iterator[Settled]:
    with settled(tmp_path, fake.origin, webhook_url=f"{hook.origin}/ostiary") as made:
        yield made


def look(office: Settled) -> None:
    """One look, and all that it began."""
    tending = Tending(office.equipment)
    tending.look()
    tending._threads.shutdown(wait=True)


def refreshes(fake: Upstream) -> int:
    return sum(heard.form.get("grant_type") == "refresh_token" for heard in fake.asked("/token"))


def state(office: Settled, subject: str = "usr_alice") -> str:
    row = office.connection(subject=subject)
    assert row is not None
    return row.state


def test_a_token_is_renewed_before_it_runs_out_and_nobody_is_told(fake: Upstream, office: Settled, hook: Hook) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    look(office)
    assert refreshes(fake) == 0
    office.later(3100)
    look_again(office)
    assert refreshes(fake) == 1
    assert state(office) == ConnectionState.CONNECTED
    assert not hook.heard


def test_many_are_renewed_in_one_look_but_few_at_a_time_of_one_server(fake: Upstream, office: Settled) -> None:
    upstream, lock = office.server(fake.url), threading.Lock()
    people = [office.person(f"p{number}") for number in range(6)]
    for person in people:
        office.connect(fake, upstream, person)
    office.later(3100)
    busy, most = [], []

    def slowly(heard: Heard) -> Reply:
        with lock:
            busy.append(heard)
            most.append(len(busy))
        time.sleep(0.1)
        with lock:
            busy.pop()
        return fake.give(heard)

    fake.replies["/token"] = slowly
    look(office)
    assert refreshes(fake) == len(people)
    assert max(most) <= OF_ONE_SERVER


def test_a_server_that_hangs_keeps_no_other_waiting(fake: Upstream, tmp_path: Path) -> None:
    other, may_go_on = Upstream(), threading.Event()

    def hang(heard: Heard) -> Reply:
        may_go_on.wait(30)
        return fake.give(heard)

    with serving(other), settled(tmp_path, fake.origin, other.origin) as office:
        slow, quick = office.server(fake.url), office.server(other.url, "quick")
        for number in range(4):
            office.connect(fake, slow, office.person(f"p{number}"))
        office.connect(other, quick)
        office.later(3100)
        fake.replies["/token"] = hang
        tending = Tending(office.equipment)
        tending.look()
        end_at = time.monotonic() + 60
        while not refreshes(other):
            assert time.monotonic() < end_at
            time.sleep(0.01)
        may_go_on.set()
        tending._threads.shutdown(wait=True)
    assert refreshes(fake) == 4


async def test_a_process_that_ends_stores_what_it_is_just_renewing(
    fake: Upstream, office: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "LOOK", 0.01)
    upstream, asked = office.server(fake.url), threading.Event()
    office.connect(fake, upstream)
    office.later(3100)

    def slowly(heard: Heard) -> Reply:
        asked.set()
        time.sleep(0.3)
        return fake.give(heard)

    fake.replies["/token"] = slowly
    running = asyncio.create_task(Tending(office.equipment).run())
    assert await asyncio.to_thread(asked.wait, 20)
    running.cancel()
    await asyncio.wait({running}, timeout=20)
    row = office.connection()
    assert row is not None
    assert (row.state, row.generation) == (ConnectionState.CONNECTED, 2)


def test_one_process_at_a_time_looks(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    look(office)
    office.later(3100)
    another = Tending(office.equipment)
    another.look()  # the lease is the first one's
    another._threads.shutdown(wait=True)
    assert refreshes(fake) == 0


def test_a_suspended_server_is_left_alone(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    with office.office.database.change(Concern.CATALOGUE) as session:
        session.get_one(Server, "notes").state = ServerState.SUSPENDED
    office.later(3100)
    look(office)
    assert refreshes(fake) == 0


def test_people_are_told_before_what_cannot_be_renewed_ends_and_when_it_has(
    fake: Upstream, office: Settled, hook: Hook
) -> None:
    fake.gives_refresh, fake.life = False, 40 * 86400
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    look(office)
    assert not hook.heard
    office.later(38 * DAY)
    for _ in range(3):
        look_again(office)
    assert hook.told() == ["connection.expiring"]
    assert state(office) == ConnectionState.EXPIRING
    office.later(3 * DAY)
    for _ in range(3):
        look_again(office)
    assert hook.told() == ["connection.expiring", "connection.failed"]
    assert state(office) == ConnectionState.NEEDS_RECONNECT
    written = office.written()
    assert written.count('"event":"connection.expiring"') == written.count('"event":"connection.failed"') == 1


def look_again(office: Settled) -> None:
    """As the one who holds the lease does."""
    with office.office.database.read() as session:
        lease = session.get(Lease, "connections")
    if lease is not None:
        give_back(office.office.database, "connections", lease.holder)
    look(office)


def test_people_are_told_when_an_authorization_server_stays_away(fake: Upstream, office: Settled, hook: Hook) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    fake.replies["/token"] = lambda _: Reply(503, b"")
    for _ in range(7):
        office.later(3600)
        look_again(office)
    look_again(office)
    assert hook.told() == ["connection.delayed"]
    assert office.written().count('"event":"connection.delayed"') == 2
    assert state(office) == ConnectionState.REFRESHING


def test_a_message_says_whose_account_it_is_and_what_to_do_and_holds_no_token(
    fake: Upstream, office: Settled, hook: Hook
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    kept = office.tokens()
    fake.revoke("usr_alice")
    office.later(3100)
    look(office)
    look_again(office)
    (heard,) = hook.heard
    said = json.loads(heard.body)
    assert said["type"] == "connection.failed"
    assert (said["data"]["server"], said["data"]["account"]) == ("notes", "user:alice")
    assert "connect it again" in said["data"]["why"]
    assert kept.access.encode() not in heard.body
    assert kept.refresh.encode() not in heard.body


def test_a_message_is_signed_as_the_standard_has_it(fake: Upstream, office: Settled, hook: Hook) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    fake.revoke("usr_alice")
    office.later(3100)
    look(office)
    look_again(office)
    (heard,) = hook.heard
    secret = base64.b64decode(webhook.shown(webhook.key(office.office)).removeprefix("whsec_"))
    signed = f"{heard.headers['webhook-id']}.{heard.headers['webhook-timestamp']}.".encode() + heard.body
    mac = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert heard.headers["webhook-signature"] == f"v1,{mac}"
    assert heard.headers["content-type"] == "application/json"


def test_what_the_webhook_does_not_take_is_told_again_later_under_the_same_name(
    fake: Upstream, office: Settled, hook: Hook
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    fake.revoke("usr_alice")
    office.later(3100)
    hook.status = 500
    look(office)
    look_again(office)
    look_again(office)
    assert len(hook.heard) == 1  # not at once again
    hook.status = 200
    office.later(11)
    look_again(office)
    look_again(office)
    assert len(hook.heard) == 2
    assert len({heard.headers["webhook-id"] for heard in hook.heard}) == 1


def test_what_nobody_took_for_days_is_old_news(office: Settled, hook: Hook) -> None:
    with office.office.database.change() as session:
        session.add(Notice(id="msg_1", body="{}", at=time.time() - 4 * DAY, due_at=0))
    hook.status = 500
    Webhook(office.equipment.office, office.equipment.clock).deliver()
    with office.office.database.read() as session:
        assert session.get(Notice, "msg_1") is None


def notice(number: int, at: float, due: float = 0.0) -> Notice:
    return Notice(id=f"msg_{number}", body=json.dumps({"type": f"n{number}"}), at=at, due_at=due)


def test_of_too_many_messages_the_oldest_are_dropped_on_record(
    office: Settled, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "MOST", 3)
    now = time.time()
    with office.office.database.change() as session:
        session.add_all(notice(number, now - 100 + number, now + DAY) for number in range(5))

    Webhook(office.equipment.office, office.equipment.clock).deliver()

    with office.office.database.read() as session:
        assert sorted(session.exec(select(Notice.id))) == ["msg_2", "msg_3", "msg_4"]
    (dropped,) = [one for one in map(json.loads, office.written().splitlines()) if one["event"] == "webhook.dropped"]
    assert (dropped["count"], dropped["why"]) == (2, webhook.FULL)
    assert hook.heard == []


def test_a_message_that_is_refused_holds_no_other_back(office: Settled, hook: Hook) -> None:
    with office.office.database.change() as session:
        session.add_all(notice(number, time.time() - 100 + number) for number in range(3))
    hook.reply = lambda heard: Reply(400 if b"n0" in heard.body else 204, b"")  # type: ignore[method-assign]

    Webhook(office.equipment.office, office.equipment.clock).deliver()

    assert hook.told() == ["n0", "n1", "n2"]
    with office.office.database.read() as session:
        assert [one.id for one in session.exec(select(Notice))] == ["msg_0"]


@pytest.mark.parametrize(("status", "asked"), [(404, webhook.REFUSED_MOST), (503, 1), (429, 1)])
def test_a_receiver_that_takes_nothing_is_not_asked_for_each(
    office: Settled, hook: Hook, status: int, asked: int
) -> None:
    with office.office.database.change() as session:
        session.add_all(notice(number, time.time() - 100 + number) for number in range(9))
    hook.status = status

    Webhook(office.equipment.office, office.equipment.clock).deliver()

    assert len(hook.heard) == asked


def test_the_doctor_says_what_the_webhook_does_not_take(office: Settled, hook: Hook) -> None:
    assert list(outbox(office.office, time.time())) == []
    with office.office.database.change() as session:
        session.add(notice(1, time.time() - 7200))
    hook.status = 500
    Webhook(office.equipment.office, office.equipment.clock).deliver()

    (check,) = outbox(office.office, time.time())

    assert "1 messages were not taken" in check.why
    assert "2.0 h" in check.why


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/x", "ftp://hooks.example.com", "hooks.example.com", "https://me:pw@hooks.example/"],
)
def test_a_webhook_is_an_https_address_without_a_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="webhook_url: must be"):
        Settings(data=tmp_path, webhook_url=url)


def test_another_key_makes_the_old_one_worthless(office: Settled) -> None:
    first = webhook.key(office.office)
    assert webhook.key(office.office) == first
    assert webhook.key(office.office, new=True) != first


def test_of_what_was_ended_the_authorization_server_is_told_and_nothing_is_kept(
    fake: Upstream, office: Settled
) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    end(office.equipment, "notes", "usr_alice", who="user:alice")
    assert fake.accounts
    look(office)
    assert not fake.accounts
    assert not fake.refreshes
    with office.office.database.read() as session:
        assert not office.office.vault.problems(session)
        assert not [row for row in session.exec(select(Secret)) if row.purpose == "tokens"]
    assert state(office) == ConnectionState.REVOKED
    look_again(office)
    assert len(fake.asked("/revoke")) == 1


def test_what_was_ended_is_forgotten_although_the_authorization_server_is_away(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    end(office.equipment, "notes", "usr_alice", who="user:alice")
    fake.replies["/revoke"] = lambda _: Reply(503, b"")
    look(office)
    with office.office.database.read() as session:
        assert not [row for row in session.exec(select(Secret)) if row.purpose == "tokens"]


def test_administrators_are_told_before_the_secret_of_our_app_ends(office: Settled, hook: Hook, fake: Upstream) -> None:
    office.server(fake.url)
    with office.office.database.change() as session:
        session.add(
            UpstreamClient(
                server="notes", issuer=fake.issuer, client_id="c", how="dynamic", secret_until=time.time() + DAY
            )
        )
    look(office)
    look_again(office)
    assert hook.told() == ["connection.app_expiring"]


def test_tokens_that_were_changed_are_found_when_they_are_due(fake: Upstream, office: Settled) -> None:
    upstream = office.server(fake.url)
    office.connect(fake, upstream)
    with office.office.database.change() as session:
        for row in session.exec(select(Secret)):
            if row.purpose == "tokens":
                row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])
    office.later(3100)
    look(office)
    assert state(office) == ConnectionState.NEEDS_RECONNECT
    assert refreshes(fake) == 0
