"""A hundred watches on three servers, of which one leaves and comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGTERM

import pytest

from support.client import Contract, wait_until
from support.config import config
from support.files import fill
from support.judge import Judge
from support.postgres import Cluster
from support.replicas import Balancer, Replicas
from system.replicas.conftest import ROUNDS
from system.replicas.course import nap
from system.replicas.faults import MANY_ROUNDS
from system.replicas.shared import Shared
from system.soak.watched import ReconnectingClient

WATCHES = 100

TICK_S = 0.5
"""Seconds after which a client whose stream has ended connects again."""

STEADY_S = 8.0
"""Seconds for which nothing moves after a server has come back; it is promised for minutes."""

STICKY_S, MOVE_S = 300.0, 10.0
"""Seconds after which watches move to a server that came back, and between two of these moves."""


@pytest.fixture
def shared(cluster: Cluster, contract: Contract, tmp_path: Path) -> Iterator[Shared]:
    with Replicas(tmp_path, 3, f"{cluster.url}?schema=balance") as replicas:
        yield Shared(replicas.start(), contract, cluster, "balance")


@pytest.mark.timeout(1200)
def test_a_server_leaves_and_comes_back(
    shared: Shared, contract: Contract, tmp_path: Path, cluster: Cluster
) -> None:
    """What it owned moves, and nothing else; later, one by one, it is given some of all."""

    def owners() -> dict[object, object]:
        return dict(
            cluster.execute(
                "SELECT name, owner::text FROM balance.watch JOIN balance.counters ON watch = id"
            )  # type: ignore[arg-type]
        )

    judges = {f"watch{number}": Judge() for number in range(WATCHES)}
    roots = {name: tmp_path / "places" / name for name in judges}
    made = 0

    def report() -> None:
        nonlocal made
        made += 1
        for root in roots.values():
            fill(root, f"file{made}")
        files = {f"file{number}": len(f"file{number}") for number in range(1, made + 1)}
        wait_until(
            lambda: all(judge.makes(files) for judge in judges.values()),
            "all are reported",
            pause_s=0.2,
        )

    with ExitStack() as stack:
        address = stack.enter_context(Balancer(shared.replicas, seed=1)).address
        for name, root in roots.items():
            root.mkdir(parents=True)
            asked = config(root, existing="report")
            client = ReconnectingClient(address, contract, name, asked, TICK_S, judges[name].begin)
            stack.enter_context(client)
        report()
        before = owners()
        assert None not in before.values()
        counts = Counter(before.values())
        print(f"owned: {sorted(counts.values())}")
        leaving = shared.replicas[0]
        former = leaving.id
        leaving.server.signal(SIGTERM)
        assert leaving.server.wait() == 0
        report()
        after = owners()
        moved = {name for name in before if before[name] != after[name]}
        assert moved == {name for name, owner in before.items() if owner == former}
        print(f"moved: {len(moved)} of {WATCHES}")
        left = Counter(after.values())
        assert former not in left
        assert max(left.values()) <= 1.25 * WATCHES / 2 + 1

        leaving.start()
        back_s = time.monotonic()
        leaving.wait_ready()
        report()
        nap(STEADY_S)
        assert owners() == after
        if ROUNDS >= MANY_ROUNDS:
            wait_until(
                lambda: Counter(owners().values())[leaving.id] >= 3,
                "it was given some of the watches",
                deadline_s=2 * STICKY_S,
                pause_s=1.0,
            )
            lasted_s = time.monotonic() - back_s
            now = owners()
            moved = {name for name in after if after[name] != now[name]}
            print(f"{len(moved)} moved within {lasted_s:.0f} s")
            assert {now[name] for name in moved} == {leaving.id}
            assert lasted_s > STICKY_S
            assert len(moved) <= 2 * (1 + (lasted_s - STICKY_S) / MOVE_S)
            report()
