"""Servers that are processes of ours, as they stand in the operator's file: `[[stdio_servers]]`.

Nothing else can make one: no page, no API and no command (CVE-2026-42271: a form that starts processes).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MIB: Final = 1024 * 1024
SECRETLY: Final = ("env:", "file:")  # what a value begins with that is somewhere else
NOT_OURS_TO_GIVE: Final = "OSTIARY_"
COMMAND_WORDS: Final = frozenset({"title", "owner", "idle"})  # of the table, what does not change what is run
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def _variable(name: str) -> str:
    if not _NAME.fullmatch(name) or name.startswith(NOT_OURS_TO_GIVE):
        raise ValueError(f"{name!r} must be the name of an environment variable, and none of {NOT_OURS_TO_GIVE}*")
    return name


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{path} must be an absolute path without `..`")
    return path


Variable = Annotated[str, AfterValidator(_variable)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class DeclaredServer(BaseModel):
    """One of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str = Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$", description="its name here")
    command: tuple[str, ...] = Field(min_length=1, description="the program and its arguments; there is no shell")
    title: str = Field("", description="how people read it; without it the slug")
    owner: str = Field("", description="who answers for it")
    env: dict[Variable, str] = Field(
        {}, description="its environment; `env:NAME` and `file:PATH` say where a secret is, which must not stand here"
    )
    inherit: tuple[Variable, ...] = Field((), description="variables of the gateway's environment that it gets as well")
    credential: Variable | Literal[""] = Field(
        "", description="the variable that gets what `ostiary server auth` says that the server knows us by"
    )
    directory: AbsolutePath | None = Field(
        None, description="the only place it may write; without it an empty one of its own, or of each person's own"
    )
    read: tuple[AbsolutePath, ...] = Field((), description="what it may read besides the system's programs")
    network: bool = Field(False, description="whether it may use the network, this machine's own addresses included")
    memory: int = Field(512 * MIB, ge=16 * MIB, description="bytes of memory, all its processes together")
    processes: int = Field(64, ge=1, le=4096, description="processes and threads at a time")
    files: int = Field(256, ge=16, le=65536, description="files it may have open, each of its processes")
    idle: float = Field(600.0, ge=1, le=86400, description="seconds without a call after which it is stopped")
    per: Literal["person", "server"] = Field(
        "person", description="a process for each person, or one for all, where it keeps nothing of anybody"
    )
    sandbox: Literal["required", "off"] = Field(
        "required", description="off lets it do whatever the gateway may where bubblewrap cannot be had"
    )

    def raw(self) -> str:
        """What is reviewed and pinned: all that decides what is run, as JSON; where secrets are, and never one."""
        told = {name: value for name, value in self.model_dump(mode="json").items() if name not in COMMAND_WORDS}
        return msgspec.json.encode(told, order="sorted").decode()

    def digest(self) -> str:
        """What its approval pins."""
        from registry.digests import digest  # not before it is needed: settings are read by every command
        from registry.tables import Kind

        return digest(Kind.SERVER, msgspec.json.decode(self.raw()))


def environment(declared: DeclaredServer, given: Mapping[str, str] | None = None) -> tuple[dict[str, str], list[str]]:
    """What it gets, without its credential; and every variable that cannot be had, one sentence each."""
    outside = os.environ if given is None else given
    found = {name: outside[name] for name in declared.inherit if name in outside}
    problems: list[str] = []
    for name, said in declared.env.items():
        found[name], problem = _value(said, outside)
        if problem:
            problems.append(f"stdio_servers {declared.slug}: env {name}: {problem}")
    return found, problems


def secrets(declared: DeclaredServer, environment: Mapping[str, str]) -> Iterator[str]:
    """Of its environment, what stood somewhere else."""
    for name, said in declared.env.items():
        if said.startswith(SECRETLY) and environment.get(name):
            yield environment[name]


def _value(said: str, outside: Mapping[str, str]) -> tuple[str, str]:
    if said.startswith("env:"):
        value = outside.get(said.removeprefix("env:"), "")
        return value, "" if value else f"the environment has no {said.removeprefix('env:')}"
    return _read(Path(said.removeprefix("file:"))) if said.startswith("file:") else (said, "")


def _read(path: Path) -> tuple[str, str]:
    try:
        if path.stat().st_mode & 0o077:
            return "", f"{path} can be read by others; chmod 600 it"
        return path.read_text().strip(), ""
    except (OSError, UnicodeDecodeError) as error:
        return "", f"{path} cannot be read ({getattr(error, 'strerror', 'it is not text')})"


def problems(declared: tuple[DeclaredServer, ...], data: Path) -> Iterator[str]:
    """What does not go together, one sentence each."""
    slugs = [one.slug for one in declared]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    yield from (f"stdio_servers: the slug {slug} is there twice" for slug in twice)
    inside = data.resolve()
    for one in declared:
        for path in (*one.read, *([one.directory] if one.directory else [])):
            if inside.is_relative_to(path.resolve()) or path.resolve().is_relative_to(inside):
                yield f"stdio_servers {one.slug}: {path} must not hold the data directory, or be in it"
        if one.credential and one.credential in (*one.env, *one.inherit):
            yield f"stdio_servers {one.slug}: {one.credential} is in env or inherit, and the credential's too"


def absent(declared: DeclaredServer) -> Iterator[str]:
    """What it names that is not there, or that it would not see, one sentence each."""
    places = (*declared.read, *([declared.directory] if declared.directory else []))
    yield from (f"there is no {path}, which it names" for path in places if not path.exists())
    program = Path(declared.command[0])
    if declared.sandbox == "required" and program.is_absolute():
        seen = [Path("/usr"), Path("/bin"), Path("/sbin"), *places]
        seen += [place.resolve() for place in seen]
        unseen = [path for path in _run(program) if not any(path.is_relative_to(place) for place in seen)]
        if unseen[:1] == [program]:
            yield f"its program {program} is not in what it may read; add its folder to read"
        elif unseen:
            yield f"its program {program} leads to {unseen[0]}, which it may not read; add where that belongs to `read`"


def _run(program: Path) -> Iterator[Path]:
    """The program and what it leads to: where a link ends, and what a script says that it is run by, to its end."""
    yield from (program, program.resolve())
    try:
        with program.open("rb") as file:
            first = file.readline(256)
    except OSError:
        return
    words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
    if words and Path(words[0]).is_absolute():
        yield from (Path(words[0]), Path(words[0]).resolve())


def missing_variables(declared: tuple[DeclaredServer, ...]) -> list[str]:
    """Every variable that cannot be had."""
    return [problem for one in declared for problem in environment(one)[1]]
