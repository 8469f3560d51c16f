"""`ostiary server auth`: how a server knows us; the same options at `server add`."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from gateway.cli.common import as_json, show, with_office
from gateway.cli.secret import from_input, from_options
from gateway.cli.server.authority import named
from gateway.cli.server.help import ModesCommand
from gateway.cli.server.show import show_step, the_server
from gateway.office import operator
from registry.credentials.modes import MODES, SECRETS, option_of, read_auth
from registry.database import Concern
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic.fields import FieldInfo

    from gateway.fetch import Fetcher
    from gateway.office import Office
    from registry.catalogue import Upstream


def _fields() -> dict[str, FieldInfo]:
    """Every setting of any mode."""
    found: dict[str, FieldInfo] = {}
    for model in MODES.values():
        for name, field in model.model_fields.items():
            found.setdefault(name, field)
    return found


def _shape(field: FieldInfo) -> dict[str, Any]:
    kinds = list(_kinds(field.annotation))
    if any(get_origin(kind) is tuple for kind in kinds):
        return {"multiple": True}
    choices = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    return {"type": click.Choice(choices)} if choices else {}


def _kinds(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is types.UnionType:
        yield from get_args(annotation)
    else:
        yield annotation


def auth_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What any mode needs to know, and where its secrets come from; `settings_of` and `secrets_of` pick it up."""
    for name, field in reversed(list(_fields().items())):
        command = click.option(option_of(name), name, help=field.description, **_shape(field))(command)
    return auth_secrets(command)


def auth_secrets(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where each secret of any mode comes from."""
    for purpose, what in SECRETS.items():
        flag = option_of(purpose)
        path = click.Path(dir_okay=False)
        command = click.option(f"{flag}-file", f"{purpose}_file", type=path, help=f"file (0600) with {what}")(command)
        command = click.option(f"{flag}-env", f"{purpose}_env", metavar="NAME", help=f"variable with {what}")(command)
    return command


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of all options, those that were given and are settings of a mode."""
    return {name: given[name] for name in _fields() if given.get(name) not in {None, ()}}


def secrets_of(auth: Auth, given: Mapping[str, Any]) -> dict[str, bytes]:
    """From files and the environment. What --auth static sends is asked for when nothing says where it is."""
    found = {purpose: value for purpose in SECRETS if (value := from_options(purpose, given))}
    if auth is Auth.STATIC and not found and given.get("per") != "person":
        alone = given.get("query") or given.get("cookie")
        found["api_key" if alone else "header"] = from_input("API key" if alone else "Header line (Name: value)")
    return found


@click.command("auth", cls=ModesCommand)
@the_server
@click.argument("mode", type=click.Choice([str(auth) for auth in Auth]))
@auth_options
@click.option("--anew", is_flag=True, help="keep no setting that is not given, also where the mode stays")
@as_json
@with_office
def server_auth(office: Office, slug: str, mode: str, *, anew: bool, as_json: bool, **given: Any) -> None:
    """Change how SLUG knows us to MODE. What was kept for another mode is removed, connections with it.

    While the mode stays, so does what is not given: settings and secrets. Not what belongs to something that is
    changed: the app of another authorization server, the header in place of which there is now a parameter. It says
    what was kept and what was not.
    """
    from gateway.cli.server.carrying import Change, Held
    from gateway.credentials.derived.fitting import check_named
    from registry.credentials.authenticating import set_auth
    from registry.servers import find

    auth, said = Auth(mode), settings_of(given)
    settings = said if anew else _with_what_stays(office, slug, auth, said)
    settings, secrets = _settled(office, slug, auth, settings), secrets_of(auth, given | settings)
    with office.change("server.auth", Concern.CATALOGUE, who=operator(), server=slug, auth=mode) as (session, told):
        done = find(session, slug)
        before = Held.of(session, slug, done.auth_settings)
        set_auth(session, done, auth, settings, secrets, office.vault)
        known = read_auth(auth, done.auth_settings)
        check_named(session, office.settings.workload_tokens, known)
        session.flush()
        change = Change(before, Held.of(session, slug, done.auth_settings), said)
        told.update({"authority": known.authority} if known.authority else {})
    lines = (f"{slug} is from now on asked with auth {mode}", *change.lines())
    show({"server": slug, "state": done.state} | change.told(), as_json=as_json, text=lambda: "\n".join(lines))


def _with_what_stays(office: Office, slug: str, auth: Auth, said: dict[str, Any]) -> dict[str, Any]:
    from gateway.cli.server.carrying import carried
    from registry.servers import find

    with office.database.read() as session:
        server = find(session, slug)
    return carried(server.auth_settings, said) | said if server.auth == auth else said


def _settled(office: Office, slug: str, auth: Auth, settings: dict[str, Any]) -> dict[str, Any]:
    """With whom an app's secret is for, also where nobody has said it yet."""
    from gateway.credentials.equipment import Equipment
    from gateway.upstream.refreshing.refresh import reachable

    def reach() -> tuple[Fetcher, Upstream]:
        upstream = reachable(office, slug)
        return Equipment(office).toward(upstream).fetcher, upstream

    return named(reach, auth, settings)


@click.command("credential")
@the_server
@auth_secrets
@as_json
@with_office
def server_credential(office: Office, slug: str, *, as_json: bool, **given: Any) -> None:
    """Replace a secret of SLUG's mode; a header line comes from standard input if no option names it."""
    from registry.credentials.authenticating import set_auth
    from registry.servers import find

    with office.database.read() as session:
        auth, settings = Auth(find(session, slug).auth), find(session, slug).auth_settings
    secrets = secrets_of(auth, given | settings | {"per": None})
    if not secrets:
        raise click.UsageError(f"{slug} has auth {auth}: say which secret is new, or `ostiary server auth {slug} MODE`")
    with office.change("server.credential", Concern.CATALOGUE, who=operator(), server=slug) as (session, _):
        done = find(session, slug)
        set_auth(session, done, auth, settings, secrets, office.vault)
    show_step(done, f"{slug} is from now on asked with the new credential", as_json=as_json)
