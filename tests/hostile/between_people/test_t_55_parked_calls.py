"""T-55: a call that was parked at a question goes on with the answers of whoever made it, and of nobody else."""

from __future__ import annotations

import json

import pytest

from registry.tables import Era
from tests.fakes.servers.raw import principal, raw_server
from tests.gateway.upstream.conftest import caller, make_servers
from tests.gateway.upstream.legacy.test_legacy_servers import asking_back
from tests.gateway.upstream.legacy.test_parking import again, first

__all__ = ["caller", "make_servers"]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_t_55_somebody_elses_state_leads_to_no_call(make_servers, caller, where: str) -> None:
    one, other = make_servers(), make_servers()
    async with raw_server(asking_back("elicitation/create", message="Delete it?")) as server:
        upstream = server.upstream(Era.LEGACY)
        asked = await first(one, upstream, caller)
        process = one if where == "here" else other
        for who in (principal("mallory"), principal("a", actor=principal("robot"))):
            answer = await process.send(upstream, again(asked, principal=who), caller, None)
            assert json.loads(answer.error)["code"] == -32602
        done = json.loads((await process.send(upstream, again(asked), caller, None)).result)
        assert done["said"]["result"]["action"] == "accept"
