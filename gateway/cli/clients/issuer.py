"""`ostiary issuer`: whose signed assertions are taken for tokens of ours, and which workload is which agent."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.keys import read_jwks
from gateway.cli.output import say, table
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.office import Office

KIND = click.Choice(["identity", "workload"])
DISCOVERY_LIMIT, DISCOVERY_TIMEOUT = 64 * 1024, 10.0


@click.group(cls=Family)
def issuer() -> None:
    """Whose assertions are taken: a company's, a cluster's.

    Those of a company's identity provider about its people (ID-JAG), and the tokens of workloads.
    """


@issuer.command("add")
@click.argument("issuer_url", metavar="ISSUER")
@click.option("--kind", type=KIND, required=True, help="identity: says who a person is; workload: which program runs")
@click.option("--provider", default="", metavar="SLUG", help="of an identity issuer: whose people it knows")
@click.option("--keys", "keys_file", metavar="FILE", help="its JWK set, if nobody can fetch it")
@click.option("--keys-url", metavar="URL", help="where its JWK set is; without either it is discovered")
@as_json
@with_office
def issuer_add(
    office: Office,
    issuer_url: str,
    kind: str,
    provider: str,
    keys_file: str | None,
    keys_url: str | None,
    *,
    as_json: bool,
) -> None:
    """Trust the assertions of ISSUER, spelled exactly as its tokens say `iss`."""
    from authz.tables import Provider
    from authz.tokens.issuers import IssuerKind, add_issuer

    if keys_file is not None and keys_url is not None:
        raise click.UsageError("give --keys or --keys-url, not both")
    keys = read_jwks(Path(keys_file)) if keys_file is not None else None
    where = "" if keys is not None else keys_url or discover(office, issuer_url)
    with office.change("issuer.added", who=operator(), issuer=issuer_url, kind=kind, keys_url=where) as (session, _):
        if provider and session.get(Provider, provider) is None:
            raise click.ClickException(f"there is no provider {provider!r}; `ostiary idp list` shows those there are")
        add_issuer(session, issuer_url, IssuerKind(kind), keys=keys, keys_uri=where, provider=provider)
    text = f"{issuer_url} is trusted as {kind}" + (f"; its keys are at {where}" if where else "")
    say(text, {"issuer": issuer_url, "kind": kind, "keys_url": where}, as_json=as_json)


@issuer.command("list")
@as_json
@with_office
def issuer_list(office: Office, *, as_json: bool) -> None:
    """Every trusted issuer, and the rules about its workloads."""
    from sqlmodel import select

    from authz.tables import TrustedIssuer
    from authz.tokens.issuers import rules_of

    with office.database.read() as session:
        rows: list[dict[str, Any]] = []
        for row in session.exec(select(TrustedIssuer)):
            rules = rules_of(session, row.issuer) if row.kind == "workload" else []
            shown = [{"rule": rule.id, "agent": rule.agent, "claims": rule.claims} for rule in rules]
            keys = row.keys_uri or "kept here"
            rows.append(
                {"issuer": row.issuer, "kind": row.kind, "provider": row.provider, "keys": keys, "rules": shown}
            )
    told = [row | {"rules": [_rule(rule) for rule in row["rules"]]} for row in rows]
    show(rows, as_json=as_json, text=lambda: table(told, "issuer kind provider keys rules", "no issuer is trusted"))


@issuer.command("remove")
@click.argument("issuer_url", metavar="ISSUER")
@click.option("--kind", type=KIND, required=True)
@as_json
@with_office
def issuer_remove(office: Office, issuer_url: str, kind: str, *, as_json: bool) -> None:
    """Take no assertion of ISSUER any more; the tokens that its assertions led to end at once."""
    from authz.tokens.issuers import IssuerKind, remove_issuer

    facts = {"issuer": issuer_url, "kind": kind}
    with office.change("issuer.removed", Concern.CUTOFFS, who=operator(), **facts) as (session, _):
        remove_issuer(session, issuer_url, IssuerKind(kind), time.time())
    say(f"{issuer_url} is no longer trusted as {kind}", facts, as_json=as_json)


@issuer.command("allow")
@click.argument("issuer_url", metavar="ISSUER")
@click.argument("agent")
@click.option("--claim", "claims", multiple=True, required=True, metavar="NAME=VALUE", help="all of them must be so")
@as_json
@with_office
def issuer_allow(office: Office, issuer_url: str, agent: str, claims: Sequence[str], *, as_json: bool) -> None:
    """Say which workload of ISSUER is AGENT: --claim sub=system:serviceaccount:jobs:nightly"""
    from authz.clients.agents import find_agent
    from authz.tokens.issuers import add_rule

    wanted = dict(_claim(text) for text in claims)
    facts = {"issuer": issuer_url, "agent": agent, "claims": wanted}
    with office.change("issuer.rule.added", who=operator(), **facts) as (session, _):
        found = find_agent(session, agent.removeprefix("agent:"))
        rule = add_rule(session, issuer_url, wanted, found.id)
    say(f"a workload with these claims is agent:{found.handle} ({rule.id})", facts | {"rule": rule.id}, as_json=as_json)


@issuer.command("disallow")
@click.argument("rule")
@as_json
@with_office
def issuer_disallow(office: Office, rule: str, *, as_json: bool) -> None:
    """Remove a rule; what the agent holds ends at once, and it may ask anew by what other rules say."""
    from authz.tokens.cutoffs import Cut, cut_off
    from authz.tokens.issuers import remove_rule

    with office.change("issuer.rule.removed", Concern.CUTOFFS, who=operator(), rule=rule) as (session, facts):
        removed = remove_rule(session, rule)
        cut_off(session, Cut.PERSON, removed.agent, now=time.time())
        facts |= {"issuer": removed.issuer, "agent": removed.agent}
    say(f"{rule} is removed", {"rule": rule}, as_json=as_json)


def discover(office: Office, issuer_url: str) -> str:
    """Where an issuer says that its keys are (OpenID Connect Discovery section 4; Kubernetes has it too)."""
    from gateway.fetch import Fetcher, FetchFailed
    from registry.errors import AddressRefused

    address = f"{issuer_url.rstrip('/')}/.well-known/openid-configuration"
    hint = "give --keys FILE or --keys-url URL"
    try:
        answer = Fetcher(office.settings.allow_addresses).get(address, limit=DISCOVERY_LIMIT, timeout=DISCOVERY_TIMEOUT)
        said = json.loads(answer.body) if answer.status == 200 else {}
    except (AddressRefused, FetchFailed, ValueError, RecursionError) as error:
        raise click.ClickException(f"{address} cannot be read ({error}); {hint}") from error
    if not isinstance(said, dict) or said.get("issuer") != issuer_url or not isinstance(said.get("jwks_uri"), str):
        raise click.ClickException(f"{address} does not describe this very issuer; {hint}")
    found: str = said["jwks_uri"]
    return found


def _rule(rule: dict[str, Any]) -> str:
    return f"{rule['rule']}: " + " and ".join(f"{name}={value}" for name, value in rule["claims"].items())


def _claim(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise click.UsageError(f"--claim {text}: write NAME=VALUE")
    return name, value
