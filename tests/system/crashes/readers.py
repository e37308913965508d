"""Clients that are killed and started again, and checks of what all of them received."""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Self

from support.client import Contract, Event, wait_until
from support.events import merged, sequence
from support.program import Program
from support.server import ServerProcess
from system.crashes import reader


class Readers:
    """The clients of one event source, one after the other; use it as a context manager.

    Payloads hold one event each.
    """

    def __init__(self, directory: Path, contract: Contract, name: str, config: Event) -> None:
        self._directory = directory
        self._address = directory / "address"
        self._address.touch()
        request = directory / "request"
        request.write_bytes(contract.request(name, config))
        self._arguments = [reader.__file__, str(self._address), contract.path, str(request)]
        self._programs: list[Program] = []
        self._is_running = False
        self._floors: list[tuple[int, int]] = []
        self._payload = cache(lambda line: bytes(contract.event(bytes.fromhex(line))["payload"]))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the next client, unless one runs; it calls as soon as it has an address."""
        if not self._is_running:
            self._is_running = True
            python = (sys.executable, "-W", "error")
            program = Program(self._arguments, dict(os.environ), self._directory, python)
            self._programs.append(program)

    def kill(self) -> None:
        """Kill the running client, which must not have ended by itself."""
        if self._is_running:
            self._is_running = False
            code = self._programs[-1].process.poll()
            self._programs[-1].close()
            assert code is None, self._programs[-1].stderr

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
        """Return the payloads of each call; an answer that a kill has cut off is left out."""
        calls: list[list[bytes]] = []
        for program in self._programs:
            for line in list(program.stdout):
                if line == reader.CALL:
                    calls.append([])
                elif line.endswith("\n"):
                    calls[-1].append(self._payload(line))
        return calls
