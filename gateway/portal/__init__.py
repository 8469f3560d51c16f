"""The data plane: `POST /mcp` and its siblings as raw ASGI, for clients of both eras at once.

door.py admits and dispatches, call.py is the spine of a call, listing.py makes lists, legacy.py is the handshake era.
"""

from __future__ import annotations

from gateway.portal.door import Portal

__all__ = ["Portal"]
