"""Assertions of others for tokens of ours: identities of a company's provider (ID-JAG), and workloads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from authz.clients.agents import disable_client
from authz.people import external
from authz.tables import Client, Person, Provider
from authz.tokens.assertions import ID_JAG
from authz.tokens.issuers import IssuerKind, add_issuer, add_rule
from gateway.oauth.evidence import JWT_BEARER
from registry.database import Concern
from tests.fakes.providers.issuers import Signer

if TYPE_CHECKING:
    import httpx2

    from tests.gateway.oauth.house import House

COMPANY = "https://idp.corp.example"
CLUSTER = "https://cluster.example"
NIGHTLY = "system:serviceaccount:jobs:nightly"
YEAR = 366 * 86400


@pytest.fixture(scope="module")
def company(house: House) -> Signer:
    signer = Signer("corp-1", "RS256")
    with house.office.database.change(Concern.PEOPLE) as session:
        session.add(Provider(slug="corp", kind="oidc", config={"issuer": COMPANY, "client_id": "ostiary"}))
        add_issuer(session, COMPANY, IssuerKind.IDENTITY, keys=signer.jwks, provider="corp")
    return signer


@pytest.fixture(scope="module")
def cluster(house: House) -> Signer:
    signer = Signer("k8s")
    with house.office.database.change() as session:
        add_issuer(session, CLUSTER, IssuerKind.WORKLOAD, keys=signer.jwks)
    return signer


def app(house: House) -> tuple[Client, str]:
    client, secret = house.confidential()
    with house.office.database.change() as session:
        session.add(client)
        client.grant_types = [*client.grant_types, JWT_BEARER]
    return client, secret


def known(house: House, subject: str) -> Person:
    person = Person(id=f"usr_{subject}", issuer=COMPANY, subject=subject, handle=f"{subject}@corp", provider="corp")
    with house.office.database.change(Concern.PEOPLE) as session:
        session.add(person)
    return person


def jag(house: House, signer: Signer, client: Client, typ: str = ID_JAG, **claims: Any) -> str:
    right = {"iss": COMPANY, "sub": "alice", "aud": house.base, "client_id": client.id, "resource": house.resource}
    return signer.assertion(typ, **(right | claims))


def present(house: House, assertion: str, auth: tuple[str, str] | None = None, **more: str) -> httpx2.Response:
    return house.token({"grant_type": JWT_BEARER, "assertion": assertion, **more}, auth)


def test_whom_the_company_names_gets_a_token_for_that_client_and_resource(house: House, company: Signer) -> None:
    (client, secret), person = app(house), known(house, "anna")

    given = present(house, jag(house, company, client, sub="anna"), (client.id, secret))

    assert given.status_code == 200, given.text
    assert "refresh_token" not in given.json()
    assert house.call(given.json()["access_token"]) == 200
    assert house.call(given.json()["access_token"], "/servers/notes/mcp") == 401
    assert [record["who"] for record in house.records("token.issued")][-1] == f"user:{person.handle}"


def test_somebody_who_never_came_before_is_let_in_as_at_a_first_sign_in(house: House, company: Signer) -> None:
    client, secret = app(house)
    said = jag(house, company, client, sub="0001", email="zoe@corp.example", preferred_username="zoe")

    assert present(house, said, (client.id, secret)).status_code == 200

    assert any(member.label == "user:zoe@corp" for member in house.members().values())


@pytest.mark.parametrize("how", ["no client", "a wrong secret", "another client", "no such grant", "elsewhere"])
def test_nobody_is_let_in_by_a_client_that_has_not_proved_itself(house: House, company: Signer, how: str) -> None:
    (client, secret), (other, theirs) = app(house), house.confidential()
    subject = f"unproved-{how}"
    said = jag(house, company, other if how == "no such grant" else client, sub=subject)
    auth = {
        "no client": None, "a wrong secret": (client.id, "wrong"), "another client": app_auth(house),
        "no such grant": (other.id, theirs), "elsewhere": (client.id, "wrong"),
    }[how]  # fmt: skip

    if how == "elsewhere":
        answer = house.post("/oauth/revoke", {"grant_type": JWT_BEARER, "assertion": said, "token": "x"}, auth)
    else:
        answer = present(house, said, auth)

    assert answer.status_code in {400, 401}, answer.text
    with house.office.database.read() as session:
        assert external.find(session, COMPANY, subject) is None
    assert present(house, jag(house, company, client, sub=subject), (client.id, secret)).status_code == 200


def app_auth(house: House) -> tuple[str, str]:
    client, secret = app(house)
    return client.id, secret


def test_whoever_acts_is_an_agent_of_ours_by_a_rule_and_stays_in_the_chain(house: House, company: Signer) -> None:
    (client, secret), (agent, _) = app(house), house.agent()
    known(house, "delegating")
    with house.office.database.change() as session:
        add_issuer(session, COMPANY, IssuerKind.WORKLOAD, keys=company.jwks)
        add_rule(session, COMPANY, {"sub": "their-agent"}, agent.id)

    given = present(
        house, jag(house, company, client, sub="delegating", act={"sub": "their-agent"}), (client.id, secret)
    )

    assert given.status_code == 200, given.text
    issued = house.records("token.issued")[-1]
    assert (issued["who"], issued["actors"]) == ("user:delegating@corp", [f"agent:{agent.handle}"])
    assert house.call(given.json()["access_token"]) == 200
    with house.office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
        disable_client(session, session.get_one(Client, agent.id), time.time())
    house.until_call(given.json()["access_token"], 401)


def test_t_16_an_agent_that_brings_an_identity_does_not_pass_for_the_person(house: House, company: Signer) -> None:
    known(house, "brought")
    agent, secret = house.agent()
    with house.office.database.change() as session:
        session.get_one(Client, agent.id).grant_types = [*agent.grant_types, JWT_BEARER]

    given = present(house, jag(house, company, agent, sub="brought"), (agent.id, secret))

    assert given.status_code == 200, given.text
    issued = house.records("token.issued")[-1]
    assert (issued["who"], issued["actors"]) == ("user:brought@corp", [f"agent:{agent.handle}"])


@pytest.mark.parametrize(
    "act",
    [
        {"sub": "nobody-here"},
        {"sub": "operator:root"},
        {"sub": "their-agent", "act": {"sub": "nobody-here"}},
        {"sub": "a", "iss": "https://elsewhere.example"},
        {"act": {"sub": "a"}},
        {},
        "their-agent",
        7,
    ],
    ids=str,
)
def test_t_16_whoever_acts_and_is_nobody_here_makes_the_assertion_worth_nothing(
    house: House, company: Signer, act: Any
) -> None:
    client, secret = app(house)
    known_once(house, "acted-for")

    answer = present(house, jag(house, company, client, sub="acted-for", act=act), (client.id, secret))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert "is no agent here" in answer.json()["error_description"]


def known_once(house: House, subject: str) -> None:
    with house.office.database.read() as session:
        missing = external.find(session, COMPANY, subject) is None
    if missing:
        known(house, subject)


def test_an_identity_assertion_counts_once_also_when_twenty_present_it_at_once(house: House, company: Signer) -> None:
    client, secret = app(house)
    known(house, "once")
    assertion = jag(house, company, client, sub="once")

    with ThreadPoolExecutor(20) as threads:
        got = [a.status_code for a in threads.map(lambda _: present(house, assertion, (client.id, secret)), range(20))]

    assert sorted(got) == [200] + [400] * 19


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://idp.corp.example/"},
        {"iss": "https://elsewhere.example"},
        {"aud": "https://other.example"},
        {"aud": None},
        {"client_id": "cl_other"},
        {"client_id": None},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + YEAR},
        {"jti": None},
        {"sub": None},
        {"sub": ["alice"]},
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"resource": ["HERE", "https://other.example/mcp"]},
    ],
    ids=" ".join,
)
def test_an_identity_assertion_that_is_not_quite_right_gives_nothing(
    house: House, company: Signer, claims: dict[str, Any]
) -> None:
    client, secret = app(house)

    answer = present(house, jag(house, company, client, **claims), (client.id, secret))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_resource_that_is_not_ours_is_an_invalid_target(house: House, company: Signer) -> None:
    client, secret = app(house)
    elsewhere = jag(house, company, client, resource="https://other.example/mcp")
    another = present(
        house, jag(house, company, client, sub="anna"), (client.id, secret), resource=house.mount("notes")
    )

    assert present(house, elsewhere, (client.id, secret)).json()["error"] == "invalid_target"
    assert another.json()["error"] == "invalid_target"


def test_a_public_client_cannot_present_an_identity(house: House, company: Signer) -> None:
    client = house.client()
    with house.office.database.change() as session:
        session.add(client)
        client.grant_types = [*client.grant_types, JWT_BEARER]

    answer = present(house, jag(house, company, client), client_id=client.id)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_scope_is_what_both_the_request_and_the_assertion_say(house: House, company: Signer) -> None:
    client, secret = app(house)
    known(house, "narrow")

    def ask(said: str | None, asked: str) -> Any:
        assertion = jag(house, company, client, sub="narrow", scope=said)
        return present(house, assertion, (client.id, secret), **({"scope": asked} if asked else {})).json()

    assert ask("notes.*", "")["scope"] == "notes.*"
    assert ask("notes.*", "notes.read clock.now")["scope"] == "notes.read"
    assert ask("notes.read", "mcp")["scope"] == "notes.read"
    assert ask("notes.read", "clock.now")["error"] == "invalid_scope"


def test_somebody_disabled_here_stays_out_whatever_the_company_says(house: House, company: Signer) -> None:
    (client, secret), person = app(house), known(house, "gone")
    house.disable(person)

    assert (
        present(house, jag(house, company, client, sub="gone"), (client.id, secret)).json()["error"] == "invalid_grant"
    )


def test_a_workload_is_the_agent_that_a_rule_says(house: House, cluster: Signer) -> None:
    agent, _ = house.agent("jobs-nightly")
    with house.office.database.change() as session:
        add_rule(session, CLUSTER, {"sub": NIGHTLY, "kubernetes.io/namespace": "jobs"}, agent.id)
    said = cluster.assertion(
        None, iss=CLUSTER, sub=NIGHTLY, aud=[f"{house.base}/oauth/token"], **{"kubernetes.io": {"namespace": "jobs"}}
    )

    given = present(house, said, resource=house.resource)

    assert given.status_code == 200, given.text
    assert house.call(given.json()["access_token"]) == 200
    assert present(house, said).status_code == 200, (
        "a workload's token is not spent: the platform renews it in its time"
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "system:serviceaccount:jobs:other"},
        {"kubernetes.io": {"namespace": "elsewhere"}},
        {"kubernetes.io": None},
        {"aud": "https://kubernetes.default.svc"},
        {"aud": ["HOUSE", "https://kubernetes.default.svc"]},
        {"iss": COMPANY},
        {"exp": int(time.time()) + YEAR},
    ],
    ids=" ".join,
)
def test_a_workload_that_no_rule_fits_is_nobody(house: House, cluster: Signer, claims: dict[str, Any]) -> None:
    right: dict[str, Any] = {"iss": CLUSTER, "sub": NIGHTLY, "aud": house.base, "kubernetes.io": {"namespace": "jobs"}}

    answer = present(house, cluster.assertion(None, **(right | claims)))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_workload_that_is_two_agents_is_none(house: House, cluster: Signer) -> None:
    for agent in (house.agent()[0], house.agent()[0]):
        with house.office.database.change() as session:
            add_rule(session, CLUSTER, {"sub": "twice"}, agent.id)

    answer = present(house, cluster.assertion(None, iss=CLUSTER, sub="twice", aud=house.base))

    assert answer.json()["error"] == "invalid_grant"


def test_t_11_a_foreign_token_lends_ours_no_life(house: House, cluster: Signer) -> None:
    agent, _ = house.agent()
    with house.office.database.change() as session:
        add_rule(session, CLUSTER, {"sub": "long"}, agent.id)
    day = cluster.assertion(None, iss=CLUSTER, sub="long", aud=house.base, exp=int(time.time()) + 86000)

    assert present(house, day).json()["expires_in"] <= 300


def test_an_assertion_is_never_a_client_and_nothing_else_is_an_assertion(house: House) -> None:
    agent, secret = house.agent()

    for form in ({}, {"assertion": ""}, {"assertion": "x"}, {"assertion": "a.b.c"}):
        answer = house.token({"grant_type": JWT_BEARER, **form}, (agent.id, secret))
        assert answer.json()["error"] in {"invalid_request", "invalid_grant"}


def test_no_assertion_is_written_down(house: House, company: Signer) -> None:
    client, secret = app(house)
    good, bad = jag(house, company, client, sub="anna"), jag(house, company, client, aud="https://other.example")

    present(house, good, (client.id, secret)), present(house, bad, (client.id, secret))

    written = house.everything_written()
    assert not any(part in written for token in (good, bad) for part in token.split(".")[1:])
