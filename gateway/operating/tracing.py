"""OpenTelemetry, set up by its standard `OTEL_*` variables and imported only when they ask for traces."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

from gateway.settings.loading import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, SpanContext

# W3C Trace Context section 3.2.2: version 00, or a later one that begins the same way; ids of all zeros are invalid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

log = logging.getLogger("ostiary.tracing")


def configured(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the standard variables ask for traces (OpenTelemetry specification, environment variables)."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    if exporter:
        return exporter != "none"
    return any(environment.get(name) for name in ENDPOINTS)


class Trace:
    """The span of one request. It carries names and outcomes, never arguments or results."""

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def about(self, method: str, *, server: str, object: str, decision: str) -> None:  # noqa: A002
        """What the request turned out to be; `traceparent` is what goes to the server in `_meta`."""
        self._span.update_name(f"{method} {object}" if object else method)
        self._span.set_attributes(
            {
                "mcp.method.name": method,
                "ostiary.server": server,
                "ostiary.object": object,
                "ostiary.decision": decision,
            }
        )

    def end(self, outcome: str) -> None:
        """`outcome` is the journal's word."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("ostiary.outcome", outcome)
        if outcome not in {"ok", "tool_error", "cancelled", "refused"}:
            self._span.set_status(StatusCode.ERROR, outcome)
        self._span.end()


class Tracing:
    """A tracer of our own: nothing global, so that no library begins spans of its own."""

    def __init__(self) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "ostiary"}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(_processor(os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"))
        self._tracer = self._provider.get_tracer("ostiary")
        # A parent that is not sampled settles it without asking the sampler, which takes microseconds.
        self._parent_decides = self._provider.sampler.get_description().startswith("ParentBased")

    def begin(self, traceparent: str | None) -> Trace | None:
        from opentelemetry.trace import SpanKind

        parent = _parse(traceparent)
        if parent is not None and self._parent_decides and not parent.trace_flags.sampled:
            return None
        span = self._tracer.start_span("request", context=_context(parent), kind=SpanKind.SERVER)
        return Trace(span) if span.is_recording() else None

    def close(self) -> None:
        self._provider.shutdown()


def _processor(exporter: str) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if exporter == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter())
    if exporter != "otlp":
        raise ConfigurationError([f"OTEL_TRACES_EXPORTER: {exporter!r} is not supported; use otlp, console or none"])
    if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf") != "http/protobuf":
        log.warning("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken, so that is used")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return BatchSpanProcessor(OTLPSpanExporter())


def _parse(traceparent: str | None) -> SpanContext | None:
    from opentelemetry.trace import SpanContext, TraceFlags

    found = _TRACEPARENT.match(traceparent) if traceparent else None
    if found is None or (found.end() != len(traceparent or "") and found.string.startswith("00")):
        return None
    flags = TraceFlags(int(found["flags"], 16))
    return SpanContext(int(found["trace"], 16), int(found["span"], 16), is_remote=True, trace_flags=flags)


def _context(parent: SpanContext | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    root: Any = Context()
    return root if parent is None else set_span_in_context(NonRecordingSpan(parent), root)
