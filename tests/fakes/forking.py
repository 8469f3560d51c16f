"""Commands of ours without their start: a process that has imported everything forks itself for each.

`python -m gateway ...` takes most of a second until it has read its modules, and tests give hundreds of commands. What
is run is the same: arguments, environment, working directory, standard streams and exit code are those of a command.

As a program, `python forking.py SOCKET ARGUMENTS...` asks whoever listens there, for those that start programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys

LONGEST = 300.0  # seconds that a command may take: less than a test may, so that it is said which took longer
MOST = 1024 * 1024  # bytes of a request; an environment is most of it


def ask(place: str, arguments: list[str], environment: dict[str, str], streams: tuple[int, int, int], cwd: str) -> int:
    """The exit code of what was asked for.

    Raises ChildProcessError when it has none, as one that was killed, and TimeoutError when it does not end.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LONGEST)
        connection.connect(place)
        told = json.dumps({"arguments": arguments, "environment": environment, "cwd": cwd}).encode()
        socket.send_fds(connection, [len(told).to_bytes(4)], streams)
        connection.sendall(told)
        answer = connection.recv(4)
    if not answer:
        raise ChildProcessError(" ".join(arguments))
    return int.from_bytes(answer, signed=True)


def serve(place: str, module: str) -> None:
    """Until standard input ends, which is when whoever started us does."""
    import select

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen(64)
        print(json.dumps({"url": place}), flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            _bury()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _become(connection, module)
    _bury()


def _bury() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(connection: socket.socket, module: str) -> None:
    code = 70
    try:
        size, streams, _, _ = socket.recv_fds(connection, 4, 3)
        told = json.loads(connection.recv(int.from_bytes(size), socket.MSG_WAITALL))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(told["environment"])
        os.chdir(told["cwd"])
        sys.argv[1:] = told["arguments"]
        code = _run(module)
    finally:
        with contextlib.suppress(OSError):
            connection.sendall(code.to_bytes(4, signed=True))
        os._exit(code & 0xFF)


def _run(module: str) -> int:
    """As `python -m` does, to the end: its threads, what it has registered for its exit, its output."""
    import atexit
    import runpy
    import threading
    import traceback

    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - the interpreter, too, says what it was and ends
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return code or 0


if __name__ == "__main__":
    sys.exit(ask(sys.argv[1], sys.argv[2:], dict(os.environ), (0, 1, 2), os.getcwd()))  # noqa: PTH109 - pathlib would take longer than the rest
