"""The tables of the registry, of the rendezvous and of the journal's index. They are imported from here.

`table=True` models do not validate: what enters is checked before it gets here. Times are seconds since the epoch.
"""

from registry.tables.connections import Connection, ConnectionState, Notice, PendingConnect, UpstreamClient
from registry.tables.journal import JournalBlock, JournalName, Segment
from registry.tables.meeting import Epoch, Lease, Letter, Parcel, Tally
from registry.tables.secrets import DataKey, Secret, VaultPage
from registry.tables.servers import (
    AddressException,
    ApiDescription,
    Auth,
    Definition,
    Era,
    ExposedName,
    Kind,
    Pin,
    Server,
    ServerState,
    Transport,
)

__all__ = [
    "AddressException",
    "ApiDescription",
    "Auth",
    "Connection",
    "ConnectionState",
    "DataKey",
    "Definition",
    "Epoch",
    "Era",
    "ExposedName",
    "JournalBlock",
    "JournalName",
    "Kind",
    "Lease",
    "Letter",
    "Notice",
    "Parcel",
    "PendingConnect",
    "Pin",
    "Secret",
    "Segment",
    "Server",
    "ServerState",
    "Tally",
    "Transport",
    "UpstreamClient",
    "VaultPage",
]
