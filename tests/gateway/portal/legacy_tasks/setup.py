"""A door before a server that runs tasks, for clients of 2025-11-25."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any

from gateway.upstream import Answer
from registry.tables import Era
from tests.fakes.door import NOTES, Legacy, catalogue, entry, open_door, upstream

EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
TASKS_OF_BEFORE = {"tasks": {"requests": {"tools": {"call": {}}}}}
CALL = {"name": "notes_add", "arguments": {"text": "hi"}, "task": {}}
TIMES = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:01Z"}
STATE = {"taskId": "up-1", "status": "working", **TIMES, "ttlMs": 60000, "pollIntervalMs": 10}
FORM = {"method": "elicitation/create", "params": {"message": "Sure?", "requestedSchema": {"type": "object"}}}
RESULT = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}


class Server:
    """Begins a task with each call, of which it says what `state` holds; what it is told is in `heard`."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"resultType": "task", **STATE}
        self.state: dict[str, Any] = dict(STATE)
        self.coming: list[dict[str, Any]] = []  # what it says next, look by look
        self.heard: list[Any] = []

    async def __call__(self, server, asked, down) -> Answer:
        if asked.method == "tools/call":
            return Answer(result=json.dumps(self.answer).encode())
        if asked.method == "tasks/update":
            self.heard.append(json.loads(asked.params["inputResponses"]))
            self.state = {**STATE, "status": "completed", "result": RESULT}
        if asked.method == "tasks/cancel":
            self.state["status"] = "cancelled"
        if asked.method != "tasks/get":
            return Answer(result=b'{"resultType":"complete"}')
        if self.coming:
            self.state = self.coming.pop(0)
        return Answer(result=json.dumps({"resultType": "complete", **self.state}).encode())


@asynccontextmanager
async def door_with_tasks(tmp_path, era: Era = Era.MODERN, **settings: Any):
    """`notes` runs tasks, as its era has them, and `clock` none."""
    said = {"tools": {}, "extensions": {EXTENSION: {}}} if era is Era.MODERN else {"tools": {}, **TASKS_OF_BEFORE}
    entries = [*NOTES, entry("notes", "long", execution={"taskSupport": "required"})]
    entries.append(entry("clock", "slow", execution={"taskSupport": "optional"}))
    async with open_door(tmp_path, **settings) as door:
        servers = [upstream("notes", era, capabilities=said), upstream("clock", Era.LEGACY)]
        door.snapshots.turn(catalogue=catalogue(entries, servers))
        door.upstreams.script = Server()
        yield door


async def begin(client: Legacy, **more: Any) -> str:
    task = (await client.say("tools/call", {**CALL, **more})).json["result"]["task"]
    ident: str = task["taskId"]
    return ident
