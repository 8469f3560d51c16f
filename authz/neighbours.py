"""Who is counted as one, where guesses, registrations and refusals are counted by where they come from."""

from __future__ import annotations

import ipaddress


def neighbourhood(address: str) -> str:
    """An IPv4 address, also one written inside IPv6; of IPv6 the /64, which is what one subscriber has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    plain = ip if ip.version == 4 else ip.ipv4_mapped
    return str(plain or ipaddress.ip_network((ip, 64), strict=False))
