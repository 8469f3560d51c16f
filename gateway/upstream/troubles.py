"""What can be wrong with a server, each under one word, and what to do about it (more of that in `remedies`): for
status, health, metrics, records.

An error that a caller sees is a sentence of ours (`UpstreamError`); its word says to an operator what kind it is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Trouble(StrEnum):
    """The class of an error. Words, because they are read on terminals and counted in metrics."""

    UNREACHABLE = "unreachable"
    NAME = "name"
    ADDRESS = "address"
    TLS = "tls"
    SLOW = "slow"
    LOST = "lost"
    FAILING = "failing"
    REFUSED = "refused"
    PROTOCOL = "protocol"
    TOO_LARGE = "too-large"
    BUSY = "busy"
    FULL = "full"
    LEFT_ALONE = "left-alone"
    CREDENTIAL = "credential"
    NOT_CONNECTED = "not-connected"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a word says, and what an operator does about it; `{slug}` stands for the server."""

    what: str
    remedy: str
    ours: bool = False  # it says nothing about how well the server is


MEANINGS: Final[Mapping[Trouble, Meaning]] = {
    Trouble.UNREACHABLE: Meaning(
        "no connection to it can be made",
        "see that it runs and listens at its address, and that nothing between it and this machine is in the way",
    ),
    Trouble.NAME: Meaning(
        "its name cannot be resolved", "see that the name is right, and that this machine's resolver knows it"
    ),
    Trouble.ADDRESS: Meaning(
        "its address is refused by the rules",
        "if it is right, add the line `scheme://host:port` to allow_addresses, or register it with --allow-address",
    ),
    Trouble.TLS: Meaning(
        "TLS with it does not come about",
        "see its certificate, and ours if it wants one: `ostiary server tls {slug}` sets --ca, --cert and --key",
    ),
    Trouble.SLOW: Meaning(
        "it does not answer in time",
        "look at its load and at the way there; `ostiary server limits {slug} --deadline SECONDS` gives it longer",
    ),
    Trouble.LOST: Meaning(
        "it closes the connection before it has answered",
        "look at its log: for crashes, for a certificate of ours that it misses (`ostiary server tls {slug}`); and at "
        "proxies before it that cut connections",
    ),
    Trouble.FAILING: Meaning("it answers with a failure of its own (HTTP 5xx)", "look at its log; ask its owner"),
    Trouble.REFUSED: Meaning(
        "it refuses what it was asked over HTTP", "see that the path of its address is right; ask its owner", ours=True
    ),
    Trouble.PROTOCOL: Meaning(
        "what it answers is no answer in the protocol", "see that its address leads to an MCP server; ask its owner"
    ),
    Trouble.TOO_LARGE: Meaning(
        "its answers are larger than may be held",
        "have it answer in pages, or raise answer_limit in the settings",
        ours=True,
    ),
    Trouble.BUSY: Meaning("it asks to be left alone for a while", "give it time, or give it more room", ours=True),
    Trouble.FULL: Meaning(
        "as many calls to it are under way as may be at once",
        "`ostiary server limits {slug} --at-once N` admits more, if it bears them",
        ours=True,
    ),
    Trouble.LEFT_ALONE: Meaning(
        "it failed many times in a row and is left alone for a while",
        "mend what `ostiary server status {slug}` names; it is asked again by itself",
        ours=True,
    ),
    Trouble.CREDENTIAL: Meaning(
        "it does not accept what is kept to authenticate with",
        "`ostiary server credential {slug}` sets it anew; `ostiary connection list` shows connected accounts",
        ours=True,
    ),
    Trouble.NOT_CONNECTED: Meaning(
        "no account is connected where one is needed",
        "connect it on the page /connect/{slug}; `ostiary connection list --server {slug}` shows which there are",
        ours=True,
    ),
    Trouble.PROCESS: Meaning(
        "its process does not start or does not stay",
        "see its lines in the log, and its command and what it may read in the operator's file",
    ),
}

# It answers, only not to us as we read what it offers: people's calls may go on, and nobody sees what changes there.
UNREAD: Final = frozenset({Trouble.NOT_CONNECTED, Trouble.CREDENTIAL})
