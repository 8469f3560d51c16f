"""Finding a server's authorization server, and not believing what does not hold together."""

from __future__ import annotations

import pytest

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.finding.resources import covers
from tests.fakes.providers.openid import Reply
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import query_of, settled

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def find(office, upstream):
    return office.equipment.discovery.find(office.equipment.fetcher, upstream, fresh=True)


def test_the_server_says_where_its_metadata_is(office, fake):
    elsewhere = "/some/where/else"
    fake.replies[elsewhere] = lambda _: Reply(200, {"resource": fake.url, "authorization_servers": [fake.issuer]})
    fake.replies["/mcp"] = lambda _: Reply(
        401, {}, (("WWW-Authenticate", f'Bearer resource_metadata="{fake.origin}{elsewhere}"'),)
    )
    assert find(office, office.server(fake.url)).authority.issuer == fake.issuer
    assert fake.asked(elsewhere)


def test_where_that_is_nothing_it_is_looked_for_elsewhere(office, fake):
    fake.replies["/mcp"] = lambda _: Reply(
        401, {}, (("WWW-Authenticate", f'Bearer resource_metadata="{fake.origin}/nothing"'),)
    )
    assert find(office, office.server(fake.url)).resource.name == fake.url


def test_a_server_that_names_metadata_which_is_nowhere_is_not_taken_for_an_old_one(office, fake):
    fake.replies["/.well-known/oauth-protected-resource/mcp"] = lambda _: Reply(404, {})
    with pytest.raises(Unanswered, match="nor anywhere else"):
        find(office, office.server(fake.url))


def test_or_it_is_below_the_servers_path(office, fake):
    fake.announces = False
    assert find(office, office.server(fake.url)).resource.name == fake.url


def test_or_at_the_root_for_the_whole_origin(office, fake):
    fake.announces = False
    fake.replies["/.well-known/oauth-protected-resource/mcp"] = lambda _: Reply(404, {})
    root = {"resource": fake.origin, "authorization_servers": [fake.issuer]}
    fake.replies["/.well-known/oauth-protected-resource"] = lambda _: Reply(200, root)
    asked = query_of(office.depart(office.server(fake.url)))
    assert asked["resource"] == fake.origin


def test_metadata_about_another_resource_is_refused(office, fake):
    fake.resource_metadata = {"resource": "https://bank.example/mcp"}
    with pytest.raises(Refused, match="another resource"):
        office.depart(office.server(fake.url))
    assert not fake.asked("/authorize")
    assert not fake.asked("/register")


@pytest.mark.parametrize(
    ("resource", "url", "does"),
    [
        ("https://a.example/mcp", "https://a.example/mcp", True),
        ("https://a.example/mcp/", "https://a.example/mcp", True),
        ("https://A.example:443/mcp", "https://a.example/mcp", True),
        ("https://a.example", "https://a.example/mcp", True),
        ("https://a.example/", "https://a.example/mcp", True),
        ("https://a.example/m", "https://a.example/mcp", False),
        ("https://a.example/mcp/x", "https://a.example/mcp", False),
        ("https://b.example/mcp", "https://a.example/mcp", False),
        ("http://a.example/mcp", "https://a.example/mcp", False),
        ("https://a.example:444/mcp", "https://a.example/mcp", False),
        ("https://a.example/mcp?x=1", "https://a.example/mcp", False),
        ("https://a.example/mcp#x", "https://a.example/mcp", False),
        ("https://a.example@b.example/mcp", "https://a.example/mcp", False),
        ("no address", "https://a.example/mcp", False),
    ],
)
def test_a_resource_covers_what_is_at_it_or_below(resource, url, does):
    assert covers(resource, url) == does


def test_an_issuer_that_calls_itself_otherwise_is_refused(office, fake):
    fake.metadata = {"issuer": fake.issuer + "/"}
    with pytest.raises(Refused, match="another issuer"):
        office.depart(office.server(fake.url))


def test_without_pkce_nobody_is_sent_there(office, fake):
    for said in (None, [], ["plain"]):
        fake.metadata = {"code_challenge_methods_supported": said}
        with pytest.raises(Refused, match="PKCE"):
            office.depart(office.server(fake.url) if said is None else office.upstream())
    assert not fake.asked("/register")


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "ftp://x.example/", "https://user@x.example/", "https://x.example/#f", "//x", "/x"],
)
def test_an_address_that_no_browser_should_be_sent_to_is_refused(office, fake, address):
    fake.metadata = {"authorization_endpoint": address}
    with pytest.raises(Refused, match="authorization_endpoint"):
        office.depart(office.server(fake.url))


def test_the_first_of_several_authorization_servers_is_taken(office, fake):
    fake.authorities = [fake.issuer, "https://second.example"]
    assert find(office, office.server(fake.url)).authority.issuer == fake.issuer


def test_or_the_one_that_is_configured(office, fake):
    fake.authorities = ["https://first.example", fake.issuer]
    assert find(office, office.server(fake.url, issuer=fake.issuer)).authority.issuer == fake.issuer


def test_one_that_is_configured_and_not_named_by_the_server_is_refused(office, fake):
    with pytest.raises(Refused, match="does not name the authorization server"):
        find(office, office.server(fake.url, issuer="https://other.example"))


@pytest.mark.parametrize("form", ["inserted", "openid inserted", "openid appended"])
def test_an_issuer_with_a_path_has_three_places(tmp_path, form):
    with serving(Upstream("/tenant")) as fake, settled(tmp_path, fake.origin) as office:
        places = {
            "inserted": WELL_KNOWN + "/tenant",
            "openid inserted": "/.well-known/openid-configuration/tenant",
            "openid appended": "/tenant/.well-known/openid-configuration",
        }
        fake.replies |= {place: lambda _: Reply(404, {}) for place in places.values()}
        fake.replies[places[form]] = lambda _: Reply(200, fake.document())
        assert find(office, office.server(fake.url)).authority.token_endpoint == f"{fake.origin}/tenant/token"


def test_a_server_without_metadata_is_its_own_authorization_server(office, fake):
    """As in 2025-03-26, with and without a document about itself."""
    fake.announces = False
    fake.replies["/.well-known/oauth-protected-resource/mcp"] = lambda _: Reply(404, {})
    fake.replies[WELL_KNOWN] = lambda _: Reply(404, {})
    assert office.connect(fake, office.server(fake.url)).issuer == fake.origin


def test_one_with_metadata_may_not_leave_the_rest_to_be_guessed(office, fake):
    fake.replies[WELL_KNOWN] = lambda _: Reply(404, {})
    with pytest.raises(Unanswered, match="publishes no metadata"):
        office.depart(office.server(fake.url))


def test_what_is_guessed_of_an_old_server_is_nothing_for_another_that_names_it(tmp_path, fake):
    """Or else a new server would have people agree, at one that knows no `resource`, to a token that it is sent."""
    fake.announces = False
    fake.replies["/.well-known/oauth-protected-resource/mcp"] = lambda _: Reply(404, {})
    fake.replies[WELL_KNOWN] = lambda _: Reply(404, {})
    with serving(Upstream()) as thief, settled(tmp_path, fake.origin, thief.origin) as office:
        assert find(office, office.server(fake.url)).authority.issuer == fake.origin
        thief.authorities = [fake.origin]
        discovery = office.equipment.discovery
        with pytest.raises(Unanswered, match="publishes no metadata"):
            discovery.find(office.equipment.fetcher, office.server(thief.url, "new"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(302, b"", (("Location", "http://127.0.0.1:1/"),)),
        Reply(500, {}),
        Reply(200, b"<html>"),
        Reply(200, b"[]"),
        Reply(200, b"{" + b" " * 200_000 + b"}"),
        Reply(200, {"issuer": 1}),
    ],
    ids=["redirect", "500", "html", "list", "huge", "types"],
)
def test_a_document_that_is_none_can_not_be_used(office, fake, reply):
    fake.replies[WELL_KNOWN] = lambda _: reply
    with pytest.raises(Unanswered):
        office.depart(office.server(fake.url))


def test_what_was_read_is_remembered_for_a_while(office, fake):
    upstream = office.server(fake.url)
    discovery, fetcher = office.equipment.discovery, office.equipment.fetcher
    for _ in range(3):
        discovery.find(fetcher, upstream)
    assert len(fake.asked(WELL_KNOWN)) == 1
    discovery.forget(upstream, fake.issuer)
    discovery.find(fetcher, upstream)
    assert len(fake.asked(WELL_KNOWN)) == 2
