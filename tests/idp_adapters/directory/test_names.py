"""Names of entries and the ids that stay, as the library reads and writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_adapters.contract import ProviderDown

pytestmark = pytest.mark.servers  # python-ldap is an extra


@pytest.fixture
def names():
    from idp_adapters.directory import names

    return names


@pytest.mark.parametrize(
    ("dn", "inside"),
    [
        ("uid=alice,ou=people,dc=lab,dc=test", True),
        ("UID=Alice , OU=People , DC=Lab , DC=Test", True),
        ("ou=people,dc=lab,dc=test", True),
        (r"uid=a\,b,ou=people,dc=lab,dc=test", True),
        ("uid=alice,dc=lab,dc=test", False),
        (r"uid=alice,x=y\,ou=people,dc=lab,dc=test", False),
        ("uid=alice,ou=people,dc=lab,dc=test,dc=evil", False),
        ("uid=alice,ou=people2,dc=lab,dc=test", False),
        ("", False),
    ],
)
def test_an_entry_is_under_another_by_its_parts_not_by_its_text(names, dn, inside):
    assert names.is_under(dn, "ou=people,dc=lab,dc=test") is inside


def test_nothing_is_under_no_base(names):
    assert not names.is_under("dc=test", "")


@given(value=st.text(min_size=1, max_size=30).filter(str.isprintable))
def test_a_value_is_one_part_of_a_name_whatever_is_in_it(value):
    from ldap.dn import escape_dn_chars

    from idp_adapters.directory import names

    dn = f"cn={escape_dn_chars(value)},dc=lab,dc=test"
    assert names.common_name(dn) == value
    assert len(names.parsed(dn)) == 3
    assert names.is_under(dn, "dc=lab,dc=test")


def test_a_mapping_sees_one_spelling_of_a_name(names):
    spellings = ("CN=Devs, OU=Groups ,DC=Lab,DC=test", "cn=devs,ou=groups,dc=lab,dc=test")
    assert {names.canonical(dn) for dn in spellings} == {"cn=devs,ou=groups,dc=lab,dc=test"}


@pytest.mark.parametrize("dn", ["no name", "=", "cn", "cn=a,,dc=b"])
def test_what_is_no_name_is_a_fault_of_the_directory(names, dn):
    with pytest.raises(ProviderDown):
        names.parsed(dn)


@given(known=st.uuids())
def test_an_id_is_found_again_by_what_was_kept_of_it(known):
    from idp_adapters.directory import names

    kept = names.subject("objectGUID", known.bytes_le)
    assert kept == str(known)
    asked = names.id_filter("objectGUID", kept)
    assert bytes.fromhex(asked.removeprefix("(objectGUID=").removesuffix(")").replace("\\", "")) == known.bytes_le
    assert (
        names.id_filter("entryUUID", names.subject("entryUUID", str(known).upper().encode())) == f"(entryUUID={known})"
    )


@pytest.mark.parametrize("known", ["", "*", "x", "*)(uid=*", "64995ce3-f89c-4349-9279-4dad9dc7671c*"])
def test_what_can_be_no_id_is_not_asked_for(names, known):
    assert names.id_filter("entryUUID", known) is None
    assert names.id_filter("objectGUID", known) is None
    assert "*" not in names.id_filter("employeeNumber", known)


@pytest.mark.parametrize(("attribute", "value"), [("objectGUID", b"short"), ("entryUUID", b""), ("entryUUID", b"a\0")])
def test_a_malformed_id_is_a_fault_of_the_directory(names, attribute, value):
    with pytest.raises(ProviderDown):
        names.subject(attribute, value)


def test_a_primary_group_is_of_the_same_domain(names):
    sid = bytes.fromhex("010500000000000515000000d59d4b2c837dee1661dfe0334f040000")
    assert names.primary_group(sid, "513") == sid[:-4] + (513).to_bytes(4, "little")
    for wrong in ("", "-1", "x", str(2**32)):
        with pytest.raises(ProviderDown):
            names.primary_group(sid, wrong)
