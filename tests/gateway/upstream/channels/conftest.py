from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.servers.channels import workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.fakes.servers.channels import Processes


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Callable[..., Processes]]:
    async with workers(tmp_path / "data") as make:
        yield make
