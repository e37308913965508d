"""``watcher status``: the watches of a running server, or of a state directory."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watcher.cli.addresses import default_http_server, default_state_directory
from watcher.cli.lines import complain, printable
from watcher.cli.options import Json, flag
from watcher.errors import StateError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_S = 5.0
_COLUMNS = {
    "name": "NAME",
    "place": "PLACE",
    "state": "STATE",
    "mode": "MODE",
    "entries": "ENTRIES",
    "unconfirmed": "UNCONFIRMED",
    "streams": "STREAMS",
    "note": "NOTE",
}


def status(
    *,
    server_http: Annotated[
        str | None, flag("--server-http", metavar="URL", help="HTTP port of a server.  [default: http://127.0.0.1:8081]")
    ] = None,
    state: Annotated[Path | None, flag("--state", metavar="DIR", env=False, help="Read the state files there, without a server.")] = None,
    json: Json = False,
) -> None:
    """Show the watches of a running server or of a state directory.

    Without flags it asks the server of this machine; if none answers, it reads the default state directory.
    """
    if server_http and state:
        raise typer.BadParameter("cannot be combined with --server-http", param_hint="'--state'")
    watches = _from_files(state) if state else _from_server(server_http) if server_http else _from_either()
    if json:
        import msgspec  # noqa: PLC0415 - a table does not need it

        typer.echo(msgspec.json.encode({"watches": watches}).decode())
    elif watches:
        _print_table(watches)
    else:
        typer.echo("no watches")


def _from_either() -> Sequence[Mapping[str, Any]]:
    """Return what the server of this machine says, or else the default state directory, and say which.

    Raises:
        StateError: There is neither.
    """
    url, path = default_http_server(), default_state_directory()
    try:
        watches = _from_server(url)
    except UnavailableError:
        complain(f"no server answers at {url}; this is from the state in {path}")
        return _from_files(path)
    complain(f"from the server at {url}")
    return watches


def _from_server(url: str) -> Sequence[Mapping[str, Any]]:
    """Return the watches that run.

    Raises:
        UnavailableError: The server does not answer, or is none of ours.
    """
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: PLC0415 - reading files does not need it
    from urllib.parse import urlsplit  # noqa: PLC0415 - likewise

    import msgspec  # noqa: PLC0415 - as above

    hint = "give the server's --http address as --server-http http://host:port"
    try:
        parts = urlsplit(url)
        kind = {"http": HTTPConnection, "https": HTTPSConnection}[parts.scheme]
        connection = kind(parts.netloc, timeout=TIMEOUT_S)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/status.json")
            watches: Sequence[Mapping[str, Any]] = msgspec.json.decode(connection.getresponse().read())["watches"]
        finally:
            connection.close()
    except OSError as error:
        raise UnavailableError(f"no server answers: {error.strerror or error}", place=url, hint=hint) from error
    except (HTTPException, ValueError, LookupError, TypeError) as error:
        raise UnavailableError("this is not the HTTP port of a watcher server", place=url, hint=hint) from error
    return watches


def _from_files(directory: Path) -> Sequence[Mapping[str, Any]]:
    """Return what the state files say, whether or not a server uses them; nothing is changed.

    Raises:
        StateError: The directory or a file cannot be read.
    """
    from watcher.state import state_files  # noqa: PLC0415 - as above
    from watcher.store import read_summary  # noqa: PLC0415 - as above

    try:
        files = sorted(state_files(directory))
    except OSError as error:
        raise StateError(
            f"the state directory cannot be read: {error.strerror}", place=str(directory), hint="name it with --state"
        ) from error
    return [_report(read_summary(file)) for file in files]


def _report(summary: Mapping[str, str | int]) -> Mapping[str, Any]:
    """Return a state file's summary in the shape that a server gives its watches."""
    unconfirmed = int(summary["next_seq"]) - 1 - int(summary["cursor"])
    return {**summary, "state": "offline", "mode": "", "unconfirmed": unconfirmed, "streams": 0, "error": "", "note": ""}


def _print_table(watches: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - JSON does not need it
    from rich.table import Table  # noqa: PLC0415 - likewise

    console = Console(highlight=False)
    if not console.is_terminal:
        # Nothing is wrapped or cut for a program that reads on.
        console.width = 1 << 16
    table = Table(box=None, pad_edge=False)
    for name, title in _COLUMNS.items():
        is_number = name in {"entries", "unconfirmed", "streams"}
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for watch in watches:
        table.add_row(*(printable(str(watch.get(name, ""))) or "-" for name in _COLUMNS))
    console.print(table)
