"""``watcher replay``: has delivered events sent again."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from watcher.cli.client import Endpoint, request_replay
from watcher.cli.defaults import default_server
from watcher.cli.flags import Server, Tls, TlsCa, Token, WatchName, WatchPlace, duration, flag
from watcher.clock import Clock
from watcher.formatting import printable

EXAMPLES = (
    "watcher replay orders --since 2h",
    "watcher replay orders --since 10042 --server watcher.example:8080",
)


def replay(  # noqa: PLR0913 - each is a flag
    name: WatchName,
    *,
    since: Annotated[
        str,
        flag(
            "--since",
            metavar="SEQ|TIME",
            env=False,
            help="First event: a seq, a time (2026-01-31T12:00:00Z), or an age (2h).",
        ),
    ],
    place: WatchPlace = "",
    server: Server = None,
    token: Token = "",
    tls: Tls = False,
    tls_ca: TlsCa = None,
) -> None:
    """Have delivered events sent again, with the same ids.

    The server keeps delivered events for its --journal-retention. It sends them to the streams
    that are connected, or else to the next one.
    """
    seq, time_s = parse_since(since, Clock())
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
        result = f"{len(seqs):,} events are sent again, {seqs.start} to {seqs.stop - 1}"
    else:
        result = "no event is sent again; the server keeps them for its --journal-retention"
    typer.echo(f"{printable(found)}: {result}")


def parse_since(text: str, clock: Clock) -> tuple[int | None, float | None]:
    """Return a sequence number, or else seconds since the epoch.

    Raises:
        BadParameter: The text is not a sequence number, a time or a duration.
    """
    if text.isascii() and text.isdigit():
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return None, clock.wall() - duration(text)
        except typer.BadParameter as error:
            message = (
                f"{text!r} must be a sequence number, a time such as 2026-01-31T12:00:00Z, "
                "or a duration such as 2h"
            )
            raise typer.BadParameter(message, param_hint="'--since'") from error
    return None, moment.timestamp()
