"""Places that change all the while, clients that connect again, and the judge of what they got."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Self

import grpc

from support.client import wait_until
from support.config import polled
from support.events import merged, replay
from support.files import Files, burst, read_files
from support.writer import make_directories, read_lives, writing
from system.replicas.audit import Audit, check_writes
from system.soak.watched import ReconnectingClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.client import Contract, Event
    from support.postgres import Cluster
    from support.replicas import Replica, Replicas

MODES = ("notify", "poll")
"""A place of each is watched."""

TICK_S = 0.2
"""Seconds after which a client whose stream has ended connects again."""

ENDLESS = 1_000_000_000
PAUSE_S = 0.05
"""Pause of a writer between two changes."""

POLL_S = 0.02
LOOK_PAUSE_S = 0.5
"""Pauses between two looks at streams, and between two comparisons of a place with all events."""

LARGE = 1_000
"""Files of a large change: with the metadata of the place, a step of more than 1 MiB."""

PADDING = {"padding": "x" * 1_200}

LEASE_S, RENEW_S = 5.0, 1.0
"""Seconds that a lease lasts, and after which it is renewed."""

WITHIN_S = 6.0
"""What is promised for a takeover: the lease and one second. A slow machine may take longer."""

ENDINGS = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""How a stream may end: a client goes to another server, or leaves."""


class Place:
    """A directory that changes, and its client; use it as a context manager.

    Args:
        directory: Of its own; made.
        contract: Of the clients.
        address: Where they connect.
        mode: How it is watched.
        seed: Decides about the changes.
    """

    def __init__(
        self, directory: Path, contract: Contract, address: str, mode: str, seed: int
    ) -> None:
        self.name = directory.name
        self.root = directory / "root"
        make_directories(self.root)
        self._record = directory / "record"
        self._seed = seed
        asked = polled(self.root, mode, existing="report", metadata=PADDING)
        self.client = ReconnectingClient(address, contract, self.name, asked, TICK_S)
        self._writing = ExitStack()
        self._exits = ExitStack()
        self._looked: list[int] = []
        self._created: set[str] = set()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.client)
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
        (self.root / name).touch()

    def has(self, path: str) -> bool:
        """Return whether the creation of a path was reported."""
        streams = self.client.streams
        self._looked += [0] * (len(streams) - len(self._looked))
        for number, stream in enumerate(list(streams)):
            events = stream.events[self._looked[number] :]
            self._looked[number] += len(events)
            self._created.update(one["path"] for one in events if one["type"] == "created")
        return path in self._created

    def end(self) -> Files:
        """End the changes, and return what is there."""
        self._writing.close()
        return read_files(self.root)

    def events(self) -> list[Event]:
        """Return the received events, each once, in order; a stream ends only as it may."""
        streams = list(self.client.streams)
        for stream in streams:
            if not stream.is_open:
                ending = stream.wait_end()
                assert ending.code in ENDINGS, ending
        return merged(list(stream.payloads) for stream in streams)

    def check_lives(self, events: list[Event], longest_gap_s: float) -> None:
        """Check that each path that was there for long was reported, though it may be gone."""
        reported = {event["path"] for event in events}
        lasting = {
            life.path
            for life in read_lives(self._record)
            if life.end_s is None or life.end_s - life.start_s > longest_gap_s
        }
        assert lasting <= reported, f"never reported: {sorted(lasting - reported)}"


class Takeover(NamedTuple):
    """How long a takeover took, in seconds from the end of the former owner.

    Attributes:
        listening_s: Until another server listened.
        reported_s: Until clients had received a change that was made at the end, at all places.
    """

    listening_s: float
    reported_s: float


class Course:
    """Servers on one database, and what they watch; use it as a context manager.

    Args:
        directory: For everything.
        contract: Of the clients.
        replicas: The servers, which run.
        cluster: Their database.
        schema: Their schema.

    Attributes:
        replicas: The servers.
        owner: The server that owns the state, as far as the test knows.
        takeovers: Those that were measured.
    """

    def __init__(
        self, directory: Path, contract: Contract, replicas: Replicas, cluster: Cluster, schema: str
    ) -> None:
        self.replicas = replicas
        self._cluster = cluster
        self._schema = schema
        self.owner = replicas.start()
        self.takeovers: list[Takeover] = []
        self._audit = Audit(cluster, schema)
        self._marks = 0
        self._waits_s: list[float] = []
        self._exits = ExitStack()
        self.places = []
        for seed, mode in enumerate(MODES, start=1):
            (directory / mode).mkdir()
            place = Place(directory / mode, contract, replicas.address, mode, seed)
            self.places.append(place)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for place in self.places:
                stack.enter_context(place)
            self.go_on()
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def standby(self) -> Replica:
        """A server that does not own the state."""
        return self.replicas.others(self.owner)[0]

    def mark(self) -> str:
        """Make a file at each place, and return its name."""
        self._marks += 1
        name = f"mark{self._marks}"
        for place in self.places:
            place.mark(name)
        return name

    def has(self, name: str) -> bool:
        """Return whether a file was reported at each place."""
        return all(place.has(name) for place in self.places)

    def go_on(self) -> None:
        """Wait until a change that is made now was reported at all places."""
        self.wait_reported(self.mark())

    def wait_reported(self, name: str) -> None:
        """Wait until a file was reported at each place."""
        start_s = time.monotonic()
        wait_until(lambda: self.has(name), f"{name} is reported", pause_s=POLL_S)
        self._waits_s.append(time.monotonic() - start_s)

    def take_over(self, end: Callable[[Replica], None]) -> Replica:
        """End the owner, and wait until another server is the owner and has reported a change.

        Args:
            end: Ends the owner, or keeps it from working.

        Returns:
            The former owner.
        """
        former, start_s = self.owner, time.monotonic()
        end(former)
        name = self.mark()
        self.owner = self.wait_listening(former)
        listening_s = time.monotonic() - start_s
        if former.is_paused:
            # A balancer sends nobody to it any more.
            former.clients.stop()
        self.wait_reported(name)
        self.takeovers.append(Takeover(listening_s, time.monotonic() - start_s))
        return former

    def wait_listening(self, former: Replica) -> Replica:
        """Wait until a server other than the former owner listens, and return it."""
        listening: list[Replica] = []

        def is_found() -> bool:
            others = self.replicas.others(former)
            listening[:] = [replica for replica in others if replica.is_listening()]
            return bool(listening)

        wait_until(is_found, "another server listens", pause_s=POLL_S)
        return listening[0]

    def change_much(self) -> None:
        """Make many files appear at once at each place."""
        for place in self.places:
            into = place.root / f"much{self._marks}"
            into.mkdir()
            burst(into, LARGE)

    def streams(self) -> list[int]:
        """Return how many streams the clients have opened, by place."""
        return [len(place.client.streams) for place in self.places]

    def epochs(self) -> dict[int, int]:
        """Return the epoch of each watch: one that has moved has another."""
        return self._audit.epochs()

    @contextmanager
    def nothing_moves(self) -> Iterator[None]:
        """Check that the owner is the same after the block, and has opened no watch again.

        On a machine so slow that a change takes nearly a lease to be reported, an owner may lose it
        for that alone; nothing is checked then.
        """
        epochs, before = self.epochs(), len(self._waits_s)
        yield
        self.go_on()
        owner = self.replicas.wait_owner()
        if max(self._waits_s[before:]) < LEASE_S - RENEW_S:
            assert (owner, self.epochs()) == (self.owner, epochs)
        self.owner = owner

    @contextmanager
    def briefly(self, within_s: float) -> Iterator[None]:
        """Check that no stream ends, and no watch moves, while the block runs.

        Where the machine is so slow that it takes longer than the time in seconds for which that is
        promised, nothing of it is checked.
        """
        streams, epochs, start_s = self.streams(), self.epochs(), time.monotonic()
        yield
        self.go_on()
        if time.monotonic() - start_s < within_s:
            assert (self.streams(), self.epochs()) == (streams, epochs)
        self.owner = self.replicas.wait_owner()

    def figures(self) -> str:
        """Return how long takeovers took, as text."""
        lines = []
        for field in Takeover._fields:
            seconds = sorted(getattr(each, field) for each in self.takeovers)
            within = sum(each <= WITHIN_S for each in seconds)
            lines.append(
                f"{field}: median {median(seconds):.2f}, worst {seconds[-1]:.2f}, "
                f"{within} of {len(seconds)} within {WITHIN_S:g}"
            )
        return "; ".join(lines)

    def judge(self) -> None:
        """End the changes, and check everything that was told and written.

        The events of each place are in order and without a gap, the same in each stream, and make
        the place; so does the index. No former owner has written.
        """
        for place in self.places:
            files = place.end()
            wait_until(
                lambda place=place, files=files: replay(place.events()) == files,  # type: ignore[misc]
                f"the events make {place.name}",
                pause_s=LOOK_PAUSE_S,
            )
        self.go_on()
        check_writes(self._audit.written())
        for place in self.places:
            events, files = place.events(), read_files(place.root)
            assert replay(events) == files
            assert len({event["id"].partition("-")[0] for event in events}) == 1
            place.check_lives(events, 2 * max(self._waits_s) + 1)
            wait_until(
                lambda place=place, files=files: self._index(place) == files,  # type: ignore[misc]
                f"the index is {place.name}",
                pause_s=LOOK_PAUSE_S,
            )

    def _index(self, place: Place) -> Files:
        rows = self._cluster.execute(
            "SELECT convert_from(entry.path, 'UTF8'), size "  # noqa: S608 - names of the test
            f"FROM {self._schema}.entry JOIN {self._schema}.watch ON watch.id = entry.watch "
            f"WHERE watch.name = '{place.name}'"
        )
        return {str(path): int(str(size)) for path, size in rows}


def nap(seconds: float) -> None:
    """Let a state last for a time, which is no wait for anything."""
    time.sleep(seconds)


def wait_gone(cluster: Cluster, *, is_pooled: bool) -> None:
    """Wait until no session of any server is left; a pooler keeps its own, without a task."""
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'watcher %'"
    query += " AND state <> 'idle'" if is_pooled else ""
    wait_until(lambda: not cluster.execute(query), "all sessions have ended", pause_s=POLL_S)
