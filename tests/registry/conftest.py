"""A registry of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registry.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = Shelf(tmp_path)
    yield opened
    opened.database.close()
