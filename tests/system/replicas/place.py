"""A directory that changes all the while, and clients of its watch that connect again."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Self

import grpc

from support.client import wait_until
from support.config import polled
from support.files import Files, read_files
from support.judge import Judge, Received
from support.writer import make_directories, read_lives, writing
from system.soak.watched import ReconnectingClient

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.client import Contract

TICK_S = 0.2
"""Seconds after which a client whose stream has ended connects again."""

ENDLESS = 1_000_000_000
PAUSE_S = 0.05
"""Pause of a writer between two changes."""

LOOK_PAUSE_S = 0.5
"""Pause between two comparisons of a place with all events."""

PADDING = {"padding": "x" * 1_200}
"""Metadata of each event, so that a large change is a step of more than 1 MiB."""

ENDINGS = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""How a stream may end: a client goes to another server, or leaves."""


class Place:
    """A directory that changes, and its clients; use it as a context manager.

    Args:
        directory: Of its own; made unless it exists.
        contract: Of the clients.
        address: Where they connect.
        mode: How it is watched.
        clients: How many have a stream at the same time.
        seed: Decides about the changes.

    Attributes:
        name: Of its event source.
        root: The directory that is watched.
        judge: Of all that its clients receive.
        clients: They.
    """

    def __init__(
        self,
        directory: Path,
        contract: Contract,
        address: str,
        mode: str,
        clients: int,
        seed: int,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.name = directory.name
        self.root = directory / "root"
        make_directories(self.root)
        self._record = directory / "record"
        self._seed = seed
        self.judge = Judge()
        asked = polled(self.root, mode, existing="report", metadata=PADDING)
        self._received: dict[int, Received] = {}
        self.clients = [
            ReconnectingClient(
                address, contract, self.name, asked, TICK_S, partial(self._begin, number)
            )
            for number in range(clients)
        ]
        self._writing = ExitStack()
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for client in self.clients:
                stack.enter_context(client)
            self._writing = stack.enter_context(ExitStack())
            self._writing.enter_context(
                writing(self.root, self._seed, ENDLESS, PAUSE_S, self._record)
            )
            # Whatever is there when it starts is its own to change.
            wait_until(self._record.exists, "the writer has started")
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def mark(self, name: str) -> None:
        """Make a file, which ``has`` shows once it was reported."""
        (self.root / name).write_text("x")

    def has(self, path: str) -> bool:
        """Return whether each client has received a path, or what comes later.

        Raises:
            AssertionError: Something that was received is wrong.
        """
        self.judge.check()
        seq = self.judge.paths.get(path)
        return seq is not None and all(
            number in self._received and self._received[number].last_seq >= seq
            for number in range(len(self.clients))
        )

    def progress(self, paths: Iterable[str]) -> str:
        """Return how far each client is, as text, and where it has to be to have any of the paths.

        A client is at the sequence number of its last event, and its stream is open or not.
        """
        clients = [
            f"{received.last_seq} ({'open' if self.clients[number].is_connected else 'closed'})"
            for number, received in sorted(self._received.items())
        ]
        wanted = {path: self.judge.paths.get(path) for path in paths}
        return f"{self.name}: {', '.join(clients)} of {self.judge.last_seq}, {wanted}"

    def streams(self) -> int:
        """Return how many streams its clients have opened."""
        return sum(len(client.streams) for client in self.clients)

    def end(self) -> Files:
        """End the changes, and return what is there."""
        self._writing.close()
        return read_files(self.root)

    def wait_complete(self, files: Files) -> None:
        """Wait until the received events make files; a stream ends only as it may."""
        try:
            wait_until(
                lambda: self.judge.makes(files),
                f"the events make {self.name}",
                pause_s=LOOK_PAUSE_S,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.judge.difference(files)}") from error
        for client in self.clients:
            for stream in list(client.streams):
                if not stream.is_open:
                    ending = stream.wait_end()
                    assert ending.code in ENDINGS, ending

    def check_lives(self, longest_gap_s: float) -> None:
        """Check that each path that was there for long was reported, though it may be gone."""
        lasting = {
            life.path
            for life in read_lives(self._record)
            if life.end_s is None or life.end_s - life.start_s > longest_gap_s
        }
        missing = lasting - self.judge.paths.keys()
        assert not missing, f"never reported: {sorted(missing)}"

    def _begin(self, number: int) -> Received:
        self._received[number] = self.judge.begin()
        return self._received[number]
