"""One server of each kind for all tests of directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.samba import samba
from tests.servers.slapd import slapd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.samba import Samba
    from tests.servers.slapd import Slapd


@pytest.fixture(scope="package")
def openldap() -> Iterator[Slapd]:
    with slapd() as server:
        yield server


@pytest.fixture(scope="package")
def domain() -> Iterator[Samba]:
    with samba() as server:
        yield server
