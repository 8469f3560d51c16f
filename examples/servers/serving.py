"""Running a small MCP server: a free port on request, one line that says where it listens, and a clean end."""

from __future__ import annotations

import argparse
import json
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PATH = "/mcp"


def options(description: str | None) -> argparse.ArgumentParser:
    """The flags that every server here understands; add your own before parsing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to bind; 0, the default, takes a free one")
    parser.add_argument("--parent", type=int, default=0, help="process that we do not outlive")
    return parser


def serve(app: ASGIApp, host: str, port: int, parent: int = 0) -> None:
    """Serve until SIGTERM or SIGINT, or until whoever started us is gone.

    Prints one JSON line, `{"url": ...}`, once connections are accepted: with port 0 nobody else knows the port.
    """
    listener = _listen(host, port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=2))
    threading.Thread(target=_end_with_parent, args=(server, parent or os.getppid()), daemon=True).start()
    authority = f"[{host}]" if ":" in host else host
    print(json.dumps({"url": f"http://{authority}:{listener.getsockname()[1]}{PATH}"}), flush=True)
    server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Listening from here on, so that a client which reads the printed line can connect at once.
    return socket.create_server((host, port), family=family, backlog=128)


def _end_with_parent(server: uvicorn.Server, parent: int) -> None:
    # An orphan is handed to another parent: then nobody is left to stop us.
    while os.getppid() == parent:
        time.sleep(0.5)
    server.should_exit = True
