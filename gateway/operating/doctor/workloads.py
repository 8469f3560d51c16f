"""Whether what the platform says of us can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.credentials import Refused, Unanswered, platform
from gateway.operating.checks import Check, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.office import Office


def workloads(office: Office, now: float) -> Iterator[Check]:
    """A check for each token of the operator's file that no authorization server would take."""
    for one in office.settings.workload_tokens:
        try:
            platform.read(one, now)
        except (Refused, Unanswered) as unusable:
            remedy = f"see that the platform puts a JWT at {one.file} that the gateway may read, and replaces it"
            yield Check("workload token", State.RED, str(unusable), remedy)
