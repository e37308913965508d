"""Clients that are killed and started again, and what all of them were told: in order, without a gap, the same each time."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Self

from support.client import wait_until
from system.crashes import reader

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from support.client import Contract, Event
    from support.server import ServerProcess


class Readers:
    """The clients of one event source, one after the other; use it as a context manager.

    Args:
        directory: For their records.
        contract: What is spoken.
        name: Of the event source.
        config: Of the event source; payloads hold one event each.
    """

    def __init__(self, directory: Path, contract: Contract, name: str, config: Event) -> None:
        self._address = directory / "address"
        self._address.touch()
        self._request = directory / "request"
        self._request.write_bytes(contract.request(name, json.dumps(config).encode()))
        self._method = contract.path
        self._records: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._floors: list[tuple[int, int]] = []
        self._payload = cache(lambda answer: bytes(contract.event(answer)["payload"]))
        self._event = cache(lambda answer: dict[str, object](json.loads(self._payload(answer))))

    def __enter__(self) -> Self:
        """Start the first."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the last."""
        self.kill()

    def start(self) -> None:
        """Start the next, unless one runs; it calls as soon as it knows where."""
        if self._process is None:
            self._records.append(self._address.with_name(f"{len(self._records)}.record"))
            arguments = [self._address, self._method, self._request, self._records[-1]]
            command = [sys.executable, "-W", "error", reader.__file__, *map(str, arguments)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """End the one that runs, as a crash would; it must not have ended by itself."""
        if self._process is not None:
            process, self._process = self._process, None
            code = process.poll()
            process.kill()
            process.wait()
            assert code is None, "the client has failed"

    def tell(self, server: ServerProcess) -> None:
        """Tell it where the server is."""
        ready = self._address.with_suffix(".new")
        ready.write_text(server.address)
        ready.replace(self._address)

    def confirmed(self, seq: int) -> None:
        """Note that no call that is started from now on may tell again what is confirmed."""
        self._floors.append((len(self._calls()), seq))

    def last_seq(self) -> int:
        """Return the highest sequence number that has come; 0 before the first."""
        return max((self._seq(answers[-1]) for answers in self._calls() if answers), default=0)

    def events(self) -> list[Event]:
        """Return what was told, each change once, in order; fail unless it was told as promised."""
        told: dict[int, bytes] = {}
        newest = 0
        for number, answers in enumerate(self._calls()):
            seqs = [self._seq(answer) for answer in answers]
            if not seqs:
                continue
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), (
                f"not in order in call {number}: {seqs}"
            )
            assert seqs[0] <= newest + 1, (
                f"call {number} begins with {seqs[0]} although {newest} is the last that has come"
            )
            floor = max((seq for first, seq in self._floors if number >= first), default=0)
            assert seqs[0] > floor, (
                f"call {number} begins with {seqs[0]} although {floor} was confirmed before"
            )
            newest = max(newest, seqs[-1])
            for seq, answer in zip(seqs, answers, strict=True):
                assert told.setdefault(seq, answer) == answer, (
                    f"{seq} was told in two ways: {told[seq]!r} and {answer!r}"
                )
        assert sorted(told) == list(range(1, newest + 1))
        return [self._event(told[seq]) for seq in sorted(told)]

    def wait_path(self, path: str) -> None:
        """Wait until something was told of a path."""
        wait_until(
            lambda: any(event["path"] == path for event in self.events()),
            f"{path} is told",
            deadline_s=60.0,
        )

    def calls_answered(self) -> int:
        """Return how many calls have told anything."""
        return sum(1 for answers in self._calls() if answers)

    def _calls(self) -> list[list[bytes]]:
        return [
            answers
            for record in self._records
            if record.exists()
            for answers in reader.calls(record.read_bytes())
        ]

    def _seq(self, answer: bytes) -> int:
        seq = self._event(answer)["seq"]
        assert isinstance(seq, int)
        return seq
