"""T-53: what was said on a stream that was lost is said again to whom it was said, and to nobody else."""

from __future__ import annotations

from tests.fakes.door import Legacy, Line, open_door
from tests.gateway.portal.legacy.test_trails import Work, come_back, lost


async def test_t_53_a_stream_is_resumed_in_its_own_session_by_its_own_principal_only(tmp_path) -> None:
    work = Work()
    async with (
        open_door(tmp_path) as door,
        Legacy(door) as mine,
        Legacy(door, "reader") as theirs,
        Legacy(door, path="/servers/notes/mcp") as elsewhere,
        Line(door) as line,
    ):
        last = await lost(door, mine, work)
        work.gate.set()
        await work.done.wait()
        assert (await come_back(line, theirs, last)).status == 400  # their session, my stream
        stolen = [*theirs.headers[:1], *mine.headers[1:], ("Last-Event-ID", last)]
        assert (await line.ask("GET", "/mcp", stolen)).status == 404  # my session, their token
        other = [*elsewhere.headers, ("Last-Event-ID", last)]
        assert (await line.ask("GET", "/servers/notes/mcp", other)).status == 400  # my other session
        nobody = [*mine.headers[1:], ("Last-Event-ID", last)]
        assert (await line.ask("GET", "/mcp", nobody)).status == 401
        assert (await come_back(line, mine, last)).events[-1]["result"] == {"content": []}


async def test_t_53_who_was_cut_off_meanwhile_gets_nothing_more(tmp_path) -> None:
    from authz.tokens.cutoffs import Cut, CutOffs

    work = Work()
    async with open_door(tmp_path) as door, Legacy(door) as client, Line(door) as line:
        last = await lost(door, client, work)
        work.gate.set()
        await work.done.wait()
        door.snapshots.turn(cutoffs=CutOffs({(Cut.PERSON, "editor"): 1e12}))
        assert (await come_back(line, client, last)).status == 401
