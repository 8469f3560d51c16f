"""Installs what the tests against real servers need: Debian packages, as root with CI=true or after asking, and what
compiles against them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

# the program or file that shows that a package is there → the package
NEEDED = {
    "/usr/bin/chromium": "chromium",
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "/usr/bin/node": "nodejs",
    "/usr/bin/npm": "npm",
    "/usr/include/ldap.h": "libldap-dev",
    "/usr/include/sasl/sasl.h": "libsasl2-dev",
    "/usr/bin/gcc": "gcc",
    "/usr/sbin/slapd": "slapd",
    "/usr/sbin/samba": "samba-ad-dc",
    "/usr/sbin/smbd": "samba",
    "/usr/share/samba/setup/provision.ldif": "samba-ad-provision",
    "/usr/lib/*/samba/ldb/samba_dsdb.so": "samba-dsdb-modules",
    "/usr/lib/*/samba/vfs/acl_xattr.so": "samba-vfs-modules",
    "/usr/sbin/winbindd": "winbind",
    "/usr/bin/unshare": "util-linux",
    "/usr/bin/bwrap": "bubblewrap",
    "/usr/bin/git": "git",
    "/usr/bin/python3": "python3-minimal",
    "/usr/sbin/ip": "iproute2",
    "/usr/bin/xmlsec1": "xmlsec1",
    "/usr/bin/php": "php-cli",
    "/usr/lib/php/20220829/dom.so": "php-xml",
    "/usr/lib/php/20220829/pdo_sqlite.so": "php-sqlite3",
    "/usr/share/simplesamlphp/www/index.php": "simplesamlphp",
}


# A new machine may still be busy with updates of its own; what does not come is asked for again.
APT = (
    "apt-get",
    "-o=DPkg::Lock::Timeout=300",
    "-o=Acquire::Retries=3",
    "-o=Acquire::http::Timeout=60",
    "-o=Acquire::https::Timeout=60",
)
DEADLINE = 1200.0  # seconds for one command


def missing() -> list[str]:
    """The packages whose program is neither at its place nor on the path."""
    return [
        package
        for program, package in NEEDED.items()
        if not any(Path("/").glob(program[1:])) and shutil.which(Path(program).name) is None
    ]


LOCKED = Path(__file__).parents[2] / "requirements/ldap.txt"


def main() -> None:
    packages = missing()
    if packages:
        _install(packages)
    _compile()


def _compile() -> None:
    """python-ldap has no wheel; `make test` needs neither it nor a compiler. Its tools are those of the lock."""
    if importlib.util.find_spec("ldap") is None:
        flags = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--no-build-isolation")
        _run([sys.executable, "-m", "pip", "install", *flags, "-r", str(LOCKED)])


def _install(packages: list[str]) -> None:
    command = [*APT, "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0:
        sys.exit(f"these Debian packages are needed: {' '.join(packages)}\nrun as root: {' '.join(command)}")
    if os.environ.get("CI") != "true" and not _agreed(packages):
        sys.exit("nothing was installed")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with NoDaemons():
        _run([*APT, "update", "-qq"], env=environment)
        _run(command, env=environment, stdout=subprocess.DEVNULL)
    if missing():
        sys.exit(f"still missing after the installation: {' '.join(missing())}")


def _run(command: list[str], **popen: Any) -> None:
    """It asks nobody anything, and ends."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=DEADLINE, **popen)


def _agreed(packages: list[str]) -> bool:
    return sys.stdin.isatty() and input(f"install {' '.join(packages)}? [y/N] ").strip().lower() == "y"


class NoDaemons:
    """Keeps the packages from starting their services while they are installed; puts back what was there."""

    policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self.before = self.policy.read_bytes() if self.policy.exists() else None
        self.policy.write_text("#!/bin/sh\nexit 101\n")
        self.policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            self.policy.unlink()
        else:
            self.policy.write_bytes(self.before)


if __name__ == "__main__":
    main()
