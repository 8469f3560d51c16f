"""How the door is reached, and what is open: its address, TLS, a proxy, what is on by default. For `ostiary doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sqlmodel import func, select

from gateway.operating.checks import Check, State
from gateway.settings import is_loopback
from registry.tables import AddressException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.office import Office

DAY: Final = 86400.0
TLS_WARNING: Final = 21 * DAY
AMBER, GREEN, RED = State.AMBER, State.GREEN, State.RED


def public_url(office: Office, _now: float) -> Iterator[Check]:
    settings = office.settings
    host = urlsplit(settings.base_url).hostname or ""
    if settings.secure:
        yield Check("public url", GREEN, settings.base_url)
    elif is_loopback(host):
        why = f"{settings.base_url} is for this machine only; clients that call from a cloud need https"
        yield Check("public url", AMBER, why, "ostiary up --public-url https://YOUR.HOST (TLS here or in a proxy)")
    else:
        why = "passwords and tokens cross the network in the clear"
        yield Check("public url", RED, why, "--public-url https://..., with --tls-cert/--tls-key or a proxy in front")


def proxy(office: Office, _now: float) -> Iterator[Check]:
    settings = office.settings
    if settings.secure and settings.tls_cert is None and not settings.trusted_proxies:
        why = "a proxy ends TLS, and none is trusted: records and rate limits know only the proxy's address"
        yield Check("proxy", AMBER, why, "set trusted_proxies to the proxy's network")


def tls(office: Office, now: float) -> Iterator[Check]:
    file = office.settings.tls_cert
    if file is None:
        return
    from cryptography.x509 import load_pem_x509_certificate

    try:
        left = load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp() - now
    except OSError as error:
        yield Check("tls certificate", RED, f"{file} cannot be read ({error.strerror})", "let us read it")
        return
    except ValueError:
        why = f"{file} is not a certificate"
        yield Check("tls certificate", RED, why, "give a PEM file, our certificate first")
        return
    state = RED if left <= 0 else AMBER if left < TLS_WARNING else GREEN
    why = "has expired" if left <= 0 else f"expires in {left / DAY:.0f} days"
    yield Check("tls certificate", state, f"{file} {why}", "" if state is GREEN else "renew it, then restart")


def openings(office: Office, _now: float) -> Iterator[Check]:
    """What is open by default, or was opened."""
    settings = office.settings
    beyond = not is_loopback(urlsplit(settings.base_url).hostname or "")
    if settings.insecure_bind:
        yield Check("insecure bind", RED, "the door may be opened beyond this machine without https", "leave it away")
    if settings.dynamic_registration and beyond:
        why = "whoever reaches us may register a client (RFC 7591); people still sign in and consent"
        yield Check("client registration", AMBER, why, "dynamic_registration = false where clients are known")
    if settings.operator_tokens and beyond:
        why = "whoever has a shell here may issue tokens for anybody (on record)"
        yield Check("operator tokens", AMBER, why, "operator_tokens = false")
    if settings.admin_listen is None and beyond:
        why = "administration is reachable wherever the portal is"
        yield Check("admin pages", AMBER, why, "admin_listen = host:port in a network of administrators")
    with office.database.read() as session:
        exceptions = session.exec(select(func.count()).select_from(AddressException)).one()
    if count := exceptions + len(settings.allow_addresses):
        why = f"{count} addresses are excepted from the rule of https to public addresses"
        yield Check("addresses", AMBER if beyond else GREEN, why, "ostiary server list shows the servers behind them")


def metrics(office: Office, _now: float) -> Iterator[Check]:
    listen = office.settings.metrics_listen
    if not listen:
        yield Check("metrics", AMBER, "nothing is measured", "metrics_listen = 127.0.0.1:9464")
        return
    host, _, port = listen.rpartition(":")
    if port == "0":
        why = "their port is another one after each start"
        yield Check("metrics", AMBER, why, "metrics_listen = 127.0.0.1:9464")
    if not is_loopback(host.strip("[]")):
        why = f"{listen} is open to whoever reaches it: metrics name servers and say how much they are used"
        yield Check("metrics", AMBER, why, "let only the collector reach it, or listen on loopback")
