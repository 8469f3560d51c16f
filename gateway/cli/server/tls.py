"""`ostiary server tls`: what TLS with one server needs: a certificate of ours, authorities of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, show, with_office
from gateway.cli.output import minute
from gateway.cli.secret import from_environment, from_file
from gateway.cli.server.show import the_server
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.office import Office
    from registry.tables import Server

FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


def tls_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What TLS with one server needs; `parts_of` picks it up."""
    for option in (
        click.option(
            "--ca", type=FILE, help="certificates in PEM of the only authorities that may vouch for the server"
        ),
        click.option("--key-env", metavar="NAME", help="variable with its private key in PEM"),
        click.option("--key", type=FILE, help="file (0600) with its private key in PEM"),
        click.option(
            "--cert", type=FILE, help="our certificate in PEM, followed by those between it and its authority"
        ),
    ):
        command = option(command)
    return command


@click.command("tls")
@the_server
@tls_options
@click.option(
    "--none", "clear", is_flag=True, help="as with all others again: the system's authorities, nothing of ours"
)
@as_json
@with_office
def server_tls(office: Office, slug: str, *, clear: bool, as_json: bool, **given: Any) -> None:
    """Show or set what TLS with SLUG needs, on top of any mode; what is given stands in place of all that was.

    A server that wants a client certificate (mTLS) gets --cert with --key; one whose certificate is by an authority of
    your own gets --ca.
    """
    from registry.credentials.tls import clear_tls, set_tls
    from registry.servers import find

    if not clear and not any(given.values()):
        with office.database.read() as session:
            done = find(session, slug)
    else:
        parts = {} if clear else parts_of(given)
        with office.change("server.tls", Concern.CATALOGUE, who=operator(), server=slug) as (session, facts):
            done = find(session, slug)
            if clear:
                clear_tls(session, done, office.vault)
            else:
                set_tls(session, done, **parts, vault=office.vault)
            facts.update(_facts(done))
    show({"server": slug, **_facts(done)}, as_json=as_json, text=lambda: _text(done))


def parts_of(given: Mapping[str, Any]) -> dict[str, bytes]:
    """The PEM texts; an empty one is not used."""
    if given["key"] and given["key_env"]:
        raise click.UsageError("give --key or --key-env, not both")
    key = from_file(given["key"]) if given["key"] else b""
    if given["key_env"]:
        key = from_environment(given["key_env"])
    texts = {name: given[option].read_bytes() if given[option] else b"" for name, option in _FILES.items()}
    return {**texts, "key": key}


_FILES = {"certificate": "cert", "authorities": "ca"}


def _facts(server: Server) -> dict[str, Any]:
    tls = server.tls
    return {
        "client_certificate": bool(tls.get("certificate")),
        "until": tls.get("until"),
        "own_authorities": bool(tls.get("authorities")),
    }


def _text(server: Server) -> str:
    facts = _facts(server)
    ours = f"our certificate, good until {minute(facts['until'])}" if facts["client_certificate"] else "none of ours"
    theirs = "authorities of its own alone" if facts["own_authorities"] else "the system's authorities"
    unused = "" if server.url.startswith("https:") else "\nit is not reached over https, so none of this is used"
    return f"{server.slug}: client certificate: {ours}; its certificate is vouched for by {theirs}{unused}"
