"""`ostiary policy`: who may do what. Every change is one transaction, on record, and in force within a second."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Collection

    from authz.policy.file import Plan
    from authz.policy.rules import Binding
    from authz.tables import Rule
    from gateway.office import Office

ACTIONS = ("list", "call", "read", "get", "*")


@click.group(cls=Family)
def policy() -> None:
    """Rules and roles: who may list, call, read and get what."""


@policy.command("add")
@click.argument("subject")
@click.argument("object_", metavar="OBJECT")
@click.option("--action", type=click.Choice(ACTIONS), default="call", show_default=True, help="call implies list")
@click.option("--deny", is_flag=True, help="forbid instead of allow; a deny wins over every allow")
@click.option("--portal", default="*", show_default=True, help="a portal's name, server:SLUG, or all")
@click.option("--note", default="", help="why; told to whom the rule refuses, or only shows, a thing")
@click.option("--assurance", default="", help='how they must have signed in: "acr:LEVEL amr:mfa max_age:600 dpop"')
@click.option("--ends", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="when it ends (UTC)")
@as_json
@with_office
def add(office: Office, *, object_: str, deny: bool, ends: datetime | None, as_json: bool, **said: Any) -> None:
    """Add a rule, for instance `ostiary policy add group:editors 'notes.*'`.

    SUBJECT is user:NAME, group:NAME, agent:NAME or role:NAME (client:ID with --deny).
    OBJECT is server.name, with the name as the server has it, or server.*
    """
    from authz.policy.rules import Draft, write_rule

    ends_at = ends.replace(tzinfo=UTC).timestamp() if ends else None
    draft = Draft(object=object_, effect="deny" if deny else "allow", ends_at=ends_at, **said)
    with _change(office, [f"+ {draft}"]) as (session, _):
        rule = write_rule(session, draft, who=operator(), now=time.time())
        _mention_strangers(session, [draft])
    show(_fields(rule), as_json=as_json, text=lambda: f"{rule.id}  {draft}")


@policy.command("remove")
@click.argument("rules", nargs=-1, required=True, metavar="RULE...")
@as_json
@with_office
def remove(office: Office, *, rules: tuple[str, ...], as_json: bool) -> None:
    """Remove rules by their ids: all of them, or none if one does not exist."""
    from authz.policy.rules import draft_of, remove_rule

    with _change(office, []) as (session, facts):
        removed = [remove_rule(session, rule) for rule in rules]
        facts["changes"] = [f"- {draft_of(rule)}" for rule in removed]
    show([_fields(rule) for rule in removed], as_json=as_json, text=lambda: "\n".join(facts["changes"]))


@policy.command("bind")
@click.argument("subject")
@click.argument("role")
@click.option("--portal", default="*", show_default=True)
@as_json
@with_office
def bind(office: Office, *, as_json: bool, **said: str) -> None:
    """Give somebody a role: `ostiary policy bind group:staff editor`; rules then speak of role:editor."""
    from authz.policy.rules import Binding, bind_role

    binding = Binding(**said)
    with _change(office, [f"+ {binding}"]) as (session, _):
        bind_role(session, binding)
        _mention_strangers(session, [binding])
    show(asdict(binding), as_json=as_json, text=lambda: str(binding))


@policy.command("unbind")
@click.argument("subject")
@click.argument("role")
@click.option("--portal", default="*", show_default=True)
@as_json
@with_office
def unbind(office: Office, *, as_json: bool, **said: str) -> None:
    """Take a role away."""
    from authz.policy.rules import Binding, unbind_role

    binding = Binding(**said)
    with _change(office, [f"- {binding}"]) as (session, _):
        unbind_role(session, binding)
    show(asdict(binding), as_json=as_json, text=lambda: f"no longer: {binding}")


@policy.command("list")
@as_json
@with_office
def list_(office: Office, *, as_json: bool) -> None:
    """Every rule and every role that is given."""
    from authz.policy.rules import stored_bindings, stored_rules

    with office.database.read() as session:
        rules, roles = stored_rules(session), stored_bindings(session)
    value = {"rules": [_fields(rule) for rule in rules], "roles": [asdict(role) for role in roles]}
    show(value, as_json=as_json, text=lambda: _table(rules, roles))


@policy.command("test")
@click.option("--as", "who", required=True, help="user:NAME or agent:NAME")
@click.option("--group", "groups", multiple=True, help="as if also in this group")
@click.option("--client", default="", help="as if through this OAuth client")
@click.option("--scope", default="mcp", show_default=True, help="as if with a token of these scopes")
@click.option("--signed-in", default="", help='as if signed in just now like this: "acr:LEVEL amr:mfa dpop"')
@click.option("--object", "object_", required=True, help="server.name")
@click.option("--action", type=click.Choice(ACTIONS[:-1]), default="call", show_default=True)
@click.option("--kind", type=click.Choice(["tool", "prompt", "resource"]), help="with list: seen as which kind")
@click.option("--portal", default="default", show_default=True, help="a portal's name, or server:SLUG")
@click.option("--exit-code", is_flag=True, help="exit with 1 when it is denied")
@as_json
@with_office
def test(
    office: Office,
    *,
    object_: str,
    action: str,
    kind: str | None,
    portal: str,
    exit_code: bool,
    as_json: bool,
    **who: Any,
) -> None:
    """Ask the very function that decides calls: the answer, its rule and its reason.

    `--action list` asks whether anything of that name may be seen; with `--kind tool`, whether the tool may.
    """
    import msgspec

    from authz.policy.decisions import SEEN_AS
    from authz.policy.policy import Action, load_policy
    from authz.policy.rules import Draft

    with office.database.read() as session:
        rules = load_policy(session, office.database.epochs().get(Concern.POLICY, 0))
        party = _suppose(session, **who)
        _mention_strangers(session, [Draft(subject=party.label, object=object_, action=action)])
    asked = SEEN_AS[kind] if kind and action == Action.LIST else Action(action)
    decision = rules.decide(party, portal, object_, asked)
    answer = "allowed" if decision else "denied"
    text = f"{answer} by {decision.rule}" if decision.rule else answer
    if not decision:
        text += f"\n{decision.reason}\n{decision.remedy}"
    show({"decision": answer, **msgspec.structs.asdict(decision)}, as_json=as_json, text=lambda: text)
    if exit_code and not decision:
        sys.exit(1)


@policy.command("export")
@as_json
@with_office
def export(office: Office, *, as_json: bool) -> None:
    """Print the whole policy as the YAML (or JSON) that `apply` reads."""
    from authz.policy.file import document, write

    with office.database.read() as session:
        show(document(session), as_json=as_json, text=lambda: write(session).rstrip())


@policy.command("apply")
@click.argument("file", type=click.File("rb"))
@click.option("--yes", is_flag=True, help="do not ask")
@click.option("--dry-run", is_flag=True, help="show the difference only")
@as_json
@with_office
def apply(office: Office, *, file: Any, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Make the policy what FILE says: show the difference, ask, then change it in one transaction."""
    from authz.policy.file import plan, read

    wanted = read(_text(file))
    with office.database.read() as session:
        shown = plan(session, wanted)
        _mention_strangers(session, [*shown.add, *shown.bind], {binding.role for binding in wanted.roles})
    asks = bool(shown) and not dry_run and not yes
    if asks:
        click.echo("\n".join(shown.lines()), err=True)
        click.confirm("Apply this?", abort=True, err=True)
    if shown and not dry_run:
        _carry_out(office, wanted, shown)
    done = "would change" if dry_run else "changed"
    told = [*([] if asks else shown.lines()), done] if shown else ["nothing to change"]
    value = {"changes": shown.lines(), "applied": bool(shown) and not dry_run}
    show(value, as_json=as_json, text=lambda: "\n".join(told))


def _text(file: Any) -> str:
    try:
        text: str = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file.name} is not UTF-8: save it as that") from error
    return text


def _carry_out(office: Office, wanted: Any, shown: Plan) -> None:
    from authz.errors import RuleRefused
    from authz.policy.file import carry_out, plan

    with _change(office, shown.lines()) as (session, _):
        now = plan(session, wanted)
        if now != shown:
            raise RuleRefused("the policy was changed while you looked at the difference: apply again")
        carry_out(session, now, who=operator(), now=time.time())


def _change(office: Office, lines: list[str]) -> Any:
    return office.change("policy.changed", Concern.POLICY, who=operator(), changes=lines)


def _mention_strangers(session: Any, written: list[Any], roles: Collection[str] = ()) -> None:
    from authz.policy.strangers import strangers

    for sentence in strangers(session, written, roles):
        click.echo(f"note: {sentence}", err=True)


def _suppose(session: Any, *, who: str, groups: tuple[str, ...], client: str, scope: str, signed_in: str) -> Any:
    """Somebody as policy would know them; not a Principal, for nothing was proved."""
    from authz.assurance import UNSURE, suppose
    from authz.people.accounts import load_members
    from authz.policy.suppose import Supposed

    now = time.time()
    member = next((m for m in load_members(session).values() if m.label == who), None)
    if member is None:
        raise click.ClickException(f"nobody enabled is called {who!r}; say user:NAME or agent:NAME")
    subjects = member.subjects(now) | {f"group:{name}" for name in groups}
    assured = suppose(signed_in, now) if signed_in else UNSURE
    return Supposed(label=who, subjects=subjects, client=client, scopes=frozenset(scope.split()), assured=assured)


def _fields(rule: Rule) -> dict[str, Any]:
    return rule.model_dump(mode="json")


def _table(rules: list[Rule], roles: list[Binding]) -> str:
    from authz.policy.file import extras
    from authz.policy.rules import draft_of

    lines = [f"{rule.id}  {draft_of(rule)}{extras(draft_of(rule))}" for rule in rules]
    lines += [f"{'':18}  {role}" for role in roles]
    return "\n".join(lines) or "no rules: nobody may do anything; begin with `ostiary policy add group:NAME 'server.*'`"
