"""OpenLDAP's server as an ordinary process: a private directory, loopback, free ports, a certificate of our own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.network.certificates import Authority
from tests.fakes.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SLAPD = Path("/usr/sbin/slapd")
BASE = "dc=lab,dc=test"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "adminpw"
READER, READER_PASSWORD = f"cn=reader,{BASE}", "canary-7f3a9-reader"

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile {place}/pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
security simple_bind=128
sizelimit size.soft=5 size.hard=500 size.prtotal=unlimited
access to attrs=userPassword by self write by anonymous auth by * none
access to * by dn.exact="{reader}" read by self read by * none
database mdb
maxsize 104857600
suffix {base}
rootdn {admin}
rootpw {admin_password}
directory {place}/db
overlay memberof
memberof-group-oc groupOfNames
memberof-member-ad member
memberof-memberof-ad memberOf
overlay ppolicy
ppolicy_default cn=default,ou=policies,{base}
ppolicy_use_lockout
"""


@dataclass(frozen=True)
class Slapd:
    """`url` is StartTLS, `secure_url` LDAPS; `ca_file` is to be trusted."""

    url: str
    secure_url: str
    ca_file: Path

    def connected(self) -> Any:
        """As the administrator, through python-ldap itself."""
        import ldap

        connection = ldap.initialize(self.secure_url)
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.ca_file))
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        connection.simple_bind_s(ADMIN, ADMIN_PASSWORD)
        return connection

    def add(self, dn: str, **attributes: str | Sequence[str]) -> str:
        entry = [(name, [value.encode() for value in _many(values)]) for name, values in attributes.items()]
        connection = self.connected()
        connection.add_s(dn, entry)
        connection.unbind_s()
        return dn

    def set(self, dn: str, **attributes: str | Sequence[str]) -> None:
        import ldap

        changes = [
            (ldap.MOD_REPLACE, name, [value.encode() for value in _many(values)] or None)
            for name, values in attributes.items()
        ]
        connection = self.connected()
        connection.modify_s(dn, changes)
        connection.unbind_s()

    def delete(self, dn: str) -> None:
        connection = self.connected()
        connection.delete_s(dn)
        connection.unbind_s()

    def person(self, uid: str, password: str, **more: str | Sequence[str]) -> str:
        from ldap.dn import escape_dn_chars

        said: Mapping[str, str | Sequence[str]] = {"cn": uid.title(), "sn": uid, "mail": f"{uid}@lab.test", **more}
        dn = f"uid={escape_dn_chars(uid)},ou=people,{BASE}"
        return self.add(dn, objectClass="inetOrgPerson", uid=uid, userPassword=password, **said)

    def group(self, dn: str, *members: str) -> str:
        return self.add(dn, objectClass="groupOfNames", member=members)


@contextmanager
def slapd() -> Iterator[Slapd]:
    """With the tree, the reader and the password policy, and nobody in it. Fails where there is no slapd."""
    if not SLAPD.exists():
        pytest.fail("slapd is not installed (Debian: slapd)")
    place = Path(tempfile.mkdtemp(prefix="ostiary-slapd-", dir="/tmp"))
    try:
        yield from _served(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _served(place: Path) -> Iterator[Slapd]:
    authority = Authority(place)
    certified = authority.certify("127.0.0.1")
    (place / "db").mkdir()
    (place / "slapd.conf").write_text(CONFIG.format(
        place=place, ca=authority.certificate, certificate=certified.certificate, key=certified.key, base=BASE,
        reader=READER, admin=ADMIN, admin_password=ADMIN_PASSWORD,
    ))  # fmt: skip
    plain, secure = free_port(), free_port()
    urls = f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{secure}"
    with (place / "log").open("wb") as log:
        command = [str(SLAPD), "-h", urls, "-f", str(place / "slapd.conf"), "-d", "none"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(secure, process, place / "log")
        server = Slapd(f"ldap://127.0.0.1:{plain}", f"ldaps://127.0.0.1:{secure}", authority.certificate)
        _planted(server)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _planted(server: Slapd) -> None:
    server.add(BASE, objectClass=["dcObject", "organization"], dc="lab", o="Lab")
    for unit in ("people", "groups", "policies"):
        server.add(f"ou={unit},{BASE}", objectClass="organizationalUnit", ou=unit)
    server.add(
        READER, objectClass=["organizationalRole", "simpleSecurityObject"], cn="reader", userPassword=READER_PASSWORD
    )
    policy(server, "default", pwdMaxFailure="3", pwdLockout="TRUE", pwdLockoutDuration="2", pwdMustChange="TRUE")
    policy(server, "short", pwdMaxAge="1")


def policy(server: Slapd, name: str, **more: str) -> str:
    classes = ["device", "pwdPolicy"]
    dn = f"cn={name},ou=policies,{BASE}"
    return server.add(dn, objectClass=classes, cn=name, pwdAttribute="userPassword", **more)


def _many(values: str | Sequence[str]) -> Sequence[str]:
    return [values] if isinstance(values, str) else values


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"{process.args!r} did not come up: {log.read_text(errors='replace')[-2000:]}")
