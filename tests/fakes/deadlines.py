"""Waiting with a bound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


async def within(awaited: Awaitable[T], seconds: float) -> T:
    """What is awaited, or TimeoutError; a cancellation ends it, whatever comes at the same time."""
    async with asyncio.timeout(seconds):
        return await awaited
