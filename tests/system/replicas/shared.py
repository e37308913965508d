"""Servers that share a database, each reached by clients of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.client import Client, Event, wait_until

if TYPE_CHECKING:
    from support.client import Contract
    from support.postgres import Cluster
    from support.replicas import Replica, Replicas
    from support.server import ServerProcess


class Shared:
    """Servers, and a client of each.

    Args:
        replicas: The servers, which run.
        contract: Of the clients.
        cluster: Their database.
        schema: Their schema.

    Attributes:
        replicas: The servers.
    """

    def __init__(
        self, replicas: Replicas, contract: Contract, cluster: Cluster, schema: str
    ) -> None:
        self.replicas = replicas
        self._contract = contract
        self._cluster = cluster
        self._schema = schema
        self._clients: list[Client] = []

    def client(self, number: int, *, has_fixed_window: bool = False) -> Client:
        """Return a new client of a server."""
        address = self.replicas[number].clients.address
        client = Client(address, self._contract, has_fixed_window=has_fixed_window)
        self._clients.append(client)
        return client

    def server(self, number: int) -> ServerProcess:
        """Return the process of a server."""
        return self.replicas[number].server

    def owner(self, name: str) -> Replica | None:
        """Return the server that owns a watch; None if none of them does."""
        rows = self._cluster.execute(
            f"SELECT owner::text FROM {self._schema}.watch "  # noqa: S608 - names of the test
            f"JOIN {self._schema}.counters ON watch = id WHERE name = '{name}'"
        )
        owners = {owner for (owner,) in rows}
        return next((each for each in self.replicas if each.id in owners), None)

    def wait_owner(self, name: str, number: int) -> None:
        """Wait until a server owns a watch."""
        wait_until(
            lambda: self.owner(name) is self.replicas[number], f"server {number} owns {name}"
        )

    def cursor(self, name: str) -> tuple[int, int]:
        """Return the cursor of a watch, and the number of its last event."""
        ((cursor, last_seq),) = self._cluster.execute(
            f"SELECT cursor, next_seq - 1 FROM {self._schema}.watch "  # noqa: S608 - names of the test
            f"JOIN {self._schema}.counters ON watch = id WHERE name = '{name}'"
        )
        return int(str(cursor)), int(str(last_seq))

    def acknowledged(self, name: str) -> set[int]:
        """Return the numbers of the events of a watch that need not be sent any more."""
        cursor, last_seq = self.cursor(name)
        rows = self._cluster.execute(
            f"SELECT seq FROM {self._schema}.watch "  # noqa: S608 - names of the test
            f"JOIN {self._schema}.journal ON watch = id "
            f"WHERE name = '{name}' AND seq > {cursor} AND NOT is_acknowledged"
        )
        return {*range(1, last_seq + 1)} - {int(str(seq)) for (seq,) in rows}

    def wait_all_confirmed(self, name: str) -> None:
        """Wait until no event of a watch is unconfirmed."""

        def is_met() -> bool:
            cursor, last_seq = self.cursor(name)
            return cursor == last_seq

        wait_until(is_met, f"all of {name} is confirmed")

    def release(self, number: int, name: str) -> tuple[int, Event]:
        """Ask a server to release what a watch holds; return status and JSON of the answer."""
        header = {"Content-Type": "application/json"}
        answer = self.server(number).ask("/release", json.dumps({"name": name}).encode(), header)
        return answer.status, json.loads(answer.text)

    def close(self) -> None:
        """Disconnect all clients."""
        for client in self._clients:
            client.close()
        self._clients.clear()
