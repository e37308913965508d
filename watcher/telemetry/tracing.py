"""OpenTelemetry traces, where the environment asks for them: a span per scan and per delivery.

OpenTelemetry is imported only then. Its own environment variables configure the exporter:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
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

SHUTDOWN_TIMEOUT_S = 2.0
"""Longest wait in seconds for the last spans to be exported when the process ends."""

_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Traces are on if one of these variables is set."""


def configure_traces() -> Callable[[], None]:
    """Set up traces for the process if the environment asks for them.

    Returns:
        The function that exports the last spans when the process ends; without traces it does
        nothing.
    """
    if not any(map(os.environ.get, _ENDPOINT_VARIABLES)):
        return lambda: None
    # Imported here, since an import takes time and memory that a server without traces saves.
    try:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        # Clusters set the variables for every pod, which must not keep a server from starting.
        structlog.get_logger("watcher").warning(
            "traces.missing",
            error=f"{error.name} is not installed",
            hint="pip install 'watcher-eventsource[otel]'",
        )
        return lambda: None
    name = os.environ.get("OTEL_SERVICE_NAME", "watcher")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return partial(_shut_down, provider.shutdown)


def _shut_down(shutdown: Callable[[], None]) -> None:
    """Export the last spans, but do not wait for a collector that does not answer."""
    thread = threading.Thread(target=shutdown, name="traces", daemon=True)
    thread.start()
    thread.join(SHUTDOWN_TIMEOUT_S)


def span(name: str, **attributes: str | int) -> AbstractContextManager[object]:
    """Return a span that lasts as long as its ``with`` block; a null context without traces."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return nullcontext()
    tracer = api.get_tracer("watcher")
    current: AbstractContextManager[object] = tracer.start_as_current_span(
        name, attributes=attributes
    )
    return current
