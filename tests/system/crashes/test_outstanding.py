"""The server is killed at any moment while consumers acknowledge: no more is outstanding."""

import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from random import Random
from threading import Timer

from support.client import Stream
from support.config import config
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import ServerProcess

LIMIT = 5
ROUNDS = 10
FILES = 30
"""New files in each round: more than are acknowledged in it."""

LIFE_S = 0.8
"""Most seconds that a server runs."""

PAUSE_S = 0.01


class Consumer:
    """Acknowledges what streams receive, in any order, and counts what is outstanding.

    An acknowledgement that was sent counts, whether or not a server has taken it: if none has, the
    event comes again, and so does the acknowledgement.
    """

    def __init__(self, chance: Random) -> None:
        self.paths: set[str] = set()
        self._chance = chance
        self._received: set[str] = set()
        self._sent: set[str] = set()
        self._taken: set[str] = set()

    def work(
        self, server: ServerProcess, streams: list[Stream], goes_on: Callable[[], bool]
    ) -> None:
        """Acknowledge while that is asked for and the server answers."""
        while goes_on():
            events = [event for stream in streams for event in list(stream.events)]
            self.paths.update(event["path"] for event in events)
            here = {event["id"] for event in events}
            self._received |= here
            assert len(self._received - self._sent) <= LIMIT
            chosen = [each for each in sorted(here - self._taken) if self._chance.random() < 0.4]
            self._sent.update(chosen)
            try:
                if chosen and server.post("/ack", {"ids": chosen})[0] == HTTPStatus.OK:
                    self._taken.update(chosen)
            except (OSError, HTTPException):
                return
            time.sleep(PAUSE_S)


def test_no_more_is_outstanding_than_allowed(
    start_server: StartServer, connect: Connect, root: Path, name: str, tmp_path: Path
) -> None:
    """Counted over both streams and all runs of the server; in the end everything was received."""
    asked = config(root, confirm="ack", ack_timeout="1s", max_unacknowledged=LIMIT, rate="500/s")
    consumer = Consumer(Random(5))
    for number in range(1, ROUNDS + 1):
        fill(root, *(f"{number:03}-{each:03}" for each in range(FILES)))
        server = start_server(directory=tmp_path)
        client = connect(server)
        streams = [client.start(name, asked | {"existing": "report"}) for _ in range(2)]
        if number < ROUNDS:
            killing = Timer(LIFE_S * number / ROUNDS, server.kill)
            killing.start()
            consumer.work(server, streams, killing.is_alive)
            killing.join()
        else:
            consumer.work(server, streams, lambda: len(consumer.paths) < ROUNDS * FILES)
    assert len(consumer.paths) == ROUNDS * FILES
