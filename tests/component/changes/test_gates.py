"""What conditions hold back: the reconciler over a place in memory, notified and listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.reconciler_bench import Bench, many
from watcher.changes.detector import Appearance
from watcher.changes.reconciler import Interrupted
from watcher.model import Gate
from watcher.sources.observations import Inspection, Rename, Renames, Subtree
from watcher.spec import Conditions
from watcher.status_values import HeldBack

NAMED = Conditions(marker="{name}.done")
SHARED = Conditions(marker="_SUCCESS")


@pytest.fixture(params=["directory", "bucket"])
def gated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Provide a reconciler that asks for single files, and one that lists alone."""
    bench = Bench(tmp_path / "state.db")
    bench.place.has_cheap_inspection = request.param == "directory"
    bench.place.has_digests = request.param == "bucket"
    bench.restart(NAMED)
    yield bench
    bench.store.close()


def held_back(bench: Bench) -> HeldBack:
    """Return what is held back, which the state file must confirm."""
    counted: dict[int, int] = {}
    for page in bench.store.index.rows_under(b""):
        for row in page:
            if row.gate:
                counted[row.gate] = counted.get(row.gate, 0) + 1
    assert bench.store.index.gates == counted
    return HeldBack.of(counted)


@pytest.mark.parametrize("is_first", [True, False])
def test_marker_before_and_after_its_entry(gated: Bench, *, is_first: bool) -> None:
    """Whichever is met first, in one scan or in two."""
    names = [b"x.done", b"x"] if is_first else [b"x", b"x.done"]
    gated.place.put(names[0])
    assert gated.scan() == ""
    gated.place.put(names[1])
    assert gated.scan() == "created x"
    assert gated.scan() == ""
    assert held_back(gated) == HeldBack()


@pytest.mark.parametrize("marker", [b"_SUCCESS", b"a/_SUCCESS", b"a/b/_SUCCESS"])
def test_shared_markers(gated: Bench, marker: bytes) -> None:
    """One opens its directory and all below, in whichever batch of a scan it comes."""
    gated.restart(SHARED)
    gated.place.put(*(b"a/b/%d" % number for number in range(7)), b"z", b"a/z/1", b"0")
    assert gated.scan() == ""
    assert held_back(gated).marker == 10
    gated.place.put(marker)
    opened = gated.scan().split(", ")
    assert len(opened) == {b"_SUCCESS": 10, b"a/_SUCCESS": 8, b"a/b/_SUCCESS": 7}[marker]
    assert held_back(gated).marker == 10 - len(opened)
    gated.place.put(b"a/b/new", b"zz")
    assert gated.scan().split(", ")[0] == "created a/b/new"


def test_entry_waits_again_once_its_marker_is_gone(gated: Bench) -> None:
    gated.place.put(b"x", b"x.done")
    assert gated.scan() == "created x"
    del gated.place.files[b"x.done"]
    assert gated.scan() == ""
    assert held_back(gated) == HeldBack()
    gated.place.put(b"x", size=2)
    assert gated.scan() == ""
    assert held_back(gated).marker == 1
    gated.place.put(b"x", size=3)
    assert gated.scan() == ""
    gated.place.put(b"x.done")
    assert gated.scan() == "modified x"
    assert gated.scan() == ""
    assert held_back(gated) == HeldBack()


def test_marker_of_an_earlier_delivery_does_not_count(gated: Bench) -> None:
    """It was removed since the last scan, and the entry was written anew."""
    gated.place.put(b"x", b"x.done", b"a", b"a.done")
    assert gated.scan() == "created a, created x"
    for name in (b"a", b"x"):
        del gated.place.files[name + b".done"]
        gated.place.put(name, size=2)
    assert gated.scan() == ""
    assert held_back(gated).marker == 2


def test_marker_is_replaced_between_two_scans(gated: Bench) -> None:
    """Both deliveries are reported, whether or not the marker differs from the former."""
    gated.place.put(b"x", b"x.done", b"y", b"y.done")
    assert gated.scan() == "created x, created y"
    gated.place.put(b"x", size=2)
    gated.place.put(b"y", size=2)
    gated.place.put(b"y.done", mtime_ns=5)
    assert gated.scan() == "modified x, modified y"
    gated.place.put(b"y.done", mtime_ns=6)
    assert gated.scan() == ""


def test_newer_version_that_is_taken_back_counts_no_more(gated: Bench) -> None:
    gated.place.put(b"x", b"x.done")
    assert gated.scan() == "created x"
    del gated.place.files[b"x.done"]
    gated.place.put(b"x", size=2)
    gated.scan()
    assert held_back(gated).marker == 1
    gated.place.put(b"x", size=1)
    assert gated.scan() == ""
    assert held_back(gated) == HeldBack()


def test_deletions_need_no_marker(gated: Bench) -> None:
    """What was reported is deleted as it was reported; what was not is forgotten."""
    gated.place.put(b"x", b"x.done", b"y")
    assert gated.scan() == "created x"
    gated.place.files.clear()
    assert gated.scan() == "deleted x"
    assert gated.store.index.entries == 0
    assert held_back(gated) == HeldBack()


def test_sizes_hold_back(gated: Bench) -> None:
    gated.restart(Conditions(min_size=10, max_size=20))
    gated.place.put(b"x", size=5)
    gated.place.put(b"y", size=25)
    gated.place.put(b"z", size=10)
    assert gated.scan() == "created z"
    assert held_back(gated) == HeldBack(min_size=1, max_size=1)
    gated.place.put(b"x", size=20)
    gated.place.put(b"y", size=9)
    gated.place.put(b"z", size=0)
    assert gated.scan() == "created x"
    assert held_back(gated) == HeldBack(min_size=2)
    del gated.place.files[b"y"], gated.place.files[b"z"]
    assert gated.scan() == "deleted z"


def test_conditions_that_have_changed_are_applied_to_what_waits(gated: Bench) -> None:
    """After the first scan, and nothing that was reported is reported again."""
    gated.place.put(b"x", size=5)
    gated.place.put(b"y", size=500)
    gated.place.put(b"y.done")
    assert gated.scan() == "created y"
    gated.restart(Conditions(min_size=10))
    assert gated.scan() == ""
    assert held_back(gated) == HeldBack(min_size=1)
    gated.restart(Conditions())
    assert gated.scan() == "created x"
    assert gated.scan() == ""


def test_what_waits_is_evaluated_after_a_restart(gated: Bench) -> None:
    """A crash came between the row of the marker and the report of its entries."""
    gated.place.put(*(b"%d" % number for number in range(5)))
    assert gated.scan() == ""
    gated.place.put(*(b"%d.done" % number for number in range(5)))
    gated.interrupt_at = 0 if gated.place.has_cheap_inspection else 9
    with pytest.raises(Interrupted):
        gated.scan()
    gated.interrupt_at = None
    before = gated.changes()
    gated.restart(NAMED)
    after = gated.scan()
    reported = sorted(filter(None, f"{before}, {after}".split(", ")))
    assert reported == [f"created {number}" for number in range(5)]


def test_old_entries_are_recorded_when_first_met(gated: Bench) -> None:
    """Whatever holds them back; their next change is ``modified``, if it may be reported."""
    gated.restart(NAMED, oldest_ns=100)
    gated.place.put(b"x", mtime_ns=50)
    gated.place.put(b"y", mtime_ns=150)
    assert gated.scan() == ""
    assert held_back(gated).marker == 1
    gated.place.put(b"x", mtime_ns=60)
    assert gated.scan() == ""
    gated.restart(NAMED, oldest_ns=1000)
    gated.place.put(b"x.done", b"y.done")
    assert sorted(gated.scan().split(", ")) == ["created y", "modified x"]
    assert held_back(gated) == HeldBack()


@pytest.mark.parametrize("appearance", [Appearance.EXISTING, Appearance.IGNORED_EXISTING])
def test_baseline(gated: Bench, appearance: Appearance) -> None:
    """What may be reported is existing; what is held back is ``created`` later in any case."""
    gated.place.put(b"a.done", b"b", b"c", b"d", b"b.done", b"a", b"c.done")
    gated.detector.appearance = lambda _path: appearance
    gated.reconciler.scan(is_baseline=True)
    gated.detector.appearance = lambda _path: Appearance.NEW
    is_reported = appearance is Appearance.EXISTING
    found = sorted((event["path"], event["existing"]) for event in gated.events())
    assert found == ([("a", True), ("b", True), ("c", True)] if is_reported else [])
    gated.place.put(b"d.done")
    gated.reconciler.scan(is_baseline=False)
    assert [(event["path"], event["existing"]) for event in gated.events()] == [("d", is_reported)]


def test_unchanged_batches_stay_unread_while_they_wait(gated: Bench) -> None:
    gated.place.has_digests = True
    gated.place.put(*(b"%d" % number for number in range(6)))
    gated.scan()
    gated.place.read.clear()
    gated.scan()
    assert gated.place.read == []
    gated.place.put(b"3.done")
    assert gated.scan() == "created 3"
    gated.scan()
    gated.place.read.clear()
    gated.scan()
    assert gated.place.read == []


def test_incomplete_entry_is_reported_after_its_marker(gated: Bench) -> None:
    """What is not complete yet when its marker comes is evaluated after a later scan again."""
    gated.place.put(b"x")
    gated.scan()
    gated.place.incomplete.add(b"x")
    gated.place.put(b"x.done")
    assert gated.scan() == ""
    gated.place.incomplete.clear()
    assert gated.scan() == "created x"


def test_object_that_a_listing_lacks_is_not_reported(gated: Bench) -> None:
    """Nor is it forgotten: its marker counts once a later listing has it."""
    gated.restart(SHARED)
    gated.place.has_cheap_inspection = False
    gated.place.put(b"a/x", b"b/x")
    assert gated.scan() == ""
    gated.place.unread = [b"a/"]
    gated.place.put(b"_SUCCESS")
    assert gated.scan() == "created b/x"
    gated.place.unread = []
    assert gated.scan() == "created a/x"
    assert held_back(gated) == HeldBack()


def test_marker_that_is_notified(bench: Bench) -> None:
    """The notification of the marker alone reports the entry that waits for it."""
    bench.restart(NAMED)
    bench.place.put(b"x")
    bench.scan()
    bench.place.put(b"x.done")
    marker = bench.place.files[b"x.done"]
    assert bench.apply(Inspection([marker])) == "created x"
    del bench.place.files[b"x.done"]
    assert bench.apply(Inspection(gone=[b"x.done"])) == ""
    bench.place.put(b"x", size=2)
    assert bench.apply(Inspection([bench.place.files[b"x"]])) == ""
    assert held_back(bench).marker == 1


def test_stale_row_of_a_marker_is_not_believed(bench: Bench) -> None:
    """The notification that the marker is gone comes after that of its entry."""
    bench.restart(NAMED)
    bench.place.put(b"x", b"x.done")
    assert bench.scan() == "created x"
    del bench.place.files[b"x.done"]
    bench.place.put(b"x", size=2)
    assert bench.apply(Inspection([bench.place.files[b"x"]])) == ""
    bench.place.put(b"x.done")
    assert bench.apply(Inspection([bench.place.files[b"x.done"]])) == "modified x"


def test_hints_that_were_lost_do_not_leave_anything_behind(bench: Bench) -> None:
    bench.restart(NAMED)
    bench.place.put(b"x")
    bench.scan()
    bench.place.incomplete.add(b"x")
    bench.place.put(b"x.done")
    assert bench.apply(Inspection([bench.place.files[b"x.done"]]), Subtree(b"")) == ""
    bench.place.incomplete.clear()
    assert bench.scan() == "created x"


def rename(bench: Bench, old_path: bytes, path: bytes) -> str:
    """Rename a file or directory with the kernel's notification, and then scan."""
    bench.place.rename(old_path, path)
    changes = bench.apply(Renames([Rename(old_path, path)]))
    return ", ".join(filter(None, [changes, bench.scan()]))


@pytest.mark.parametrize(
    ("old_path", "path", "expected"),
    [
        (b"open", b"moved", "deleted open"),
        (b"open", b"ready", "moved open ready"),
        (b"waits", b"ready", "created ready"),
        (b"waits", b"moved", ""),
        (b"open.done", b"waits.done", "created waits"),
        (b"open.done", b"plain", ""),
        (b"plain", b"waits.done", "created waits"),
        (b"open", b"waits.done", "deleted open, created waits"),
    ],
)
def test_renamed_files(bench: Bench, old_path: bytes, path: bytes, expected: str) -> None:
    """A name decides anew; what was not reported has not moved."""
    bench.restart(NAMED)
    bench.place.put(b"open", b"open.done", b"waits", b"ready.done", b"plain")
    assert bench.scan() == "created open"
    assert rename(bench, old_path, path) == expected
    held_back(bench)


def test_directory_that_is_renamed_with_its_marker_has_moved(bench: Bench) -> None:
    bench.restart(SHARED)
    bench.place.put(*(b"run/%d" % number for number in range(4)), b"run/_SUCCESS", b"out/1")
    assert bench.scan().count("created") == 4
    assert sorted(rename(bench, b"run/", b"done/").split(", ")) == [
        f"moved run/{number} done/{number}" for number in range(4)
    ]
    assert rename(bench, b"out/", b"done/out/") == "created done/out/1"
    assert held_back(bench) == HeldBack()


def test_many_wait_for_one_marker(gated: Bench) -> None:
    """They are evaluated page by page, and an interruption loses none of them."""
    gated.restart(SHARED)
    gated.place.put(*(b"d/%05d" % number for number in range(1200)))
    assert gated.scan() == ""
    gated.place.put(b"d/_SUCCESS")
    assert gated.scan().count("created") == 1200
    assert gated.store.index.gates == {Gate.MARKER: 1}


def test_what_a_scan_has_not_met_is_not_reported_with_its_marker(gated: Bench) -> None:
    """While its deletion is held; what comes back is reported without another change."""
    gated.restart(SHARED)
    gated.place.put(*many(150), b"other")
    assert gated.scan() == ""
    away = {path: gated.place.files.pop(path) for path in many(150)}
    gated.place.put(b"_SUCCESS")
    assert gated.scan() == "created other"
    gated.place.files[b"0007"] = away[b"0007"]
    assert gated.scan() == "created 0007"
    assert gated.scan() == ""
    assert held_back(gated) == HeldBack()


def test_folder_has_no_marker(gated: Bench) -> None:
    """Its key has an empty name: what would be its marker is an entry, wherever it is listed."""
    gated.place.put(b"in/", b"in/.done")
    assert gated.scan() == ""
    assert held_back(gated).marker == 2
