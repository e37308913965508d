"""Compares the delivery of events with a bare gRPC stream: python bench/stream.py.

The events wait in the state file, as they do for a client that reconnects. In every round the
server writes a journal of its own to clients that take next to no CPU (see sink.py), and then a
bare stream (see bare.py) the same bytes to the same clients. Each figure is the median of the
rounds, with the least and the most; a ratio is that of one round, since the load of the machine
changes.

With --waiting it measures memory: what the server takes while events wait for a client that does
not read.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from harness import Script, cpu_s, make_files, memory_mib, peak_mib, run_bare, run_server, status

from watcher.clock import Clock
from watcher.config.schema import parse_spec
from watcher.delivery.outbox import Outbox
from watcher.model import Change, ChangeSet, ChangeType, Entry, Identity
from watcher.state.sqlite.directory import StateDirectory

STEP_CHANGES = 1_000
LOOK_INTERVAL_S = 0.5
HEADS_BYTES = 2 + 3 + 5
"""Bytes of a message besides name and payload: tags, lengths (of a payload of 128 bytes to 16 KiB),
and the prefix of gRPC."""


def connect(address: str, name: str, config: str, count: int, *flags: str) -> Script:
    """Start clients that are connected and wait, see sink.py."""
    sink = Script("sink.py", address, name, config, str(count), *flags)
    sink.line()
    return sink


class Cost(NamedTuple):
    """Events a second, and CPU microseconds of an event, of the writer and of the clients."""

    rate: float
    cpu_us: float
    sink_cpu_us: float


def fill(state: Path, root: Path, rounds: int, count: int) -> list[bytes]:
    """Write the journals of one event source a round, for an empty directory.

    Args:
        state: The state directory.
        root: The watched directory.
        rounds: Number of journals.
        count: Number of events in each; they are the same.

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
    """Return one of the changes of files that are each created and deleted."""
    path = f"2026/{number // 2000:04}/{number // 2:07}.csv".encode()
    return Change(
        ChangeType.DELETED if number % 2 else ChangeType.CREATED,
        Entry(path, 1000, time.time_ns(), time.time_ns(), number),
    )


def measure_round(
    pid: int, address: str, name: str, config: str, payloads: Sequence[bytes], clients: int
) -> Cost:
    """Have the server or the bare stream write everything.

    Args:
        pid: Process of the writer.
        address: Its address.
        name: Name of the event source.
        config: Its configuration.
        payloads: The payloads that will come.
        clients: Number of clients.
    """
    with closing(connect(address, name, config, len(payloads), f"--clients={clients}")) as sink:
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


def compare_delivery(events: int, clients: int, rounds: int) -> list[tuple[Cost, Cost]]:
    """Return the costs of server and bare stream, measured in turns, of each round."""
    count = max(1, events // clients)
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as root:
        config = _config(Path(root))
        payloads = fill(Path(state, "state"), Path(root), rounds, count)
        size = f"{statistics.mean(map(len, payloads)):.0f} bytes"
        print(
            f"\ndelivery: {count:,} events of {size}, {rounds} rounds; clients: {clients}",
            flush=True,
        )
        with (
            run_server(Path(state), {}, f"--journal-cap={2 * count}") as server,
            run_bare(payloads) as (bare, bare_address),
        ):
            bare.go_on()
            return [
                (
                    measure_round(
                        server.process.pid, server.address, _name(number), config, payloads, clients
                    ),
                    measure_round(bare.pid, bare_address, _name(number), config, payloads, clients),
                )
                for number in range(rounds)
            ]


def print_pairs(pairs: Sequence[tuple[Cost, Cost]]) -> None:
    """Print the figures of server and bare stream, and their ratios."""
    for name, costs in zip(("server", "gRPC stream alone"), zip(*pairs, strict=True), strict=True):
        rate, cpu_us = (
            _spread([cost.rate for cost in costs], ",.0f"),
            _spread([cost.cpu_us for cost in costs], ".1f"),
        )
        print(f"  {name:<28}{rate:>26} events/s  {cpu_us:>20} µs CPU an event")
    rates = _spread([server.rate / bare.rate for server, bare in pairs], ".2f")
    ratios = _spread([server.cpu_us / bare.cpu_us for server, bare in pairs], ".2f")
    sink_us = statistics.median(cost.sink_cpu_us for pair in pairs for cost in pair)
    print(f"  the server has {rates} times the rate, at {ratios} times the CPU", flush=True)
    print(f"  the clients took {sink_us:.1f} µs CPU an event", flush=True)


def _spread(figures: Sequence[float], form: str) -> str:
    """Return median, least and most."""
    return f"{statistics.median(figures):{form}} ({min(figures):{form}} - {max(figures):{form}})"


def measure_waiting(count: int) -> None:
    """Measure the memory while events wait for a client that does not read, and afterwards."""
    print(f"\nwaiting: {count:,} files reported to a client that does not read", flush=True)
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as state:
        make_files(root, count)
        config = f"{_config(Path(root))}\nexisting: report"
        with (
            run_server(Path(state), {}, f"--journal-cap={2 * count}") as server,
            closing(connect(server.address, _name(0), config, count, "--stalled")) as sink,
        ):
            _print_memory("idle", server.process.pid)
            start_s = time.monotonic()
            sink.go_on()
            while (report := status(server)).get("unconfirmed") != count or report["scans"] == 0:
                assert report.get("unconfirmed", 0) <= count, report
                time.sleep(LOOK_INTERVAL_S)
            _print_memory(
                "all wait", server.process.pid, f"after {time.monotonic() - start_s:.0f} s"
            )
            sink.go_on()
            said = sink.line()
            took_s = said["last_s"] - said["first_s"]
            _print_memory(
                "all delivered",
                server.process.pid,
                f"after {took_s:.0f} s, {count / took_s:,.0f} events/s",
            )
            print(f"  {'most at any time':<28}{peak_mib(server.process.pid):7.1f} MiB")


def _print_memory(name: str, pid: int, note: str = "") -> None:
    print(f"  {name:<28}{memory_mib(pid):7.1f} MiB  {note}".rstrip(), flush=True)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    events = "events of a round, over all clients (default: 100000)"
    add("--events", type=int, default=100_000, help=events)
    clients = "numbers of clients to measure with (default: 1 100)"
    add("--clients", type=int, nargs="+", default=[1, 100], help=clients)
    add("--rounds", type=int, default=5, help="rounds of each measurement (default: 5)")
    waiting = "measure the memory while this many events wait, in place of time"
    add("--waiting", type=int, metavar="N", help=waiting)
    arguments = parser.parse_args()
    if arguments.waiting:
        measure_waiting(arguments.waiting)
        return
    for clients in arguments.clients:
        print_pairs(compare_delivery(arguments.events, clients, arguments.rounds))


if __name__ == "__main__":
    main()
