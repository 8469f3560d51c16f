"""What a provider's SCIM client does to people and groups of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from authz.people import external
from authz.people.accounts import add_group, join
from authz.tables import Membership
from idp_adapters.contract import ExternalIdentity
from registry.database import Concern
from tests.gateway.scim.conftest import USER, issuer

if TYPE_CHECKING:
    from tests.gateway.oauth.house import House
    from tests.gateway.scim.conftest import Client


def signs_in(house: House, subject: str, *groups: str) -> Any:
    """Somebody signs in through the provider corp."""
    identity = ExternalIdentity(
        issuer=issuer("corp"), subject=subject, login=subject, authenticated_at=1, claims={"groups": frozenset(groups)}
    )
    with house.office.database.change(Concern.PEOPLE) as session:
        return external.admit(session, "corp", identity, 2e9, 3600)


def test_whoever_is_provisioned_is_who_signs_in_later(house: House, corp: Client) -> None:
    made = corp.user("ann", displayName="Ann", emails=[{"value": "ann@corp.example", "primary": True}])

    person = corp.person(made)

    assert (person.handle, person.name, person.email) == ("ann@corp", "Ann", "ann@corp.example")
    assert signs_in(house, "x-ann").id == person.id


def test_whoever_signed_in_before_is_who_is_provisioned(house: House, corp: Client) -> None:
    person = signs_in(house, "x-bob")

    assert corp.person(corp.user("bob")).id == person.id


def test_leaving_ends_tokens_and_no_sign_in_brings_them_back(house: House, corp: Client) -> None:
    made = corp.user("carl")
    client, person = house.client(), corp.person(made)
    given = house.tokens(person, client)
    house.until_call(given["access_token"], 200)

    left = corp.patch(f"/Users/{made['id']}", {"op": "Replace", "path": "active", "value": "False"})

    assert (left.status_code, left.json()["active"]) == (200, False)
    house.until_call(given["access_token"], 401)
    assert house.refresh(client, given["refresh_token"]).json()["error"] == "invalid_grant"
    with pytest.raises(Exception, match="not go together"):
        signs_in(house, "x-carl")


def test_coming_back_lets_them_in_again_and_gives_back_no_old_token(house: House, corp: Client) -> None:
    made = corp.user("dora")
    given = house.tokens(corp.person(made), house.client())

    for active in (False, True):
        corp.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": active}})

    house.until_call(given["access_token"], 401)
    assert signs_in(house, "x-dora").disabled_at is None


def test_a_person_an_administrator_disabled_stays_so_whatever_the_provider_says(house: House, corp: Client) -> None:
    made = corp.user("emil")
    house.disable(corp.person(made))

    corp.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": False}})
    corp.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": True}})

    assert corp.person(made).disabled_at is not None
    assert corp.ask("GET", f"/Users/{made['id']}").json()["active"] is False


def test_deleting_ends_them_and_adding_again_is_the_same_person(house: House, corp: Client) -> None:
    made = corp.user("frida")
    person = corp.person(made)

    assert corp.ask("DELETE", f"/Users/{made['id']}").status_code == 204
    assert corp.ask("GET", f"/Users/{made['id']}").status_code == 404
    assert corp.person(made).disabled_at is not None

    again = corp.user("frida")
    assert again["id"] != made["id"]
    assert (corp.person(again).id, corp.person(again).disabled_at) == (person.id, None)


def test_somebody_without_an_external_id_becomes_who_they_are_when_it_comes(house: House, corp: Client) -> None:
    made = corp.ask("POST", "/Users", {"schemas": [USER], "userName": "gerd"}).json()

    corp.patch(f"/Users/{made['id']}", {"op": "add", "path": "externalId", "value": "x-gerd"})

    assert signs_in(house, "x-gerd").id == corp.person({"externalId": "x-gerd"}).id


def test_groups_that_are_mapped_lead_to_groups_of_ours_and_others_to_none(corp: Client) -> None:
    corp.map("Engineers", "engineers")
    made = corp.user("hans")
    engineers = corp.group("Engineers", made)
    corp.group("Strangers", made)

    assert corp.groups(made) == {"engineers"}

    corp.patch(f"/Groups/{engineers['id']}", {"op": "Remove", "path": f'members[value eq "{made["id"]}"]'})
    assert corp.groups(made) == set()


def test_members_come_and_go_as_entra_says_it(corp: Client) -> None:
    corp.map("Buyers", "buyers")
    one, two = corp.user("ida"), corp.user("jan")
    buyers = corp.group("Buyers")

    corp.patch(f"/Groups/{buyers['id']}", {"op": "Add", "path": "members", "value": [{"value": one["id"]}]})
    corp.patch(f"/Groups/{buyers['id']}", {"op": "Add", "path": "members", "value": [{"value": two["id"]}]})
    assert (corp.groups(one), corp.groups(two)) == ({"buyers"}, {"buyers"})

    corp.patch(f"/Groups/{buyers['id']}", {"op": "Remove", "path": "members", "value": [{"value": one["id"]}]})
    assert (corp.groups(one), corp.groups(two)) == (set(), {"buyers"})


def test_groups_within_groups_count_and_a_circle_ends(corp: Client) -> None:
    corp.map("All", "everybody")
    made = corp.user("karl")
    inner = corp.group("Inner", made)
    outer = corp.group("All", inner)

    corp.patch(f"/Groups/{inner['id']}", {"op": "add", "path": "members", "value": [{"value": outer["id"]}]})

    assert corp.groups(made) == {"everybody"}


def test_a_group_that_is_renamed_or_removed_no_longer_gives_what_it_gave(corp: Client) -> None:
    corp.map("Sellers", "sellers")
    made = corp.user("lena")
    sellers = corp.group("Sellers", made)
    assert corp.groups(made) == {"sellers"}

    corp.patch(f"/Groups/{sellers['id']}", {"op": "replace", "value": {"displayName": "Former sellers"}})
    assert corp.groups(made) == set()

    corp.patch(f"/Groups/{sellers['id']}", {"op": "replace", "value": {"displayName": "Sellers"}})
    assert corp.groups(made) == {"sellers"}
    corp.ask("DELETE", f"/Groups/{sellers['id']}")
    assert corp.groups(made) == set()


def test_what_an_administrator_gave_is_not_the_providers_to_take(house: House, corp: Client) -> None:
    corp.map("Guards", "guards")
    made = corp.user("mara")
    guards = corp.group("Guards")
    with house.office.database.change(Concern.PEOPLE) as session:
        join(session, "guards", corp.person(made).id)

    corp.patch(f"/Groups/{guards['id']}", {"op": "add", "path": "members", "value": [{"value": made["id"]}]})
    corp.ask("DELETE", f"/Groups/{guards['id']}")

    assert corp.groups(made) == {"guards"}


def test_a_sign_in_leaves_what_the_provider_keeps_here(house: House, corp: Client) -> None:
    corp.map("Cooks", "cooks")
    made = corp.user("nora")
    corp.group("Cooks", made)

    signs_in(house, "x-nora")

    assert corp.groups(made) == {"cooks"}
    with house.office.database.read() as session:
        held = session.get_one(Membership, (corp.person(made).id, "cooks"))
    assert (held.provisioned, held.until) == (True, None)


def test_nobody_becomes_an_administrator_by_way_of_scim(house: House, corp: Client) -> None:
    from authz.principals import ADMINS

    with house.office.database.change(Concern.PEOPLE) as session:
        from authz.tables import ClaimMapping, Group

        if session.get(Group, ADMINS) is None:
            session.add(Group(name=ADMINS))
        session.add(ClaimMapping(provider="corp", claim="groups", value="Chiefs", group=ADMINS))
    made = corp.user("olaf")
    corp.group("Chiefs", made)

    assert corp.groups(made) == set()
    assert not corp.person(made).is_admin


def test_local_people_cannot_be_reached(house: House, corp: Client) -> None:
    local = house.person("root")

    corp.user("root", externalId="root")

    with house.office.database.read() as session:
        from authz.tables import Person

        assert session.get_one(Person, local.id) == local


def test_every_change_is_on_record_and_holds_no_more_than_who(house: House, corp: Client) -> None:
    made = corp.user("paula", displayName="Paula Secret", title="canary-title", password="canary-password")

    record = house.records("scim.user.created")[-1]

    assert (record["who"], record["person"]) == ("scim:corp", f"user:{corp.person(made).handle}")
    assert "canary" not in house.everything_written()


def test_a_group_of_ours_that_was_only_just_made_is_filled_when_its_mapping_comes(house: House, corp: Client) -> None:
    made = corp.user("quinn")
    late = corp.group("Late", made)
    with house.office.database.change(Concern.PEOPLE) as session:
        add_group(session, "late")
    corp.map("Late", "late")

    corp.patch(f"/Groups/{late['id']}", {"op": "replace", "value": {"externalId": "l"}})

    assert corp.groups(made) == {"late"}


def test_a_page_of_users_asks_for_their_people_once(house: House, other: Client) -> None:
    for number in range(12):
        other.user(f"many{number}")
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(house.office.database.engine, "before_cursor_execute", note)
    try:
        assert len(other.ask("GET", "/Users").json()["Resources"]) >= 12
    finally:
        event.remove(house.office.database.engine, "before_cursor_execute", note)

    # a snapshot that is built meanwhile asks for people too, once
    assert 1 <= len([statement for statement in asked if "FROM person" in statement]) <= 3
