from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.idp_adapters.contract_suite import ContractSuite, RedirectingSuite
from tests.idp_adapters.saml.house import House, Said

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers  # the xmlsec1 program


@pytest.fixture
def subject(tmp_path: Path) -> House:
    return House(tmp_path)


class TestContract(ContractSuite):
    pass


class TestRedirecting(RedirectingSuite):
    pass


@pytest.mark.parametrize("encrypt", [False, True])
def test_an_honest_answer_says_who_it_is(subject: House, encrypt: bool) -> None:
    found = subject.arrive(Said(encrypt=encrypt))
    assert (found.subject, found.login, found.email) == ("alice-for-good", "alice", "alice@lab.test")
    assert found.groups == {"devs", "eng"}
    assert found.session == "session-of-alice"
    assert found.acr.endswith("PasswordProtectedTransport")
