from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake() -> Iterator[Upstream]:
    with serving(Upstream()) as made:
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Upstream) -> Iterator[Settled]:
    with settled(tmp_path, fake.origin) as made:
        yield made
