from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from authz.tables import ClaimMapping, Group, Person, Provider, Rule, ScimToken, SecondFactor
from gateway.assembly import open_office
from gateway.cli import main
from gateway.operating import health
from gateway.operating.checks import State
from gateway.operating.doctor import examine
from gateway.settings import SecondFactor as Demanded
from gateway.settings import Settings
from gateway.starting.first_start import ensure_signing_key
from idp_adapters.config import KINDS
from registry.database import Concern
from registry.tables import Secret, Server
from tests.servers.postgres import postgresql


@pytest.fixture
def office(tmp_path):
    office = open_office(Settings(data=tmp_path / "data"), create=True, role="gateway")
    yield office
    office.close()


def checks(office, **settings):
    changed = type(office)(
        settings=office.settings.model_copy(update=settings),
        database=office.database,
        vault=office.vault,
        journal=office.journal,
    )
    return {check.name: check for check in examine(changed)}


def change(office, *rows):
    with office.change("test", Concern.POLICY, who="test") as (session, _):
        session.add_all(rows)


def admin(name):
    return Person(id=name, issuer="local", subject=name, handle=name, is_admin=True)


def test_a_first_start_is_told_about_the_admin_the_backup_and_https(office):
    ensure_signing_key(office)
    found = checks(office)
    assert found["administrators"].state is State.RED
    assert found["backup"].state is State.AMBER
    assert found["public url"].state is State.AMBER
    assert found["master key"].state is State.AMBER
    assert found["policy"].state is State.AMBER
    assert all(check.remedy for check in found.values() if check.state)


def test_an_index_that_is_far_behind_a_gateway_that_runs_is_told(office, monkeypatch):
    office.journal.note("probe", who="test")
    assert office.journal.book.settled()
    assert "journal index" not in checks(office)
    monkeypatch.setattr(health, "WAITING", 0.0)
    assert checks(office)["journal index"].state is State.AMBER
    office.journal.close()  # where nothing runs, a search copies what is missing first
    assert "journal index" not in checks(office)


def test_a_secret_that_was_taken_away_behind_our_back_is_named(office):
    with office.database.change() as session:
        office.vault.seal(session, "server:notes", "header", b"X-Key: canary")
    assert checks(office)["secrets"].state is State.GREEN
    with office.database.change() as session:
        session.delete(session.get_one(Secret, ("server:notes", "header")))
    found = checks(office)["secrets"]
    assert (found.state, "server:notes" in found.why, "canary" in found.why) == (State.RED, True, False)


def test_the_worst_comes_first(office):
    states = [check.state for check in examine(office)]
    assert states == sorted(states, reverse=True)


def test_one_admin_approves_alone_and_two_do_not(office):
    change(office, admin("ada"))
    assert "alone" in checks(office)["administrators"].why
    change(office, admin("bob"))
    assert checks(office)["administrators"].state is State.GREEN


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("settings", "name", "state"),
    [
        ({"public_url": "https://mcp.example.com"}, "public url", State.GREEN),
        ({"public_url": "http://mcp.example.com"}, "public url", State.RED),
        ({"public_url": "https://mcp.example.com"}, "proxy", State.AMBER),
        ({"public_url": "https://mcp.example.com"}, "client registration", State.AMBER),
        ({"public_url": "https://mcp.example.com"}, "operator tokens", State.AMBER),
        ({"public_url": "https://mcp.example.com"}, "admin pages", State.AMBER),
        ({"insecure_bind": True}, "insecure bind", State.RED),
        ({"workers": 2}, "database", State.AMBER),
        ({"workers": 1}, "database", State.GREEN),
        ({"metrics_listen": "127.0.0.1:0"}, "metrics", State.AMBER),
        ({"metrics_listen": ""}, "metrics", State.AMBER),
        ({"metrics_listen": "0.0.0.0:9464"}, "metrics", State.AMBER),
        ({"journal_arguments": "full"}, "journal arguments", State.AMBER),
        ({"allow_addresses": ("http://10.0.0.1:80",)}, "addresses", State.GREEN),
    ],
)
def test_every_setting_that_matters_is_looked_at(office, settings, name, state):
    valid = Settings.model_construct(**{**office.settings.model_dump(), **settings})
    given = {key: getattr(valid, key) for key in settings}
    if "journal_arguments" in given:
        given["journal_arguments"] = type(office.settings.journal_arguments)("full")
    assert checks(office, **given)[name].state is state


def test_a_well_made_setting_is_not_mentioned(office):
    found = checks(office, metrics_listen="127.0.0.1:9464", operator_tokens=False, dynamic_registration=False)
    assert not found.keys() & {"metrics", "operator tokens", "client registration", "proxy", "demo", "clock"}


def test_a_key_or_a_directory_that_others_can_read_is_bad(office):
    (office.settings.data / "keys" / "master.key").chmod(0o644)
    assert checks(office)["key file"].state is State.RED
    office.settings.data.chmod(0o755)
    assert checks(office)["data directory"].remedy == f"chmod 700 {office.settings.data}"


def certificate(path, days):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mcp.example.com")])
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - dt.timedelta(days=400))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(("days", "state"), [(100, State.GREEN), (10, State.AMBER), (-1, State.RED)])
def test_a_certificate_is_watched_before_it_expires(office, tmp_path, days, state):
    assert checks(office, tls_cert=certificate(tmp_path / "cert.pem", days))["tls certificate"].state is state


def test_what_is_no_certificate_is_bad(office, tmp_path):
    (tmp_path / "cert.pem").write_text("no")
    assert checks(office, tls_cert=tmp_path / "cert.pem")["tls certificate"].state is State.RED


def test_the_demo_a_broken_rule_and_a_server_in_waiting_are_named(office):
    (office.settings.data / "demo.json").write_text("{}")
    change(
        office,
        Rule(id="r_bad", subject="eval(x)", object="notes.*", action="call"),
        Server(slug="notes", url="https://notes.example/mcp"),
        Server(slug="clock", url="https://c.example/mcp", state="approved", failing_since=1.0, failure="refused"),
    )
    found = checks(office)
    assert "demo" in found
    assert "r_bad" in found["rules"].why
    assert "ostiary server show notes" in found["server notes"].remedy
    assert "refused" in found["server clock"].why


def test_a_backup_is_remembered_and_grows_old(office, tmp_path):
    run = CliRunner().invoke
    data = str(office.settings.data)
    assert run(main, ["backup", str(tmp_path / "b"), "--data", data]).exit_code == 0
    assert checks(office)["backup"].state is State.GREEN
    (office.settings.data / "backup.json").write_text('{"at": 1}')
    assert checks(office)["backup"].state is State.AMBER
    (office.settings.data / "backup.json").write_text("[]")
    assert "cannot be read" in checks(office)["backup"].why


def test_the_command_exits_with_1_when_something_must_not_stay(office):
    data = str(office.settings.data)
    bad = CliRunner().invoke(main, ["doctor", "--data", data])
    assert bad.exit_code == 1
    assert "BAD   administrators" in bad.output
    assert "-> ostiary admin link" in bad.output
    change(office, admin("ada"))
    ensure_signing_key(office)
    found = CliRunner().invoke(main, ["doctor", "--data", data, "--json"])
    assert found.exit_code == 0
    assert json.loads(found.output)["state"] == "amber"
    assert CliRunner().invoke(main, ["doctor", "--data", data, "--strict"]).exit_code == 1


@pytest.mark.servers
def test_postgresql_is_asked_for_its_clock(tmp_path):
    with postgresql() as url:
        office = open_office(Settings(data=tmp_path / "data", database_url=url), create=True, role="gateway")
        try:
            assert checks(office, workers=4)["database"].state is State.GREEN
            late = {check.name: check for check in examine(office, now=1_000_000.0)}
            assert late["clock"].state is State.RED
        finally:
            office.close()


def provider(**more):
    return Provider(slug="corp", kind="oidc", config={"issuer": "https://id.example", "client_id": "us"}, **more)


def test_a_provider_is_asked_for_its_secret_its_mapping_and_whether_it_is_on(office):
    change(office, provider())
    found = checks(office)["identity provider corp"]
    assert (found.state, "ostiary idp secret corp client_secret" in found.why) == (State.RED, True)
    with office.database.change() as session:
        office.vault.seal(session, "idp:corp", "client_secret", b"canary")
    found = checks(office)["identity provider corp"]
    assert (found.state, found.remedy) == (State.AMBER, "ostiary idp map corp groups VALUE GROUP")
    change(office, Group(name="devs"), ClaimMapping(provider="corp", claim="groups", value="dev", group="devs"))
    assert checks(office)["identity provider corp"].state is State.GREEN
    with office.database.change() as session:
        session.get_one(Provider, "corp").disabled_at = 1.0
    assert "disabled" in checks(office)["identity provider corp"].why


def test_a_provider_whose_library_is_not_there_is_named_with_what_to_install(office, monkeypatch):
    missing = dataclasses.replace(KINDS["oidc"], extra="xtra", modules=("no_such_library_at_all",))
    monkeypatch.setattr("idp_adapters.config.KINDS", {"oidc": missing})
    change(office, provider())
    found = checks(office)["identity provider corp"]
    assert (found.state, "pip install 'ostiary[xtra]'" in found.why) == (State.RED, True)


def test_an_administrator_with_a_password_alone_is_named_until_the_setting_asks_for_more(office):
    change(office, admin("ada"), admin("bob"), SecondFactor(person="bob", sealed=b"", created_at=0))
    assert checks(office)["second factor"].why.endswith(": ada")
    assert "second factor" not in checks(office, second_factor=Demanded.ADMINS)


@pytest.mark.parametrize(("days", "state"), [(-1, State.RED), (20, State.AMBER), (200, State.GREEN)])
def test_a_provisioning_token_is_renewed_before_leavers_go_unheard(office, days, state):
    until = time.time() + days * 86400
    change(office, ScimToken(hash="h", id="scim_1", provider="corp", created_at=0, expires_at=until))
    assert checks(office)["provisioning corp"].state is state
