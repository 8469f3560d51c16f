"""Whose guesses, registrations and refusals count together."""

from __future__ import annotations

from authz.neighbours import neighbourhood as of


def test_one_ipv4_address_is_one_however_it_is_written() -> None:
    assert of("192.0.2.1") == of("::ffff:192.0.2.1")
    assert of("192.0.2.1") != of("192.0.2.2")
    assert of("::ffff:192.0.2.1") != of("::ffff:192.0.2.2")


def test_of_ipv6_a_network_of_64_bits_is_one() -> None:
    assert of("2001:db8:1:2:3:4:5:6") == of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert of("2001:db8:1:2::1") != of("2001:db8:1:3::1")
    assert of("fe80::1%eth0") == "fe80::/64"


def test_what_is_no_address_stands_for_itself_and_is_short() -> None:
    assert of(":not:an:address" * 50) == (":not:an:address" * 50)[:64]
