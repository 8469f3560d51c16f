"""A small notebook as an MCP server: an example of everything that a server can offer.

    python notes.py --port 8101 [--file notes.json]

It speaks the protocol revision 2026-07-28 (and, thanks to the SDK, the older ones). It has tools that read and tools
that write, one that asks before it acts, one that takes its time and says how far it is, a resource, a resource
template, and prompts whose arguments complete themselves. It knows nothing of accounts: who may call what is decided
at the gateway in front of it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve, UserMessage
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import Completion, ToolAnnotations
from pydantic import BaseModel, Field
from serving import options, serve

if TYPE_CHECKING:
    from mcp_types import CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
DELETES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
TONES = ("neutral", "formal", "friendly", "brief")


@dataclass
class Note:
    """One note; `id` never changes, not even when its title does."""

    id: str
    title: str
    text: str


def first_notes() -> dict[str, Note]:
    """What a new notebook holds, so that the first call has something to find."""
    notes = (
        Note("n1", "Welcome", "This notebook is an example. Ask your assistant to add a note, then to delete it."),
        Note("n2", "Door code", "The spare key is with the caretaker on the ground floor."),
        Note("n3", "Release plan", "Freeze on Tuesday, review on Wednesday, release on Thursday."),
    )
    return {note.id: note for note in notes}


@dataclass
class Notebook:
    """All notes, in memory, and in a file if one is given."""

    file: Path | None = None
    notes: dict[str, Note] = field(default_factory=first_notes)

    def open(self, file: Path) -> None:
        """Keep the notes in `file` from now on, beginning with those that are there."""
        self.file = file
        if file.exists():
            self.notes = {entry["id"]: Note(**entry) for entry in json.loads(file.read_text())}

    def find(self, note_id: str) -> Note:
        if note_id not in self.notes:
            raise ToolError(f"There is no note {note_id!r}. The tool `list` gives the ids that exist.")
        return self.notes[note_id]

    def put(self, note: Note) -> Note:
        self.notes[note.id] = note
        self._save()
        return note

    def remove(self, note_id: str) -> None:
        self.notes.pop(note_id, None)
        self._save()

    def next_id(self) -> str:
        return f"n{1 + max((int(note_id[1:]) for note_id in self.notes), default=0)}"

    def _save(self) -> None:
        if self.file is None:
            return
        # Written beside and moved over: a reader never finds half a notebook.
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps([asdict(note) for note in self.notes.values()], indent=1))
        beside.replace(self.file)


class Heading(BaseModel):
    """A note without its text, as lists show it."""

    id: str
    title: str


class Headings(BaseModel):
    notes: list[Heading]


book = Notebook()
server = MCPServer(
    "notes",
    title="Notebook",
    version="1.0.0",
    log_level="WARNING",
    instructions="A shared notebook. Look for notes with `search`, then `read` the one you want by its id.",
)


def _headings(notes: list[Note]) -> Headings:
    return Headings(notes=[Heading(id=note.id, title=note.title) for note in notes])


# --- tools that read


@server.tool("list", title="List notes", annotations=READS)
async def list_notes() -> Headings:
    """List every note with its id and title."""
    return _headings(list(book.notes.values()))


@server.tool("search", title="Search notes", annotations=READS)
async def search(query: Annotated[str, Field(min_length=1, max_length=200)]) -> Headings:
    """Find the notes whose title or text contains the words of `query`, in any case."""
    wanted = query.casefold()
    return _headings([note for note in book.notes.values() if wanted in f"{note.title}\n{note.text}".casefold()])


@server.tool("read", title="Read a note", annotations=READS)
async def read(note_id: str) -> Note:
    """Read one note in full."""
    return book.find(note_id)


# --- tools that write


@server.tool("add", title="Add a note", annotations=WRITES)
async def add(
    title: Annotated[str, Field(min_length=1, max_length=120)],
    text: Annotated[str, Field(max_length=20_000)] = "",
) -> Note:
    """Write a new note; the answer has its id."""
    return book.put(Note(book.next_id(), title, text))


@server.tool("update", title="Change a note", annotations=WRITES)
async def update(note_id: str, text: Annotated[str, Field(max_length=20_000)]) -> Note:
    """Replace the text of a note. Its id and title stay."""
    return book.put(Note(note_id, book.find(note_id).title, text))


# --- a tool that asks before it acts


class Confirmation(BaseModel):
    """What the person is asked; a form of one field."""

    confirm: bool = Field(title="Delete it", description="A deleted note cannot be brought back.")


async def ask_first(note_id: str) -> Elicit[Confirmation]:
    """Put the question to the person.

    A client of 2026-07-28 gets it as the `input_required` answer of the call and calls again with the reply; an older
    one is asked while the call waits. The SDK does either, and seals what must survive the round trip.
    """
    return Elicit(f"Delete the note {book.find(note_id).title!r} for good?", Confirmation)


@server.tool("delete", title="Delete a note", annotations=DELETES)
async def delete(note_id: str, answer: Annotated[ElicitationResult[Confirmation], Resolve(ask_first)]) -> str:
    """Delete a note for good, after the person has confirmed it."""
    note = book.find(note_id)
    if not isinstance(answer, AcceptedElicitation) or not answer.data.confirm:
        return f"The note {note.title!r} was kept: the person did not confirm."
    book.remove(note_id)
    return f"The note {note.title!r} is deleted."


# --- a tool that takes its time


@server.tool("reindex", title="Rebuild the index", annotations=READS)
async def reindex(
    context: Context,
    steps: Annotated[int, Field(ge=1, le=100)] = 5,
    pause: Annotated[float, Field(ge=0, le=2, description="seconds between two steps")] = 0.2,
) -> str:
    """Go through all notes in `steps` steps and report progress after each one."""
    for step in range(1, steps + 1):
        await asyncio.sleep(pause)
        await context.report_progress(step, steps, f"step {step} of {steps}")
    return f"Indexed {len(book.notes)} notes in {steps} steps."


# --- resources


@server.resource("notes://index", name="index", title="All notes", mime_type="application/json")
def index() -> str:
    """The ids and titles of all notes."""
    return _headings(list(book.notes.values())).model_dump_json()


@server.resource("notes://note/{note_id}", name="note", title="One note", mime_type="text/plain")
def note_text(note_id: str) -> str:
    """The text of one note."""
    note = book.notes.get(note_id)
    if note is None:
        raise ResourceNotFoundError(f"There is no note {note_id!r}.")
    return f"{note.title}\n\n{note.text}"


# --- prompts, and what completes their arguments


@server.prompt("summarise", title="Summarise a note")
def summarise(note_id: str, tone: str = "neutral") -> list[UserMessage]:
    """Ask for a summary of one note in a tone of your choice."""
    return [UserMessage(f"Read the note {note_id} with the tool `read` and summarise it. Tone: {tone}.")]


@server.prompt("tidy", title="Tidy the notebook")
def tidy() -> list[UserMessage]:
    """Ask for proposals which notes to merge or delete."""
    return [UserMessage("Look through all notes and propose which to merge and which to delete. Change nothing yet.")]


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
async def complete(
    _ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, _context: CompletionContext | None
) -> Completion | None:
    """Offer the ids that exist and the tones we know."""
    known = {"note_id": tuple(book.notes), "tone": TONES}.get(argument.name, ())
    return Completion(values=[value for value in known if value.startswith(argument.value)][:100])


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--file", type=Path, help="JSON file that keeps the notes; without it they end with the server")
    chosen = parser.parse_args()
    if chosen.file:
        book.open(chosen.file)
    serve(server.streamable_http_app(host=chosen.host), chosen.host, chosen.port, chosen.parent)


if __name__ == "__main__":
    main()
