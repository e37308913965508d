"""The reconciler over a place in memory and a real state file."""

from __future__ import annotations

import pytest

from support.reconciler_bench import Bench, many
from watcher.changes.detector import Appearance
from watcher.changes.reconciler import Interrupted
from watcher.errors import UnavailableError
from watcher.model import Rescan
from watcher.sources.observations import Rename, Renames, Subtree
from watcher.spec import Attribute, Compare


def test_scans_report_each_difference_once(bench: Bench) -> None:
    bench.place.put(b"a", b"b", b"c", b"d")
    assert bench.scan() == "created a, created b, created c, created d"
    bench.place.put(b"b", size=2)
    del bench.place.files[b"c"]
    bench.place.put(b"e")
    assert bench.scan() == "modified b, created e, deleted c"
    assert bench.scan() == ""


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ({"ctime_ns": 2}, "poll", "modified f"),
        ({"ctime_ns": 2}, "notify", ""),
        ({"mtime_ns": 0}, "notify", "modified f"),
        ({"ctime_ns": 2, "inode": 99}, "notify", "modified f"),
        ({"storage_class": "GLACIER"}, "poll", ""),
    ],
)
def test_what_a_scan_reports_of_a_difference(
    bench: Bench, values: dict[str, int | str], mode: str, expected: str
) -> None:
    """With notifications a different ctime alone is reported after a recheck only."""
    bench.baseline(b"f")
    bench.place.mode = mode
    bench.place.put(b"f", **values)
    assert bench.scan() == expected
    is_deferred = mode == "notify" and values == {"ctime_ns": 2}
    assert bench.place.rechecked == ({b"f"} if is_deferred else set())
    assert bench.apply(bench.place.inspect([b"f"])) == ("modified f" if is_deferred else "")
    assert bench.scan() == ""


@pytest.mark.parametrize("mode", ["poll", "notify"])
@pytest.mark.parametrize(
    ("compare", "values", "expected"),
    [
        ("size mtime", {"ctime_ns": 2, "inode": 99}, ""),
        ("size mtime", {"mtime_ns": 2}, "modified f"),
        ("inode", {"inode": 99}, "modified f"),
        ("size", {"mtime_ns": 2, "ctime_ns": 2}, ""),
    ],
)
def test_what_is_not_compared_is_taken_over(
    bench: Bench, compare: str, values: dict[str, int], mode: str, expected: str
) -> None:
    bench.compare(Compare(frozenset(map(Attribute, compare.split())), is_auto=False))
    bench.baseline(b"f", b"g")
    bench.place.mode = mode
    bench.place.put(b"f", **values)
    assert bench.scan() == expected
    assert bench.place.rechecked == set()
    assert bench.apply(bench.place.inspect([b"f"])) == ""
    # What was taken over is no difference when more is compared.
    bench.compare(Compare())
    assert bench.scan() == ""


def test_a_batch_that_is_as_it_was_is_not_read(bench: Bench) -> None:
    """Entries that are missing from the other batches are gone all the same."""
    bench.place.has_digests = True
    bench.baseline(*(bytes([letter]) for letter in b"abcdefgh"))
    assert bench.place.read == ["abc", "def", "gh"]
    bench.place.put(b"e", size=2)
    assert bench.scan() == "modified e"
    assert bench.scan() == ""
    assert bench.place.read[3:] == ["def"]
    del bench.place.files[b"c"], bench.place.files[b"h"]
    assert bench.scan() == "deleted c, deleted h"
    assert bench.place.read[4:] == ["abd", "efg"]


@pytest.mark.parametrize("break_off", [True, False])
def test_batches_are_forgotten_when_rows_have_changed_since(
    bench: Bench, *, break_off: bool
) -> None:
    """A file that is as it was two readings ago differs from its row."""
    bench.place.has_digests = True
    bench.baseline(b"a", b"b", b"c", b"d")
    former = bench.place.files[b"a"]
    bench.place.put(b"a", size=2)
    if break_off:
        bench.interrupt_at = 3
        with pytest.raises(Interrupted):
            bench.scan()
        bench.interrupt_at = None
        assert bench.changes() == "modified a"
    else:
        assert bench.apply(bench.place.inspect([b"a"])) == "modified a"
    bench.place.files[b"a"] = former
    assert bench.scan() == "modified a"


def test_a_row_that_has_changed_since_concerns_its_own_batch(bench: Bench) -> None:
    bench.place.has_digests = True
    bench.baseline(*(bytes([letter]) for letter in b"abcdefgh"))
    former = bench.place.files[b"e"]
    bench.place.put(b"e", size=2)
    assert bench.apply(bench.place.inspect([b"e"])) == "modified e"
    bench.place.files[b"e"] = former
    bench.place.read.clear()
    assert (bench.scan(), bench.place.read) == ("modified e", ["def"])


def test_the_scan_of_a_part_leaves_the_batches_of_the_others_known(bench: Bench) -> None:
    """What it has changed is read again by the next scan of the whole, and nothing else."""
    bench.place.has_digests = True
    bench.baseline(b"a/1", b"a/2", b"a/3", b"b/1", b"b/2", b"b/3")
    former = dict(bench.place.files)
    bench.place.put(b"b/2", size=2)
    del bench.place.files[b"b/3"]
    assert bench.apply(Subtree(b"b/")) == "modified b/2, deleted b/3"
    bench.place.files = former
    bench.place.read.clear()
    assert bench.scan() == "modified b/2, created b/3"
    assert bench.place.read == ["b/1b/2b/3"]


def test_an_entry_that_comes_twice_is_read_twice(bench: Bench) -> None:
    """Its row may have changed since the first time."""
    bench.place.has_digests = True
    bench.baseline(b"a", b"b", b"c", b"d")
    bench.place.twice = [bench.place.files[b"d"]._replace(size=9)]
    assert bench.scan() == "modified d, modified d"
    bench.place.twice = []
    assert bench.scan() == ""


@pytest.mark.parametrize("failure", [Interrupted, UnavailableError("torn")])
def test_a_scan_left_in_the_middle_deletes_nothing(
    bench: Bench, failure: Exception | type[Exception]
) -> None:
    """The next scan reports the rest."""
    bench.baseline(*many(20))
    del bench.place.files[b"0001"], bench.place.files[b"0019"]
    bench.place.put(b"0000", b"0018", size=2)

    def fail() -> None:
        raise failure

    bench.place.meanwhile = fail
    with pytest.raises(type(failure) if isinstance(failure, Exception) else failure):
        bench.reconciler.scan(is_baseline=False)
    assert bench.changes() == "modified 0000"
    assert bench.scan() == "modified 0018, deleted 0001, deleted 0019"


def test_an_interrupted_scan_is_no_witness(bench: Bench) -> None:
    """A loss that half a scan saw was not seen once."""
    bench.baseline(*many(200))
    for path in many(199):
        del bench.place.files[path]
    bench.interrupt_at = 1
    with pytest.raises(Interrupted):
        bench.reconciler.scan(is_baseline=False)
    bench.interrupt_at = None
    assert bench.reconciler.scan(is_baseline=False).held == 199


@pytest.mark.parametrize(
    ("old_path", "path", "expected"),
    [
        (b"a", b"z", "moved a z"),
        (b"z", b"a", "moved z a"),
        (b"d/", b"z/", "moved d/1 z/1, moved d/2 z/2"),
        (b"y/", b"b/", "moved y/1 b/1"),
    ],
)
def test_a_rename_while_a_scan_runs_is_a_rename(
    bench: Bench, old_path: bytes, path: bytes, expected: str
) -> None:
    """From what the scan has read to what it has not, or back."""
    bench.baseline(
        *(
            path
            for path in (b"a", b"d/1", b"d/2", b"m", b"n", b"o", b"y/1", b"z")
            if path != b"z" or old_path == b"z"
        )
    )
    if old_path == b"z":
        del bench.place.files[b"a"]
        bench.scan(), bench.changes()

    def rename() -> None:
        bench.place.rename(old_path, path)
        bench.place.ready.append(Renames([Rename(old_path, path)]))

    bench.place.meanwhile = rename
    assert bench.scan() == expected
    assert bench.scan() == ""


def test_what_comes_and_goes_while_a_scan_runs_is_reported_once(bench: Bench) -> None:
    """Observations applied between two batches neither hide a difference nor repeat one."""
    bench.baseline(*many(12))
    del bench.place.files[b"0005"]

    def change() -> None:
        for path in (b"0001", b"0011"):
            del bench.place.files[path]
        bench.place.put(b"0000new", b"9999new")
        bench.place.ready.append(bench.place.inspect([b"0001", b"0011", b"0000new", b"9999new"]))

    bench.place.meanwhile = change
    assert (
        bench.scan() == "deleted 0001, deleted 0011, created 0000new, created 9999new, deleted 0005"
    )
    assert bench.scan() == ""


def test_a_subtree_is_compared_alone(bench: Bench) -> None:
    """Even a name that begins alike is left alone."""
    bench.baseline(b"d/a", b"d/b", b"d0", b"d", b"e/a")
    bench.place.files.clear()
    bench.place.put(b"d/b", b"d/c")
    bench.place.files[b"d/b"] = bench.store.index.rows([b"d/b"])[b"d/b"].entry
    assert bench.apply(Subtree(b"d/")) == "created d/c, deleted d/a"
    assert bench.apply(Subtree(b"", Rescan.MANY_HINTS)) == ""
    assert bench.reconciler.rescan_reason is Rescan.MANY_HINTS


def test_dropped_entries_leave_silently(bench: Bench) -> None:
    bench.baseline(*many(2500))
    bench.reconciler.drop(lambda path: path.endswith(b"7"))
    assert (bench.changes(), bench.store.index.entries) == ("", 250)


def test_a_baseline_reports_or_ignores(bench: Bench) -> None:
    bench.detector.appearance = lambda path: (
        Appearance.EXISTING if path == b"a" else Appearance.IGNORED_EXISTING
    )
    bench.place.put(b"a", b"b")
    result = bench.reconciler.scan(is_baseline=True)
    assert (result.entries, bench.changes(), bench.store.index.entries) == (2, "created a", 2)
