"""Servers that share the watches of changing places, and the judge of what their clients got."""

from __future__ import annotations

import shutil
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Self

from support.client import wait_until
from support.files import Files, burst, read_files
from support.replicas import Balancer, Replica, Replicas
from system.replicas.audit import Audit, check_writes
from system.replicas.place import LOOK_PAUSE_S, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

    from support.client import Contract
    from support.postgres import Cluster

PLACES = (("notify", 1), ("poll", 2), ("notify", 2), ("poll", 1))
"""How each place is watched, and the number of its clients."""

POLL_S = 0.02
"""Pause between two looks at streams and owners."""

REMIND_S = 10.0
"""Seconds after which another file is made: a later stream may not be told of the first."""

LARGE = 1_000
"""Files of a large change: with the metadata of the place, a step of more than 1 MiB."""

LARGE_KEPT = 3
"""Large changes whose files stay: a place does not grow, and never loses more than half at once."""

LEASE_S, RENEW_S = 5.0, 1.0
"""Seconds that a lease lasts, and after which it is renewed."""

REDELIVERY_WINDOW_S = 8.0
"""Seconds after which events are confirmed: about as long as a stream lives in a round. With a much
longer window each stream would begin with all that was ever reported."""

CUT_OFF_S = 10.0
"""Seconds for which a server serves without an answer of the database."""

WITHIN_S = LEASE_S + 1.0
"""What is promised for a takeover: the lease and one second. A slow machine may take longer."""

ASKED_WITHIN_S = 1.0
"""What is promised for the takeover from a server that was asked to go."""

Owners = dict[str, str | None]
"""Id of the server that owns the watch of a place, by name of the place."""


class Takeover(NamedTuple):
    """How long a takeover took, in seconds from the end of the former owner.

    Attributes:
        owned_s: Until other servers owned all of its watches.
        reported_s: Until all clients had received a change that was made at the end.
    """

    owned_s: float
    reported_s: float


class Course:
    """Servers on one database, and what they watch; use it as a context manager.

    Args:
        directory: For everything.
        contract: Of the clients.
        replicas: The servers, not started.
        cluster: Their database.
        schema: Their schema.

    Attributes:
        replicas: The servers.
        balancer: Leads clients to any of them.
        places: What is watched.
        takeovers: Those that were measured.
        asked: Those among them from servers that were asked to go.
    """

    def __init__(
        self, directory: Path, contract: Contract, replicas: Replicas, cluster: Cluster, schema: str
    ) -> None:
        self.replicas = replicas.start()
        self.balancer = Balancer(replicas)
        self.takeovers: list[Takeover] = []
        self.asked: list[Takeover] = []
        self._cluster = cluster
        self._schema = schema
        self._audit = Audit(cluster, schema)
        self._marks = 0
        self._large: deque[str] = deque()
        self._waits_s: list[float] = []
        self._gaps_s: list[float] = []
        self._exits = ExitStack()
        self._contract = contract
        self._directory = directory
        self.places: list[Place] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            address = stack.enter_context(self.balancer).address
            for seed, (mode, clients) in enumerate(PLACES, start=1):
                directory = self._directory / f"{mode}{seed}"
                place = Place(directory, self._contract, address, mode, clients, seed)
                self.places.append(stack.enter_context(place))
            self.go_on()
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def owners(self) -> Owners:
        """Return who owns the watch of each place."""
        rows = self._cluster.execute(
            f"SELECT name, owner::text FROM {self._schema}.watch "  # noqa: S608 - names of the test
            f"JOIN {self._schema}.counters ON watch = id"
        )
        return {str(name): None if owner is None else str(owner) for name, owner in rows}

    def owned(self, replica: Replica) -> set[str]:
        """Return the names of the places whose watches a server owns."""
        return {name for name, owner in self.owners().items() if owner == replica.id}

    def owner(self, chance: Random) -> Replica:
        """Return a server that owns a watch."""
        owners = set(self.owners().values())
        return chance.choice([each for each in self.replicas if each.id in owners])

    def mark(self) -> str:
        """Make a file at each place, and return its name."""
        self._marks += 1
        name = f"mark{self._marks}"
        for place in self.places:
            place.mark(name)
        return name

    def go_on(self) -> None:
        """Wait until each client was told of a change that is made now."""
        self.wait_reported(self.mark())

    def wait_reported(self, name: str) -> None:
        """Wait until each client was told of a file, or of a later one of its place."""
        start_s = time.monotonic()
        names, reminded_s = [name], start_s

        def is_reported() -> bool:
            nonlocal reminded_s
            if time.monotonic() - reminded_s > REMIND_S:
                reminded_s = time.monotonic()
                names.append(self.mark())
            return all(any(map(place.has, names)) for place in self.places)

        try:
            wait_until(is_reported, f"{name} is reported", pause_s=POLL_S)
        except AssertionError as error:
            places = "; ".join(place.progress(names) for place in self.places)
            raise AssertionError(f"{error}; {places}; owners {self.owners()}") from error
        self._waits_s.append(time.monotonic() - start_s)

    def lose(
        self, replica: Replica, end: Callable[[Replica], None], *, is_asked: bool = False
    ) -> None:
        """End a server, and wait until others own its watches, and all clients know a change.

        Args:
            replica: The server.
            end: Ends it, or keeps it from working.
            is_asked: Whether that asks it to go, and returns when it has gone.
        """
        owned, start_s = self.owned(replica), time.monotonic()

        def have_others() -> bool:
            owners = self.owners()
            return all(owners[each] not in {None, replica.id} for each in owned)

        with self.gap():
            end(replica)
            name = self.mark()
            wait_until(have_others, f"others own {sorted(owned)}", pause_s=POLL_S)
            owned_s = time.monotonic() - start_s
            if replica.is_paused:
                # A balancer sends nobody to it any more, and cuts those who are there.
                replica.clients.stop()
            self.wait_reported(name)
        if owned:
            takeovers = self.asked if is_asked else self.takeovers
            takeovers.append(Takeover(owned_s, time.monotonic() - start_s))
            # A long run shows how it goes on with `-s`.
            print(f"{len(takeovers)}: {replica}, {len(owned)} watches, {takeovers[-1]}", flush=True)

    @contextmanager
    def gap(self) -> Iterator[None]:
        """Note how long the block runs, in which places may not be watched.

        What comes and goes within is not reported.
        """
        start_s = time.monotonic()
        yield
        self._gaps_s.append(time.monotonic() - start_s)

    def change_much(self) -> None:
        """Make many files appear at once at each place, and remove those of long ago."""
        self._large.append(f"much{self._marks}")
        for place in self.places:
            into = place.root / self._large[-1]
            into.mkdir()
            burst(into, LARGE, b"x")
        if len(self._large) > LARGE_KEPT:
            former = self._large.popleft()
            for place in self.places:
                shutil.rmtree(place.root / former)

    def streams(self) -> list[int]:
        """Return how many streams the clients have opened, by place."""
        return [place.streams() for place in self.places]

    @contextmanager
    def nothing_moves(self) -> Iterator[None]:
        """Check that each watch has the same owner after the block, which has not opened it again.

        On a machine so slow that a change takes nearly a lease to be reported, a server may lose
        watches for that alone; nothing is checked then.
        """
        owners, epochs, before = self.owners(), self._audit.epochs(), len(self._waits_s)
        with self.gap():
            yield
            self.go_on()
        if max(self._waits_s[before:]) < LEASE_S - RENEW_S:
            assert (self.owners(), self._audit.epochs()) == (owners, epochs)

    @contextmanager
    def briefly(self, within_s: float) -> Iterator[None]:
        """Check that no stream ends, and no watch moves, while the block runs.

        Where the machine is so slow that it takes longer than the time in seconds for which that is
        promised, nothing of it is checked.
        """
        streams, epochs, start_s = self.streams(), self._audit.epochs(), time.monotonic()
        yield
        self.go_on()
        if time.monotonic() - start_s < within_s:
            assert (self.streams(), self._audit.epochs()) == (streams, epochs)

    def figures(self) -> str:
        """Return how long takeovers took, as text."""
        kinds = (("lost", self.takeovers, WITHIN_S), ("asked", self.asked, ASKED_WITHIN_S))
        lines = []
        for kind, takeovers, within_s in kinds:
            for field in Takeover._fields if takeovers else ():
                seconds = sorted(getattr(each, field) for each in takeovers)
                within = sum(each <= within_s for each in seconds)
                lines.append(
                    f"{kind}, {field}: median {median(seconds):.2f}, worst {seconds[-1]:.2f}, "
                    f"{within} of {len(seconds)} within {within_s:g}"
                )
        received = sum(place.judge.received for place in self.places)
        lines.append(f"{received:,} payloads, {sum(self.streams())} streams")
        return "; ".join(lines)

    def judge(self) -> None:
        """End the changes, and check everything that was told and written.

        The events of each place are in order and without a gap, the same in each stream, and make
        the place; so does the index. No former owner has written.
        """
        for place in self.places:
            place.wait_complete(place.end())
        self.go_on()
        check_writes(self._audit.written())
        for place in self.places:
            files = read_files(place.root)
            place.wait_complete(files)
            assert len(place.judge.uids) == 1
            place.check_lives(2 * max(self._waits_s + self._gaps_s) + 1)
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


def wait_gone(cluster: Cluster, since: str, *, is_pooled: bool) -> None:
    """Wait until no session of any server is left; a pooler keeps its own, without a task.

    Args:
        cluster: The database.
        since: When the servers began, as the database has it: a pooler may have sessions of before.
        is_pooled: Whether they reached it through a pooler.
    """
    query = (
        "SELECT application_name, state, wait_event_type, wait_event, backend_start::text, "  # noqa: S608 - a time
        "xact_start::text, pg_blocking_pids(pid)::text, query FROM pg_stat_activity "
        f"WHERE application_name LIKE 'watcher %' AND backend_start >= '{since}'"
    )
    query += " AND state <> 'idle'" if is_pooled else ""
    left: list[tuple[object, ...]] = []

    def are_gone() -> bool:
        left[:] = cluster.execute(query)
        return not left

    try:
        wait_until(are_gone, "all sessions have ended", pause_s=POLL_S)
    except AssertionError as error:
        error.add_note("\n".join(map(str, left)))
        raise
