"""A server whose database fails over or is restored, and what its clients have received."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.client import wait_until
from support.config import config
from support.files import fill

if TYPE_CHECKING:
    from pathlib import Path

    from support.client import Event, Stream
    from support.fixtures import Serve

RETRY_S = 0.2
"""Seconds after which a client whose stream was refused connects again."""


class OneServer:
    """One server after the other on a database, and one stream after the other.

    Args:
        serve: Starts a server with flags, and connects a client.
        url: The database.
        root: The directory that is watched.
        name: Of the event source.
        keys: Of its configuration.

    Attributes:
        process: The present server.
        stream: The present stream.
    """

    def __init__(self, serve: Serve, url: str, root: Path, name: str, **keys: Any) -> None:  # noqa: ANN401 - any key
        self._serve = serve
        self._url = url
        self._root = root
        self._name = name
        self._config = config(root, **keys)
        self._streams: list[Stream] = []
        self.start()

    def start(self) -> None:
        """Start a server, and a stream as soon as it is admitted."""
        flags = ("--redelivery-window", "100ms", "--allow-directory", str(self._root))
        self.process, self._client = self._serve("--state", self._url, *flags)
        self.process.expected = {"state.restored"}
        self.connect()

    @property
    def stream(self) -> Stream:
        return self._streams[-1]

    def connect(self) -> None:
        """Start a stream, again and again until the server admits it."""

        def is_admitted() -> bool:
            self._streams.append(self._client.start(self._name, self._config))
            return not self.stream.has_ended_before_it_was_ready()

        wait_until(is_admitted, "a stream is admitted", pause_s=RETRY_S)

    def report(self, *paths: str) -> None:
        """Make files, and wait until each is reported."""
        fill(self._root, *paths)
        self.wait(*paths)

    def wait(self, *paths: str) -> None:
        """Wait until the present stream has reported paths."""
        for path in paths:
            self.stream.wait_path(path)

    def events(self) -> list[Event]:
        """Return the events in the order of their first coming; an id has one content."""
        by_id: dict[str, Event] = {}
        for stream in self._streams:
            for event in list(stream.events):
                assert by_id.setdefault(event["id"], event) == event
        return [*by_id.values()]

    def ids(self, path: str) -> list[str]:
        """Return the ids with which a path was reported."""
        return [event["id"] for event in self.events() if event["path"] == path]

    def uid(self, path: str) -> str:
        """Return the first part of the last id of a path."""
        return self.ids(path)[-1].partition("-")[0]
