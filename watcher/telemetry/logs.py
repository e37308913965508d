"""Logging of the process: structlog to standard error, as JSON lines or readable on a terminal."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from watcher.formatting import printable
from watcher.imports import hidden

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from structlog.typing import EventDict, FilteringBoundLogger, Processor

# Its tracebacks with rich, which take 0.1 s to import, show the values of variables, tokens among
# them.
with hidden("rich"):
    import structlog

FORMATS = ("auto", "json", "console")
"""Values of ``--log-format``."""

MAX_VALUE_CHARS = 8192
"""Maximum length of one value in a log line, in characters; a traceback is one value."""

_SERVER: list[str] = []
"""The name of this server while it runs, else empty."""


def configure_logs(
    log_format: str, *, verbose: bool = False, quiet: bool = False, dropped: Collection[str] = ()
) -> FilteringBoundLogger:
    """Set up logging for the process, and return the logger of the server.

    Args:
        log_format: ``json``, ``console``, or ``auto``: console on a terminal.
        verbose: Log debug messages too.
        quiet: Log warnings and errors only.
        dropped: Events of the server that are not logged.
    """
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    before = _processors(is_console=is_console)
    renderer = _console() if is_console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            _drop(dropped),
            _add_server,
            structlog.contextvars.merge_contextvars,
            *before,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries use the logging module; their lines get the same form.
    library_handler = logging.StreamHandler(sys.stderr)
    library_handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(
        level=logging.ERROR if not verbose else logging.INFO, handlers=[library_handler], force=True
    )
    # Every servicer logs its failures; gRPC adds tracebacks for health checks that a stop cuts off.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
    # Logs a traceback for each client that sends no HTTP, or disconnects.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    # Logs each retry; only their outcome matters, and the watch logs it.
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    log: FilteringBoundLogger = structlog.get_logger("watcher")
    return log


@contextmanager
def named(server: str) -> Iterator[None]:
    """Name the server in each line, as ``server``, where several write to one log.

    Args:
        server: Its name.
    """
    _SERVER.append(server)
    try:
        yield
    finally:
        _SERVER.remove(server)


def _add_server(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add the name of the server, if it has been named.

    This is a processor at all times: a list of processors that changed while a thread goes
    through it would leave out the renderer, and the thread would end with a TypeError.
    """
    return {**event, "server": name} if (name := next(iter(_SERVER), None)) else event


def _processors(*, is_console: bool) -> Sequence[Processor]:
    """Return the processors that complete an event before it is rendered."""
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
    # Not a rich traceback: it would show the values of variables, tokens among them.
    return structlog.dev.ConsoleRenderer(
        pad_event_to=18, exception_formatter=structlog.dev.plain_traceback
    )


def _drop(dropped: Collection[str]) -> Processor:
    """Return a processor that drops some events."""

    def drop(_logger: object, _method: str, event: EventDict) -> EventDict:
        if event["event"] in dropped:
            raise structlog.DropEvent
        return event

    return drop


def _shorten(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Shorten long values: they come from clients, stores and file names."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
            event[key] = f"{value[: MAX_VALUE_CHARS // 2]} … {value[-MAX_VALUE_CHARS // 2 :]}"
    return event


def _escape(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what could control a terminal or forge a line in names and in client input."""
    return {
        key: printable(value, kept="\n" * (key == "exception")) if isinstance(value, str) else value
        for key, value in event.items()
    }
