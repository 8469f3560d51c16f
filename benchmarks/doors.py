"""The three ways to the echo: straight, through nginx, through the gateway."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.processes import DOOR_CORE, LOAD_CORE, announced_url, pinned, python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_max_body_size 8m; client_body_buffer_size 64k; proxy_buffers 64 64k; keepalive_requests 100000000;
  upstream echo {{ server {authority}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ proxy_pass http://echo; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
START_DEADLINE = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Until something listens there."""
    end = time.monotonic() + START_DEADLINE
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens at port {port}")


@contextlib.contextmanager
def echo(era: str, tools: int) -> Iterator[str]:
    """The URL of a server behind the doors."""
    with pinned(python("benchmarks.upstream", "--era", era, "--tools", str(tools)), LOAD_CORE) as process:
        yield announced_url(process)


@contextlib.contextmanager
def nginx(url: str, folder: Path) -> Iterator[tuple[str, int] | None]:
    """The URL and the process id of a plain reverse proxy before `url`; None where there is no nginx."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        yield None
        return
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, authority=urlsplit(url).netloc, port=port))
    with pinned([program, "-e", "stderr", "-p", str(folder), "-c", str(configuration)], DOOR_CORE) as process:
        wait_for(port)
        yield f"http://127.0.0.1:{port}/mcp", process.pid
