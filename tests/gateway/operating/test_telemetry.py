from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.operating import metrics
from gateway.operating.telemetry import Telemetry
from gateway.operating.tracing import Tracing, configured
from gateway.settings import Settings
from gateway.settings.loading import ConfigurationError

PARENT = "00-" + "a" * 32 + "-" + "b" * 16
OTEL = [name for name in os.environ if name.startswith("OTEL_")]


@pytest.fixture(autouse=True)
def no_otel(monkeypatch):
    for name in OTEL:
        monkeypatch.delenv(name)


@pytest.fixture
def telemetry():
    made = Telemetry(Settings(metrics_listen="127.0.0.1:0"))
    yield made
    made.close()


def scrape(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def test_calls_are_counted_by_decision_stage_server_and_outcome(telemetry):
    telemetry.decided(True)
    telemetry.decided(False)
    telemetry.decided(False)
    telemetry.refused("token")
    telemetry.concluded("notes", "ok", 0.02)
    telemetry.concluded("notes", "timeout", 60.0)
    telemetry.listed("tool")
    found = scrape(telemetry.address)
    assert found["ostiary_decisions_total", "allowed"] == 1
    assert found["ostiary_decisions_total", "denied"] == 2
    assert found["ostiary_refusals_total", "token"] == 1
    assert found["ostiary_calls_total", "notes", "ok"] == 1
    assert found["ostiary_calls_total", "notes", "timeout"] == 1
    assert found["ostiary_lists_total", "tool"] == 1
    assert found["ostiary_call_seconds_count", "notes"] == 2
    assert found["ostiary_call_seconds_bucket", "0.025", "notes"] == 1


def test_a_list_and_a_stage_of_the_same_name_are_two_things(telemetry):
    telemetry.listed("tool")
    telemetry.refused("tool")
    found = scrape(telemetry.address)
    assert found["ostiary_lists_total", "tool"] == found["ostiary_refusals_total", "tool"] == 1


def test_an_address_that_is_taken_is_a_configuration_error(telemetry):
    with pytest.raises(ConfigurationError, match="metrics_listen"):
        Telemetry(Settings(metrics_listen=telemetry.address))


def test_no_address_no_listener():
    telemetry = Telemetry(Settings(metrics_listen=""))
    telemetry.decided(True)
    assert telemetry.address is None
    telemetry.close()


WORKERS = """
import os, sys, urllib.request
import prometheus_client  # as if something had counted before
from gateway.operating import metrics
with metrics.shared("127.0.0.1:0") as address:
    for _ in range(2):
        if os.fork() == 0:
            from gateway.settings import Settings
            from gateway.operating.telemetry import Telemetry
            telemetry = Telemetry(Settings(workers=2))
            assert telemetry.address is None
            telemetry.decided(True)
            telemetry.concluded("notes", "ok", 0.1)
            telemetry.close()
            os._exit(0)
        os.wait()
    sys.stdout.write(urllib.request.urlopen(f"http://{address}/metrics", timeout=60).read().decode())
    directory = metrics.shared_directory()
assert not os.path.exists(directory)
assert metrics.shared_directory() is None
try:
    os.wait()
except ChildProcessError:
    sys.stdout.write("# nobody is left\\n")
"""


def test_workers_count_together_even_when_they_are_dead():
    done = subprocess.run([sys.executable, "-c", WORKERS], capture_output=True, text=True, timeout=60, check=True)
    assert 'ostiary_decisions_total{decision="allowed"} 2.0' in done.stdout
    assert 'ostiary_calls_total{outcome="ok",server="notes"} 2.0' in done.stdout
    assert "nobody is left" in done.stdout


ORPHAN = """
import os, signal, sys
from gateway.operating import metrics
with metrics.shared("127.0.0.1:0"):
    sys.stdout.write(metrics.shared_directory())
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_when_the_parent_is_killed_nothing_is_left_behind():
    done = subprocess.run([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    deadline = time.monotonic() + 60
    while Path(done.stdout).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done.stdout
    assert not Path(done.stdout).exists()


def test_without_an_address_workers_share_nothing():
    with metrics.shared("") as address:
        assert address is None
        assert metrics.shared_directory() is None


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ],
)
def test_the_standard_variables_ask_for_traces(environment, wanted):
    assert configured(environment) is wanted


def test_nothing_of_opentelemetry_is_imported_when_nobody_asks():
    code = (
        "import sys; from gateway.settings import Settings; from gateway.operating.telemetry import Telemetry;"
        "t = Telemetry(Settings(metrics_listen='')); assert t.trace('x', None) is None; t.close();"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


class Collector(BaseHTTPRequestHandler):
    received: list[bytes] = []  # noqa: RUF012 - one collector at a time

    def do_POST(self):
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    Collector.received = []
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield Collector
        server.shutdown()
        thread.join()


def test_a_sampled_request_becomes_a_span_of_its_caller_and_reaches_the_collector(collector):
    tracing = Tracing()
    trace = tracing.begin(f"{PARENT}-01")
    assert trace is not None
    version, trace_id, span_id, flags = trace.traceparent.split("-")
    assert (version, trace_id, flags) == ("00", "a" * 32, "01")
    assert span_id != "b" * 16
    trace.about("tools/call", server="notes", object="notes.add", decision="d1")
    trace.end("ok")
    tracing.close()
    [body] = collector.received
    assert b"tools/call notes.add" in body
    assert bytes.fromhex("a" * 32) in body
    assert bytes.fromhex("b" * 16) in body


def test_a_caller_who_does_not_sample_gets_no_span(collector):
    tracing = Tracing()
    assert tracing.begin(f"{PARENT}-00") is None
    tracing.close()
    assert not collector.received


def test_no_span_is_made_where_the_sampler_says_no(collector, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracing = Tracing()
    assert tracing.begin(None) is None
    assert tracing.begin(f"{PARENT}-01") is None
    tracing.close()
    assert not collector.received


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "junk",
        f"{PARENT}-1",
        f"{PARENT}-01-more",
        "ff" + PARENT[2:] + "-01",
        "00-" + "0" * 32 + "-" + "b" * 16 + "-01",
        "00-" + "a" * 32 + "-" + "0" * 16 + "-01",
        PARENT.upper() + "-01",
        f"{PARENT}-01\n",
        "x" * 100_000,
    ],
)
def test_a_traceparent_that_is_none_begins_a_trace_of_our_own(collector, junk):
    tracing = Tracing()
    trace = tracing.begin(junk)
    assert trace is not None
    assert "a" * 32 not in trace.traceparent
    trace.end("ok")
    tracing.close()


def test_the_meta_of_the_message_goes_before_the_header_of_the_hop(collector):
    telemetry = Telemetry(Settings(metrics_listen=""))
    trace = telemetry.trace(f"{PARENT}-01", "00-" + "c" * 32 + "-" + "d" * 16 + "-01")
    assert trace is not None
    assert trace.traceparent.split("-")[1] == "a" * 32
    trace.end("broken")
    telemetry.close()


def test_an_exporter_that_we_do_not_have_is_a_configuration_error(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(ConfigurationError, match="zipkin"):
        Tracing()


def test_how_servers_stand_is_there_to_be_watched_and_what_is_over_is_none(telemetry):
    telemetry.stand({"approved": 3, "suspended": 1}, {"notes": 2})
    telemetry.stand({"approved": 3, "suspended": 0}, {"files": 1})
    found = scrape(telemetry.address)
    assert (found["ostiary_servers", "approved"], found["ostiary_servers", "suspended"]) == (3, 0)
    assert (found["ostiary_definitions_hidden", "notes"], found["ostiary_definitions_hidden", "files"]) == (0, 1)
