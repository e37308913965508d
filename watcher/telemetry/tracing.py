"""Traces, where the environment asks for them: a span for each scan, and for each group of payloads that a stream is written.

The only importer of OpenTelemetry, which is imported only then. What it does with spans, its own variables say
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

END_S = 2.0
"""How long the end of the process may wait for the last spans to be sent off."""

_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""One of them says where spans go."""


def configure_traces() -> Callable[[], None]:
    """Set up traces for the process if the environment asks for them, and return what sends off the last ones at the end."""
    if not any(map(os.environ.get, _VARIABLES)):
        return lambda: None
    try:
        from opentelemetry import trace  # noqa: PLC0415 - only who wants traces pays for them
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - likewise
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - likewise
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - likewise
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - likewise
    except ImportError as error:
        # Operators of clusters set the variables for all pods alike, which must not keep a server from its work.
        hint = "pip install 'watcher-eventsource[otel]'"
        structlog.get_logger("watcher").warning(
            "traces.missing", error=f"{error.name} is not installed", hint=hint
        )
        return lambda: None
    name = os.environ.get("OTEL_SERVICE_NAME", "watcher")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return partial(_end, provider.shutdown)


def _end(shutdown: Callable[[], None]) -> None:
    """Send off what is left, but do not wait for a collector that does not answer."""
    ending = threading.Thread(target=shutdown, name="traces", daemon=True)
    ending.start()
    ending.join(END_S)


def span(name: str, **attributes: str | int) -> AbstractContextManager[object]:
    """Return a span around what is done within it; nothing of the kind where no traces are wanted."""
    api = sys.modules.get("opentelemetry.trace")
    return (
        nullcontext()
        if api is None
        else api.get_tracer("watcher").start_as_current_span(name, attributes=attributes)
    )
