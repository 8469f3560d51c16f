"""Where bytes come in: what the stock HTTP stack leaves open is closed here, before either plane sees a request."""

from gateway.edge.connection import EdgeProtocol
from gateway.edge.middleware import Arrival, Edge, Refusal, own_origins

__all__ = ["Arrival", "Edge", "EdgeProtocol", "Refusal", "own_origins"]
