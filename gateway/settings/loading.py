"""Reading the settings: from the file, then `OSTIARY_*`, then flags; all problems named at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "OSTIARY_"
EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
_NETWORK = "must be a network, for instance 10.0.0.0/8 or 2001:db8::/32, with nothing set behind the mask"
_OURS = {  # what pydantic says in words of its own
    "ip_v4_network": _NETWORK,
    "ip_v6_network": _NETWORK,
    "path_type": "must be the path of a file or directory, as text",
}


class ConfigurationError(Exception):
    """`problems` is every problem found, one sentence each, saying what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(file: Path | None, environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """The settings; flags that are None count as not given. Raises ConfigurationError with every problem."""
    problems: list[str] = []
    given: dict[str, Any] = {}
    given |= _from_file(file, problems)
    given |= _from_environment(os.environ if environment is None else environment, problems)
    given |= {name: value for name, value in flags.items() if value is not None}
    settings = _build(given, problems)
    if settings is None or problems:
        raise ConfigurationError(sorted({line for problem in problems for line in problem.splitlines()}))
    return settings


def _build(given: dict[str, Any], problems: list[str]) -> Settings | None:
    """The settings, or None with every problem named: fields alone first, then how the good ones agree."""
    try:
        return Settings(**given)
    except ValidationError as refused:
        problems += [_sentence(error) for error in refused.errors()]
        bad = {error["loc"][0] for error in refused.errors() if error["loc"]}
    if bad:
        _build({name: value for name, value in given.items() if name not in bad}, problems)
    return None


def _from_file(file: Path | None, problems: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read ({error.strerror})")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: is not TOML ({error})")
    except RecursionError:
        problems.append(f"{file}: is nested too deep")
    return {}


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in environment.items():
        if not key.startswith(PREFIX) or key == "OSTIARY_MASTER_KEY":
            continue
        name = key.removeprefix(PREFIX).lower()
        field = Settings.model_fields.get(name)
        if field is None:
            problems.append(f"{key}: {_no_such(name, PREFIX)}")
        elif "tuple" in str(field.annotation):
            given[name] = tuple(part.strip() for part in value.split(",") if part.strip())
        else:
            given[name] = value
    return given


def _no_such(name: str, prefix: str = "") -> str:
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    if not near:
        return "no such setting; docs/settings.md lists them"
    return f"no such setting; did you mean {prefix + near[0].upper() if prefix else near[0]}?"


def _sentence(error: Any) -> str:
    message: str = _OURS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    place = ".".join(str(part) for part in error["loc"] if "[" not in str(part))  # that is the way through a union
    if error["type"] == "extra_forbidden":
        return f"{place}: {_no_such(place)}"
    return "\n".join(f"{place}: {line}" if place else line for line in message.splitlines())
