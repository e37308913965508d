"""The record of what an index is about, on a real state file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from support.clock import FakeClock
from watcher.changes.detector import Appearance
from watcher.errors import UnavailableError
from watcher.filesystem.volumes import Volume
from watcher.model import Delta, Entry
from watcher.spec import BucketSpec, DirectorySpec, Existing, Filter, Spec, Temporary
from watcher.state.sqlite.store import SqliteStore
from watcher.watch.baseline import USED_INTERVAL_S, Baseline

CSV = Spec(DirectorySpec("/data"), filter=Filter(include=("*.csv",)))
CSV_AND_TXT = Spec(DirectorySpec("/data"), filter=Filter(include=("*.csv", "*.txt")))
FLAT = Spec(DirectorySpec("/data", recursive=False))
REPORTED = Spec(DirectorySpec("/data"), existing=Existing.REPORT)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "state.db", FakeClock())) as store:
        yield store


def resumed(store: SqliteStore, spec: Spec, *paths: bytes) -> tuple[Baseline, list[bytes]]:
    """Return the baseline of a new run, and the paths that it drops from the index."""
    dropped: list[bytes] = []
    baseline = Baseline(spec, store, FakeClock())
    baseline.resume(
        lambda admits: dropped.extend(
            path for path in paths or (b"a.csv", b"b.txt", b"d/c.csv") if not admits(path)
        )
    )
    return baseline, dropped


@pytest.mark.parametrize(
    ("spec", "expected"), [(CSV, Appearance.IGNORED_EXISTING), (REPORTED, Appearance.EXISTING)]
)
def test_all_entries_of_the_baseline_scan_exist(
    store: SqliteStore, spec: Spec, expected: Appearance
) -> None:
    baseline, dropped = resumed(store, spec)
    assert (baseline.is_complete, dropped) == (False, [])
    assert baseline.appearance()(b"a.csv") is expected


def test_a_changed_filter(store: SqliteStore) -> None:
    """Entries that only the new filter admits exist already; those that it excludes are dropped."""
    Baseline(CSV, store, FakeClock()).record("", in_use=False)
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"a.csv", 1, 1))], created=1))
    same, dropped = resumed(store, CSV)
    assert (same.is_complete, dropped) == (True, [])
    assert same.appearance()(b"b.txt") is Appearance.NEW
    wider, dropped = resumed(store, CSV_AND_TXT)
    assert dropped == []
    assert wider.appearance()(b"b.txt") is Appearance.IGNORED_EXISTING
    assert wider.appearance()(b"a.csv") is Appearance.NEW
    assert resumed(store, FLAT)[1] == [b"d/c.csv"]


def test_filter_that_is_begun(store: SqliteStore) -> None:
    """It counts as a former one, too, until a scan is complete; whatever else is begun then."""
    row = store.index.new_row(Entry(b"a.csv", 1, 1))
    store.commit(Delta(upserts=[row], created=1))
    Baseline(CSV_AND_TXT, store, FakeClock()).record("", in_use=False)
    assert resumed(store, CSV_AND_TXT)[0].is_current
    assert not resumed(store, CSV)[0].is_current
    assert not resumed(store, FLAT)[0].is_current
    for _ in range(2):
        back, dropped = resumed(store, CSV_AND_TXT, b"a.csv", b"b.txt", b"d/c.csv", b"x")
        assert (back.is_complete, back.is_current, dropped) == (True, False, [b"x"])
        appearance = back.appearance()
        assert appearance(b"a.csv") is Appearance.NEW
        assert appearance(b"b.txt") is appearance(b"d/a.csv") is Appearance.IGNORED_EXISTING
    back.record("", in_use=False)
    assert back.is_current
    assert store.meta("filters_begun") is None
    assert back.appearance()(b"b.txt") is Appearance.NEW


@pytest.mark.parametrize("include", ["*.csv", r"re:\.csv$"])
def test_a_filter_that_takes_no_account_of_case(store: SqliteStore, include: str) -> None:
    """As for any filter that has changed, in both directions; expressions as globs."""
    names = (b"a.csv", b"A.CSV", b"b.txt")
    exact = Spec(DirectorySpec("/data"), filter=Filter((include,)))
    folding = Spec(DirectorySpec("/data"), filter=Filter((include,), match_case=False))
    Baseline(exact, store, FakeClock()).record("", in_use=False)
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"a.csv", 1, 1))], created=1))
    baseline, dropped = resumed(store, folding, *names)
    assert dropped == [b"b.txt"]
    assert baseline.appearance()(b"A.CSV") is Appearance.IGNORED_EXISTING
    assert baseline.appearance()(b"a.csv") is Appearance.NEW
    baseline.record("", in_use=False)
    assert resumed(store, folding, *names)[1] == []
    assert resumed(store, exact, *names)[1] == [b"A.CSV", b"b.txt"]


def test_a_state_whose_glob_begins_as_an_expression_does(store: SqliteStore) -> None:
    """It was a glob for the version that wrote the state, and is an expression now."""
    former = '{"include":["re:*"],"exclude":[],"recursive":true,"dots":true,"temporary":"skip"}'
    store.set_meta(baselined="1", filter=former)
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"re:x", 1, 1))], created=1))
    spec = Spec(DirectorySpec("/data"), filter=Filter(("re:x$",)))
    names = (b"re:x", b"re:y", b"x")
    baseline, dropped = resumed(store, spec, *names)
    assert dropped == [b"re:y"]
    assert baseline.appearance()(b"re:x") is Appearance.NEW
    assert baseline.appearance()(b"x") is Appearance.IGNORED_EXISTING
    baseline.record("", in_use=False)
    assert resumed(store, spec, *names)[1] == []


def test_a_filter_of_former_versions_is_written_as_they_did(store: SqliteStore) -> None:
    """So that its index is not read through for nothing."""
    Baseline(CSV, store, FakeClock()).record("", in_use=False)
    assert store.meta("filter") == (
        '{"include":["*.csv"],"exclude":[],"recursive":true,"dots":true,"temporary":"skip"}'
    )


@pytest.mark.parametrize("facts", ["", ',"temporary":"report"'])
def test_a_state_that_knows_no_names_with_dots(store: SqliteStore, facts: str) -> None:
    """Files that a former version did not read exist already; rows that it has are kept."""
    former = f'{{"include":[],"exclude":[],"recursive":true{facts}}}'
    store.set_meta(baselined="1", filter=former)
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"..x", 1, 1))], created=1))
    baseline, dropped = resumed(store, Spec(DirectorySpec("/data")), b"..x", b"d/..x/a")
    assert dropped == []
    appearance = baseline.appearance()
    for path in (b"..x", b"d/..x", b"...And/01", b"d/..d/a"):
        assert appearance(path) is Appearance.IGNORED_EXISTING
    for path in (b"a..x", b".x", b"d/a"):
        assert appearance(path) is Appearance.NEW
    baseline.record("", in_use=False)
    assert resumed(store, Spec(DirectorySpec("/data")))[0].appearance()(b"..x") is Appearance.NEW


@pytest.mark.parametrize("facts", ["", ',"dots":true'])
def test_a_state_that_knows_temporary_names(store: SqliteStore, facts: str) -> None:
    """They are dropped without an event; once they are to be reported, they exist already."""
    former = f'{{"include":[],"exclude":[],"recursive":true{facts}}}'
    store.set_meta(baselined="1", filter=former)
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"x.part", 1, 1))], created=1))
    names = (b"x", b"x.part", b"d/x~", b"d.part/x")
    baseline, dropped = resumed(store, Spec(DirectorySpec("/data")), *names)
    assert dropped == [b"x.part", b"d/x~"]
    assert baseline.appearance()(b"x") is Appearance.NEW
    baseline.record("", in_use=False)
    spec = Spec(DirectorySpec("/data", temporary=Temporary.REPORT))
    baseline, dropped = resumed(store, spec, *names)
    assert dropped == []
    assert baseline.appearance()(b"x.part") is Appearance.IGNORED_EXISTING
    assert baseline.appearance()(b"x") is Appearance.NEW


def test_a_state_whose_temporary_names_are_still_reported(store: SqliteStore) -> None:
    store.set_meta(baselined="1", filter='{"include":[],"exclude":[],"recursive":true}')
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"x.part", 1, 1))], created=1))
    spec = Spec(DirectorySpec("/data", temporary=Temporary.REPORT))
    baseline, dropped = resumed(store, spec, b"x.part")
    assert dropped == []
    assert baseline.appearance()(b"y.part") is Appearance.NEW


def test_rows_of_an_interrupted_baseline_are_checked_against_the_filter(store: SqliteStore) -> None:
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"b.txt", 1, 1))], created=1))
    assert resumed(store, CSV)[1] == [b"b.txt"]


KEYS = Spec(BucketSpec("landing"), filter=Filter(include=("*.csv",)), existing=Existing.REPORT)
VERSIONS = replace(KEYS, where=BucketSpec("landing", versions=True))
KEY_ROWS = (b"a.csv", b"a\0b.csv")
VERSION_ROWS = (b"a.csv\0v1", b"a\0b.csv\0v2")
OTHER_KINDS = [
    pytest.param(KEYS, KEY_ROWS, VERSIONS, VERSION_ROWS, id="to versions"),
    pytest.param(VERSIONS, VERSION_ROWS, KEYS, KEY_ROWS, id="to objects"),
]


@pytest.mark.parametrize(("former", "former_rows", "spec", "rows"), OTHER_KINDS)
def test_objects_cannot_become_versions(
    store: SqliteStore,
    former: Spec,
    former_rows: tuple[bytes, ...],
    spec: Spec,
    rows: tuple[bytes, ...],
) -> None:
    """The index begins anew, silently, until a scan is complete; hints wait for that."""
    baseline, _ = resumed(store, former)
    baseline.record("", in_use=False)
    row = store.index.new_row(Entry(former_rows[0], 1, 1))
    store.commit(Delta(upserts=[row], created=1))
    for _ in range(2):
        # A scan that is interrupted has to be made again.
        baseline, dropped = resumed(store, spec, *former_rows, *rows)
        assert dropped == [*former_rows, *rows]
        assert not baseline.is_complete
        assert baseline.appearance()(rows[0]) is Appearance.IGNORED_EXISTING
    baseline.record("", in_use=False)
    baseline, dropped = resumed(store, spec, *rows)
    assert (baseline.is_complete, dropped) == (True, [])
    assert baseline.appearance()(rows[0]) is Appearance.NEW


@pytest.mark.parametrize(("former", "former_rows", "spec", "rows"), OTHER_KINDS)
def test_interrupted_baseline_of_the_other_kind(
    store: SqliteStore,
    former: Spec,
    former_rows: tuple[bytes, ...],
    spec: Spec,
    rows: tuple[bytes, ...],
) -> None:
    """Its rows go; what is there exists, as in any baseline."""
    assert former != spec
    store.commit(Delta(upserts=[store.index.new_row(Entry(former_rows[0], 1, 1))], created=1))
    baseline, dropped = resumed(store, spec, former_rows[0], rows[0])
    assert dropped == [former_rows[0]]
    assert baseline.appearance()(rows[0]) is Appearance.EXISTING


def test_filter_of_versions_is_asked_for_keys(store: SqliteStore) -> None:
    """A key that was not admitted before exists, as versions do that are met then."""
    baseline, _ = resumed(store, VERSIONS)
    baseline.record("", in_use=False)
    store.commit(Delta(upserts=[store.index.new_row(Entry(b"a.csv\0v1", 1, 1))], created=1))
    spec = replace(VERSIONS, filter=Filter(include=("*.txt", "b.csv")))
    baseline, dropped = resumed(store, spec, b"a.csv\0v1", b"b.csv\0v1", b"a.txt\0v1.csv")
    assert dropped == [b"a.csv\0v1"]
    assert baseline.appearance()(b"b.csv\0v2") is Appearance.NEW
    assert baseline.appearance()(b"a.txt\0v1.csv") is Appearance.EXISTING


def test_another_volume_is_unavailable(store: SqliteStore, clock: FakeClock) -> None:
    """A volume without an identifier is taken for the same one."""
    baseline = Baseline(CSV, store, clock)
    baseline.check("uuid-1")
    baseline.record("uuid-1", in_use=False)
    for volume_id in ("uuid-1", ""):
        baseline.check(volume_id)
    with pytest.raises(UnavailableError, match="was uuid-1 and is now uuid-2"):
        baseline.check("uuid-2")


@pytest.mark.parametrize(
    ("former", "volume", "other", "shown"),
    [
        (
            "nfs4 at /data",
            Volume("nfs4", "server:/a", "/", "/", "/data"),
            Volume("nfs4", "server:/b", "/", "/", "/data"),
            "was nfs4 server:/a at /data and is now nfs4 server:/b at /data",
        ),
        (
            "ext4 at /data",
            Volume("ext4", "UUID=1-a", "/", "/", "/data"),
            Volume("ext4", "UUID=2-b", "/", "/", "/data"),
            "was ext4 UUID=1-a at /data and is now ext4 UUID=2-b at /data",
        ),
    ],
)
def test_a_volume_of_0_1_is_taken_over(
    store: SqliteStore, former: str, volume: Volume, other: Volume, shown: str
) -> None:
    """Its identity is written anew with the next scan; from then on another volume is refused."""
    store.set_meta(identity=former)
    baseline = Baseline(CSV, store, FakeClock())
    found, another = (json.dumps(asdict(each)) for each in (volume, other))
    baseline.check(another)
    baseline.check(found)
    baseline.record(found, in_use=False)
    assert store.meta("identity") == found
    baseline.check(found)
    with pytest.raises(UnavailableError, match=shown):
        baseline.check(another)


def test_use_is_recorded_once_a_day(store: SqliteStore, clock: FakeClock) -> None:
    baseline = Baseline(CSV, store, clock)
    recorded = []
    for in_use, passed_s in ((False, 0), (True, 0), (True, USED_INTERVAL_S), (True, 1)):
        clock.advance(passed_s)
        baseline.record("", in_use=in_use)
        recorded.append(store.meta("used_at"))
    first_s = 1_700_000_000
    assert recorded == [None, f"{first_s}", f"{first_s}", f"{first_s + int(USED_INTERVAL_S) + 1}"]
