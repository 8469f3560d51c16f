from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for the tests of a file; each test brings people and clients of its own."""
    with House(tmp_path_factory.mktemp("house")) as opened:
        yield opened
