"""``watcher release``: releases held deletions, or a mount that is gone for good."""

from __future__ import annotations

from typing import Annotated

import typer

from watcher.cli.defaults import DEFAULT_HTTP, default_http_server
from watcher.cli.flags import Token, WatchName, WatchPlace, flag, http_url
from watcher.cli.snapshot import request_release
from watcher.formatting import printable

EXAMPLES = (
    "watcher release orders",
    "watcher release orders usb/backup --server-http watcher.example:8081",
)


def release(
    name: WatchName,
    prefix: Annotated[
        str,
        typer.Argument(
            metavar="PREFIX",
            help="Mount point, below the directory, of a volume that will not come back.",
            show_default=False,
        ),
    ] = "",
    *,
    place: WatchPlace = "",
    server_http: Annotated[
        str | None,
        flag(
            "--server-http",
            metavar="URL",
            parser=http_url,
            unset=f"http://{DEFAULT_HTTP}",
            help="HTTP port of the server.",
        ),
    ] = None,
    token: Token = "",
) -> None:
    """Release held deletions, or a mount that is gone for good.

    With NAME alone, the scan that held deletions wait for starts at once. With PREFIX, the mount
    point is an ordinary directory from now on, or belongs to what is mounted there now: files of
    the volume that is missing are reported as deleted.
    """
    answer = request_release(
        server_http or default_http_server(), token, name=name, place=place, prefix=prefix
    )
    shown = printable(prefix)
    if not prefix:
        result = f"{answer['released']:,} held deletions are released"
    elif answer.get("pending"):
        result = f"{shown} is released when the running scan is over"
    else:
        result = f"{shown} is released, and scanned now"
    typer.echo(f"{printable(name)}: {result}")
