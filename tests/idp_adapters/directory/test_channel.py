"""The way to a directory: proved, encrypted, and at an end in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from idp_adapters.directory import channel
from idp_adapters.directory.channel import NoChannel, carried, encrypted, reached, trusting
from tests.fakes.network.certificates import Authority
from tests.fakes.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 10.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def echo(authority: Authority) -> Iterator[str]:
    """A server that says again whatever it hears, over TLS from the first byte."""
    context = authority.certify("127.0.0.1").context()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with contextlib.suppress(OSError):
                        _echo(context.wrap_socket(listener.accept()[0], server_side=True))
                        continue
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"ldaps://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _echo(connection: socket.socket) -> None:
    with connection:
        while piece := connection.recv(65536):
            connection.sendall(piece)


def opened(url: str, authority: Authority, seconds: float) -> socket.socket:
    outer = encrypted(reached(url), url, trusting(authority.certificate))
    end = carried(outer, time.monotonic() + seconds)
    end.settimeout(PATIENCE)
    return end


def test_what_is_said_arrives_both_ways_however_much_it_is(echo: str, authority: Authority) -> None:
    said = bytes(range(256)) * 8000
    with opened(echo, authority, PATIENCE) as end:
        threading.Thread(target=end.sendall, args=(said,), daemon=True).start()
        heard = b""
        while len(heard) < len(said):
            heard += end.recv(65536)
    assert heard == said


def test_it_ends_at_its_deadline_whoever_is_waiting(echo: str, authority: Authority) -> None:
    with opened(echo, authority, 0.2) as end:
        assert end.recv(1) == b""


def test_it_ends_where_more_comes_than_any_directory_says(
    echo: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "BYTES", 100_000)
    heard = 0
    with opened(echo, authority, PATIENCE) as end, contextlib.suppress(OSError):
        while piece := end.recv(65536) if heard else _first(end):
            heard += len(piece)
            end.sendall(piece)
    assert 0 < heard < 300_000


def _first(end: socket.socket) -> bytes:
    end.sendall(b"x" * 10_000)
    return end.recv(65536)


def test_where_nothing_listens_it_says_so() -> None:
    with pytest.raises(NoChannel) as none:
        reached(f"ldap://127.0.0.1:{free_port()}")
    assert (none.value.reason, "nothing listens" in none.value.advice) == ("server_down", True)


def test_a_file_of_certificates_that_is_none_is_named(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(NoChannel, match="asked just now") as none:
            trusting(file)
        assert str(file) in none.value.advice


def test_a_server_that_speaks_something_else_is_left(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ldaps://127.0.0.1:{listener.getsockname()[1]}"
        plain = reached(url)
        with listener.accept()[0] as other:
            other.sendall(b"220 mail.example ESMTP\r\n")
            with pytest.raises(NoChannel) as none:
                encrypted(plain, url, trusting(authority.certificate))
    assert "does not speak TLS" in none.value.advice
