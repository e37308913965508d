"""The watches of a server at one moment, read from its HTTP port or from its state."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from watcher.cli.defaults import default_http_server, default_state
from watcher.cli.messages import RefusedError, complain
from watcher.errors import DeniedError, UnauthenticatedError, UnavailableError
from watcher.state.choice import read_summaries
from watcher.telemetry.held_back import describe_held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from watcher.settings import DatabaseUrl
    from watcher.state.port import Summary

TIMEOUT_S = 5.0
"""Seconds that a server has to answer."""

RELEASE_TIMEOUT_S = 20.0
"""Seconds that a server has to release something; it waits ten for the watch itself."""

_HINT = "give the address of the server's --http, as host:port or a URL"


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The watches at one moment.

    Attributes:
        document: ``/status.json`` of a server; of kept state ``watches`` alone.
        watches: The fields of ``WatchReport`` that are known of each watch; running ones first.
    """

    document: Mapping[str, Any]
    watches: Sequence[Mapping[str, Any]]

    @property
    def recent(self) -> Sequence[Mapping[str, Any]]:
        """The fields of ``Recent`` of the newest changes, newest first."""
        recent: Sequence[Mapping[str, Any]] = self.document.get("recent", ())
        return recent

    @property
    def servers(self) -> Sequence[Mapping[str, Any]]:
        """The fields of ``Server`` of those that share the state; none where no other can."""
        return [each for each in self.document.get("servers", ()) if each.get("id")]

    @property
    def problem(self) -> str:
        """Why the server cannot do its work; empty if it can."""
        return str(self.document.get("problem", ""))


def choose_reader(token: str) -> Callable[[], StatusSnapshot]:
    """Return a reader of this machine's server if it answers, else of its state.

    Standard error names the choice.

    Raises:
        UnauthenticatedError: The server requires another token.
        DeniedError: The server does not answer under this host name.
    """
    url, state = default_http_server(), default_state()
    try:
        from_server(url, token)
    except UnavailableError:
        complain(f"no server answers at {url}; reading {_describe(state)}")
        return partial(from_state, state)
    complain(f"reading from the server at {url}")
    return partial(from_server, url, token)


def from_server(url: str, token: str) -> StatusSnapshot:
    """Return the snapshot of a running server.

    Args:
        url: URL of its HTTP port.
        token: Bearer token; empty for none.

    Raises:
        UnavailableError: The server does not answer, or is not a watcher server.
        UnauthenticatedError: The server requires another token.
        DeniedError: The server does not answer under this host name.
    """
    with _answered(url):
        document = _ask(url, token, "/status.json")[1]
        return StatusSnapshot(document, [*document["watches"], *document.get("idle", ())])


def request_release(url: str, token: str, **request: str) -> Mapping[str, Any]:
    """Have a running server release held deletions or a mount, and return its answer.

    Args:
        url: URL of its HTTP port.
        token: Bearer token; empty for none.
        request: ``name`` of the watch; ``place`` and ``prefix`` if needed.

    Raises:
        UnavailableError: The server does not answer, or is not a watcher server.
        UnauthenticatedError: The server requires another token.
        DeniedError: The server does not answer under this host name.
        RefusedError: The server refuses the request; the message is the server's.
    """
    with _answered(url):
        status, answer = _ask(url, token, "/release", request)
        if status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise RefusedError(str(answer["error"]))
        return answer


@contextmanager
def _answered(url: str) -> Iterator[None]:
    """Turn what a request and its answer raise into an UnavailableError."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"no server answers: {error.strerror or error}", place=url, hint=_HINT
        ) from error
    except (HTTPException, ValueError, LookupError, TypeError) as error:
        raise UnavailableError(
            "this is not the HTTP port of a watcher server", place=url, hint=_HINT
        ) from error


def _ask(
    url: str, token: str, path: str, posted: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, Any]]:
    """Return status and JSON that a path below a URL has, for GET or for JSON that is posted.

    Raises:
        UnauthenticatedError: The server requires another token.
        DeniedError: The server does not answer under this host name.
    """
    parts = urlsplit(url)
    kind = {"http": HTTPConnection, "https": HTTPSConnection}[parts.scheme]
    connection = kind(parts.netloc, timeout=TIMEOUT_S if posted is None else RELEASE_TIMEOUT_S)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = None if posted is None else json.dumps(posted)
        if body is not None:
            headers["Content-Type"] = "application/json"
        method = "GET" if body is None else "POST"
        connection.request(method, f"{parts.path.rstrip('/')}{path}", body, headers)
        answer = connection.getresponse()
        status, text = answer.status, answer.read()
    finally:
        connection.close()
    if status == HTTPStatus.UNAUTHORIZED:
        raise UnauthenticatedError(
            "the server requires a token, or another one", place=url, hint="give it with --token"
        )
    if status == HTTPStatus.MISDIRECTED_REQUEST:
        raise DeniedError(
            "the server does not answer under this host name",
            place=url,
            hint="use 127.0.0.1 or localhost",
        )
    return status, msgspec.json.decode(text, type=dict[str, Any])


def from_state(state: Path | DatabaseUrl) -> StatusSnapshot:
    """Return the snapshot of kept state, whether or not a server uses it; writes nothing.

    Raises:
        StateError: The directory, a file or the database cannot be read.
    """
    watches = [_report(summary) for summary in read_summaries(state)]
    return StatusSnapshot({"watches": watches}, watches)


def _describe(state: Path | DatabaseUrl) -> str:
    return f"the state directory {state}" if isinstance(state, Path) else str(state)


def _report(summary: Summary) -> Mapping[str, Any]:
    """Return the summary of a watch in the shape of a ``WatchReport``."""
    return {
        **asdict(summary),
        "oldest_at": summary.oldest_at or 0.0,
        "state": "offline",
        "mode": "",
        "unconfirmed": summary.depth,
        "streams": 0,
        "error": "",
        "waiting": describe_held_back(summary.held_back),
        "note": "",
    }
