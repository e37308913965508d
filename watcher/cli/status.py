"""``watcher status``: the watches of a running server, or of a state directory. What it prints is in ``board.py``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watcher.cli.defaults import default_http_server, default_state_directory
from watcher.cli.flags import Json, Token, flag
from watcher.cli.output import complain
from watcher.errors import DeniedError, StateError, UnauthenticatedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.state.port import Summary

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """How things stand.

    Attributes:
        document: What a server says in its ``/status.json``; of state files ``watches`` alone.
        watches: Each as ``report.WatchReport`` has it, as far as it is known; those that run come first.
    """

    document: Mapping[str, Any]
    watches: Sequence[Mapping[str, Any]]

    @property
    def recent(self) -> Sequence[Mapping[str, Any]]:
        """The newest changes, the newest first; each as ``recent.Recent`` has it."""
        recent: Sequence[Mapping[str, Any]] = self.document.get("recent", ())
        return recent

    @property
    def problem(self) -> str:
        """What keeps the server from its work, or empty."""
        return str(self.document.get("problem", ""))


def status(
    *,
    server_http: Annotated[
        str | None,
        flag(
            "--server-http",
            metavar="URL",
            help="HTTP port of a server.  [default: http://127.0.0.1:8081]",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        flag(
            "--state",
            metavar="DIR",
            env=False,
            help="Read the state files there, without a server.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        flag(
            "--watch",
            env=False,
            help="Show it again every second, with the newest changes, until Ctrl-C.",
        ),
    ] = False,
    token: Token = "",
    json: Json = False,
) -> None:
    """Show the watches of a running server or of a state directory.

    Without flags it asks the server of this machine; if none answers, it reads the default state directory.
    """
    if server_http and state:
        raise typer.BadParameter("cannot be combined with --server-http", param_hint="'--state'")
    if watch and json:
        raise typer.BadParameter("cannot be combined with --json", param_hint="'--watch'")
    if watch and not sys.stdout.isatty():
        raise typer.BadParameter("needs a terminal", param_hint="'--watch'")
    read = (
        partial(_from_files, state)
        if state
        else partial(_from_server, server_http, token)
        if server_http
        else _either(token)
    )
    if json:
        import msgspec  # noqa: PLC0415 - a table does not need it

        typer.echo(msgspec.json.encode(read().document).decode())
        return
    from watcher.cli.status_table import follow_board, print_board  # noqa: PLC0415 - rich, which JSON does not need

    if watch:
        follow_board(read)
    else:
        print_board(read())


def _either(token: str) -> Callable[[], StatusSnapshot]:
    """Return what asks the server of this machine, or else reads the default state directory, and say which."""
    url, path = default_http_server(), default_state_directory()
    try:
        _from_server(url, token)
    except UnavailableError:
        complain(f"no server answers at {url}; this is from the state in {path}")
        return partial(_from_files, path)
    complain(f"from the server at {url}")
    return partial(_from_server, url, token)


def _from_server(url: str, token: str) -> StatusSnapshot:
    """Return what a server says of the watches that run.

    Raises:
        UnavailableError: The server does not answer, or is none of ours.
        UnauthenticatedError: It asks for another token.
        DeniedError: It does not answer under this name.
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
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request("GET", f"{parts.path.rstrip('/')}/status.json", headers=headers)
            answer = connection.getresponse()
            if answer.status == HTTPStatus.UNAUTHORIZED:
                raise UnauthenticatedError(
                    "the server asks for a token, or for another",
                    place=url,
                    hint="give one with --token",
                )
            if answer.status == HTTPStatus.MISDIRECTED_REQUEST:
                raise DeniedError(
                    "the server does not go by this name",
                    place=url,
                    hint="use 127.0.0.1 or localhost",
                )
            document = msgspec.json.decode(answer.read(), type=dict[str, Any])
            standing = StatusSnapshot(document, [*document["watches"], *document.get("idle", ())])
        finally:
            connection.close()
    except OSError as error:
        raise UnavailableError(
            f"no server answers: {error.strerror or error}", place=url, hint=hint
        ) from error
    except (HTTPException, ValueError, LookupError, TypeError) as error:
        raise UnavailableError(
            "this is not the HTTP port of a watcher server", place=url, hint=hint
        ) from error
    return standing


def _from_files(directory: Path) -> StatusSnapshot:
    """Return what the state files say, whether or not a server uses them; nothing is changed.

    Raises:
        StateError: The directory or a file cannot be read.
    """
    from watcher.state.sqlite.directory import state_files  # noqa: PLC0415 - as above
    from watcher.state.sqlite.store import read_summary  # noqa: PLC0415 - as above

    try:
        files = sorted(state_files(directory))
    except OSError as error:
        raise StateError(
            f"the state directory cannot be read: {error.strerror}",
            place=str(directory),
            hint="name it with --state",
        ) from error
    watches = [_report(read_summary(file)) for file in files]
    return StatusSnapshot({"watches": watches}, watches)


def _report(summary: Summary) -> Mapping[str, Any]:
    """Return a state file's summary in the shape that a server gives its watches."""
    return {
        **asdict(summary),
        "oldest_at": summary.oldest_at or 0.0,
        "state": "offline",
        "mode": "",
        "unconfirmed": summary.depth,
        "streams": 0,
        "error": "",
        "note": "",
    }
