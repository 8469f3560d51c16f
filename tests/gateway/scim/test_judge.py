"""The independent checker of the SCIM community, against a whole gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

if TYPE_CHECKING:
    from tests.gateway.scim.conftest import Client


def test_scim2_tester_finds_nothing_wrong(corp: Client) -> None:
    http = httpx2.Client(
        base_url=f"{corp.house.base}/scim/v2", headers={"authorization": f"Bearer {corp.token}"}, trust_env=False
    )
    with http:
        results = check_server(SyncSCIMClient(http))

    wrong = [
        f"{result.title}: {result.reason}" for result in results if result.status in {Status.ERROR, Status.CRITICAL}
    ]
    assert wrong == []
    assert len([result for result in results if result.status is Status.SUCCESS]) > 80
