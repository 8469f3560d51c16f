"""An answer counts once: again, by many at once, in another process, and at the other door."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from idp_adapters.contract import IdentityRefused
from registry.database import Database
from tests.fakes.processes import ROOT
from tests.idp_adapters.saml.house import House, Said, posted, sp_secret

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers  # the xmlsec1 program

OURS, TOKENS = "https://gate.example", "https://gate.example/oauth/token"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def brought(said: Said) -> str:
    return base64.urlsafe_b64encode(said.signed_assertion().encode()).decode().rstrip("=")


def for_tokens(**changes: Any) -> Said:
    return Said(audience=OURS, recipient=TOKENS, **changes)


def test_t_34_the_same_answer_again_is_refused(house: House) -> None:
    departure = house.depart()
    arrival = house.answer(departure)
    house.adapter.arrive(arrival, departure.kept)
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.arrive(arrival, departure.kept)
    assert raised.value.reason == "saml_replay"


def test_t_34_another_answer_to_the_same_request_is_refused(house: House) -> None:
    departure = house.depart()
    house.adapter.arrive(house.answer(departure), departure.kept)
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.arrive(house.answer(departure, "bob"), departure.kept)
    assert raised.value.reason == "saml_replay"


def test_t_34_the_same_assertion_in_another_answer_is_refused(house: House) -> None:
    first = Said(id="_the-very-same")
    house.arrive(first)
    with pytest.raises(IdentityRefused) as raised:
        house.arrive(first.but(response_id="_another"))
    assert raised.value.reason == "saml_replay"


def test_t_34_of_many_at_once_one_counts(house: House) -> None:
    departure = house.depart()
    arrival = house.answer(departure)

    def arrive(_: int) -> bool:
        try:
            return bool(house.adapter.arrive(arrival, departure.kept))
        except IdentityRefused:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(arrive, range(6))) == 1


def test_t_34_a_refused_answer_does_not_use_the_request_up(house: House) -> None:
    departure = house.depart()
    request = departure.kept["request"]
    with pytest.raises(IdentityRefused):
        house.adapter.arrive(posted(Said(request=request, signer="mallory").signed()), departure.kept)
    assert house.adapter.arrive(house.answer(departure), departure.kept).subject == "alice-for-good"


def test_t_34_an_assertion_that_a_client_brings_counts_once(house: House) -> None:
    credential = brought(for_tokens())
    assert house.adapter.vouch(credential, OURS, TOKENS).subject == "alice-for-good"
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.vouch(credential, OURS, TOKENS)
    assert raised.value.reason == "saml_replay"


def test_t_34_one_that_was_used_to_sign_in_is_refused_at_the_token_endpoint(house: House) -> None:
    """Both by its addresses, and, were those the same, by its id."""
    departure = house.depart()
    said = Said(request=departure.kept["request"], id="_used-at-sign-in")
    house.adapter.arrive(posted(said.signed()), departure.kept)
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.vouch(brought(said), OURS, TOKENS)
    assert raised.value.reason == "saml_recipient"
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.vouch(brought(for_tokens(id="_used-at-sign-in")), OURS, TOKENS)
    assert raised.value.reason == "saml_replay"


def test_t_34_one_that_was_brought_to_the_token_endpoint_signs_nobody_in(house: House) -> None:
    house.adapter.vouch(brought(for_tokens(id="_used-at-tokens")), OURS, TOKENS)
    with pytest.raises(IdentityRefused) as raised:
        house.arrive(Said(id="_used-at-tokens"))
    assert raised.value.reason == "saml_replay"


PROCESS = """
import json, sys
from pathlib import Path
from authz import once
from idp_adapters.saml.config import SamlConfig
from idp_adapters.contract import Arrival, IdentityRefused
from idp_adapters.saml.provider import SamlProvider
from registry.database import Database
from tests.idp_adapters.equipment import equipment

said = json.loads(sys.stdin.readline())
database = Database(said["database"])
equipped = equipment(
    secrets={"sp_key": said["key"].encode()},
    once=lambda key, until: once.first_time(database, "idp:corp", key, until),
)
adapter = SamlProvider(SamlConfig.model_validate(said["config"]), equipped)
arrival = Arrival(method="POST", url=said["url"], parameters=said["form"])
print("ready", flush=True)
sys.stdin.readline()
try:
    print(adapter.arrive(arrival, said["kept"]).subject)
except IdentityRefused as refused:
    print(refused.reason)
"""


def test_t_34_of_two_processes_one_counts_it(house: House, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/marks.db"
    database = Database(url)
    from authz.tables import Spent

    Spent.metadata.create_all(database.engine, tables=[Spent.__table__])  # type: ignore[attr-defined]
    departure = house.depart()
    arrival = house.answer(departure)
    told = {
        "database": url,
        "key": sp_secret().decode(),
        "config": house.config,
        "url": arrival.url,
        "form": dict(arrival.parameters),
        "kept": dict(departure.kept),
    }
    found = _at_the_same_time(json.dumps(told))
    assert sorted(found) == ["alice-for-good", "saml_replay"]


def _at_the_same_time(told: str) -> list[str]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin
        assert process.stdout
        process.stdin.write(told + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0].strip() for process in processes]
