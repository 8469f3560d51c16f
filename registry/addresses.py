"""Where we may connect: https to public addresses, or an exception that somebody with a shell here has made.

An exception is one exact (scheme, host, port). It admits private and loopback addresses, never those of cloud metadata
services. Addresses are compared as numbers against networks, and whatever is not written canonically is refused, so
that no spelling (octal, short forms, IPv4 inside IPv6, other scripts) can pass for another.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from registry.errors import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Collection

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS = {"https": 443, "http": 80}

# Services that are not HTTP but answer to something that looks like it (after the Fetch standard, section 2.9).
_FOREIGN_PORTS = frozenset(
    {1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379}
    | {6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9200, 9300, 10080, 10250, 11211, 27017}
)
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA = tuple(
    ipaddress.ip_network(net)
    for net in (
        "169.254.0.0/16",  # AWS, Azure, Google, Oracle and most others
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google
    )
)
_EMBEDDING = tuple(  # IPv6 that carries an IPv4 address: mapped, compatible, NAT64, 6to4, Teredo
    ipaddress.ip_network(net)
    for net in ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(  # IANA special-purpose registries, besides what `is_global` knows in every Python we run on
    ipaddress.ip_network(net)
    for net in (
        *("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        *("2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URL that may be connected to, provided that each address its host resolves to passes `admit`."""

    scheme: str
    host: str  # lower case; an IPv6 address without brackets
    port: int
    target: str  # path and query as they go on the request line
    excepted: bool

    @property
    def origin(self) -> str:
        """scheme://host:port, always with the port: how exceptions and credentials name it."""
        return _origin(self.scheme, self.host, self.port)


def parse(url: str, exceptions: Collection[str]) -> Address:
    """`url` taken apart, if its form, scheme, host and port may be used; exceptions are `scheme://host:port` lines."""
    scheme, host, port, target = _take_apart(url)
    excepted = _origin(scheme, host, port) in {exception_line(line) for line in exceptions}
    address = Address(scheme=scheme, host=host, port=port, target=target, excepted=excepted)
    _check_name(address)
    if not excepted:
        _check_scheme_and_port(address)
    literal = _literal(host)
    if literal is not None:
        _admit(literal, address)
    return address


def admit(ip: str, address: Address) -> None:
    """Raises AddressRefused unless `address` may be reached at `ip`, one of those that its host resolves to."""
    try:
        found = ipaddress.ip_address(ip)
    except ValueError:
        _refuse(f"{ip!r} is no canonical IP address", "address-form")
    _admit(found, address)


def exception_line(url: str) -> str:
    """`scheme://host:port` of a URL, which is the form of an exception."""
    if url.startswith("stdio:"):  # a process of ours has no address but its name
        return url
    scheme, host, port, _target = _take_apart(url)
    return _origin(scheme, host, port)


def _take_apart(url: str) -> tuple[str, str, int, str]:
    if not url.isascii() or any(not "!" <= char <= "~" for char in url) or "\\" in url:
        _refuse("the URL must be plain ASCII without spaces, controls or backslashes", "url-characters")
    parts = _URL.fullmatch(url)
    if parts is None:
        _refuse("the URL must be https://host[:port]/path, without a fragment", "url-form")
    scheme = parts["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        _refuse(f"the scheme {scheme}: is not spoken here; use https", "scheme")
    host, port = _split_authority(parts["authority"], _DEFAULT_PORTS[scheme])
    target = parts["target"] or "/"
    return scheme, host, port, target if target.startswith("/") else f"/{target}"


def _split_authority(authority: str, default: int) -> tuple[str, int]:
    if "@" in authority:
        _refuse("the URL must not carry a user name or password", "userinfo")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not parts["host"]:
        _refuse("the URL must name one host, and at most one port", "url-form")
    port = int(parts["port"] or default)
    if not 0 < port < 65536:
        _refuse(f"there is no port {port}", "port")
    return _canonical_host(parts["host"].lower()), port


def _canonical_host(host: str) -> str:
    if host.startswith("["):
        return _canonical_v6(host[1:-1])
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # as browsers see it: such a host is an IPv4 address in some spelling
        return _canonical_v4(host)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse(f"{host!r} is not a host name: letters, digits and hyphens between single dots", "host-form")
    return host


def _canonical_v4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        _refuse(f"{host!r} is an IPv4 address in disguise: write four decimal numbers", "address-form")


def _canonical_v6(host: str) -> str:
    if "%" in host:
        _refuse("an address with a zone is of this link only", "link-local")
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        _refuse(f"[{host}] is no IPv6 address", "address-form")


def _check_name(address: Address) -> None:
    if address.host in _METADATA_NAMES:
        _refuse(f"{address.host} is a cloud metadata service, which is never connected to", "metadata")
    local = address.host == "localhost" or address.host.endswith(".localhost")
    if local and not address.excepted:
        _refuse_with_remedy(f"{address.host} is this machine itself", "loopback", address)


def _check_scheme_and_port(address: Address) -> None:
    if address.scheme != "https":
        _refuse_with_remedy("the scheme http: is not encrypted; use https", "scheme", address)
    if address.port != 443 and (address.port < 1024 or address.port in _FOREIGN_PORTS):
        _refuse_with_remedy(f"port {address.port} belongs to something that is not a web server", "port", address)


def _admit(ip: Ip, address: Address) -> None:
    if getattr(ip, "scope_id", None):
        _refuse("an address with a zone is of this link only", "link-local")
    if any(ip in net for net in _METADATA):
        _refuse(f"{ip} belongs to cloud metadata services, which are never connected to", "metadata")
    if ip.is_multicast or ip.is_unspecified:
        _refuse(f"{ip} is no address of one machine", "not-unicast")
    if not (address.excepted and _plainly_private(ip)):
        _check_public(ip, address)


def _plainly_private(ip: Ip) -> bool:
    return ip.is_loopback or not any(ip in net for net in _EMBEDDING)


def _check_public(ip: Ip, address: Address) -> None:
    for rule, holds in (("loopback", ip.is_loopback), ("link-local", ip.is_link_local)):
        if holds:
            _refuse_with_remedy(f"{ip} is a {rule} address", rule, address)
    if any(ip in net for net in _EMBEDDING):
        _refuse(f"{ip} carries another address inside", "embedded-address")
    outside = ip.version == 6 and ip not in _PUBLIC_V6
    if outside or not ip.is_global or any(ip in net for net in _NOT_PUBLIC):
        _refuse_with_remedy(f"{ip} is not a public address", "private-address", address)


def _literal(host: str) -> Ip | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _origin(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _refuse(sentence: str, rule: str) -> NoReturn:
    raise AddressRefused(f"{sentence} (rule: {rule})", rule=rule)


def _refuse_with_remedy(sentence: str, rule: str, address: Address) -> NoReturn:
    remedy = f'allow_addresses = ["{address.origin}"]'
    advice = f"if this is meant, add `{remedy}` to the operator's file, or say --allow-address"
    why = f"{sentence} (rule: {rule})"
    raise AddressRefused(f"{why}; {advice}", rule=rule, remedy=remedy, why=why)
