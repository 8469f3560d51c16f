"""Borrowing from a sign-in: by one at a time, from the person's own, and beside whoever keeps groups fresh."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gateway.identity import keeping
from gateway.identity.keeping import one_at_a_time
from gateway.identity.lending import borrow
from gateway.identity.refreshing import Refreshing
from idp_adapters.contract import IdentityRefused, Lent, ProviderDown
from tests.fakes.providers.openid import OpenIdProvider, listening
from tests.gateway.credentials.derived.bench import Bench, bench
from tests.gateway.credentials.derived.company import join, sign_in, sign_out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.identity.providers import Opened


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def company(opened: Bench) -> Iterator[OpenIdProvider]:
    """Each of its refresh tokens is good for one use."""
    provider = OpenIdProvider("RS256")
    with listening(provider):
        join(opened, provider)
        yield provider


def id_token(opened: Opened, keep: bytes) -> Lent | None:
    adapter: Any = opened.adapter
    found: Lent | None = adapter.identity_token(keep)
    return found


def lend(opened: Bench, person: str, slug: str = "corp") -> Lent:
    return borrow(opened.office, opened.equipment.providers, person, slug, id_token)


def test_borrowers_and_whoever_keeps_groups_fresh_never_spend_a_token_twice(
    opened: Bench, company: OpenIdProvider
) -> None:
    company.twist = lambda claims: claims | {"exp": company.now() + 30}  # so that each has to renew
    person, _ = sign_in(opened, company)
    statuses: list[int] = []
    answer = company.token

    def counted(heard: Any) -> Any:
        reply = answer(heard)
        statuses.append(reply.status)
        return reply

    company.token = counted  # type: ignore[method-assign]
    later = time.time() + 0.6 * opened.office.settings.session_life  # when groups are looked at again
    refreshing = Refreshing(opened.office, opened.equipment.providers)

    def borrows(_: int) -> None:
        with pytest.raises(IdentityRefused, match="without what is needed"):
            lend(opened, person.id)

    with ThreadPoolExecutor(5) as threads:
        looking = threads.submit(refreshing.look, later)
        list(threads.map(borrows, range(8)))
        looking.result()
    assert len(statuses) == 9
    assert set(statuses) == {200}


def test_whoever_waits_goes_on_when_the_other_is_done(opened: Bench, company: OpenIdProvider) -> None:
    person, cookie = sign_in(opened, company)
    from authz.fingerprints import fingerprint

    got: list[Lent] = []
    waiting = threading.Thread(target=lambda: got.append(lend(opened, person.id)))
    with one_at_a_time(opened.office, fingerprint(cookie)):
        waiting.start()
        waiting.join(0.3)
        assert not got
    waiting.join(10)
    assert len(got) == 1


def test_whoever_waits_too_long_is_told_so(
    opened: Bench, company: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, cookie = sign_in(opened, company)
    from authz.fingerprints import fingerprint

    monkeypatch.setattr(keeping, "PATIENCE", 0.1)
    with one_at_a_time(opened.office, fingerprint(cookie)), pytest.raises(ProviderDown, match="try again"):
        lend(opened, person.id)


def test_a_provider_that_is_down_is_no_reason_to_sign_in_again(opened: Bench, company: OpenIdProvider) -> None:
    company.twist = lambda claims: claims | {"exp": company.now() + 30}
    person, _ = sign_in(opened, company)
    company.replies["/token"] = lambda _: (_ for _ in ()).throw(ConnectionError)
    with pytest.raises(ProviderDown):
        lend(opened, person.id)


def test_what_was_renewed_for_somebody_else_is_lent_to_nobody(opened: Bench, company: OpenIdProvider) -> None:
    company.twist = lambda claims: claims | {"exp": company.now() + 30}
    person, _ = sign_in(opened, company)
    company.twist = lambda claims: claims | {"sub": "sub-bob"}
    with pytest.raises(IdentityRefused):
        lend(opened, person.id)


def test_a_provider_that_is_switched_off_lends_nothing(opened: Bench, company: OpenIdProvider) -> None:
    from authz.tables import Provider
    from registry.database import Concern

    person, _ = sign_in(opened, company)
    with opened.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Provider, "corp").disabled_at = time.time()
    with pytest.raises(IdentityRefused, match="switched off"):
        lend(opened, person.id)


def test_a_sign_in_that_nobody_lives_by_any_more_is_over(opened: Bench, company: OpenIdProvider) -> None:
    person, cookie = sign_in(opened, company)
    lend(opened, person.id)
    sign_out(opened, cookie)
    with pytest.raises(IdentityRefused):
        lend(opened, person.id)
