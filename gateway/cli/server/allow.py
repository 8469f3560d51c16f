"""`ostiary server allow`: what a server may ask of whoever calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.common import as_json, show, with_office
from gateway.cli.server.show import the_server
from gateway.office import operator
from registry.database import Concern
from registry.servers import ASKABLE

if TYPE_CHECKING:
    from gateway.office import Office


def words_in(allow: str) -> tuple[str, ...]:
    """What `--allow` names; `none` is nothing."""
    return tuple(word.strip() for word in allow.split(",") if word.strip() not in {"", "none"})


@click.command("allow")
@the_server
@click.argument("what")
@as_json
@with_office
def server_allow(office: Office, slug: str, what: str, *, as_json: bool) -> None:
    """Let SLUG ask callers for WHAT and nothing else: elicitation, sampling, roots, with commas, or none.

    Elicitation puts a form or a link before a person; sampling spends the model of whoever calls; roots tell where
    their files are. What a server may not ask for is not offered to it, and refused if it asks all the same.
    """
    from registry.servers import check_allowed, find

    with office.change("server.allowed", Concern.CATALOGUE, who=operator(), server=slug) as (session, facts):
        server = find(session, slug)
        server.allowed = check_allowed(words_in(what))
        facts["allowed"] = server.allowed
        session.add(server)
    value = {"server": slug, "allowed": facts["allowed"]}
    show(value, as_json=as_json, text=lambda: f"{slug} may ask for: {asked_for(facts['allowed'])}")


def asked_for(allowed: list[str]) -> str:
    return ", ".join(word for word in ASKABLE if word in allowed) or "nothing"
