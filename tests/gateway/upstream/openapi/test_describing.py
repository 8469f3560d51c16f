"""A description that is not for everybody is read as whoever calls the API: with its TLS, and with its credential."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.upstream.refreshing.once import refresh_once
from registry.credentials.tls import set_tls
from registry.database import Concern
from registry.observing import observe
from registry.openapi.kept import Text, forget_mark, keep, understand
from registry.openapi.operations import Choice
from registry.servers import Proposal, find, propose
from registry.tables import ApiDescription, Auth, Transport
from tests.fakes.network.certificates import Authority
from tests.fakes.servers.api import Api, serving
from tests.gateway.credentials.oauth.settled import Settled, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "canary-71c3"
STATIC: dict[str, dict[str, bytes]] = {"": {"header": f"X-Api-Key: {KEY}".encode()}, "q": {"api_key": KEY.encode()}}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as found:
        yield found


@pytest.fixture
def office(tmp_path: Path, api: Api) -> Iterator[Settled]:
    with settled(tmp_path, api.base) as made:
        yield made


def add(made: Settled, api: Api, described_at: str = "", auth: Auth = Auth.STATIC, query: str = "") -> None:
    """The API, described at its own address or at another."""
    text = Text(json.dumps(api.description).encode(), described_at or api.url)
    known = understand(text, Choice(operations=("*",)), address=f"{api.base}/api")
    asked = Proposal(
        slug="todo", url=known.address, transport=Transport.OPENAPI, auth=auth,
        secrets={} if auth is Auth.NONE else STATIC[query],
        auth_settings={"query": query} if query else {}, allow_address=True,
    )  # fmt: skip
    with made.office.database.change(Concern.CATALOGUE) as session:
        propose(session, asked, who="test", exceptions=(), vault=made.office.vault)
        keep(session, "todo", known)
        observe(session, "todo", known.seen)
        forget_mark(session, "todo")


async def read(made: Settled) -> str:
    """What is wrong, if anything is."""
    await refresh_once(made.office, "todo", who="test")
    with made.office.database.read() as session:
        return find(session, "todo").failure


async def test_the_credential_goes_along(office: Settled, api: Api) -> None:
    add(office, api)
    assert await read(office) == ""
    assert [one.all("x-api-key") for one in api.seen] == [[KEY]]


async def test_so_does_a_key_in_the_query(office: Settled, api: Api) -> None:
    add(office, api, query="q")
    assert await read(office) == ""
    assert [one.target for one in api.seen] == [f"/openapi.json?q={KEY}"]
    with office.office.database.read() as session:
        assert session.get_one(ApiDescription, "todo").url == api.url
    assert KEY not in office.written()


async def test_a_key_is_in_no_word_about_a_description_that_is_refused(office: Settled, api: Api) -> None:
    add(office, api, query="q")
    api.description = b"no description"
    assert "cannot be used" in (said := await read(office))
    api.base = f"{api.base}/gone"
    with office.office.database.change() as session:
        session.get_one(ApiDescription, "todo").url = f"{api.base}/x"
        forget_mark(session, "todo")
    assert "404" in (also := await read(office))
    assert KEY not in said + also + office.written()


async def test_t_49_at_another_origin_nothing_of_ours_goes_along(tmp_path: Path, api: Api) -> None:
    with serving(Api()) as elsewhere, settled(tmp_path, api.base, elsewhere.base) as office:
        add(office, api, elsewhere.url)
        assert await read(office) == ""
        assert len(elsewhere.seen) == 1
        assert not any(KEY in str(one.headers) + one.target for one in elsewhere.seen)


@pytest.mark.parametrize("ours", [True, False])
async def test_tls_is_spoken_as_with_the_server(tmp_path: Path, ours: bool) -> None:
    authority = Authority(tmp_path)
    with serving(Api(), authority.certify("localhost").context(authority)) as api, settled(tmp_path / "d") as office:
        add(office, api, auth=Auth.NONE)
        pair: dict[str, Any] = {"certificate": b"", "key": b""}
        if ours:
            certificate, key = authority.certify("gateway")
            pair = {"certificate": certificate.read_bytes(), "key": key.read_bytes()}
        with office.office.database.change() as session:
            told = {"authorities": authority.certificate.read_bytes(), "vault": office.office.vault}
            set_tls(session, find(session, "todo"), **pair, **told)
        failure = await read(office)
        assert bool(failure) is not ours
        assert len(api.seen) == ours
