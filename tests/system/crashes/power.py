"""Checks the state that a server leaves when its power fails, at many moments of a strace log."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

from support.client import Stream, wait_until
from support.config import config
from support.events import replay
from support.files import read_files
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from support.state import open_store
from support.writer import make_directories, writing
from system.crashes.trace import Replay, is_complete, launcher
from watcher.state.sqlite.issued import IssuedIds

SEED = 20260131
CHANGES = 1500
PAUSE_S = 0.002
CUT_EVERY = 100
"""Steps between two power failures."""

CUT_EVERY_SENT = 25
"""Sent messages between two further power failures."""

ENOUGH = 30
"""Power failures with a state file; a run has about twice as many."""


def check_power_losses(
    start_server: StartServer, connect: Connect, directory: Path, name: str, *, shared_memory: bool
) -> ServerProcess:
    """Run a server while files change, and check its state after power failures.

    With shared memory the state has a write-ahead log.
    """
    root, trace = directory / "changing", directory / "trace"
    make_directories(root)
    flags = ("--http", "", "--redelivery-window", "2s")
    server = start_server(*flags, directory=directory, launcher=launcher(trace))
    stream = connect(server).watch(name, config(root))
    with writing(root, 1, CHANGES, PAUSE_S) as writer:
        assert writer.wait() == 0
    wait_until(lambda: replay(stream.events) == read_files(root), "the events make the tree")
    assert server.stop() == 0
    stream.wait_end()
    wait_until(lambda: is_complete(trace, server.process.pid), "strace has logged all")

    chance = Random(SEED)
    done = Replay(server.state)
    sent = whole = 0
    for step, is_sent in enumerate(done.run(trace), start=1):
        sent += is_sent
        if step % CUT_EVERY and not (is_sent and sent % CUT_EVERY_SENT == 0):
            continue
        left = directory / f"left{step}"
        left.mkdir()
        for name_left, file in done.files.items():
            (left / name_left).write_bytes(file.after_power_loss(chance))
        whole += _check(left, stream, done.sent_seq, shared_memory=shared_memory)
    assert done.sent_seq == len(stream.events)
    assert whole > ENOUGH, f"only {whole} power failures in {step} steps"
    print(f"{whole} power failures")
    return server


def _check(left: Path, stream: Stream, sent_seq: int, *, shared_memory: bool) -> bool:
    """Check that a state is intact and has all that was sent, and does not look like a backup.

    Returns:
        Whether there is a file.
    """
    files = list(left.glob("*.db"))
    if not files:
        assert not sent_seq
        return False
    with closing(open_store(files[0], shared_memory=shared_memory)) as store:
        cursor, next_seq = store.journal.cursor, store.journal.next_seq
        assert cursor <= sent_seq < next_seq
        journal = store.journal.read(cursor, limit=10 * CHANGES, max_bytes=2**30)
        assert [payload.seq for payload in journal] == list(range(cursor + 1, next_seq))
        assert [payload.data for payload in journal] == stream.payloads[cursor : next_seq - 1]
        index = {
            row.entry.path.decode(): row.entry.size
            for page in store.index.rows_under(b"")
            for row in page
        }
        assert index == replay(stream.events[: next_seq - 1])
        assert store.index.entries == len(index)
    with closing(IssuedIds(left, is_local=False)) as issued:
        recorded = issued.next_seq(files[0].stem)
        assert recorded <= next_seq, f"the record has {recorded}, the state {next_seq}"
    with closing(sqlite3.connect(files[0])) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return True
