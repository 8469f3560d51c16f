"""Prometheus: what is counted, and the address where it is read.

Several workers count into files of one directory (prometheus_client's multi-process mode), which a small process of
its own reads out, so that metrics are there whichever worker dies.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from bisect import bisect_left
from collections import defaultdict
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from gateway.settings.loading import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry, Counter, Gauge
    from prometheus_client.metrics_core import Metric

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client keeps the files of several processes
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # seconds


def shared_directory() -> str | None:
    """Where the workers of one parent count together."""
    return os.environ.get(DIRECTORY)


class Counts:
    """The counters of a process.

    What happens on the path of a call is only added up in plain numbers, because a labelled counter of the library
    costs more than the step it counts; `settle` hands over what came since: when they are read, and now and then.
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double every series to say when we started
        self.registry = CollectorRegistry()
        self.registry.register(_BeforeReading(self.settle))  # asked first
        decisions = self._counter(Counter, "decisions", "Answers of policy.", "decision")
        self._allowed, self._denied = decisions.labels("allowed"), decisions.labels("denied")
        self._refusals = self._counter(Counter, "refusals", "Requests refused, by the stage that refused.", "stage")
        self._calls = self._counter(Counter, "calls", "Calls that left, by server and outcome.", "server", "outcome")
        self._lists = self._counter(Counter, "lists", "Lists answered, by what was listed.", "kind")
        self._seconds = Histogram(
            "ostiary_call_seconds", "From intent to outcome.", ["server"], buckets=BUCKETS, registry=self.registry
        )
        self.waiting = Gauge(
            "ostiary_journal_index_behind_seconds",
            "Age of the oldest record that a search does not find yet.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        ).set
        self._servers = self._gauge(Gauge, "servers", "Registered servers, by state.", "state")
        self._hidden = self._gauge(
            Gauge, "definitions_hidden", "Approved and offered to nobody: changed since, or listed no more.", "server"
        )
        self._settling = threading.Lock()
        self._stood: dict[object, set[str]] = {}
        self._settled: dict[object, float] = {}
        self._decided = {True: 0, False: 0}
        self._outcomes: dict[tuple[str, str], int] = defaultdict(int)
        self._times: dict[str, _Times] = defaultdict(_Times)

    def decided(self, allowed: bool) -> None:
        self._decided[allowed] += 1

    def refused(self, stage: str) -> None:
        self._refusals.labels(stage).inc()

    def listed(self, kind: str) -> None:
        self._lists.labels(kind).inc()

    def concluded(self, server: str, outcome: str, seconds: float) -> None:
        self._outcomes[server, outcome] += 1
        times = self._times[server]
        times.total += seconds
        times.counts[bisect_left(BUCKETS, seconds)] += 1

    def stand(self, states: Mapping[str, int], hidden: Mapping[str, int]) -> None:
        """How servers stand: how many in each state, and how much is hidden of each; nothing of those not named."""
        for gauge, now in ((self._servers, states), (self._hidden, hidden)):
            for label in self._stood.setdefault(gauge, set()) - now.keys():
                gauge.labels(label).set(0)
            for label, count in now.items():
                gauge.labels(label).set(count)
            self._stood[gauge] |= now.keys()

    def settle(self) -> None:
        """Hands over what was added up. From any thread: what is being added meanwhile is in the next one."""
        with self._settling:
            for allowed, child in ((True, self._allowed), (False, self._denied)):
                child.inc(self._since(allowed, self._decided[allowed]))
            for (server, outcome), count in self._outcomes.copy().items():
                self._calls.labels(server, outcome).inc(self._since((server, outcome), count))
            for server, times in self._times.copy().items():
                self._settle_times(server, times)

    def _settle_times(self, server: str, times: _Times) -> None:
        child: Any = self._seconds.labels(server)  # which can be told of one time at a time only
        child._sum.inc(self._since((server,), times.total))  # noqa: SLF001
        for place, count in enumerate(times.counts):
            child._buckets[place].inc(self._since((server, place), count))  # noqa: SLF001

    def _since(self, what: object, now: float) -> float:
        before, self._settled[what] = self._settled.get(what, 0.0), now
        return now - before

    def _gauge(self, kind: type[Gauge], name: str, text: str, label: str) -> Gauge:
        return kind(f"ostiary_{name}", text, [label], registry=self.registry, multiprocess_mode="mostrecent")

    def _counter(self, kind: type[Counter], name: str, text: str, *labels: str) -> Counter:
        return kind(f"ostiary_{name}", text, labels, registry=self.registry)


class _Times:
    """How long calls took: as many as in each bucket of the histogram, and how long all together."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0


class _BeforeReading:
    """A collector with nothing of its own, which has the others brought up to date."""

    def __init__(self, settle: Callable[[], None]) -> None:
        self._settle = settle

    def collect(self) -> Iterable[Metric]:
        self._settle()
        return ()

    def describe(self) -> Iterable[Metric]:
        return ()


class Exporter:
    """A thread that answers scrapes on an address of its own. Raises ConfigurationError when it cannot be bound."""

    def __init__(self, listen: str, registry: CollectorRegistry) -> None:
        self._server = _server(listen, registry)
        self.address = f"{listen.rpartition(':')[0]}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="metrics")
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def shared(listen: str | None) -> Iterator[str | None]:
    """For the parent of several workers, around all forks: a directory to count into and a process that serves it.

    Gives the address. The parent itself stays without threads, so that its forks are clean.
    """
    if not listen:
        yield None
        return
    from prometheus_client import values

    directory = tempfile.mkdtemp(prefix="ostiary-metrics-")
    os.environ[DIRECTORY] = directory
    before = values.ValueClass  # chosen at import, which may be long ago
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
    try:
        with _child(listen) as address:
            yield address
    finally:
        values.ValueClass = before
        del os.environ[DIRECTORY]
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _child(listen: str) -> Iterator[str]:
    from prometheus_client import CollectorRegistry, multiprocess

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's is untyped
    server = _server(listen, registry)
    parent = os.getpid()  # asked before the fork: after it, the parent may be gone already
    pid = os.fork()
    if pid == 0:
        _serve_until_told(server, parent)
    address = f"{listen.rpartition(':')[0]}:{server.server_port}"
    server.socket.close()
    try:
        yield address
    finally:
        _end(pid)


def _serve_until_told(server: WSGIServer, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all of us; the parent ends us last
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    server.timeout = 1.0
    while os.getppid() == parent:
        server.handle_request()
    shutil.rmtree(os.environ[DIRECTORY], ignore_errors=True)  # the parent was killed: an orphan tidies up and goes
    os._exit(0)


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it may have been buried already
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Not WSGIServer's: it asks the resolver for our own name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Silent(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """Scrapes are not news."""


def _server(listen: str, registry: CollectorRegistry) -> WSGIServer:
    from prometheus_client import make_wsgi_app

    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("Server", (_Server,), {"address_family": family})
    try:
        server: WSGIServer = kind((host, int(port)), _Silent)
    except OSError as error:
        raise ConfigurationError(
            [f"metrics_listen: {listen} cannot be bound ({error.strerror}); choose another, or leave it empty"]
        ) from error
    server.set_app(make_wsgi_app(registry))
    return server
