"""How the process logs: structlog, as JSON lines in a container and readable on a terminal, always on standard error."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

FORMATS = ("auto", "json", "console")


def configure_logs(log_format: str, *, verbose: bool = False, quiet: bool = False) -> None:
    """Set up logging for the process.

    Args:
        log_format: ``json``, ``console``, or ``auto``: console on a terminal.
        verbose: Debug messages too.
        quiet: Warnings and errors only.
    """
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Processor = structlog.dev.ConsoleRenderer(pad_event_to=18) if is_console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_console else "iso", utc=not is_console),
            structlog.processors.format_exc_info if not is_console else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.ERROR if not verbose else logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s", force=True)
    # Each handler of ours reports its own failures; gRPC adds a traceback for a health check that a stop cuts off.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
    # Our own lines say what its retries end in.
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
