"""What every adapter promises, whatever protocol it speaks.

An adapter's tests derive a class from `ContractSuite` (and from those below that fit it) and give it a `subject`
fixture: an `Adapted` that knows how to play the person, the browser and the provider of that protocol.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from idp_adapters.config import KINDS, read_config
from idp_adapters.contract import (
    Arrival,
    Asking,
    ExternalIdentity,
    IdentityProblem,
    IdentityRefused,
    ProviderDown,
    Redirecting,
    Renewing,
    Surveying,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_adapters.contract import Departure, Equipment, Finding

CANARY = "canary-7f3a9"  # stands in every secret that a test plants


class Adapted(Protocol):
    """An adapter with a provider behind it. Each person can sign in; `alice` is in the group `devs`."""

    kind: str
    config: Mapping[str, Any]
    adapter: Any
    equipment: Equipment

    def down(self) -> Any:
        """The same adapter, with nobody at the provider's address."""

    def answer(self, departure: Departure, person: str = "alice") -> Arrival:
        """Of Redirecting ones: what the browser brings back once the person has signed in there."""

    def password(self, person: str = "alice") -> str:
        """Of Asking ones: the person's password."""

    def remove(self, person: str) -> None:
        """Of Renewing and Surveying ones: the provider knows them no more."""


STATE = "state-of-one-browser-and-one-sign-in-only"


class ContractSuite:
    """For every adapter."""

    def test_its_configuration_is_of_its_kind_and_every_option_is_described(self, subject: Adapted) -> None:
        read_config(subject.kind, subject.config)
        undescribed = [name for name, field in KINDS[subject.kind].model.model_fields.items() if not field.description]
        assert not undescribed

    def test_an_option_that_does_not_exist_is_named(self, subject: Adapted) -> None:
        with pytest.raises(IdentityProblem, match="no_such_option"):
            read_config(subject.kind, {**subject.config, "no_such_option": "x"})

    def test_it_is_what_its_kind_says(self, subject: Adapted) -> None:
        asks = KINDS[subject.kind].asks
        assert isinstance(subject.adapter, Asking if asks else Redirecting)

    def test_somebody_who_signs_in_is_somebody(self, subject: Adapted) -> None:
        identity = sign_in(subject)
        assert identity.issuer
        assert identity.subject
        assert identity.issuer != "local"
        assert "devs" in identity.groups
        assert abs(identity.authenticated_at - time.time()) < 3600

    def test_the_same_person_is_the_same_subject_and_another_is_another(self, subject: Adapted) -> None:
        first, again, other = sign_in(subject), sign_in(subject), sign_in(subject, "bob")
        assert (first.issuer, first.subject) == (again.issuer, again.subject)
        assert (first.issuer, first.subject) != (other.issuer, other.subject)

    def test_nothing_secret_is_shown(self, subject: Adapted) -> None:
        shown = [repr(subject.adapter), repr(subject.equipment), repr(sign_in(subject))]
        assert not [text for text in shown if CANARY in text]

    def test_a_walk_of_the_connection_finds_it_well(self, subject: Adapted) -> None:
        findings = list(subject.adapter.check())
        assert findings
        assert not [finding for finding in findings if not finding.ok]

    def test_a_walk_to_nobody_says_which_step_failed_and_what_to_do(self, subject: Adapted) -> None:
        findings: list[Finding] = list(subject.down().check())
        assert [finding.ok for finding in findings].count(False) == 1
        assert not findings[-1].ok
        assert findings[-1].words
        assert CANARY not in "".join(finding.words for finding in findings)

    def test_it_is_shared_between_threads(self, subject: Adapted) -> None:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: sign_in(subject).subject, range(4)))
        assert len(set(found)) == 1


class RedirectingSuite:
    """For those that send the browser away."""

    def test_the_state_goes_with_the_browser_and_nothing_secret_does(self, subject: Adapted) -> None:
        departure = depart(subject)
        sent = departure.url + "".join(departure.form.values())
        assert STATE in sent
        assert CANARY not in sent
        assert CANARY not in repr(departure)

    def test_an_answer_to_another_departure_is_refused(self, subject: Adapted) -> None:
        first, second = depart(subject), depart(subject)
        with pytest.raises(IdentityRefused):
            subject.adapter.arrive(subject.answer(first), second.kept)

    def test_an_answer_that_nobody_asked_for_is_refused(self, subject: Adapted) -> None:
        with pytest.raises(IdentityRefused):
            subject.adapter.arrive(subject.answer(depart(subject)), {})

    def test_an_answer_without_anything_in_it_is_refused(self, subject: Adapted) -> None:
        departure = depart(subject)
        empty = Arrival(method="GET", url=callback(subject), parameters={"state": STATE})
        with pytest.raises(IdentityRefused):
            subject.adapter.arrive(empty, departure.kept)

    def test_what_a_provider_says_of_an_error_is_not_repeated(self, subject: Adapted) -> None:
        said = {"state": STATE, "error": "access_denied", "error_description": "call 555-EVIL at once"}
        with pytest.raises(IdentityProblem) as refused:
            subject.adapter.arrive(Arrival(method="GET", url=callback(subject), parameters=said), depart(subject).kept)
        assert "EVIL" not in str(refused.value)


class AskingSuite:
    """For those that take a name and a password."""

    @pytest.mark.parametrize("password", ["", "\0", "wrong wrong wrong"])
    def test_a_password_that_is_not_theirs_is_refused(self, subject: Adapted, password: str) -> None:
        with pytest.raises(IdentityRefused):
            subject.adapter.authenticate("alice", password)

    @pytest.mark.parametrize("login", ["", "*", "al*", "nobody", "alice)(uid=*", "alice\0", "x" * 5000])
    def test_a_name_that_nobody_has_is_refused(self, subject: Adapted, login: str) -> None:
        with pytest.raises(IdentityRefused):
            subject.adapter.authenticate(login, subject.password())

    def test_a_provider_that_is_not_there_is_down_and_refuses_nobody(self, subject: Adapted) -> None:
        with pytest.raises(ProviderDown):
            subject.down().authenticate("alice", subject.password())


class RenewingSuite:
    """For those that can ask again."""

    def test_who_is_asked_about_again_is_the_same(self, subject: Adapted) -> None:
        identity = sign_in(subject)
        assert isinstance(subject.adapter, Renewing)
        renewed = subject.adapter.renew(identity.keep)
        assert (renewed.issuer, renewed.subject, renewed.groups) == (identity.issuer, identity.subject, identity.groups)

    def test_nobody_ends_because_the_provider_is_down(self, subject: Adapted) -> None:
        with pytest.raises(ProviderDown):
            subject.down().renew(sign_in(subject).keep)

    def test_who_was_removed_there_is_refused(self, subject: Adapted) -> None:
        identity = sign_in(subject)
        subject.remove("alice")
        with pytest.raises(IdentityRefused):
            subject.adapter.renew(identity.keep)


class SurveyingSuite:
    """For those that can be asked about many."""

    def test_those_who_are_there_are_among_the_answers(self, subject: Adapted) -> None:
        known = [sign_in(subject, name).subject for name in ("alice", "bob")]
        assert isinstance(subject.adapter, Surveying)
        found = {identity.subject: identity for identity in subject.adapter.survey([*known, "not-a-subject"])}
        assert found.keys() == set(known)
        assert "devs" in found[known[0]].groups

    def test_who_was_removed_there_is_not_among_the_answers(self, subject: Adapted) -> None:
        known = [sign_in(subject, name).subject for name in ("alice", "bob")]
        subject.remove("alice")
        assert [identity.subject for identity in subject.adapter.survey(known)] == known[1:]

    def test_a_directory_that_is_down_says_so_instead_of_nobody(self, subject: Adapted) -> None:
        with pytest.raises(ProviderDown):
            list(subject.down().survey([sign_in(subject).subject]))


def sign_in(subject: Adapted, person: str = "alice") -> ExternalIdentity:
    """As a browser does, or with a password."""
    adapter = subject.adapter
    if isinstance(adapter, Asking):
        return adapter.authenticate(person, subject.password(person))
    departure = depart(subject)
    found: ExternalIdentity = adapter.arrive(subject.answer(departure, person), departure.kept)
    return found


def depart(subject: Adapted) -> Departure:
    found: Departure = subject.adapter.depart(callback(subject), STATE)
    return found


def callback(subject: Adapted) -> str:
    return f"{subject.equipment.base_url}/signin/{subject.equipment.slug}/callback"
