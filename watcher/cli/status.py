"""``watcher status``: shows the watches of a running server or of its state."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import msgspec
import typer

from watcher.cli.defaults import DEFAULT_HTTP
from watcher.cli.flags import Json, Token, flag, http_url
from watcher.cli.snapshot import choose_reader, from_server, from_state
from watcher.cli.status_table import follow_table, print_table
from watcher.clock import Clock
from watcher.settings import parse_state

EXAMPLES = (
    "watcher status",
    "watcher status --watch",
    "watcher status watcher.example:8081",
    "watcher status --state /var/lib/watcher --json",
)


def status(  # noqa: PLR0913 - each is a flag
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            parser=http_url,
            show_default=False,
            help="HTTP port of a server, as host:port or http://host:port.",
        ),
    ] = None,
    *,
    server_http: Annotated[
        str | None,
        flag(
            "--server-http",
            metavar="URL",
            parser=http_url,
            unset=f"http://{DEFAULT_HTTP}",
            help="HTTP port of a server; URL takes precedence.",
        ),
    ] = None,
    state: Annotated[
        str | None,
        flag(
            "--state",
            metavar="DIR|URL",
            env=False,
            help="State directory or database to read, with or without a running server.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        flag(
            "--watch",
            env=False,
            help="Show watches and newest changes again every second, until Ctrl-C.",
        ),
    ] = False,
    token: Token = "",
    json: Json = False,
) -> None:
    """Show the watches of a running server or of its state.

    Without URL and --state it reads from the server of this machine, or, if none answers, from
    its state.
    """
    address = url or server_http
    if address and state:
        name = "URL" if url else "--server-http"
        raise typer.BadParameter(f"cannot be combined with {name}", param_hint="'--state'")
    if watch and json:
        raise typer.BadParameter("cannot be combined with --json", param_hint="'--watch'")
    if watch and not sys.stdout.isatty():
        raise typer.BadParameter("needs a terminal", param_hint="'--watch'")
    read = (
        partial(from_state, parse_state(state))
        if state
        else partial(from_server, address, token)
        if address
        else choose_reader(token)
    )
    if json:
        typer.echo(msgspec.json.encode(read().document).decode())
    elif watch:
        follow_table(read, Clock())
    else:
        print_table(read(), Clock())
