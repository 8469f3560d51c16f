"""What the platform says of us, in files that the operator named, and whom it is shown to."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from gateway.assembly import open_office
from gateway.cli import main
from gateway.credentials import CredentialUnavailable, Refused, Unanswered
from gateway.credentials.oauth.ourselves import Ourselves
from gateway.credentials.platform import LONGEST, DeclaredToken, read, token
from gateway.operating.doctor.workloads import workloads
from gateway.settings import Settings
from gateway.settings.loading import ConfigurationError, load
from registry.credentials.modes import read_auth
from registry.errors import RegistryError
from registry.tables import Auth
from tests.fakes.providers.openid import Reply
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.providers.openid import Heard
    from tests.fakes.servers.upstream_authority import Account

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
NOW = 1_000_000.0
ISSUER = "https://as.example"


def jwt(**claims: Any) -> str:
    """As a platform writes one; nobody here checks its signature."""
    parts = ({"alg": "RS256", "kid": "k"}, {"sub": "system:serviceaccount:door:ostiary", "exp": 2**33, **claims})
    return ".".join(_b64(json.dumps(part).encode()) for part in parts) + "." + _b64(b"signature")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Trusting(Upstream):
    """Its authorization server takes what the platform says, in both forms, and nothing else."""

    trusted = jwt()

    def client_of(self, heard: Heard) -> str | None:
        if heard.form.get("grant_type") == JWT_BEARER:
            return "the-workload" if heard.form.get("assertion") == self.trusted else None
        return heard.form.get("client_id") if heard.form.get("client_assertion") == self.trusted else None

    def account_of(self, heard: Heard, client: str) -> Account | None:
        as_ourselves = type(heard)(**{**vars(heard), "form": {**heard.form, "grant_type": "client_credentials"}})
        return super().account_of(as_ourselves, client)


@pytest.fixture
def fake() -> Iterator[Trusting]:
    with serving(Trusting()) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(Trusting.trusted + "\n")
    return path


@pytest.fixture
def office(tmp_path: Path, fake: Trusting, file: Path) -> Iterator[Settled]:
    declared = DeclaredToken(name="cluster", file=file, issuer=fake.issuer)
    with settled(tmp_path / "data", fake.origin, workload_tokens=(declared,)) as made:
        yield made


def obtained(office: Settled, fake: Upstream, **settings: Any) -> str:
    upstream = office.server(fake.url, auth=Auth.CLIENT_CREDENTIALS, **({"workload": "cluster"} | settings))
    return Ourselves(office.equipment).obtain(office.asked(upstream)).credential.value.decode()


def test_it_is_the_grant_itself_where_no_app_is_registered(office, fake) -> None:
    """SEP-1933: no client id, and the server as the resource."""
    value = obtained(office, fake, grant="jwt-bearer", scopes=["notes:read"])
    assert fake.accounts[value.removeprefix("Bearer ")].person == "the-workload"
    (asked,) = fake.asked("/token")
    assert asked.form == {
        "grant_type": JWT_BEARER, "assertion": fake.trusted, "resource": fake.url, "scope": "notes:read",
    }  # fmt: skip
    assert "authorization" not in asked.headers


def test_or_it_proves_the_app_that_is(office, fake) -> None:
    obtained(office, fake, client_id="ours")
    (asked,) = fake.asked("/token")
    assert (asked.form["grant_type"], asked.form["client_id"]) == ("client_credentials", "ours")
    assert asked.form["client_assertion"] == fake.trusted
    assert asked.form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def test_what_the_platform_replaces_is_used_the_next_time(office, fake, file) -> None:
    upstream = office.server(fake.url, auth=Auth.CLIENT_CREDENTIALS, workload="cluster", grant="jwt-bearer")
    source = Ourselves(office.equipment)
    source.obtain(office.asked(upstream))
    fake.trusted = jwt(iat=2)
    file.write_text(fake.trusted)
    source.obtain(office.asked(upstream))
    assert [heard.form["assertion"] for heard in fake.asked("/token")] == [Trusting.trusted, fake.trusted]


def test_a_refusal_is_no_reason_to_try_anything_else(office, fake, file) -> None:
    file.write_text(jwt(sub="somebody"))
    with pytest.raises(CredentialUnavailable, match="an administrator has to mend it"):
        obtained(office, fake, grant="jwt-bearer")
    assert len(fake.asked("/token")) == 1


def test_t_49_it_goes_to_no_other_authorization_server_than_the_operator_wrote_down(office, fake) -> None:
    """An administrator registers servers, and a server names whom it likes."""
    fake.named = f"{fake.origin}/other"
    fake.replies["/.well-known/oauth-authorization-server/other"] = lambda _: Reply(200, fake.document())
    with pytest.raises(CredentialUnavailable, match="for another authorization server"):
        obtained(office, fake, grant="jwt-bearer")
    assert fake.asked("/token") == []


def test_it_is_in_no_record_and_no_repr(office, fake, file) -> None:
    file.write_text(jwt(sub="canary"))
    with pytest.raises(CredentialUnavailable) as refused:
        obtained(office, fake, client_id="ours")
    said = office.written() + repr(refused.value) + str(refused.value.__cause__)
    assert jwt(sub="canary") not in said
    assert jwt(sub="canary").split(".")[1] not in said


@pytest.mark.parametrize(
    ("content", "problem", "wrong"),
    [
        ("-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n", Refused, "no JWT"),
        ("root:x:0:0:root:/root:/bin/bash\n", Refused, "no JWT"),
        ("", Refused, "no JWT"),
        ("a.b.c", Refused, "no JWT"),
        (f"a.{_b64(b'[]')}.c", Refused, "no JWT"),
        (f"a.{_b64(b'{}')}.c", Refused, "no JWT"),
        (jwt(exp="soon"), Refused, "no JWT"),
        (jwt() + "x" * LONGEST, Refused, "no JWT"),
        (jwt(exp=NOW - 1), Unanswered, "has run out"),
        (jwt(exp=NOW), Unanswered, "has run out"),
    ],
)
def test_what_is_no_good_goes_nowhere_and_is_not_shown(tmp_path, content, problem, wrong) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(problem, match=wrong) as refused:
        read(DeclaredToken(name="cluster", file=path, issuer=ISSUER), NOW)
    assert not content.strip() or content.strip() not in str(refused.value)


def test_a_file_that_is_not_there_may_come(tmp_path) -> None:
    with pytest.raises(Unanswered, match="cannot be read"):
        read(DeclaredToken(name="cluster", file=tmp_path / "none", issuer=ISSUER), NOW)


def test_a_name_that_the_file_has_not_any_more_has_no_token() -> None:
    with pytest.raises(Refused, match="no workload token 'cluster' any more"):
        token((), "cluster", ISSUER, NOW)


@pytest.mark.parametrize(
    "change",
    [{"file": "relative"}, {"file": "/a/../etc/shadow"}, {"issuer": "as.example"}, {"issuer": ""}, {"name": "A b"}],
)
def test_the_operators_file_is_read_strictly(change) -> None:
    with pytest.raises(ValidationError):
        DeclaredToken(**({"name": "cluster", "file": "/run/token", "issuer": ISSUER} | change))


def test_each_name_is_there_once(tmp_path) -> None:
    table = '[[workload_tokens]]\nname = "a"\nfile = "/run/a"\nissuer = "https://as.example"\n'
    config = tmp_path / "ostiary.toml"
    config.write_text(table + table)
    with pytest.raises(ConfigurationError, match="the name a is there twice"):
        load(config, {})


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"workload": "cluster"}, "--client-id is missing"),
        ({"grant": "jwt-bearer", "client_id": "c", "client_auth": "none"}, "--workload is missing"),
        ({"workload": "cluster", "client_id": "c", "client_auth": "private_key_jwt"}, "goes without --workload"),
    ],
)
def test_what_does_not_go_together_is_said_at_registration(settings, wrong) -> None:
    with pytest.raises(RegistryError, match=wrong):
        read_auth(Auth.CLIENT_CREDENTIALS, settings)


def test_the_doctor_says_what_cannot_be_had(office, file) -> None:
    assert list(workloads(office.office, NOW)) == []
    file.unlink()
    (check,) = workloads(office.office, NOW)
    assert "cluster" in check.why
    assert str(file) in check.remedy


def test_a_command_names_only_what_the_operators_file_has(tmp_path) -> None:
    given = ["server", "add", "notes", "https://notes.example/mcp", "--auth", "client-credentials"]
    given += ["--workload", "/etc/shadow", "--grant", "jwt-bearer", "--data", str(tmp_path)]
    open_office(Settings(data=tmp_path), create=True).close()
    said = CliRunner().invoke(main, given)
    assert said.exit_code != 0
    assert "names no workload token" in said.output
