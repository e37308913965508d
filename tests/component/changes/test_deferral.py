"""Entries that differ and wait: for a notification, for their writer, for their digests."""

from __future__ import annotations

from support.reconciler_bench import Bench, many
from watcher.changes.detector import Appearance
from watcher.changes.digest_learning import DigestLearning
from watcher.sources.observations import Inspection
from watcher.spec import Compare


def test_contents_are_read_once_for_each_change(bench: Bench) -> None:
    """An unchanged file, or one of which only the attributes changed by notification, is not."""
    bench.compare(Compare(is_content=True))
    bench.place.contents = {b"a": "1", b"b": "1", b"c": "1"}
    bench.baseline(b"a", b"b")
    learning = DigestLearning(bench.place, bench.store.index)
    learning.begin()
    assert learning.advance() is False
    assert [entry.path for entry in bench.place.undigested] == [b"a", b"b"]
    assert bench.apply(bench.place.digested()) == ""
    assert bench.scan() == ""
    assert learning.advance() is False
    bench.place.put(b"a", mtime_ns=5)
    bench.place.put(b"b", ctime_ns=5)
    bench.place.put(b"c")
    bench.apply(Inspection([bench.place.files[b"b"]], attributes_only={b"b"}))
    assert bench.scan() == ""
    assert [entry.path for entry in bench.place.undigested] == [b"a", b"c"]
    bench.place.contents[b"a"] = "2"
    assert bench.apply(bench.place.digested()) == "modified a, created c"
    assert bench.scan() == ""
    assert bench.place.undigested == []
    rows = bench.store.index.rows([b"a", b"b", b"c"])
    assert {path: row.entry.etag for path, row in rows.items()} == bench.place.contents
    assert rows[b"b"].entry.ctime_ns == 5


def test_what_cannot_be_read_is_compared_by_attributes(bench: Bench) -> None:
    """A digest that no longer applies is dropped."""
    bench.compare(Compare(is_content=True))
    bench.place.put(b"a")
    bench.place.contents = {b"a": "1"}
    assert bench.scan() == ""
    assert bench.apply(bench.place.digested()) == "created a"
    bench.place.contents.clear()
    bench.place.put(b"a", mtime_ns=5)
    assert bench.scan() == "modified a"
    assert bench.store.index.rows([b"a"])[b"a"].entry.etag == ""
    assert bench.scan() == ""


def test_an_unnotified_ctime_is_reported_when_it_was_expected(
    bench: Bench,
) -> None:
    """The notification of a chmod may be on its way, so each new ctime is rechecked once."""
    bench.baseline(b"f")
    bench.place.mode = "notify"
    for ctime_ns, before in [(2, None), (3, 2)]:
        bench.place.put(b"f", ctime_ns=ctime_ns)
        assert (
            bench.apply(Inspection([bench.place.files[b"f"]], expected_ctime_ns={b"f": before}))
            == ""
        )
        assert bench.place.rechecked == {b"f"}
    assert (
        bench.apply(Inspection([bench.place.files[b"f"]], expected_ctime_ns={b"f": 3}))
        == "modified f"
    )


def test_what_is_being_written_is_neither_reported_nor_gone(bench: Bench) -> None:
    """It keeps its row or its lack of one, and is no loss to be held."""
    bench.baseline(b"old", *many(200))
    bench.place.put(b"old", b"new", size=5)
    bench.place.incomplete = set(bench.place.files)
    assert bench.reconciler.scan(is_baseline=False).held == 0
    assert bench.changes() == ""
    bench.place.incomplete = set()
    assert bench.apply(bench.place.inspect([b"old", b"new"])) == "modified old, created new"


def test_a_baseline_records_what_is_being_written(bench: Bench) -> None:
    bench.place.incomplete = {b"a"}
    bench.baseline(b"a")
    bench.place.put(b"a", size=5)
    bench.place.incomplete.clear()
    assert bench.scan() == "modified a"


def test_what_existed_is_existing_once_it_is_complete(bench: Bench) -> None:
    """Unless it was gone in between; what is new never is."""
    bench.place.put(b"a", b"gone")
    bench.place.incomplete = {b"a", b"gone"}
    bench.detector.appearance = lambda _path: Appearance.EXISTING
    bench.reconciler.scan(is_baseline=True)
    bench.detector.appearance = lambda _path: Appearance.NEW
    assert bench.changes() == ""
    del bench.place.files[b"gone"]
    bench.reconciler.apply(bench.place.inspect([b"gone"]))
    bench.place.put(b"gone", b"new")
    bench.place.incomplete = {b"new"}
    bench.reconciler.scan(is_baseline=False)
    bench.reconciler.apply(bench.place.inspect([b"new"]))
    assert {event["path"]: event["existing"] for event in bench.events()} == {
        "a": True,
        "gone": False,
        "new": False,
    }


def test_a_batch_with_an_incomplete_entry_is_read_again(bench: Bench) -> None:
    bench.place.has_digests = True
    bench.place.put(b"a", b"b")
    bench.place.incomplete = {b"b"}
    assert bench.scan() == "created a"
    bench.place.incomplete.clear()
    assert bench.scan() == "created b"
    bench.place.read.clear()
    assert (bench.scan(), bench.place.read) == ("", [])
