"""Samba as an Active Directory domain controller, in a network namespace of its own: its ports cannot be chosen.

Needs root, and leaves /etc alone. Connections to a port of ours on loopback are carried into the namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.fakes.network.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SAMBA = Path("/usr/sbin/samba")
BASE = "DC=ad,DC=lab,DC=test"
PEOPLE = f"CN=Users,{BASE}"
ADMIN, ADMIN_PASSWORD = "Administrator@ad.lab.test", "Passw0rd!adm"
READER, READER_PASSWORD = f"CN=reader,{PEOPLE}", "canary-7f3a9-Reader"
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
PROVISION = (
    "--realm=AD.LAB.TEST", "--domain=ADLAB", "--server-role=dc", "--dns-backend=NONE", "--host-name=dc1",
    "--host-ip=127.0.0.1", "--option=interfaces=lo", "--option=bind interfaces only=yes",
    "--option=server services=ldap",
)  # fmt: skip
LOCKOUT = ("--account-lockout-threshold=3", "--account-lockout-duration=1", "--reset-account-lockout-after=1")
NORMAL, DISABLED = 512, 514  # userAccountControl


@dataclass(frozen=True)
class Samba:
    """`url` is StartTLS, `secure_url` LDAPS; `ca_file` is to be trusted."""

    url: str
    secure_url: str
    ca_file: Path

    def connected(self) -> Any:
        """As the administrator, through python-ldap itself."""
        import ldap

        connection = ldap.initialize(self.secure_url)
        for option, value in (
            (ldap.OPT_REFERRALS, 0),
            (ldap.OPT_X_TLS_CACERTFILE, str(self.ca_file)),
            (ldap.OPT_X_TLS_NEWCTX, 0),
        ):
            connection.set_option(option, value)
        connection.simple_bind_s(ADMIN, ADMIN_PASSWORD)
        return connection

    def add(self, dn: str, **attributes: str | bytes | Sequence[str]) -> str:
        connection = self.connected()
        connection.add_s(dn, [(name, _bytes(values)) for name, values in attributes.items()])
        connection.unbind_s()
        return dn

    def set(self, dn: str, **attributes: str | bytes | Sequence[str]) -> None:
        import ldap

        connection = self.connected()
        connection.modify_s(dn, [(ldap.MOD_REPLACE, name, _bytes(values)) for name, values in attributes.items()])
        connection.unbind_s()

    def delete(self, dn: str) -> None:
        connection = self.connected()
        connection.delete_s(dn)
        connection.unbind_s()

    def person(self, name: str, password: str, control: int = NORMAL, **more: str) -> str:
        said = {"sAMAccountName": name, "userPrincipalName": f"{name}@ad.lab.test", "displayName": name.title(), **more}
        return self.add(
            f"CN={name},{PEOPLE}",
            objectClass="user",
            unicodePwd=f'"{password}"'.encode("utf-16-le"),
            userAccountControl=str(control),
            **said,
        )

    def group(self, name: str, *members: str) -> str:
        return self.add(f"CN={name},{PEOPLE}", objectClass="group", sAMAccountName=name, member=members)


@contextmanager
def samba() -> Iterator[Samba]:
    """A new domain with the reader in it. Fails where there is no Samba, or no root to start it."""
    if not SAMBA.exists() or os.geteuid() != 0:
        pytest.fail("Samba's domain controller has to be installed (Debian: samba-ad-dc) and needs root")
    place = Path(tempfile.mkdtemp(prefix="ostiary-samba-", dir="/tmp"))
    try:
        yield from _served(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _served(place: Path) -> Iterator[Samba]:
    authority = Authority(place)
    certified = authority.certify("127.0.0.1")
    domain = place / "domain"
    _provisioned(place, domain)
    options = (
        f"--option=tls keyfile={certified.key}", f"--option=tls certfile={certified.certificate}",
        f"--option=tls cafile={authority.certificate}", f"--option=pid directory={place}",
        "--option=ldap server require strong auth=yes",
    )  # fmt: skip
    command = [str(SAMBA), "-s", str(domain / "etc/smb.conf"), "-F", "--no-process-group", "-M", "single", *options]
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(alone, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        with ExitStack() as stack:
            yield _reachable(stack, process, authority)
    finally:
        process.terminate()
        process.wait(60)


def _provisioned(place: Path, domain: Path) -> None:
    """With a configuration file of our own in the place of /etc/samba/smb.conf, which would be in the way."""
    empty = place / "empty.conf"
    empty.touch()
    commands = (
        ["domain", "provision", f"--adminpass={ADMIN_PASSWORD}", f"--targetdir={domain}", *PROVISION],
        ["domain", "passwordsettings", "set", *LOCKOUT, "-s", str(domain / "etc/smb.conf")],
    )
    for command in commands:
        done = subprocess.run(
            ["samba-tool", *command],
            env=os.environ | {"SMB_CONF_PATH": str(empty)},
            check=False,
            timeout=120,
            capture_output=True,
        )
        if done.returncode != 0:
            pytest.fail(f"samba-tool {command[1]}: {done.stderr.decode(errors='replace')[-2000:]}")


def _reachable(stack: ExitStack, process: subprocess.Popen[bytes], authority: Authority) -> Samba:
    plain, secure = (stack.enter_context(_Carrier(process.pid, port)) for port in (389, 636))
    server = Samba(f"ldap://127.0.0.1:{plain.port}", f"ldaps://127.0.0.1:{secure.port}", authority.certificate)
    _wait_until_it_answers(server, process)
    server.person("reader", READER_PASSWORD)
    return server


def _wait_until_it_answers(server: Samba, process: subprocess.Popen[bytes]) -> None:
    import time

    import ldap

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.connected().unbind_s()
        except ldap.LDAPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("Samba did not come up")


class _Carrier:
    """Listens on loopback here and connects there, in the namespace of another process."""

    def __init__(self, pid: int, port: int) -> None:
        self._pid = pid
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, self._connected() as server:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()

    def _connected(self) -> socket.socket:
        """A namespace belongs to a thread, and this thread serves one connection."""
        with Path(f"/proc/{self._pid}/ns/net").open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_connection(("127.0.0.1", self._target), 5)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _bytes(values: str | bytes | Sequence[str]) -> list[bytes]:
    if isinstance(values, bytes):
        return [values]
    return [value.encode() for value in ([values] if isinstance(values, str) else values)]
