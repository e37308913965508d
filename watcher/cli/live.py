"""Runs a server on loopback and a client of it in one event loop, for ``watcher dev``."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog
from rich.markup import escape

from watcher.cli.client import Endpoint, open_stream
from watcher.cli.session import show_changes
from watcher.formatting import printable
from watcher.server import Server
from watcher.settings import ServerSettings
from watcher.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from structlog.typing import EventDict, WrappedLogger

    from watcher.cli.output import Output

_NAME = "dev"
_PROGRESS_S = 0.1


async def watch(
    config: bytes, state: Path, output: Output, command: str | None, *, is_verbose: bool
) -> None:
    """Show what a configuration asks for, until cancelled.

    Args:
        config: YAML or JSON.
        state: Directory of the state.
        output: Where events go.
        command: Run for each change; None for none.
        is_verbose: Log what the server does, not only warnings.

    Raises:
        StateError: The state cannot be used.
        RefusedError: The configuration, or its place, is refused.
        UnavailableError: The place cannot be reached, or the watch has failed.
        BrokenPipeError: Nobody reads any more.
    """
    _configure_logs(is_verbose=is_verbose)
    settings = ServerSettings(listen="127.0.0.1:0", http_listen=None, state_directory=state)
    async with Server(settings) as server, AsyncExitStack() as exits:
        async with _progress(server, output):
            payloads = await exits.enter_async_context(
                open_stream(Endpoint(server.address), _NAME, config)
            )
        output.tell(_header(server))
        await show_changes(payloads, output, command)


def _configure_logs(*, is_verbose: bool) -> None:
    configure_logs("auto", quiet=not is_verbose)
    if not is_verbose:
        structlog.configure(processors=[_drop_refusals, *structlog.get_config()["processors"]])


def _drop_refusals(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop what the server logs of a stream that it ends: its client, which is us, tells the same."""
    if event["event"] in {"stream.refused", "stream.ended"}:
        raise structlog.DropEvent
    return event


def _header(server: Server) -> str:
    ((identity, running),) = server.watches.running()
    entries = f"{running.entries:,} {'entry' if running.entries == 1 else 'entries'}"
    return f"watching {identity.place} ({running.status.mode}, {entries}); stop with Ctrl-C"


@asynccontextmanager
async def _progress(server: Server, output: Output) -> AsyncIterator[None]:
    """Show how far the first scan is, on a terminal, while the block runs."""
    if not output.is_readable:
        yield
        return
    with output.console.status("starting") as line:

        async def update() -> None:
            while True:
                for identity, running in server.watches.running():
                    line.update(
                        escape(
                            f"{running.status.state} {printable(identity.place)}: {running.status.scanned:,} entries"
                        )
                    )
                await asyncio.sleep(_PROGRESS_S)

        task = asyncio.create_task(update())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
