"""Servers that share watches, each deciding for itself, while they pause, die and lose answers.

The state is a model of the tables: a lease for each server on the clock of the database, and an
owner with an epoch for each watch. ``CLAIMS_EXAMPLES`` is the number of histories.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from watcher.state.membership import Server
from watcher.watch.claims import ANYBODY_S, OTHERS_S, Claims, SharedWatch

EXAMPLES = int(os.environ.get("CLAIMS_EXAMPLES", "20"))
LEASE_S = 5.0
GAP_S = 2.0
"""A contact that was lost for longer begins anew."""

STEP_S = 0.25
WATCHES = 6
SERVERS = 4
NODES = ("", "n1", "n2")


@dataclass
class Row:
    """A watch in the database."""

    node: str | None = None
    owner: str | None = None
    epoch: int = 0
    streams: Counter[str] = field(default_factory=Counter)
    was_used: bool = False
    journal: list[tuple[int, int]] = field(default_factory=list)
    """Epoch and sequence number of each payload."""


@dataclass
class Lease:
    node: str
    until_s: float
    is_leaving: bool = False


class Database:
    """The tables; its clock may jump."""

    def __init__(self) -> None:
        self.clock_s = 1000.0
        self.leases: dict[str, Lease] = {}
        self.rows = [Row(NODES[number % 3] or None) for number in range(WATCHES)]

    def living(self) -> list[Server]:
        return [
            Server(name, name, lease.node, "1", 0.0, is_leaving=lease.is_leaving)
            for name, lease in sorted(self.leases.items())
            if lease.until_s > self.clock_s
        ]

    def is_alive(self, name: str | None) -> bool:
        return any(each.id == name for each in self.living())

    def claim(self, number: int, server: str, *, may_take: bool) -> int | None:
        """Return the epoch of a server that owns a watch from now on; None if it may not."""
        row = self.rows[number]
        is_orphan = may_take and not self.is_alive(row.owner)
        if row.owner not in {None, server} and not is_orphan:
            return None
        row.owner, row.epoch = server, row.epoch + 1
        return row.epoch

    def release(self, number: int, epoch: int) -> None:
        row = self.rows[number]
        if row.epoch == epoch:
            row.owner = None

    def write(self, number: int, epoch: int) -> bool:
        row = self.rows[number]
        if row.epoch != epoch:
            return False
        row.journal.append((epoch, len(row.journal) + 1))
        return True


class Process:
    """A server: what it believes, and its decisions."""

    def __init__(self, name: str, node: str, now_s: float) -> None:
        self.name = name
        self.node = node
        self.is_paused = False
        self.owned: dict[int, int] = {}
        """Epoch by watch."""
        self._claims = Claims(name)
        self._contact_since_s = self._contact_s = now_s

    def step(self, database: Database, now_s: float, *, loses_answer: bool = False) -> None:
        """Renew the lease, look at the watches, and do what is decided."""
        if now_s - self._contact_s > GAP_S:
            self._contact_since_s = now_s
        lease = database.leases.setdefault(self.name, Lease(self.node, 0.0))
        lease.until_s = database.clock_s + LEASE_S
        if loses_answer:
            return
        self._contact_s = now_s
        self.owned = {
            number: epoch
            for number, epoch in self.owned.items()
            if database.rows[number].epoch == epoch
        }
        decision = self._claims.decide(now_s, database.living(), self._survey(database))
        for number in decision.releases:
            database.release(number, self.owned.pop(number))
        for number in decision.claims:
            self.claim(database, number, now_s)

    def claim(
        self, database: Database, number: int, now_s: float, *, loses_answer: bool = False
    ) -> None:
        may_take = now_s - self._contact_since_s >= LEASE_S
        epoch = database.claim(number, self.name, may_take=may_take)
        if epoch is not None and not loses_answer:
            self.owned[number] = epoch

    def _survey(self, database: Database) -> list[SharedWatch]:
        alive = {each.id for each in database.living()}
        return [
            SharedWatch(
                number,
                # What it owns without knowing it, since an answer was lost, it has to open.
                None if row.owner == self.name and number not in self.owned else row.owner,
                is_wanted=row.was_used,
                streams={name: row.streams[name] for name in row.streams if name in alive},
                node=row.node,
            )
            for number, row in enumerate(database.rows)
        ]


class SharedWatches(RuleBasedStateMachine):
    """Servers come, pause, die and write; the database's clock jumps, and answers are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.database = Database()
        self.processes: dict[str, Process] = {}
        self.started = 0

    servers = st.integers(0, SERVERS - 1)
    numbers = st.integers(0, WATCHES - 1)

    def _process(self, index: int) -> Process | None:
        living = list(self.processes.values())
        return living[index % len(living)] if living else None

    @initialize(nodes=st.lists(st.sampled_from(NODES), min_size=2, max_size=3))
    def begin(self, nodes: list[str]) -> None:
        """Let some servers have watches already."""
        for node in nodes:
            self.start(node)
        for number in range(WATCHES):
            self.stream(number, number, loses_answer=False)

    @rule(node=st.sampled_from(NODES))
    def start(self, node: str) -> None:
        if len(self.processes) < SERVERS:
            self.started += 1
            name = f"{self.started:03}"
            self.processes[name] = Process(name, node, self.now_s)

    @rule(index=servers)
    def kill(self, index: int) -> None:
        if process := self._process(index):
            del self.processes[process.name]

    @rule(index=servers)
    def leave(self, index: int) -> None:
        """Stop in order: announce it, give all back, go."""
        process = self._process(index)
        if process is None or process.is_paused:
            return
        for number, epoch in process.owned.items():
            self.database.release(number, epoch)
        self.database.leases.pop(process.name, None)
        del self.processes[process.name]

    @rule(index=servers)
    def pause_or_go_on(self, index: int) -> None:
        if process := self._process(index):
            process.is_paused = not process.is_paused

    @rule(index=servers)
    def pause_for_long(self, index: int) -> None:
        """Let the others take what a server has, which goes on as if nothing had been."""
        if (process := self._process(index)) is not None and not process.is_paused:
            process.is_paused = True
            self.calm()
            process.is_paused = False
            for number in [*process.owned]:
                self.write(index, number)

    @rule(index=servers, loses_answer=st.booleans())
    def step(self, index: int, loses_answer: bool) -> None:  # noqa: FBT001 - a rule's argument
        process = self._process(index)
        if process is not None and not process.is_paused:
            process.step(self.database, self.now_s, loses_answer=loses_answer)

    @rule(index=servers, number=numbers, loses_answer=st.booleans())
    def stream(self, index: int, number: int, loses_answer: bool) -> None:  # noqa: FBT001 - a rule's argument
        """Let a stream come: its server takes the watch if nobody that lives has it."""
        process = self._process(index)
        if process is None or process.is_paused:
            return
        row = self.database.rows[number]
        row.streams[process.name] += 1
        row.was_used = True
        if number not in process.owned:
            process.claim(self.database, number, self.now_s, loses_answer=loses_answer)

    @rule(index=servers, number=numbers)
    def write(self, index: int, number: int) -> None:
        """Write by what the server believes, also one that has slept for long."""
        process = self._process(index)
        if process is not None and number in process.owned:
            is_owner = self.database.rows[number].owner == process.name
            is_written = self.database.write(number, process.owned[number])
            assert not is_written or is_owner
            if not is_written:
                del process.owned[number]

    @rule(for_s=st.sampled_from([0.1, 0.25, 1.0, 3.0, 6.0]))
    def wait(self, for_s: float) -> None:
        self.now_s += for_s
        self.database.clock_s += for_s

    @rule(by_s=st.sampled_from([-20.0, -3.0, 3.0, 20.0]))
    def jump(self, by_s: float) -> None:
        """Turn the clock of the database, as a failover to another host may."""
        self.database.clock_s += by_s

    @rule()
    def calm(self) -> None:
        """Let all that live work: each wanted watch has an owner that lives, and soon."""
        working = [each for each in self.processes.values() if not each.is_paused]
        if not working:
            return
        lease_s = max(
            (
                lease.until_s - self.database.clock_s
                for name, lease in self.database.leases.items()
                if name not in self.processes or self.processes[name].is_paused
            ),
            default=0.0,
        )
        # A server that has just got contact again takes from others only after a whole lease.
        calm_s = max(lease_s, LEASE_S + STEP_S) + ANYBODY_S + OTHERS_S
        for _ in range(int(calm_s / STEP_S) + 1):
            for process in working:
                process.step(self.database, self.now_s)
            self.wait(STEP_S)
        for process in working:
            process.step(self.database, self.now_s)
        names = {each.name: each for each in working}
        for number, row in enumerate(self.database.rows):
            if row.was_used:
                assert row.owner in names
                assert names[row.owner].owned[number] == row.epoch

    @invariant()
    def one_server_can_write(self) -> None:
        for number, row in enumerate(self.database.rows):
            epochs = [each.owned.get(number) for each in self.processes.values()]
            assert epochs.count(row.epoch) <= 1

    @invariant()
    def epochs_only_rise(self) -> None:
        for row in self.database.rows:
            assert row.journal == sorted(row.journal)


def test_each_wanted_watch_has_one_server_that_writes_it() -> None:
    run_state_machine_as_test(
        SharedWatches,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )
