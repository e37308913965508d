"""What delivering costs beside a gRPC stream with nothing behind it: python bench/stream.py [--events N] [--clients N …] [--waiting N].

The events wait in the state file, as they do for a client that comes back. In every round the server writes a journal of its own to
clients that take next to no time (see sink.py), and then a bare stream the same bytes (see bare.py) to the same clients. Each figure is the
median of the rounds, with the least and the most beside it; a ratio is that of neighbours, since what else the machine does changes from
one round to the next.

With --waiting it measures memory in place of time: what the server takes while so many events wait for a client that does not read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import cpu_s, make_files, memory_mib, peak_mib, run_bare, run_server, status

from watcher.clock import Clock
from watcher.config.schema import parse_spec
from watcher.delivery.outbox import Outbox
from watcher.model import Change, ChangeSet, ChangeType, Entry, Identity
from watcher.state.sqlite.directory import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_CHANGES = 1_000
LOOK_INTERVAL_S = 0.5
HEADS_BYTES = 2 + 3 + 5
"""What a message has around its name and payload: their tags and lengths (of a payload of 128 bytes to 16 KiB), and gRPC's own head."""


class Sink:
    """A process that takes what streams bring; see sink.py."""

    def __init__(self, address: str, name: str, config: str, count: int, *flags: str) -> None:
        command = [
            sys.executable,
            str(Path(__file__).with_name("sink.py")),
            address,
            name,
            config,
            str(count),
            *flags,
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.line()

    def line(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def go_on(self) -> None:
        """Let it open its streams, or read what it had left."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Cost(NamedTuple):
    """What writing each event once to each client took."""

    rate: float
    cpu_us: float
    sink_cpu_us: float


def fill(state: Path, root: Path, rounds: int, count: int) -> list[bytes]:
    """Write the journals of the event sources that are named by their rounds, as a watch of an empty directory does whose files are gone.

    Args:
        state: The state directory.
        root: What is watched.
        rounds: How many journals.
        count: Events in each; they are the same.

    Returns:
        The payloads, in order.
    """
    spec = parse_spec(_config(root).encode())
    identities = [Identity("", _name(number), spec.where.place) for number in range(rounds)]
    with StateDirectory(state, Clock()) as directory:
        with closing(directory.open(identities[0])) as store:
            outbox = Outbox(spec, store, clock=Clock(), publish=lambda *_: None)
            for start in range(0, count, STEP_CHANGES):
                outbox.commit(
                    ChangeSet(
                        changes=[
                            _change(number)
                            for number in range(start, min(count, start + STEP_CHANGES))
                        ]
                    )
                )
            store.set_meta(baselined="1")
            payloads = [
                payload.data for payload in store.journal.read(0, limit=count, max_bytes=1 << 40)
            ]
        for identity in identities[1:]:
            shutil.copy(store.path, store.path.with_stem(identity.digest))
    assert len(payloads) == count
    return payloads


def _name(number: int) -> str:
    return f"bench-{number:03}"


def _config(root: Path) -> str:
    return f"directory: {root}"


def _change(number: int) -> Change:
    """Return one of the changes of files that each came and went."""
    path = f"2026/{number // 2000:04}/{number // 2:07}.csv".encode()
    return Change(
        ChangeType.DELETED if number % 2 else ChangeType.CREATED,
        Entry(path, 1000, time.time_ns(), time.time_ns(), number),
    )


def measure_round(
    pid: int, address: str, name: str, config: str, payloads: Sequence[bytes], clients: int
) -> Cost:
    """Let one of the two write everything.

    Args:
        pid: Process of the one that writes.
        address: Where it is.
        name: Of the event source.
        config: Of the event source.
        payloads: What will come.
        clients: How many it is written to.
    """
    with closing(Sink(address, name, config, len(payloads), f"--clients={clients}")) as sink:
        start_cpu_s = cpu_s(pid)
        sink.go_on()
        said = sink.line()
        took_cpu_s = cpu_s(pid) - start_cpu_s
    assert said["size_bytes"] == clients * sum(
        len(name) + HEADS_BYTES + len(payload) for payload in payloads
    ), said
    written = len(payloads) * clients
    return Cost(
        written / (said["last_s"] - said["first_s"]),
        took_cpu_s / written * 1e6,
        said["cpu_s"] / written * 1e6,
    )


def measure_delivery(events: int, clients: int, rounds: int) -> None:
    """Measure both in turns."""
    count = max(1, events // clients)
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as root:
        config = _config(Path(root))
        payloads = fill(Path(state), Path(root), rounds, count)
        heading = f"delivery: {count:,} events of {statistics.mean(map(len, payloads)):.0f} bytes to {clients} client{'s' * (clients > 1)}"
        print(f"\n{heading}, {rounds} rounds", flush=True)
        with (
            run_server(Path(state), {}, f"--journal-cap={2 * count}") as (server, address, _),
            run_bare(payloads) as (bare, bare_address),
        ):
            assert bare.stdin is not None
            bare.stdin.write("\n")
            bare.stdin.flush()
            pairs = [
                (
                    measure_round(server.pid, address, _name(number), config, payloads, clients),
                    measure_round(bare.pid, bare_address, _name(number), config, payloads, clients),
                )
                for number in range(rounds)
            ]
    print_pairs(pairs)


def print_pairs(pairs: Sequence[tuple[Cost, Cost]]) -> None:
    """Print the figures of both, and their ratios."""
    for name, costs in zip(("server", "gRPC stream alone"), zip(*pairs, strict=True), strict=True):
        rate, cpu_us = (
            _spread([cost.rate for cost in costs], ",.0f"),
            _spread([cost.cpu_us for cost in costs], ".1f"),
        )
        print(f"  {name:<28}{rate:>26} events/s  {cpu_us:>20} µs CPU an event")
    rates = _spread([server.rate / bare.rate for server, bare in pairs], ".2f")
    ratios = _spread([server.cpu_us / bare.cpu_us for server, bare in pairs], ".2f")
    sink_us = statistics.median(cost.sink_cpu_us for pair in pairs for cost in pair)
    print(
        f"  the server has {rates} times the rate, at {ratios} times the CPU; the clients took {sink_us:.1f} µs CPU an event",
        flush=True,
    )


def _spread(figures: Sequence[float], form: str) -> str:
    """Return the median, and the least and the most."""
    return f"{statistics.median(figures):{form}} ({min(figures):{form}} - {max(figures):{form}})"


def measure_waiting(count: int) -> None:
    """Measure the memory while events wait for a client that does not read, and when they have been delivered after all."""
    print(
        f"\nwaiting: {count:,} files that are reported to a client that does not read", flush=True
    )
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as state:
        make_files(root, count)
        with (
            run_server(Path(state), {}, f"--journal-cap={2 * count}") as (process, address, http),
            closing(
                Sink(
                    address,
                    _name(0),
                    f"{_config(Path(root))}\nexisting: report",
                    count,
                    "--stalled",
                )
            ) as sink,
        ):
            _print_memory("idle", process.pid)
            start_s = time.monotonic()
            sink.go_on()
            while (report := _watch(http)).get("unconfirmed") != count or report["scans"] == 0:
                assert report.get("unconfirmed", 0) <= count, report
                time.sleep(LOOK_INTERVAL_S)
            _print_memory("all wait", process.pid, f"after {time.monotonic() - start_s:.0f} s")
            sink.go_on()
            said = sink.line()
            took_s = said["last_s"] - said["first_s"]
            _print_memory(
                "all delivered",
                process.pid,
                f"after {took_s:.0f} s, {count / took_s:,.0f} events/s",
            )
            print(f"  {'most at any time':<28}{peak_mib(process.pid):7.1f} MiB")


def _watch(http: str) -> dict[str, Any]:
    """Return what the server says of its watch, or nothing as long as there is none."""
    try:
        return status(http)
    except IndexError:
        return {}


def _print_memory(name: str, pid: int, note: str = "") -> None:
    print(f"  {name:<28}{memory_mib(pid):7.1f} MiB  {note}".rstrip(), flush=True)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--events",
        type=int,
        default=100_000,
        help="written in a round, to all clients together; 100000 by default",
    )
    parser.add_argument(
        "--clients", type=int, nargs="+", default=[1, 100], help="1 and 100 by default"
    )
    parser.add_argument("--rounds", type=int, default=5, help="5 by default")
    parser.add_argument(
        "--waiting", type=int, metavar="N", help="measure memory while so many events wait"
    )
    arguments = parser.parse_args()
    if arguments.waiting:
        measure_waiting(arguments.waiting)
        return
    for clients in arguments.clients:
        measure_delivery(arguments.events, clients, arguments.rounds)


if __name__ == "__main__":
    main()
