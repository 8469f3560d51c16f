"""The help of commands that know every mode: what each needs first, then what each option means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from registry.credentials.modes import MODES, SECRETS, option_of
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.credentials.modes.settings import AuthSettings

_GENERAL: Final = "Options"
_API: Final = "An HTTP API instead of an MCP server (docs/servers.md)"
_MODES: Final = "What each mode of --auth needs (docs/connections.md); in brackets what may be left out"
_SETTINGS: Final = "What they mean"
_SECRETS: Final = "Secrets, never as an option: from a file of mode 0600, or the environment"
_IN_ORDER: Final = (_GENERAL, _API, _MODES, _SETTINGS, _SECRETS)
_OF_APIS: Final = frozenset({"openapi", "operations", "tags", "read_only"})
_OF_MODES: Final = frozenset(name for model in MODES.values() for name in model.model_fields)
_OF_SECRETS: Final = frozenset(f"{purpose}_{source}" for purpose in SECRETS for source in ("file", "env"))


class ModesCommand(click.Command):
    """A command with the options of every mode."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in _IN_ORDER}
        sections[_MODES] += ((str(mode), _needs(mode)) for mode in Auth)
        for option in self.get_params(context):
            record = option.get_help_record(context)
            if record is not None and isinstance(option, click.Option):
                sections[_section(option.name or "")].append(record)
        for title in filter(sections.__getitem__, sections):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _section(name: str) -> str:
    if name in _OF_MODES:
        return _SETTINGS
    if name in _OF_SECRETS:
        return _SECRETS
    return _API if name in _OF_APIS else _GENERAL


def _needs(mode: Auth) -> str:
    model = MODES[mode]
    said = "Nothing is sent." if mode is Auth.NONE else (model.__doc__ or "").partition(" (")[0].split("\n")[0]
    options = " ".join([*_settings(model), *_secrets(model)])
    return f"{said.removesuffix('.')}{': ' if options else ''}{options}"


def _settings(model: type[AuthSettings]) -> Iterable[str]:
    fields: dict[str, Any] = model.model_fields
    given = sorted(fields.items(), key=lambda item: not item[1].is_required())
    return (option_of(name) if field.is_required() else f"[{option_of(name)}]" for name, field in given)


def _secrets(model: type[AuthSettings]) -> Iterable[str]:
    """Of several one is enough, and a client may prove itself without any."""
    return (f"[{option_of(purpose)}-file]" for purpose in sorted(model.secrets, reverse=True))
