"""Where we may connect."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.addresses import admit, exception_line, parse
from registry.errors import AddressRefused

HERE = "http://127.0.0.1:9000"


def rule(url: str, *exceptions: str) -> str:
    with pytest.raises(AddressRefused) as refused:
        parse(url, exceptions)
    return refused.value.rule


def test_https_to_a_public_name_is_what_is_allowed() -> None:
    found = parse("https://MCP.Example.com/mcp?team=a%2Fb", ())
    assert (found.scheme, found.host, found.port, found.target) == ("https", "mcp.example.com", 443, "/mcp?team=a%2Fb")
    assert found.origin == "https://mcp.example.com:443"
    assert not found.excepted


@pytest.mark.parametrize(
    ("url", "target"), [("https://a.example", "/"), ("https://a.example?x=1", "/?x=1"), ("https://a.example/", "/")]
)
def test_the_target_always_begins_with_a_slash(url: str, target: str) -> None:
    assert parse(url, ()).target == target


def test_an_exception_is_one_scheme_host_and_port() -> None:
    assert parse(f"{HERE}/mcp", [HERE]).excepted
    for other in ("http://127.0.0.1:9001/mcp", "http://127.0.0.2:9000/mcp", "https://127.0.0.1:9000/mcp"):
        assert rule(other, HERE) in {"scheme", "loopback"}


def test_an_exception_may_leave_the_default_port_away() -> None:
    assert parse("http://intranet.example/mcp", ["http://intranet.example"]).excepted
    assert exception_line("https://[2606:4700::1]/x") == "https://[2606:4700::1]:443"


def test_the_refusal_prints_the_line_to_add() -> None:
    with pytest.raises(AddressRefused) as refused:
        parse(f"{HERE}/mcp", ())
    assert refused.value.remedy == f'allow_addresses = ["{HERE}"]'
    assert refused.value.remedy in str(refused.value)


def test_a_name_that_resolves_to_a_private_address_is_refused_when_connecting() -> None:
    found = parse("https://mcp.example.com", ())
    for ip in ("10.0.0.1", "192.168.1.1", "127.0.0.1", "::1", "fd00::1", "100.64.0.1", "198.18.0.1", "2001:db8::1"):
        with pytest.raises(AddressRefused):
            admit(ip, found)
    admit("93.184.215.14", found)
    admit("2606:2800:21f:cb07:6820:80da:af6b:8b2c", found)


def test_cloud_metadata_is_not_reached_even_by_exception() -> None:
    excepted = parse("http://metadata.internal:80/x", ["http://metadata.internal:80"])
    for ip in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"):
        with pytest.raises(AddressRefused) as refused:
            admit(ip, excepted)
        assert refused.value.rule == "metadata"
    assert rule("http://169.254.169.254/latest", "http://169.254.169.254:80") == "metadata"
    assert rule("https://metadata.google.internal/", "https://metadata.google.internal:443") == "metadata"


def test_an_exception_admits_private_addresses_of_its_host() -> None:
    excepted = parse("http://intranet.example:8080", ["http://intranet.example:8080"])
    for ip in ("10.1.2.3", "127.0.0.1", "::1", "fd12::1"):
        admit(ip, excepted)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_address_never_passes(inner: ipaddress.IPv4Address) -> None:
    found = parse("https://mcp.example.com", ())
    for prefix in ("::ffff:0:0", "64:ff9b::", "::"):
        outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(inner))
        with pytest.raises(AddressRefused):
            admit(str(outer), found)


@given(st.ip_addresses())
def test_what_passes_is_a_public_unicast_address(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    try:
        admit(str(ip), parse("https://mcp.example.com", ()))
    except AddressRefused:
        return
    assert ip.is_global
    assert not (ip.is_private)
    assert not (ip.is_loopback)
    assert not (ip.is_link_local)
    assert not (ip.is_multicast)
    assert not (ip.is_reserved)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://a.example:{text}", f"https://a.example/{text}"):
        try:
            found = parse(url, ())
        except AddressRefused:
            continue
        assert found.host.isascii()
        assert found.target.startswith("/")
        assert not set(found.target) & set(" \r\n\t\\#")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pw@a.example/", "userinfo"),
        ("https://a.example\\@b.example/", "url-characters"),
        ("https://a.example/ b", "url-characters"),
        ("https://a.example/#f", "url-form"),
        ("https://a_b..example/", "host-form"),
        ("https://a.example:0/", "port"),
        ("https://a.example:99999/", "port"),
        ("https://a.example:6379/", "port"),
        ("https:///mcp", "url-form"),
        ("https://a.example.", "host-form"),
        ("https://localhost/", "loopback"),
        ("https://x.localhost/", "loopback"),
    ],
)
def test_urls_of_another_form_are_refused_by_name(url: str, expected: str) -> None:
    assert rule(url) == expected
