"""What must be true of the state of a server whose power failed, at any moment that strace has written down."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

from support.client import wait_until
from support.replaying import read_files, replay
from support.state import open_store
from support.writer import DIRECTORIES, WRITER
from system.crashes.trace import Replay, is_complete, launcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Stream
    from support.server import ServerProcess

SEED = 20260131
CHANGES = 1500
PAUSE_S = "0.002"
CUT_EVERY = 100
CUT_EVERY_SENT = 25
"""How often the power fails, in steps and in messages that were sent."""

ENOUGH = 30


def check_power_losses(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    directory: Path,
    name: str,
    *,
    shared_memory: bool,
) -> ServerProcess:
    """Run a server while files change, and see what is left when its power fails at many moments.

    Args:
        start_server: Starts it.
        connect: Connects a client to it.
        directory: For its log and state, the watched directory, and what is left.
        name: Of the event source.
        shared_memory: Whether the state has a write-ahead log.
    """
    root, trace = directory / "changing", directory / "trace"
    for number in range(DIRECTORIES):
        (root / f"d{number}").mkdir(parents=True)
    server = start_server(
        "--http", "", "--redelivery-window", "2s", directory=directory, launcher=launcher(trace)
    )
    stream = connect(server).watch(name, {"directory": {"path": str(root), "settle": "100ms"}})
    subprocess.run([sys.executable, WRITER, root, "1", str(CHANGES), PAUSE_S], check=True)
    wait_until(
        lambda: replay({}, stream.events) == read_files(root), "what was told makes the tree"
    )
    assert server.stop() == 0
    stream.wait_end()
    wait_until(lambda: is_complete(trace, server.process.pid), "strace has written down all")

    chance = Random(SEED)  # noqa: S311 - repeatable
    done = Replay(server.state)
    sent = whole = 0
    for step, is_sent in enumerate(done.run(trace), start=1):
        sent += is_sent
        if step % CUT_EVERY and not (is_sent and sent % CUT_EVERY_SENT == 0):
            continue
        left = directory / f"left{step}"
        left.mkdir()
        for file, content in done.disk.after_power_loss(chance).items():
            (left / file).write_bytes(content)
        whole += _check(left, stream, done.sent_seq, shared_memory=shared_memory)
    assert done.sent_seq == len(stream.events)
    assert whole > ENOUGH, f"only {whole} losses of power"
    print(f"{whole} losses of power")  # noqa: T201 - shown with a failure
    return server


def _check(left: Path, stream: Stream, sent_seq: int, *, shared_memory: bool) -> bool:
    """See that what is left of the state is whole and knows of all that was sent; tell whether there is any."""
    files = list(left.glob("*.db"))
    if not files:
        assert not sent_seq
        return False
    with closing(open_store(files[0], shared_memory=shared_memory)) as store:
        assert store.journal.cursor <= sent_seq < store.journal.next_seq
        journal = store.journal.read(store.journal.cursor, limit=10 * CHANGES, max_bytes=2**30)
        assert [payload.seq for payload in journal] == list(
            range(store.journal.cursor + 1, store.journal.next_seq)
        )
        assert [payload.data for payload in journal] == stream.payloads[
            store.journal.cursor : store.journal.next_seq - 1
        ]
        index = {
            row.entry.path.decode(): row.entry.size
            for page in store.index.rows_under(b"")
            for row in page
        }
        assert index == replay({}, stream.events[: store.journal.next_seq - 1])
        assert store.index.entries == len(index)
    with closing(sqlite3.connect(files[0])) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return True
