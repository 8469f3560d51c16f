"""T-30: what comes back to the callback of a server is for that server, that browser, that person, once and in time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz import jose
from authz.tokens.cutoffs import Cut, cut_off
from gateway.credentials import Refused
from gateway.credentials.connections import deeds
from gateway.credentials.oauth.connecting.departures import ConnectRefused
from gateway.oauth.clients import our_clients
from registry.credentials.connections import Tokens
from registry.database import Concern
from registry.errors import RegistryError
from registry.servers import retire
from registry.tables import PendingConnect
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import BROWSER, Settled, query_of, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fakes() -> Iterator[tuple[Upstream, Upstream]]:
    with serving(Upstream()) as notes, serving(Upstream()) as mail:
        yield notes, mail


@pytest.fixture
def office(tmp_path: Path, fakes: tuple[Upstream, Upstream]) -> Iterator[Settled]:
    notes, mail = fakes
    with settled(tmp_path, notes.origin, mail.origin) as made:
        made.server(notes.url, "notes")
        made.server(mail.url, "mail")
        yield made


def nothing_was_connected(office: Settled, *fakes: Upstream) -> bool:
    asked = [fake for fake in fakes if fake.asked("/token")]
    return not asked and all(office.connection(slug) is None for slug in ("notes", "mail"))


def refused(office: Settled, back: str, **changes: Any) -> str:
    with pytest.raises(ConnectRefused) as caught:
        office.come_back(back, **changes)
    return caught.value.reason


def test_t_30_a_code_for_one_server_is_refused_at_the_callback_of_another(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    assert refused(office, back, slug="mail") == "other_server"
    assert nothing_was_connected(office, *fakes)


def test_t_30_a_server_cannot_have_its_own_code_delivered_into_another_journey(office, fakes):
    """The state of mail's journey with the code of notes: mail's authorization server never gave it."""
    stolen = query_of(fakes[0].arrive(office.depart(office.upstream("notes"))))["code"]
    theirs = query_of(office.depart(office.upstream("mail")))["state"]
    back = f"https://any.example/?code={stolen}&state={theirs}&iss={fakes[1].issuer}"
    with pytest.raises(Refused, match="invalid_grant"):
        office.come_back(back, slug="mail")
    assert office.connection("mail") is None
    assert not fakes[0].asked("/token")


def test_t_30_the_answer_of_another_issuer_is_refused_and_nothing_of_it_shown(office, fakes):
    departure = office.depart(office.upstream("notes"))
    back = fakes[0].arrive(departure, iss=fakes[1].issuer, error="call 555-EVIL")
    with pytest.raises(ConnectRefused, match="another authorization server") as caught:
        office.come_back(back)
    assert "EVIL" not in str(caught.value)
    assert nothing_was_connected(office, *fakes)


def test_t_30_an_issuer_is_compared_letter_by_letter(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")), iss=fakes[0].issuer + "/")
    assert refused(office, back) == "iss_mismatch"


def test_t_30_a_promised_issuer_must_be_there(office, fakes):
    fakes[0].answer = {"iss": ""}
    assert refused(office, fakes[0].arrive(office.depart(office.upstream("notes")))) == "iss_missing"


def test_t_30_an_issuer_that_was_not_promised_must_still_be_the_right_one(office, fakes):
    fakes[0].metadata = {"authorization_response_iss_parameter_supported": None}
    back = fakes[0].arrive(office.depart(office.upstream("notes")), iss="https://elsewhere.example")
    assert refused(office, back) == "iss_mismatch"


def test_t_30_another_browser_cannot_finish_it(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    assert refused(office, back, browser="the-cookie-of-a-thief") == "other_browser"
    assert nothing_was_connected(office, *fakes)


def test_t_30_another_person_in_the_same_browser_cannot_finish_it(office, fakes):
    """Or else the account of whoever agreed would be connected for somebody else."""
    back = fakes[0].arrive(office.depart(office.upstream("notes"), "usr_alice"))
    assert refused(office, back, person="usr_bob") == "other_person"
    assert nothing_was_connected(office, *fakes)


def test_t_30_an_answer_is_good_once(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    office.come_back(back)
    assert refused(office, back) == "state_unknown"
    assert len(fakes[0].asked("/token")) == 1


def test_t_30_what_was_refused_once_is_spent(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    refused(office, back, browser="the-cookie-of-a-thief")
    assert refused(office, back) == "state_unknown"
    assert nothing_was_connected(office, *fakes)


def test_t_30_after_ten_minutes_it_is_too_late(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    office.later(601)
    assert refused(office, back) == "too_late"


@pytest.mark.parametrize("state", ["", "made-up", "x" * 2000])
def test_t_30_a_state_that_nobody_was_given_is_refused(office, fakes, state):
    assert refused(office, f"https://any.example/?code=c&iss={fakes[0].issuer}&state={state}") == "state_unknown"


def test_t_30_of_many_that_present_it_at_once_one_counts(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    outcomes: list[str] = []

    def present() -> None:
        try:
            office.come_back(back)
            outcomes.append("connected")
        except ConnectRefused as caught:
            outcomes.append(caught.reason)

    threads = [threading.Thread(target=present) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["connected", *["state_unknown"] * 5]


def test_t_30_a_stolen_table_finishes_nothing(office, fakes):
    """The state is kept as a hash, and what the token request needs sealed under it."""
    departure = office.depart(office.upstream("notes"))
    with office.office.database.read() as session:
        (row,) = session.exec(select(PendingConnect))
    kept = repr(row.model_dump()).encode() + row.sealed
    state = query_of(departure)["state"]
    back = fakes[0].arrive(departure)
    office.come_back(back)
    (asked,) = fakes[0].asked("/token")
    assert state.encode() not in kept
    assert BROWSER.encode() not in kept
    assert asked.form["code_verifier"].encode() not in kept


def test_t_30_a_server_that_names_another_issuer_meanwhile_gets_nothing_from_a_journey_under_way(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    fakes[0].authorities = [fakes[1].issuer]
    office.come_back(back)
    assert not fakes[1].asked("/token")
    assert office.tokens("notes").issuer == fakes[0].issuer


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "usr_bob"},
        {"subject": ""},
        {"issuer": "https://thief.example"},
        {"back_to": "/admin"},
        {"expires_at": 1e12},
    ],
)
def test_t_30_a_row_that_was_changed_meanwhile_finishes_nothing(office, fakes, changed):
    """Or else whoever writes to the database would connect their own account as somebody else's."""
    back = fakes[0].arrive(office.depart(office.upstream("notes")))
    with office.office.database.change() as session:
        (row,) = session.exec(select(PendingConnect))
        row.sqlmodel_update(changed)
        session.add(row)
    assert refused(office, back) == "tampered"
    assert nothing_was_connected(office, *fakes)


def test_t_30_whoever_is_no_administrator_any_more_connects_no_account_that_all_share(office, fakes):
    back = fakes[0].arrive(office.depart(office.upstream("notes"), subject=""))
    assert refused(office, back, shares=False) == "no_administrator"
    assert nothing_was_connected(office, *fakes)


def test_t_30_what_ended_while_the_code_was_redeemed_is_not_connected(office, fakes):
    """The authorization server takes its time; meanwhile all that the person holds is revoked, or the server goes."""
    notes, mail = fakes
    back, other = (
        notes.arrive(office.depart(office.upstream("notes"))),
        mail.arrive(office.depart(office.upstream("mail"))),
    )
    with office.office.database.change(Concern.CUTOFFS, Concern.CATALOGUE) as session:
        retire(session, "mail", office.office.vault)
        cut_off(session, Cut.PERSON, "usr_alice")
    with pytest.raises(RegistryError, match="begin anew"):
        office.come_back(back)
    with pytest.raises(Refused):
        office.come_back(other, slug="mail")
    with pytest.raises(RegistryError, match="no account to connect"):
        deeds.connect(office.equipment, "mail", "usr_alice", Tokens(access="late"), who="user:alice")
    assert office.connection("notes") is None
    assert office.connection("mail") is None


DOCUMENTS = {"client_id_metadata_document_supported": True, "token_endpoint_auth_methods_supported": ["none"]}
UNNAMED = {"authorization_response_iss_parameter_supported": None}


@pytest.fixture
def reached(tmp_path: Path, fakes: tuple[Upstream, Upstream]) -> Iterator[Settled]:
    """A gateway with an address that authorization servers read documents at."""
    notes, mail = fakes
    with settled(tmp_path / "reached", notes.origin, mail.origin, public_url="https://door.example") as made:
        made.server(notes.url, "notes")
        made.server(mail.url, "mail")
        yield made


def led_on(departure: str, good: Upstream) -> str:
    """What a bad authorization server does with a browser: on to a good one, as us, which sends it back (RFC 9700
    section 4.4.1). The good one believes our document, and says nothing of itself.
    """
    good.answer = {"iss": ""}
    return good.arrive(departure)


def nothing_was_brought(bad: Upstream, good: Upstream) -> bool:
    return not bad.asked("/token") and not good.asked("/token")


def test_t_30_a_mix_up_by_an_authorization_server_that_names_itself_brings_it_no_code(reached, fakes):
    """The one in the middle has promised to name itself, for else our document would not have been used with it."""
    good, bad = fakes
    good.metadata = DOCUMENTS | UNNAMED
    bad.metadata = dict(DOCUMENTS)
    departure = reached.depart(reached.upstream("mail"))
    assert query_of(departure)["client_id"] == "https://door.example/oauth/clients/mail/ostiary.json"

    assert refused(reached, led_on(departure, good), slug="mail") == "iss_missing"
    assert nothing_was_brought(bad, good)


def test_t_30_a_promise_to_name_oneself_is_not_taken_back_while_somebody_is_on_the_way(reached, fakes):
    good, bad = fakes
    good.metadata, bad.metadata = DOCUMENTS | UNNAMED, dict(DOCUMENTS)
    departure = reached.depart(reached.upstream("mail"))
    bad.metadata = DOCUMENTS | UNNAMED
    reached.equipment.discovery.forget(reached.upstream("mail"), bad.issuer)

    assert refused(reached, led_on(departure, good), slug="mail") == "iss_missing"
    assert nothing_was_brought(bad, good)


def test_t_30_a_good_one_that_names_itself_is_not_taken_for_the_bad_one(reached, fakes):
    good, bad = fakes
    good.metadata, bad.metadata = dict(DOCUMENTS), dict(DOCUMENTS)
    back = good.arrive(reached.depart(reached.upstream("mail")))

    assert refused(reached, back, slug="mail") == "iss_mismatch"
    assert nothing_was_brought(bad, good)


def test_t_30_one_that_never_names_itself_gets_no_document_to_lead_people_on_with(reached, fakes):
    """It has us register, under a name that is good with it alone; the document is not even there to be read."""
    good, bad = fakes
    good.metadata = bad.metadata = DOCUMENTS | UNNAMED
    departure = query_of(reached.depart(reached.upstream("mail")))

    assert departure["client_id"] in bad.apps
    assert departure["client_id"] not in good.apps
    assert not our_clients._is_ours(reached.office, "mail", "none")


def test_t_30_with_keys_a_code_that_was_led_astray_is_of_no_use(reached, fakes):
    """The document says that we sign: whoever is brought the code and its verifier cannot redeem it."""
    good, bad = fakes
    bad.metadata = good.metadata = {"client_id_metadata_document_supported": True} | UNNAMED
    departure = reached.depart(reached.upstream("mail"))
    back = led_on(departure, good)
    with pytest.raises(Refused):
        reached.come_back(back, slug="mail")

    (brought,) = bad.asked("/token")
    form = brought.form | {"client_id": query_of(departure)["client_id"]}
    assert brought.form["code"]
    assert "client_assertion" in form
    assert jose.read_foreign(form["client_assertion"]).claims["aud"] == bad.issuer, "which the good one does not take"
