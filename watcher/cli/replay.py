"""``watcher replay``: have confirmed events sent again."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Annotated

import typer

from watcher.cli.defaults import default_server
from watcher.cli.flags import Server, Tls, TlsCa, Token, duration, flag
from watcher.formatting import printable


def replay(  # noqa: PLR0913 - each is a flag
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Of the event source, or its id.", show_default=False),
    ],
    *,
    since: Annotated[
        str,
        flag(
            "--since",
            metavar="SEQ|TIME",
            env=False,
            help="A sequence number, a time (2026-01-31T12:00:00Z), or how long ago (2h).",
        ),
    ],
    place: Annotated[
        str,
        flag(
            "--place",
            metavar="URI",
            env=False,
            help="If several places are watched under the name.",
        ),
    ] = "",
    server: Server = None,
    token: Token = "",
    tls: Tls = False,
    tls_ca: TlsCa = None,
) -> None:
    """Have events sent again that were delivered, with the same ids.

    A server keeps them for as long as its --journal-retention says. They go to the streams that are connected, else to the next.
    """
    from watcher.cli.client import Endpoint, request_replay  # noqa: PLC0415 - grpc, for which --help need not wait

    seq, time_s = _since(since)
    found, seqs = asyncio.run(
        request_replay(
            Endpoint(server or default_server(), token, tls, tls_ca),
            name,
            place,
            seq=seq,
            time_s=time_s,
        )
    )
    if seqs:
        typer.echo(
            f"{printable(found)}: {len(seqs):,} events are sent again, {seqs.start} to {seqs.stop - 1}"
        )
    else:
        typer.echo(
            f"{printable(found)}: nothing is sent again; a server keeps delivered events for its --journal-retention"
        )


def _since(text: str) -> tuple[int | None, float | None]:
    """Return a sequence number, or seconds since the epoch.

    Raises:
        BadParameter: It says neither.
    """
    if text.isascii() and text.isdigit():
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return None, time.time() - duration(text)
        except typer.BadParameter as error:
            message = f"{text!r} must be a sequence number, a time such as 2026-01-31T12:00:00Z, or a duration such as 2h"
            raise typer.BadParameter(message, param_hint="'--since'") from error
    return None, moment.timestamp()
