"""``watcher tail``: prints the events of a running server."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.client import Endpoint, open_stream
from watcher.cli.config_source import STDIN, read_configuration
from watcher.cli.defaults import default_server
from watcher.cli.flags import Exec, Json, Server, Tls, TlsCa, Token, flag
from watcher.cli.messages import complain
from watcher.cli.output import Output
from watcher.cli.session import run_until_stopped, show_changes
from watcher.errors import UnavailableError

EXAMPLES = (
    "watcher tail config.yaml",
    "watcher tail config.yaml --server watcher.example:8080 --json",
)

BACKOFF_MIN_S = 1.0
"""Seconds before the first attempt to reconnect; doubled after each attempt that fails."""

BACKOFF_MAX_S = 30.0
"""Maximum of seconds between two attempts to reconnect."""


def tail(  # noqa: PLR0913 - each is a flag
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="Configuration file, or - for standard input.",
            show_default=False,
        ),
    ],
    *,
    server: Server = None,
    name: Annotated[
        str | None,
        flag(
            "--name",
            metavar="NAME",
            unset="the name of the file",
            help="Name of the event source.",
        ),
    ] = None,
    token: Token = "",
    tls: Tls = False,
    tls_ca: TlsCa = None,
    reconnect: Annotated[
        bool,
        flag("--reconnect/--no-reconnect", help="Reconnect after the connection is lost."),
    ] = True,
    command: Exec = None,
    json: Json = False,
) -> None:
    """Connect to a server as Argo Events does and print its events.

    In a pipe, each payload is one line of JSON. Ctrl-C stops it.

    The command of --exec finds WATCHER_TYPE, WATCHER_PATH, WATCHER_OLD_PATH,
    WATCHER_URI and WATCHER_EVENT_ID in its environment.
    """
    endpoint = Endpoint(server or default_server(), token, tls, tls_ca)
    stem = "stdin" if config == STDIN else Path(config).stem
    following = _follow(
        endpoint,
        name or stem,
        read_configuration(config),
        Output(as_json=json),
        command,
        reconnect=reconnect,
    )
    asyncio.run(run_until_stopped(following))


async def _follow(  # noqa: PLR0913 - each is a flag
    endpoint: Endpoint,
    name: str,
    config: bytes,
    output: Output,
    command: str | None,
    *,
    reconnect: bool,
) -> None:
    """Show one stream after the other, until cancelled.

    Raises:
        RefusedError: The server refuses the stream.
        UnavailableError: The server cannot be reached, and ``reconnect`` is false.
        BrokenPipeError: The reader of standard output is gone.
        WatcherError: Standard output cannot be written.
    """
    backoff_s = BACKOFF_MIN_S
    while True:
        try:
            async with open_stream(endpoint, name, config) as payloads:
                backoff_s = BACKOFF_MIN_S
                output.announce(f"connected to {endpoint.address} as {name}; stop with Ctrl-C")
                await show_changes(payloads, output, command)
        except UnavailableError as error:
            if not reconnect:
                raise
            complain(f"{error}; reconnecting in {backoff_s:.0f} s")
        await asyncio.sleep(backoff_s * random.uniform(0.8, 1.0))  # noqa: S311 - only spreads load
        backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
