"""What tests of calls by plans share."""

from __future__ import annotations

import pytest

from gateway.portal.calls import plans


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[plans.Known]:
    """The calls that went by a plan."""
    seen: list[plans.Known] = []
    plain = plans.Known.begin

    def noting(self: plans.Known) -> bool:
        seen.append(self)
        return plain(self)

    monkeypatch.setattr(plans.Known, "begin", noting)
    return seen
