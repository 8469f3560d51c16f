"""Servers that are processes of ours: which process an ask goes to, and how it is run."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.upstream import UpstreamUnreachable
from gateway.upstream.channels import sandbox
from gateway.upstream.channels.declared import absent, environment, secrets
from gateway.upstream.channels.places import Place, person, who
from gateway.upstream.channels.process import Orders, Plan, Process
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from authz.principals import Principal
    from gateway.upstream.channels.declared import DeclaredServer
    from registry.catalogue import Credential, Upstream

MOST: Final = 32  # processes of one server in one worker
FOLDER: Final = "stdio"  # in the data directory: what is theirs
DEFAULTS: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108  # theirs
SCHEMES: Final = ("bearer ", "token ", "basic ")


class StdioPlaces:
    """`Places`. What the file does not declare cannot be run, whatever the database says."""

    def __init__(self, declared: Iterable[DeclaredServer], data: Path, line_most: int) -> None:
        self._declared = {one.slug: (one, one.digest()) for one in declared}
        self._data = data.absolute()
        self._line_most = line_most
        if any(one.sandbox == "required" for one, _ in self._declared.values()):
            sandbox.trouble()  # tried now and remembered, because it takes a moment that no call should wait for

    def place(
        self, server: Upstream, principal: Principal | None, credential: Credential | None, capabilities: bytes
    ) -> Place:
        declared = self._find(server)
        shared = declared.per == "server"
        whose = () if shared else who(principal)
        held = sha256(credential.value).digest() if credential is not None else b""
        offered = b"{}" if shared else capabilities
        return Place(
            key=(server.slug, whose, held, offered),
            whose=held if shared else person(principal),
            server=server.slug,
            make=lambda: Process(self._orders(declared, whose, credential)),
            credential=credential,
            capabilities=offered,
            idle=declared.idle,
            most=MOST,
            shared=shared,
            sleepy=True,
        )

    def _find(self, server: Upstream) -> DeclaredServer:
        if server.slug not in self._declared:
            raise _not_run("the operator's file does not declare it; give the same --config as to `ostiary up`")
        declared, digest = self._declared[server.slug]
        if server.command not in {"", digest}:  # empty only when it is read, for the review of it
            raise _not_run("its command is not the one that was approved; restart the gateway")
        if declared.sandbox == "required" and sandbox.trouble():
            raise _not_run(f"{sandbox.trouble()}, and without a sandbox it is not run; {sandbox.NEITHER}")
        return declared

    def _orders(self, declared: DeclaredServer, whose: tuple[object, ...], credential: Credential | None) -> Orders:
        given, problems = environment(declared)
        for problem in (*problems, *absent(declared)):
            raise _not_run(problem)
        hidden = list(secrets(declared, given))
        if credential is not None:
            given[_variable(declared)] = value = _bare(credential)
            hidden.append(value)
        directory = declared.directory or self._own_directory(declared, whose)
        sandboxed = declared.sandbox == "required"
        return Orders(
            server=declared.slug,
            plan=Plan(
                gateway=os.getpid(),
                command=list(declared.command),
                sandbox=sandbox.wrap(declared, directory) if sandboxed else [],
                passwd=sandbox.passwd(directory),
                directory=str(directory),
                memory=declared.memory,
                processes=declared.processes,
                files=declared.files,
            ),
            environment={**DEFAULTS, "HOME": str(directory), **given},
            secrets=tuple(hidden),
            line_most=self._line_most,
        )

    def _own_directory(self, declared: DeclaredServer, whose: tuple[object, ...]) -> Path:
        name = "shared" if declared.per == "server" else sha256(repr(whose).encode()).hexdigest()[:32]
        path = self._data / FOLDER / declared.slug / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


def _not_run(why: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(why, Trouble.PROCESS)


def _variable(declared: DeclaredServer) -> str:
    if not declared.credential:
        raise _not_run("it is known by a credential, and the operator's file names no variable to give it in")
    return declared.credential


def _bare(credential: Credential) -> str:
    """The value without the word that a header puts before it."""
    value = credential.value.decode("latin-1")
    scheme = next((one for one in SCHEMES if value.lower().startswith(one)), "")
    return value[len(scheme) :]
