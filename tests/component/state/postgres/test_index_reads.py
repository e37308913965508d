"""What a scan reads of the index: nothing while it is the first one."""

from __future__ import annotations

import pytest

from support.state import add
from watcher.model import Entry
from watcher.state.postgres.store import PostgresStore


@pytest.fixture
def reads(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of what is read from now on."""
    found: list[str] = []
    session = store.index._session
    read = session.read

    def reading(query: str, *values: object) -> list[tuple[object, ...]]:
        found.append(query)
        return read(query, *values)

    monkeypatch.setattr(session, "read", reading)
    return found


def files(directory: bytes, first: int = 0) -> list[Entry]:
    return [Entry(b"%s/%02d" % (directory, first + number), 1, 2) for number in range(10)]


def test_the_first_scan_of_a_tree_reads_nothing(store: PostgresStore, reads: list[str]) -> None:
    """Its directories come in no order, and none has rows; the next scan finds them all."""
    directories = [b"c", b"a/d", b"b", b"a"]
    for directory in directories:
        entries = files(directory)
        assert store.index.compare(entries).differing == entries
        add(store, *(entry.path for entry in entries))
    assert not reads
    for directory in directories:
        assert len(store.index.compare(files(directory)).ids) == 10
    assert len(reads) == len(directories)


def test_the_rest_of_a_directory_is_looked_up(store: PostgresStore, reads: list[str]) -> None:
    """A directory may come in several batches, and what is met twice is found."""
    add(store, b"z", *(entry.path for entry in files(b"a", 5)))
    ids, _, differing = store.index.compare([*files(b"a"), *files(b"b")])
    assert len(ids) == 5
    assert differing == [*files(b"a")[:5], *files(b"b")]
    assert reads


def test_nothing_is_remembered_of_a_scan_that_is_over(
    store: PostgresStore, reads: list[str]
) -> None:
    """There may be thousands of watches, and each scan but the first finds its directories."""
    entries = files(b"b")
    with store.deferring():
        add(store, *(entry.path for entry in entries), b"c")
        assert not store.index.compare(files(b"a")).ids
        assert not reads
    assert store.index._written is None
    assert len(store.index.compare(entries).ids) == 10
