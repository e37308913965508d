"""The database of several servers fails over: with every commit, or without the last ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from signal import SIGQUIT

import pytest

from support.client import Client, Contract, Event, Stream, wait_until
from support.config import config
from support.failover import Pair, run_standby
from support.files import fill
from support.postgres import run_cluster
from support.relay import Relay
from support.replicas import Balancer, Replicas
from system.replicas.course import LARGE
from system.replicas.place import Place

FLAGS = ("--redelivery-window", "100ms")


class Scene:
    """Three servers whose database has a standby, and what leads them to the primary."""

    def __init__(self, pair: Pair, replicas: Replicas, database: Relay, address: str) -> None:
        self.pair = pair
        self.replicas = replicas
        self.address = address
        self._database = database
        for replica in replicas:
            replica.server.expected |= {"state.restored"}

    def fail_over(self) -> None:
        """End the primary, and promote the standby; all servers serve again."""
        self.pair.primary.stop(SIGQUIT)
        self.pair.promote()
        self._database.lead_to(self.pair.standby.url)
        self.replicas.wait_ready()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        pair = stack.enter_context(run_standby(stack.enter_context(run_cluster())))
        database = stack.enter_context(Relay(pair.primary.url))
        url = f"postgresql://postgres@{database.address}/postgres"
        replicas = stack.enter_context(Replicas(tmp_path, 3, url, *FLAGS))
        replicas.start()
        balancer = stack.enter_context(Balancer(replicas))
        yield Scene(pair, replicas, database, balancer.address)


@pytest.mark.timeout(600)
def test_a_synchronous_standby_has_all(scene: Scene, contract: Contract, tmp_path: Path) -> None:
    """Streams on all servers go on, or come back; nothing is lost or doubled, and ids stay."""
    scene.pair.synchronise()
    with Place(tmp_path / "place", contract, scene.address, "notify", 3, 1) as place:
        place.mark("first")
        wait_until(lambda: place.has("first"), "all clients are told")
        scene.fail_over()
        place.mark("second")
        wait_until(lambda: place.has("second"), "all clients are told again")
        files = place.end()
        place.wait_complete(files)
        assert len(place.judge.uids) == 1


class Streams:
    """A stream on each server; one that ends is followed by another one.

    Args:
        clients: One of each server.
        name: Of the event source.
        asked: Its configuration.
    """

    def __init__(self, clients: Sequence[Client], name: str, asked: Event) -> None:
        self._clients = clients
        self._source = name, asked
        self._streams: list[list[Stream]] = [[client.start(name, asked)] for client in clients]

    def told(self, number: int) -> list[Event]:
        """Return what the streams on one server have told."""
        streams = self._streams[number]
        if not streams[-1].is_open:
            streams.append(self._clients[number].start(*self._source))
        return [event for stream in streams for event in list(stream.events)]

    def told_again(self, number: int) -> set[str]:
        """Return the paths that were told with other ids than the first event has."""
        uids = [(event["id"].partition("-")[0], event["path"]) for event in self.told(number)]
        return {path for uid, path in uids if uid != uids[0][0]}

    def wait(self, is_met: Callable[[int], bool], what: str) -> None:
        """Wait until each server satisfies a predicate of its number."""
        wait_until(lambda: all(map(is_met, range(len(self._clients)))), what, pause_s=0.2)

    def wait_told(self, *paths: str) -> None:
        """Wait until streams on each server have told of paths."""
        self.wait(
            lambda number: {event["path"] for event in self.told(number)} >= {*paths},
            f"all are told of {paths}",
        )


@pytest.mark.timeout(600)
def test_what_an_asynchronous_standby_lacks_is_reported_again(
    scene: Scene, contract: Contract, root: Path, name: str
) -> None:
    """To all streams, with ids that no other event has had; those that end come back."""
    with ExitStack() as stack:
        clients = []
        for replica in scene.replicas:
            clients.append(Client(replica.clients.address, contract))
            stack.callback(clients[-1].close)
        streams = Streams(clients, name, config(root, existing="report"))
        fill(root, "a")
        streams.wait_told("a")
        scene.pair.catch_up()
        scene.pair.cut()
        names = [f"b{number}" for number in range(LARGE // 10)]
        fill(root, *names)
        streams.wait_told(*names)
        scene.fail_over()
        fill(root, "c")
        streams.wait(
            lambda number: streams.told_again(number) == {*names, "c"},
            "what was lost is told again",
        )
        by_id: dict[str, Event] = {}
        for number in range(len(clients)):
            for event in streams.told(number):
                assert by_id.setdefault(event["id"], event) == event
        assert len({id_.partition("-")[0] for id_ in by_id}) == 2
