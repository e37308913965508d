"""How the process logs: structlog, as JSON lines in a container and readable on a terminal, always on standard error."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from watcher.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import EventDict, Processor

FORMATS = ("auto", "json", "console")
VALUE_CHARS = 8192
"""What one value in a line may have; a traceback is one."""


def configure_logs(log_format: str, *, verbose: bool = False, quiet: bool = False) -> None:
    """Set up logging for the process.

    Args:
        log_format: ``json``, ``console``, or ``auto``: console on a terminal.
        verbose: Debug messages too.
        quiet: Warnings and errors only.
    """
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    before = _processors(is_console=is_console)
    renderer = _console() if is_console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *before, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # What libraries say comes in the same form.
    of_libraries = logging.StreamHandler(sys.stderr)
    of_libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(
        level=logging.ERROR if not verbose else logging.INFO, handlers=[of_libraries], force=True
    )
    # Each handler of ours reports its own failures; gRPC adds a traceback for a health check that a stop cuts off.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
    # It has a traceback for each client that speaks no HTTP, or goes.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    # Our own lines say what its retries end in.
    logging.getLogger("botocore").setLevel(logging.CRITICAL)


def _processors(*, is_console: bool) -> Sequence[Processor]:
    """Return what completes an event before it is rendered."""
    stamp = structlog.processors.TimeStamper(
        fmt="%H:%M:%S" if is_console else "iso", utc=not is_console
    )
    complete: list[Processor] = [
        structlog.processors.add_log_level,
        stamp,
        structlog.processors.format_exc_info,
        _shorten,
    ]
    return [*complete, _escape] if is_console else complete


def _console() -> structlog.dev.ConsoleRenderer:
    # Tracebacks are text already; a prettier one would also show the values of variables, tokens among them.
    return structlog.dev.ConsoleRenderer(
        pad_event_to=18, exception_formatter=structlog.dev.plain_traceback
    )


def _shorten(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Cut what is long: it has come from a client, a store or a file name."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > VALUE_CHARS:
            event[key] = f"{value[: VALUE_CHARS // 2]} … {value[-VALUE_CHARS // 2 :]}"
    return event


def _escape(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what could steer a terminal or forge a line; names of files and what clients send stand in events as they are."""
    return {
        key: printable(value, kept="\n" * (key == "exception")) if isinstance(value, str) else value
        for key, value in event.items()
    }
