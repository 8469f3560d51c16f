"""P-1: a subscription carries a caller's words to a server as a call does, so it is on record before it leaves."""

from __future__ import annotations

from tests.fakes.door import Legacy, Line, modern, open_door

ASKED = ["note://secret", "note://hidden/x", "other://x"]


async def test_p_1_what_somebody_follows_is_on_record_and_so_is_what_they_may_not(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        wish = {"notifications": {"resourceSubscriptions": ASKED}}
        await line.send("POST", "/mcp", *modern(door.token(), "subscriptions/listen", wish))
        assert (await line.head()).status == 200
        (record,) = door.records("subscription")
        assert (record["who"], record["resources"]) == ("user:editor", ["note://secret"])
        assert [each["object"] for each in door.records("call.refused")] == ASKED[1:]


async def test_p_1_a_legacy_subscription_is_on_record(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as line:
        assert "result" in (await line.say("resources/subscribe", {"uri": "note://secret"})).json
        assert [each["resources"] for each in door.records("subscription")] == [["note://secret"]]


async def test_p_1_a_legacy_subscription_to_what_is_not_visible_is_refused_on_record(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, "reader") as line:
        assert "error" in (await line.say("resources/subscribe", {"uri": "note://secret"})).json
        (record,) = door.records("call.refused")
        assert (record["who"], record["reason"]) == ("user:reader", "invisible")
