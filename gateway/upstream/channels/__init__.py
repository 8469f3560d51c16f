"""Servers that are reached over a channel: one way for messages to and one fro, on which all asks share.

A process of ours (stdio) and HTTP+SSE of 2024-11-05 are such. What answers what is told by our ids alone, so a channel
never serves two people unless the operator's file says that they may share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.egress.reply import Terms
    from gateway.upstream import UpstreamError
    from registry.catalogue import Credential


class Hearer(Protocol):
    """Whoever hears what comes on a wire."""

    def heard(self, data: bytes) -> None:
        """One message, not looked into yet."""

    def ended(self, fault: UpstreamError) -> None:
        """Nothing more will come, or go."""


class Wire(Protocol):
    """What carries messages. It is opened once and closed once."""

    async def open(self, hearer: Hearer) -> None:
        """Raises UpstreamError; then nothing is left of it."""

    async def send(self, body: bytes, terms: Terms) -> None:
        """Raises UpstreamError."""

    def use(self, credential: Credential | None) -> None:
        """The credential for what is sent from now on, of the same account."""

    async def close(self) -> None:
        """Ends what is at the other side as well, as far as that is ours to end."""
