"""Being known at an authorization server: the administrator's app, our document, or one that we register."""

from __future__ import annotations

import json

import pytest

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.client.own_documents import can_be_read
from tests.fakes.providers.openid import Reply
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import query_of, settled

HOME = "https://door.example"
OURS = f"{HOME}/oauth/clients/notes/ostiary.json"
KEYS = f"{HOME}/oauth/clients/notes/ostiary-keys.json"


def registration(fake):
    (asked,) = fake.asked("/register")
    return json.loads(asked.body)


def test_we_register_with_the_callback_of_this_server_alone(office, fake):
    office.depart(office.server(fake.url))
    told = registration(fake)
    assert told["redirect_uris"] == [f"{office.office.settings.base_url}/connect/notes/callback"]
    assert told["grant_types"] == ["authorization_code", "refresh_token"]
    assert told["application_type"] == "native"


def test_at_an_https_address_we_are_a_web_application(tmp_path, fake):
    with settled(tmp_path, fake.origin, public_url=HOME) as office:
        office.depart(office.server(fake.url))
    assert registration(fake)["application_type"] == "web"


def test_we_register_once_however_often_people_connect(office, fake):
    upstream = office.server(fake.url)
    office.connect(fake, upstream, "usr_alice")
    office.connect(fake, upstream, "usr_bob")
    assert len(fake.asked("/register")) == 1


def test_the_secret_is_sealed(office, fake):
    office.connect(fake, office.server(fake.url))
    (app,) = fake.apps.values()
    files = [file for file in office.office.settings.data.rglob("*") if file.is_file()]
    assert app.secret
    assert not any(app.secret.encode() in file.read_bytes() for file in files)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none", "private_key_jwt"])
def test_we_prove_ourselves_in_the_way_that_is_offered(office, fake, method):
    fake.metadata = {"token_endpoint_auth_methods_supported": [method]}
    office.connect(fake, office.server(fake.url))
    (asked,) = fake.asked("/token")
    how = {
        "client_secret_basic": asked.headers.get("authorization", "").startswith("Basic "),
        "client_secret_post": "client_secret" in asked.form,
        "private_key_jwt": "client_assertion" in asked.form,
        "none": "client_id" in asked.form and not {"client_secret", "client_assertion"} & asked.form.keys(),
    }
    assert how[method]
    assert registration(fake)["token_endpoint_auth_method"] == method


def test_the_authorization_server_may_choose_another_way(office, fake):
    fake.registration = {"token_endpoint_auth_method": "client_secret_post"}
    office.connect(fake, office.server(fake.url))
    assert "client_secret" in fake.asked("/token")[0].form


@pytest.mark.parametrize(
    "said",
    [
        {"token_endpoint_auth_method": "tls_client_auth"},
        {"client_secret": None},
        {"client_id": ""},
        {"client_id": "a\nb"},
    ],
)
def test_a_registration_that_cannot_be_used_is_refused(office, fake, said):
    fake.registration = said
    with pytest.raises(Refused):
        office.depart(office.server(fake.url))


def test_one_that_registers_nobody_says_what_an_administrator_has_to_do(office, fake):
    fake.metadata = {"registration_endpoint": None}
    with pytest.raises(Refused, match=r"/connect/notes/callback.*ostiary server auth notes oauth-person --client-id"):
        office.depart(office.server(fake.url))


@pytest.mark.parametrize(("status", "kind"), [(400, Refused), (403, Refused), (429, Unanswered), (503, Unanswered)])
def test_a_refused_registration_is_told_from_one_that_may_pass(office, fake, status, kind):
    fake.replies["/register"] = lambda _: Reply(status, {"error": "call 555-EVIL"})
    with pytest.raises(kind) as refused:
        office.depart(office.server(fake.url))
    assert "EVIL" not in str(refused.value)


def test_a_registration_that_ends_is_made_anew_before_it_does(office, fake):
    fake.registration = {"client_secret_expires_at": int(office.equipment.clock()) + 7200}
    upstream = office.server(fake.url)
    first = query_of(office.depart(upstream))["client_id"]
    assert query_of(office.depart(upstream))["client_id"] == first
    office.later(4000)
    assert query_of(office.depart(upstream))["client_id"] != first


def test_one_that_was_forgotten_there_is_made_anew(office, fake):
    upstream = office.server(fake.url)
    back = fake.arrive(office.depart(upstream))
    fake.apps.clear()
    with pytest.raises(Refused, match="begin anew"):
        office.come_back(back)
    office.connect(fake, upstream)
    assert len(fake.asked("/register")) == 2


def test_the_administrators_app_goes_before_all(tmp_path, fake):
    fake.metadata = {"client_id_metadata_document_supported": True}
    fake.add_app("ours", "s3cret")
    with settled(tmp_path, fake.origin, public_url=HOME) as office:
        upstream = office.server(
            fake.url, client_id="ours", client_auth="client_secret_basic", issuer=fake.issuer,
            secrets={"client_secret": b"s3cret\n"},
        )  # fmt: skip
        office.connect(fake, upstream)
    assert not fake.asked("/register")


def test_its_secret_must_be_there(office, fake):
    upstream = office.server(fake.url, client_id="ours", client_auth="client_secret_basic", issuer=fake.issuer)
    with pytest.raises(Refused, match="ostiary server credential notes --client-secret-file"):
        office.depart(upstream)


def test_our_document_goes_before_registering(tmp_path, fake):
    fake.metadata = {"client_id_metadata_document_supported": True, "token_endpoint_auth_methods_supported": ["none"]}
    with settled(tmp_path, fake.origin, public_url=HOME) as office:
        upstream = office.server(fake.url)
        assert query_of(office.depart(upstream))["client_id"] == OURS
        office.connect(fake, upstream)
    assert not fake.asked("/register")


def test_with_our_keys_where_those_are_taken(tmp_path, fake):
    fake.metadata = {"client_id_metadata_document_supported": True}
    with settled(tmp_path, fake.origin, public_url=HOME) as office:
        office.connect(fake, office.server(fake.url))
    (asked,) = fake.asked("/token")
    assert asked.form["client_id"] == KEYS
    assert "client_assertion" in asked.form


def test_without_keys_our_document_is_for_those_who_say_who_they_are(tmp_path, fake):
    """Else one could lead people on to another that believes the document too (T-30); then we register."""
    fake.metadata = {
        "client_id_metadata_document_supported": True, "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": None,
    }  # fmt: skip
    with settled(tmp_path, fake.origin, public_url=HOME) as office:
        assert query_of(office.depart(office.server(fake.url)))["client_id"].startswith("dyn-")
        blessed = office.server(fake.url, "mail", issuer=fake.issuer)
        assert query_of(office.depart(blessed))["client_id"] == f"{HOME}/oauth/clients/mail/ostiary.json"
        fake.metadata["registration_endpoint"] = None
        with pytest.raises(Refused, match=f"RFC 9207.*--issuer {fake.issuer}"):
            office.depart(office.server(fake.url, "board"))


def test_a_document_that_was_used_is_not_when_its_authorization_server_names_itself_no_more(tmp_path, fake):
    fake.metadata = {"client_id_metadata_document_supported": True, "token_endpoint_auth_methods_supported": ["none"]}
    with settled(tmp_path, fake.origin, public_url=HOME) as office:
        upstream = office.server(fake.url)
        office.connect(fake, upstream)
        fake.metadata["authorization_response_iss_parameter_supported"] = None
        assert query_of(office.depart(upstream))["client_id"].startswith("dyn-")


@pytest.mark.parametrize(
    ("base", "can"),
    [(HOME, True), ("http://door.example", False), ("https://localhost:8080", False), ("https://127.0.0.1", False)],
)
def test_a_document_that_nobody_can_read_is_not_named(base, can):
    assert can_be_read(base) == can


def test_the_clients_of_two_servers_at_one_authorization_server_are_two(tmp_path):
    with serving(Upstream()) as fake, settled(tmp_path, fake.origin) as office:
        first = office.depart(office.server(fake.url, "notes"))
        other = office.depart(office.server(fake.url, "mail"))
        assert query_of(first)["client_id"] != query_of(other)["client_id"]
