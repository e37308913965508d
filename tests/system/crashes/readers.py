"""Clients that are killed and started again, and checks of what all of them received."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Self

from support.client import Contract, Event, wait_until
from support.events import merged, sequence
from support.server import ServerProcess
from system.crashes import reader


class Readers:
    """The clients of one event source, one after the other; use it as a context manager.

    Its payloads hold one event each. The clients' records are in ``directory``.
    """

    def __init__(self, directory: Path, contract: Contract, name: str, config: Event) -> None:
        self._address = directory / "address"
        self._address.touch()
        self._request = directory / "request"
        self._request.write_bytes(contract.request(name, config))
        self._method = contract.path
        self._records: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._floors: list[tuple[int, int]] = []
        self._payload = cache(lambda answer: bytes(contract.event(answer)["payload"]))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the next client, unless one runs; it calls as soon as it has an address."""
        if self._process is None:
            self._records.append(self._address.with_name(f"{len(self._records)}.record"))
            arguments = [self._address, self._method, self._request, self._records[-1]]
            command = [sys.executable, "-W", "error", reader.__file__, *map(str, arguments)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill the running client, which must not have ended by itself."""
        if self._process is not None:
            process, self._process = self._process, None
            code = process.poll()
            process.kill()
            process.wait()
            assert code is None, "the client has failed"

    def point_to(self, server: ServerProcess) -> None:
        """Give the clients the address of a server."""
        ready = self._address.with_suffix(".new")
        ready.write_text(server.address)
        ready.replace(self._address)

    def confirmed(self, seq: int) -> None:
        """Note a confirmed sequence number, below which no later call may begin."""
        self._floors.append((len(self._calls()), seq))

    def last_seq(self) -> int:
        """Return the highest received sequence number; 0 before the first."""
        return max((sequence(call[-1:])[0] for call in self._calls() if call), default=0)

    def events(self) -> list[Event]:
        """Return the received events, each once, in order; a confirmed one begins no later call."""
        calls = self._calls()
        for number, call in enumerate(calls):
            floor = max((seq for first, seq in self._floors if number >= first), default=0)
            begin = sequence(call[:1])
            assert not begin or begin[0] > floor, f"call {number}: {begin} was confirmed ({floor})"
        return merged(calls)

    def wait_path(self, path: str) -> None:
        """Wait for an event at a path."""
        wait_until(
            lambda: any(event["path"] == path for event in self.events()), f"{path} is reported"
        )

    def _calls(self) -> list[list[bytes]]:
        """Return the payloads of each call."""
        return [
            [self._payload(answer) for answer in answers]
            for record in self._records
            if record.exists()
            for answers in reader.calls(record)
        ]
