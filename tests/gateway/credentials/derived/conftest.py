from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.credentials.derived.bench import Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made
