"""What a server's process may see and reach: with bubblewrap, its own directory and the system's programs, and no more.

Nothing of the machine is there unless it is named here or in the operator's file: no other user's files, no data of
ours, no network, no other process (docs/decisions/0028).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.upstream.channels.declared import DeclaredServer

SHARED_MEMORY: Final = 64 * 1024 * 1024  # bytes that /tmp may hold, and /dev/shm
SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC: Final = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "mime.types"),
    *("ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki", "crypto-policies"),
)
APART: Final = ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
NETWORK: Final = ("resolv.conf", "hosts", "nsswitch.conf", "services", "protocols", "gai.conf", "host.conf")
TRIAL: Final = (*APART, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--")
NEITHER: Final = (
    "install bubblewrap (Debian: apt-get install bubblewrap) and see that user namespaces are allowed, or write "
    'sandbox = "off" where the program may do whatever the gateway may'
)


@cache
def program() -> str:
    """Where bubblewrap is; empty where it is not."""
    return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin") or ""


@cache
def trouble() -> str:
    """Why no sandbox can be had here; empty where it can. Tried once, with what a server's has."""
    if not program():
        return "bubblewrap is not installed"
    tried = [program(), *TRIAL, shutil.which("true", path="/usr/bin:/bin") or "/bin/true"]
    try:
        subprocess.run(tried, check=True, capture_output=True, timeout=30)  # noqa: S603  # ours
    except (OSError, subprocess.SubprocessError):
        return "bubblewrap is installed, but cannot make a sandbox: user namespaces are not allowed here"
    return "" if _options() else "bubblewrap does not say what it can do"


@cache
def _options() -> str:
    """What this version of it can do, in its own words."""
    told = subprocess.run([program(), "--help"], check=False, capture_output=True, text=True, timeout=30)  # noqa: S603  # ours
    return told.stdout + told.stderr


def wrap(declared: DeclaredServer, directory: Path) -> list[str]:
    """What is put before a server's command. `{info}`, `{block}` and `{passwd}` are for the keeper to fill in."""
    return [program(), *_apart(declared), *_system(), *_etc(declared), *_own(declared, directory), "--"]


def passwd(directory: Path) -> str:
    """The only user that there is inside."""
    return f"server:x:{os.getuid()}:{os.getgid()}::{directory}:/usr/sbin/nologin\n"


def _apart(declared: DeclaredServer) -> Iterator[str]:
    yield from (*APART, "--info-fd", "{info}", "--block-fd", "{block}")
    if "--disable-userns" in _options():
        yield "--disable-userns"
    if declared.network:
        yield "--share-net"


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            yield from ("--ro-bind", name, name)
    yield from ("--proc", "/proc", "--dev", "/dev")  # made read-only below: as root one could set the kernel's own
    for name in ("/tmp", "/dev/shm"):  # noqa: S108  # its own, inside
        yield from ("--size", str(SHARED_MEMORY)) if "--size" in _options() else ()
        yield from ("--tmpfs", name)


def _etc(declared: DeclaredServer) -> Iterator[str]:
    for name in (*ETC, *(NETWORK if declared.network else ())):
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--ro-bind-data", "{passwd}", "/etc/passwd")


def _own(declared: DeclaredServer, directory: Path) -> Iterator[str]:
    for path in declared.read:
        yield from ("--ro-bind", str(path), str(path))
    yield from ("--bind", str(directory), str(directory), "--chdir", str(directory))
    yield from ("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/")
