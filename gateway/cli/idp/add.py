"""`ostiary idp add KIND SLUG`: its options are those of the kind's configuration."""

from __future__ import annotations

import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click

from gateway.cli.common import as_json, with_office
from gateway.cli.idp.text import say_added
from gateway.cli.secret import from_input, from_options
from gateway.office import operator
from idp_adapters.config import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

    from gateway.office import Office


class Kinds(click.Group):
    """One command for each kind, made when it is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(KINDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        kind = KINDS.get(name)
        return None if kind is None else _command(name, kind)


@click.group("add", cls=Kinds)
def idp_add() -> None:
    """Add an identity provider: `ostiary idp add KIND --help` lists what each kind needs."""


def _command(name: str, kind: Kind) -> click.Command:
    def add(office: Office, slug: str, title: str, domains: tuple[str, ...], **given: Any) -> None:
        _add(office, name, slug, {"title": title, "domains": domains}, given)

    made = click.command(name, short_help=kind.title)(as_json(with_office(add)))
    made.help = f"Add SLUG, or with --replace change what is stored of it.\n\n{kind.model.__doc__ or ''}"
    made.params = [*_common(), *_options(kind), *_secrets(kind), *made.params]
    return made


def _add(office: Office, kind: str, slug: str, common: Mapping[str, Any], given: dict[str, Any]) -> None:
    from gateway.identity.registering import Described, register

    wants_json, replace = given.pop("as_json"), given.pop("replace")
    fields = KINDS[kind].model.model_fields
    config = {name: value for name, value in given.items() if name in fields and value not in {None, ()}}
    _check_new(office, slug, replace=replace)
    secrets = _given_secrets(office, kind, slug, config, given)
    described = Described(slug=slug, kind=kind, config=config, secrets=secrets, **common)
    register(office, described, who=operator())
    say_added(office, slug, as_json=wants_json)


def _check_new(office: Office, slug: str, *, replace: bool) -> None:
    from authz.people.providers import changeable
    from authz.tables import Provider

    with office.database.read() as session:
        if session.get(Provider, slug) is None:
            return
        changeable(session, slug)
    if not replace:
        raise click.ClickException(f"there is a provider {slug} already: --replace changes it, its mappings stay")


def _given_secrets(
    office: Office, kind: str, slug: str, config: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, bytes]:
    """From files and the environment; what cannot be missed and is nowhere else is asked for."""
    from gateway.identity.registering import stored_secrets
    from idp_adapters.config import read_config

    found = {purpose: secret for purpose in KINDS[kind].secrets if (secret := from_options(purpose, given))}
    needed = read_config(kind, config).needs() - found.keys() - KINDS[kind].makes.keys()
    with office.database.read() as session:
        needed -= stored_secrets(session, slug)
    for purpose in sorted(needed):
        if purpose.endswith("_key"):
            raise click.UsageError(f"give the key with --{_dashed(purpose)}-file or --{_dashed(purpose)}-env")
        found[purpose] = from_input(f"{purpose} ({KINDS[kind].secrets[purpose]})")
    return found


def _common() -> Iterator[click.Parameter]:
    yield click.Argument(["slug"])
    yield click.Option(["--title"], default="", help="what people read on the sign-in page")
    yield click.Option(["--domain", "domains"], multiple=True, help="mail domain whose people are led here; repeatable")
    yield click.Option(["--replace"], is_flag=True, help="change a provider that is there; mappings and people stay")


def _options(kind: Kind) -> Iterator[click.Option]:
    for name, field in kind.model.model_fields.items():
        needed = " (needed)" if field.is_required() else ""
        yield click.Option([_flag(name, field), name], help=f"{field.description}{needed}", **_shape(field))


def _flag(name: str, field: FieldInfo) -> str:
    dashed = _dashed(name)
    return f"--{dashed}/--no-{dashed}" if field.annotation is bool else f"--{dashed}"


def _shape(field: FieldInfo) -> dict[str, Any]:
    """How click reads it; what the words mean is for the model to say."""
    kind = field.annotation
    if get_origin(kind) in {Union, types.UnionType}:
        kind = next(part for part in get_args(kind) if part is not type(None))
    if kind is bool:
        return {"default": None}
    if get_origin(kind) is tuple:
        return {"multiple": True, "metavar": "TEXT …"}
    if get_origin(kind) is Literal:
        return {"type": click.Choice([word for word in get_args(kind) if word])}
    names = {int: "NUMBER", float: "NUMBER", Path: "FILE"}
    return {"type": str, "metavar": names.get(kind, "TEXT")}  # type: ignore[arg-type]


def _secrets(kind: Kind) -> Iterator[click.Option]:
    for purpose, words in kind.secrets.items():
        dashed = _dashed(purpose)
        yield click.Option([f"--{dashed}-file", f"{purpose}_file"], metavar="FILE", help=f"file (0600) with {words}")
        yield click.Option([f"--{dashed}-env", f"{purpose}_env"], metavar="NAME", help="environment variable with it")


def _dashed(name: str) -> str:
    return name.replace("_", "-")
