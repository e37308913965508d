"""What of an object counts as a change, where stores write it in more than one way."""

import pytest

from support.s3.faults import Hook, always, edited
from support.s3.simulated import Store
from support.s3.watched import KEYS, Begin, Watched
from watcher.sources.s3.objects import ObjectReader
from watcher.spec import HintKind, Notifications
from watcher.state.sqlite.store import SqliteStore

WHOLE = ".000Z</LastModified>"
"""How the simulated store ends each time of a listing."""


def times_end_in(digits: str) -> Hook:
    return always(edited(WHOLE, f"{digits}Z</LastModified>"))


def rows_written(watched: Watched) -> int:
    """Return the number of rows that were ever written."""
    assert isinstance(watched._state, SqliteStore)
    return watched._state._db.connection.total_changes


@pytest.mark.parametrize(
    ("before", "after"),
    [(".123456", ".000"), (".123456", ""), (".123", ""), ("", ".123456"), (".000", ".123")],
)
def test_digits_of_a_time_are_no_change(
    store: Store, begin: Begin, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """A store that writes all times otherwise from now on, or by turns, has not changed an object.

    Rows are written once at most, and a listing that repeats is not read any more; the same holds
    for a server that starts on the state.
    """
    store.on_list = times_end_in(before)
    watched = begin()
    store.on_list = times_end_in(after)
    watched.scan()
    written = rows_written(watched)
    for digits in (before, after, after):
        store.on_list = times_end_in(digits)
        watched.scan()
    read: list[int] = []
    reading = ObjectReader.read

    def count(reader: ObjectReader, objects: list[bytes]) -> object:
        read.append(len(objects))
        return reading(reader, objects)

    monkeypatch.setattr(ObjectReader, "read", count)
    watched.scan()
    assert max(read, default=0) <= 1
    watched = begin()
    store.put(KEYS[3])
    watched.scan()
    assert watched.reported == [("modified", KEYS[3])]
    assert rows_written(watched) - written < len(KEYS)


def test_head_has_fewer_digits(store: Store, begin: Begin) -> None:
    """HEAD, whose last-modified has whole seconds, is no change and takes no digit away."""
    store.on_list = times_end_in(".123456")
    watched = begin()
    written = rows_written(watched)
    watched._reconciler.apply(watched.source.inspect([KEYS[0].encode()]))
    watched.scan()
    assert (watched.reported, rows_written(watched)) == ([], written)


def test_a_storage_class_is_no_change(store: Store, begin: Begin) -> None:
    """A transition to another storage class is recorded silently, also while nobody watches."""
    watched = begin()
    for storage_class, starts in (("GLACIER", False), ("DEEP_ARCHIVE", True)):
        found = store.get(KEYS[0])
        assert found is not None
        store.put(KEYS[0], etag=found.etag, mtime_ns=found.mtime_ns, storage_class=storage_class)
        if starts:
            watched = begin()
        watched.scan()
        row = watched._state.index.rows([KEYS[0].encode()])[KEYS[0].encode()]
        assert row.entry.storage_class == storage_class
    assert watched.reported == []


NO_CLASS = always(edited("<StorageClass>STANDARD</StorageClass>", ""))


def test_a_store_without_storage_classes(store: Store, begin: Begin) -> None:
    """What no listing says is null, also where only HEAD has found the object."""
    store.on_list = NO_CLASS
    watched = begin(notifications=Notifications(HintKind.WEBHOOK))
    store.put_many("in/0000-new", KEYS[3])
    store.delete(KEYS[4])
    watched.scan()
    store.put("in/0000-hinted")
    watched.hint("in/0000-hinted")
    store.delete("in/0000-hinted")
    watched.hint("in/0000-hinted")
    assert [event["storage_class"] for event in watched.events] == [None] * 5
    written = rows_written(watched)
    watched.hint(*KEYS[:3])
    watched.scan()
    assert rows_written(watched) == written


def test_a_store_with_storage_classes(store: Store, begin: Begin) -> None:
    """HEAD leaves out the usual one, and agrees with the listing; a deletion has the last known."""
    watched = begin(notifications=Notifications(HintKind.WEBHOOK))
    store.put("in/0000-cold", storage_class="GLACIER")
    store.put("in/0000-new")
    watched.hint("in/0000-cold", "in/0000-new")
    written = rows_written(watched)
    watched.scan()
    assert rows_written(watched) == written
    store.delete("in/0000-cold", "in/0000-new")
    watched.scan()
    found = sorted((event["path"], event["storage_class"]) for event in watched.events)
    assert found == [*[("in/0000-cold", "GLACIER")] * 2, *[("in/0000-new", "STANDARD")] * 2]


def test_a_state_that_has_a_class_where_the_store_names_none(store: Store, begin: Begin) -> None:
    """As versions before wrote it: no object is modified, and the index forgets it."""
    watched = begin()
    store.on_list = NO_CLASS
    watched.scan()
    store.delete(KEYS[5])
    watched.scan()
    assert [(each["type"], each["storage_class"]) for each in watched.events] == [("deleted", None)]
    written = rows_written(watched)
    watched.scan()
    assert rows_written(watched) == written
