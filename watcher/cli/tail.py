"""``watcher tail``: a client of a running server."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.config_source import STDIN, read_configuration
from watcher.cli.defaults import default_server
from watcher.cli.flags import Exec, Json, Server, Tls, TlsCa, Token, flag
from watcher.cli.output import Output, complain
from watcher.errors import UnavailableError

if TYPE_CHECKING:
    from watcher.cli.client import Endpoint

BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 30.0
"""How long it waits between two tries: doubled from the one to the other."""


def tail(  # noqa: PLR0913 - each is a flag
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A file with a configuration, or - for stdin.",
            show_default=False,
        ),
    ],
    *,
    server: Server = None,
    name: Annotated[
        str | None,
        flag("--name", metavar="NAME", help="Of the event source.  [default: that of the file]"),
    ] = None,
    token: Token = "",
    tls: Tls = False,
    tls_ca: TlsCa = None,
    reconnect: Annotated[
        bool, flag("--reconnect/--no-reconnect", help="Connect again when the server has gone.")
    ] = True,
    command: Exec = None,
    json: Json = False,
) -> None:
    """Connect to a server as Argo Events does, and print what comes.

    In a pipe, each payload is one line of JSON. Ctrl-C ends it.
    """
    from watcher.cli.client import Endpoint  # noqa: PLC0415 - grpc, for which --help need not wait
    from watcher.cli.session import run_until_stopped  # noqa: PLC0415 - likewise

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


async def _follow(  # noqa: PLR0913 - one for each flag
    endpoint: Endpoint,
    name: str,
    config: bytes,
    output: Output,
    command: str | None,
    *,
    reconnect: bool,
) -> None:
    """Show one stream after the other.

    Raises:
        RefusedError: The server refuses it.
        UnavailableError: The server cannot be reached, and once is enough.
        BrokenPipeError: Nobody reads any more.
    """
    from watcher.cli.client import open_stream  # noqa: PLC0415 - as above
    from watcher.cli.session import show_changes  # noqa: PLC0415 - as above

    backoff_s = BACKOFF_MIN_S
    while True:
        try:
            async with open_stream(endpoint, name, config) as payloads:
                backoff_s = BACKOFF_MIN_S
                output.tell(f"connected to {endpoint.address} as {name}; stop with Ctrl-C")
                await show_changes(payloads, output, command)
        except UnavailableError as error:
            if not reconnect:
                raise
            complain(f"{error}; connecting again in {backoff_s:.0f} s")
        await asyncio.sleep(backoff_s * random.uniform(0.8, 1.0))  # noqa: S311 - only spreads load
        backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
