"""Rows that a completed scan did not meet: what is deleted, held, and left."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from support.reconciler_bench import Bench, many
from watcher.changes.missing_rows import HOLD_ENTRIES
from watcher.errors import UnavailableError
from watcher.sources.observations import Subtree


@pytest.mark.parametrize(
    ("entries", "lost", "held"),
    [
        (HOLD_ENTRIES, HOLD_ENTRIES, 0),
        (HOLD_ENTRIES + 1, HOLD_ENTRIES + 1, HOLD_ENTRIES + 1),
        (250, 125, 0),
        (250, 126, 126),
    ],
)
def test_the_loss_of_most_is_held_until_seen_twice(
    bench: Bench, entries: int, lost: int, held: int
) -> None:
    paths = many(entries)
    bench.baseline(*paths)
    for path in paths[:lost]:
        del bench.place.files[path]
    assert bench.reconciler.scan(is_baseline=False).held == held
    assert bench.changes().count("deleted") == lost - held
    assert bench.reconciler.scan(is_baseline=False).held == 0
    assert bench.changes().count("deleted") == held
    assert bench.store.index.entries == entries - lost


@pytest.mark.parametrize(("mode", "is_held"), [("poll", True), ("notify", False)])
def test_the_loss_of_most_in_a_polled_part_asks_for_a_scan_of_the_place(
    bench: Bench, mode: str, *, is_held: bool
) -> None:
    """Which holds it; what was notified is no surprise."""
    paths = [b"part/" + path for path in many(200)]
    bench.baseline(*paths)
    bench.place.mode = mode
    bench.place.files.clear()
    bench.reconciler.apply(Subtree(b"part/"))
    assert bench.reconciler.rescan_reason == ("many_gone" if is_held else None)
    assert bench.changes().count("deleted") == (0 if is_held else 200)
    if is_held:
        assert bench.reconciler.scan(is_baseline=False).held == 200


def test_many_missing_entries_are_verified(bench: Bench) -> None:
    """Only what the verification scan does not find either is gone."""
    bench.place.has_digests = True
    bench.baseline(*many(9))
    lost = {path: bench.place.files.pop(path) for path in many(6)}

    def reappear() -> None:
        bench.place.files.update({path: lost[path] for path in many(3)})
        bench.place.put(b"new")

    bench.place.believed, bench.place.meanwhile = 5, reappear
    bench.place.read.clear()
    assert bench.scan() == "created new, deleted 0003, deleted 0004, deleted 0005"
    assert bench.place.read == ["new"]


def test_a_held_loss_that_was_none_is_forgotten(bench: Bench) -> None:
    """A later loss is held anew."""
    bench.baseline(*many(200))
    files, bench.place.files = bench.place.files, {}
    assert bench.reconciler.scan(is_baseline=False).held == 200
    bench.place.files = dict(files)
    assert bench.scan() == ""
    bench.place.files.clear()
    assert bench.reconciler.scan(is_baseline=False).held == 200
    assert bench.changes() == ""


def test_a_loss_that_is_none_is_not_held(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source can disprove it, so the place is unavailable each time."""

    def find_all_there(paths: Sequence[bytes]) -> Sequence[bytes]:
        raise UnavailableError(f"{len(paths)} are there all the same")

    bench.baseline(*many(200))
    files, bench.place.files = bench.place.files, {}
    with monkeypatch.context() as patch:
        patch.setattr(bench.place, "confirm_deleted", find_all_there)
        for _ in range(3):
            with pytest.raises(UnavailableError, match="200 are there"):
                bench.reconciler.scan(is_baseline=False)
    assert bench.reconciler.scan(is_baseline=False).held == 200
    bench.place.files = files
    assert bench.scan() == ""


def test_what_the_scan_before_has_missed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that cannot confirm single paths learns which of them two scans have missed."""
    bench.baseline(*many(9))
    monkeypatch.setattr(
        bench.place, "confirm_deleted", lambda _paths, missed_before=(): missed_before
    )
    files = dict(bench.place.files)
    del bench.place.files[b"0001"], bench.place.files[b"0002"]
    assert bench.scan() == ""
    bench.place.files[b"0002"] = files[b"0002"]
    del bench.place.files[b"0003"]
    assert bench.scan() == "deleted 0001"
    bench.place.files[b"0003"] = files[b"0003"]
    assert bench.scan() == ""
    # A row that was written between two scans, and deleted: none of them has missed it before.
    del bench.place.files[b"0003"]
    assert bench.scan() == ""
    bench.place.put(b"late")
    assert bench.apply(bench.place.inspect([b"late"])) == "created late"
    del bench.place.files[b"late"]
    assert bench.scan() == "deleted 0003"
    assert bench.scan() == "deleted late"


def test_a_loss_that_waits_is_held_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deletions on which two scans have agreed wait for the source without being held again."""
    bench.baseline(*many(200))
    bench.place.files.clear()
    with monkeypatch.context() as patch:
        patch.setattr(bench.place, "confirm_deleted", lambda *_: [])
        bench.place.put(b"new")
        held = [bench.reconciler.scan(is_baseline=False).held for _ in range(4)]
    assert (held, bench.changes()) == ([200, 0, 0, 0], "created new")
    assert bench.reconciler.scan(is_baseline=False).held == 0
    assert len(bench.events()) == 200


def test_what_cannot_be_read_holds_nothing(bench: Bench) -> None:
    """Nor does it count as a first scan that agrees."""
    bench.baseline(*many(200, b"big/"), b"small")
    bench.place.unread = [b"big/"]
    del bench.place.files[b"small"]
    assert bench.reconciler.scan(is_baseline=False).held == 0
    assert bench.changes() == "deleted small"
    bench.place.unread, bench.place.files = [], {}
    assert bench.reconciler.scan(is_baseline=False).held == 200
    assert bench.changes() == ""


def test_what_cannot_be_read_is_not_gone(bench: Bench) -> None:
    """It is reported as deleted once it can be read."""
    bench.baseline(b"in/a", b"in/sub/b", b"out")
    bench.place.files.clear()
    bench.place.unread = [b"in/sub/"]
    assert bench.scan() == "deleted in/a, deleted out"
    bench.place.unread = []
    assert bench.scan() == "deleted in/sub/b"


def test_a_deletion_is_confirmed_first(bench: Bench) -> None:
    """A file may be renamed behind the scan's back, without a hint."""
    bench.baseline(*many(9))
    missed = bench.place.files.pop(b"0008")

    def reappear() -> None:
        bench.place.files[b"0008"] = missed

    bench.place.meanwhile = reappear
    assert bench.scan() == ""
