"""What a server answers while its database is away: soon, why it cannot, and only what is so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from support.client import Contract, wait_until
from support.postgres import Cluster
from support.replicas import Replicas
from support.s3.simulated import run_store
from system.replicas.asked import AWAY, CUT_OFF, SERVING, UNAVAILABLE, Answer, Asked, Status
from system.replicas.course import CUT_OFF_S, RENEW_S, nap
from system.replicas.faults import FAULTS, end
from system.replicas.shared import Shared

pytestmark = pytest.mark.parametrize("url", ["direct"], indirect=True)

PROMPT_S = 30.0
"""Longest time of an answer that is no failure; ten seconds are what is promised."""

BRIEFLY_S = 5.0
"""Seconds for which the database is away without ending a stream."""

ASK_PAUSE_S = 0.5

PROBLEM = "the database has not answered for 10 s"


class Scene:
    """Two servers, and their database, which can be away."""

    def __init__(self, shared: Shared, cluster: Cluster, asked: Asked, fault: str) -> None:
        self.replicas = shared.replicas
        self.server = shared.server(0)
        self.asked = asked
        self._cluster = cluster
        self._fault = fault

    def begin(self) -> None:
        """Take the database away."""
        if self._fault == "stopped":
            self._cluster.stop()
            return
        for replica in self.replicas:
            FAULTS[self._fault](replica.database)

    def end(self) -> None:
        """Bring it back."""
        if self._fault == "stopped":
            self._cluster.start()
            return
        for replica in self.replicas:
            end(replica.database)


@pytest.fixture(params=["refused", "black hole", "stopped"])
def scene(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    url: str,
    root: Path,
    contract: Contract,
    cluster: Cluster,
) -> Iterator[Scene]:
    (tmp_path / "s").mkdir()
    with Replicas(tmp_path / "s", 2, url) as replicas, run_store() as store:
        shared = Shared(replicas.start(), contract, cluster, url.rpartition("=")[2])
        with closing(shared):
            yield Scene(shared, cluster, Asked(shared, root, store), request.param)


def check(answers: Sequence[Answer], *expected: Mapping[str, Status]) -> None:
    """Check that each answer is one of those that are expected, soon, and says why it is none."""
    slowest: dict[str, Answer] = {}
    for answer in sorted(answers, key=lambda each: each.seconds):
        slowest[answer.question] = answer
        assert answer.status in {each[answer.question] for each in expected}, answer
        assert answer.seconds < PROMPT_S, answer
        if answer.status in {503, UNAVAILABLE}:
            assert "\n" not in answer.text.strip(), answer
            is_reached = "failed to connect" not in answer.text
            assert not is_reached or "the database" in answer.text or "the state" in answer.text
    for answer in slowest.values():
        print(f"{answer.question:12} {answer.status} {answer.seconds:5.2f} s {answer.text[:120]!r}")


def wait_serving(scene: Scene) -> None:
    """Wait until everything is answered as if nothing had been."""

    def is_met() -> bool:
        answers = scene.asked.ask()
        check(answers, SERVING, AWAY)
        return all(answer.status == SERVING[answer.question] for answer in answers)

    wait_until(is_met, "everything is answered", pause_s=ASK_PAUSE_S)


def test_the_database_is_away_for_five_seconds(scene: Scene) -> None:
    """An acknowledgement waits for it; whatever else needs it is refused, and asked again."""
    check(scene.asked.ask(), SERVING)
    with ThreadPoolExecutor(1) as pool:
        # Its last answer was at most a renewal ago.
        start_s = time.monotonic() - RENEW_S
        scene.begin()
        asking = pool.submit(scene.asked.ask)
        nap(BRIEFLY_S)
        scene.end()
        answers = asking.result()
    is_slow = time.monotonic() - start_s > CUT_OFF_S
    check(answers, SERVING, AWAY, *([CUT_OFF] * is_slow))
    scene.replicas.wait_ready()
    wait_serving(scene)
    assert is_slow or all(stream.is_open for stream in scene.asked.streams)
    scene.asked.check_written()


def test_the_database_is_away_for_more_than_ten_seconds(scene: Scene) -> None:
    """The page, its JSON and metrics are served all the while, and say what the matter is."""
    check(scene.asked.ask(), SERVING)
    health = scene.asked.watch_health()
    assert next(health) == HealthCheckResponse.SERVING
    # Its last answer was at most a renewal ago.
    start_s = time.monotonic() - RENEW_S
    scene.begin()
    answers = scene.asked.ask()
    is_slow = time.monotonic() - start_s > CUT_OFF_S
    check(answers, AWAY, *([CUT_OFF] * is_slow))
    for replica in scene.replicas:
        replica.wait_unready()
    check(scene.asked.ask(), CUT_OFF)
    assert [*health] == [HealthCheckResponse.NOT_SERVING]
    for stream in scene.asked.streams:
        ending = stream.wait_end()
        assert (ending.code, PROBLEM in ending.details) == (UNAVAILABLE, True)
    status = scene.server.status()
    assert (status["role"], status["problem"]) == ("cut_off", PROBLEM)
    assert "mine" in scene.server.watches()
    assert PROBLEM in scene.server.get("/")[1]
    assert scene.server.metric("watcher_ready") == 0
    scene.end()
    scene.replicas.wait_ready()
    # From the first moment that they say they are ready.
    check(scene.asked.ask(), SERVING)
    scene.asked.check_written()
