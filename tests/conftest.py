"""`pytest --postgresql` runs the same tests on PostgreSQL: every data directory has a database of its own there."""

from __future__ import annotations

import os
import ssl
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import registry.database
import registry.schema
from tests.fakes import fresh, hashing
from tests.servers import on_postgresql
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.oauth.house import House
    from tests.gateway.oauth.market import Market
    from tests.gateway.pages.desk import Desk
    from tests.registry.shelf import Shelf

# A busy machine is no fault of what is tested. In `.ci/run`, the same is tried each time: new finds are for developers.
SAME = settings().derandomize or "CI_RUN" in os.environ
settings.register_profile(
    "unhurried", settings(derandomize=SAME), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

AUTHORITIES = "SSL_CERT_FILE"
_GIVEN = os.environ.get(AUTHORITIES)
_trust_all = ssl.SSLContext.set_default_verify_paths
SERVER = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgresql", action="store_true", help="what would be SQLite is PostgreSQL")


def pytest_configure(config: pytest.Config) -> None:
    """`sqlite_url` gives the URL of a database on the server instead."""
    registry.schema._upgrade = fresh.upgrade
    hashing.quicken()
    ssl.SSLContext.set_default_verify_paths = _trust_whom_a_test_names  # type: ignore[method-assign, assignment]
    if not config.getoption("--postgresql"):
        return
    if on_postgresql.server() is None:  # in a worker of xdist, the environment names the server already
        config.stash[SERVER] = ExitStack()
        on_postgresql.use(config.stash[SERVER].enter_context(postgresql()))
    _replace_everywhere(registry.database.sqlite_url, on_postgresql.url_for)
    # a test that forgets to close a file's connection forgets one to the server
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")


def _trust_whom_a_test_names(context: ssl.SSLContext) -> None:
    """No server here has a certificate of a public authority; reading them all takes long, a thousand times."""
    if os.environ.get(AUTHORITIES) != _GIVEN:
        _trust_all(context)


def _replace_everywhere(before: object, after: object) -> None:
    """Also where the name is bound already: the conftest of a folder that is named is imported before we are asked."""
    for module in list(sys.modules.values()):
        for name in [name for name, value in vars(module).items() if value is before]:
            setattr(module, name, after)


def pytest_unconfigure(config: pytest.Config) -> None:
    on_postgresql.leave()
    if SERVER in config.stash:
        config.stash[SERVER].close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--postgresql"):
        items[:] = [item for item in items if on_postgresql.concerns(item)]
        skip = pytest.mark.skip(reason="about SQLite itself")
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(skip)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What a test kept in a folder of its own is over with it."""
    place = getattr(item, "funcargs", {}).get("tmp_path")
    if place is not None:
        on_postgresql.let_go(place)


@pytest.fixture(autouse=True, scope="module")
def _no_connection_is_left_behind() -> Iterator[None]:
    """The databases of a module go with it; there would soon be hundreds."""
    yield
    on_postgresql.let_go()


# What many tests of several folders begin with. Folders have further ones of their own.


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway with its authorization server, its pages and a portal."""
    from tests.gateway.oauth.house import House

    with House(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """The same with tools, rules and agents."""
    from tests.gateway.oauth.market import Market

    with Market(tmp_path_factory.mktemp("market")) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """The pages alone, and browsers."""
    from tests.gateway.pages.desk import open_desk

    opened = open_desk(tmp_path)
    yield opened
    opened.office.close()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """The registry alone."""
    from tests.registry.shelf import Shelf

    opened = Shelf(tmp_path)
    yield opened
    opened.database.close()
