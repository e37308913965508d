"""The turns of a watch, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.memory_watch import JOURNAL_CAP, Place, Scene
from watcher.delivery.audience import Subscriber
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.spec import Compare, Confirm, DirectorySpec
from watcher.status_values import PartStatus
from watcher.telemetry.status import State
from watcher.watch.schedule import BACKOFF_MAX_S, BACKOFF_MIN_S

SCAN_S = 2 * Place.scan_interval_s
"""After this time a scan is due, whatever its jitter."""

DELETED = 1200
"""More files than one page of the index holds, and less than half of 3,000."""

GONE = UnavailableError("it is gone")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Return a function that opens a watch and takes its first turn."""
    scenes: list[Scene] = []

    def start(place: Place | None = None, **spec: Any) -> Scene:  # noqa: ANN401 - any field
        scene = Scene(tmp_path, place or Place(), **spec)
        scenes.append(scene)
        scene.runner.open()
        scene.turn()
        return scene

    yield start
    for scene in scenes:
        scene.store.close()


def test_the_first_turn_is_the_baseline(start: Callable[..., Scene]) -> None:
    scene = start()
    assert (scene.status.state, scene.status.scans.count) == (State.WATCHING, 1)
    assert (scene.watch.is_baselined, scene.watch.entries, scene.counts()) == (True, 3, {})


def test_hints_are_read_at_once_and_everything_else_by_the_next_scan(
    start: Callable[..., Scene],
) -> None:
    scene = start()
    scene.place.add(b"hinted", b"unhinted")
    scene.place.hints = [b"hinted"]
    assert 0 < scene.turn() < SCAN_S
    assert (scene.counts(), scene.status.scans.count) == ({"created": 1}, 1)
    scene.turn(after_s=SCAN_S)
    assert (scene.counts(), scene.status.scans.count) == ({"created": 2}, 2)


def test_an_unavailable_place_is_opened_again_after_a_backoff(
    start: Callable[..., Scene],
) -> None:
    """Nothing is read before; that it is available again, only a complete scan shows."""
    scene = start()
    place = scene.place
    place.error = GONE
    assert scene.turn(after_s=SCAN_S) <= BACKOFF_MIN_S
    assert (scene.status.state, scene.status.error, place.is_open) == (
        State.UNAVAILABLE,
        "it is gone",
        False,
    )
    scene.turn()
    assert scene.status.errors == {"unavailable": 1}
    scene.turn(after_s=BACKOFF_MAX_S)
    assert scene.status.errors == {"unavailable": 2}
    place.error = None
    place.add(b"new")
    scene.turn(after_s=BACKOFF_MAX_S)
    assert (scene.status.state, scene.status.error) == (State.WATCHING, "")
    assert scene.counts() == {"created": 1}


def test_a_full_journal_pauses_the_watch_until_half_has_drained(
    start: Callable[..., Scene],
) -> None:
    scene = start()
    scene.place.add(*(b"new %d" % number for number in range(JOURNAL_CAP)))
    scene.turn(after_s=SCAN_S)
    scene.place.add(b"later")
    scene.turn(after_s=SCAN_S)
    assert scene.status.state is State.PAUSED
    scene.store.journal.confirm(JOURNAL_CAP // 2 - 1)
    scene.turn(after_s=SCAN_S)
    assert (scene.status.state, scene.counts()) == (State.PAUSED, {"created": JOURNAL_CAP})
    scene.store.journal.confirm(JOURNAL_CAP // 2)
    scene.turn()
    assert (scene.status.state, scene.counts()) == (State.WATCHING, {"created": JOURNAL_CAP + 1})
    assert scene.status.rescans == {"journal_full": 1}


def test_the_cap_of_the_journal_holds_whatever_may_be_unacknowledged(
    start: Callable[..., Scene],
) -> None:
    """A watch with few outstanding events stops looking too, and goes on as they are taken."""
    scene = start(confirm=Confirm.ACK, max_unacknowledged=2)
    publisher = scene.watch.publisher
    stream = publisher.subscribe(Subscriber(lambda: None))
    scene.place.add(*(b"new %d" % number for number in range(JOURNAL_CAP)))
    scene.turn(after_s=SCAN_S)
    scene.place.add(*(b"later %d" % number for number in range(JOURNAL_CAP)))
    scene.turn(after_s=SCAN_S)
    assert (scene.status.state, publisher.blockage) == (State.PAUSED, "nobody acknowledges")
    received = []
    while payloads := [payload.seq for payload in stream.writing(stream.read())]:
        assert len(payloads) <= 2
        received += payloads
        publisher.acknowledge(payloads)
        scene.turn()
    assert received == list(range(1, 2 * JOURNAL_CAP + 1))
    assert scene.status.state is State.WATCHING


def test_an_unavailable_place_is_opened_again_even_with_a_full_journal(
    start: Callable[..., Scene],
) -> None:
    """A place that goes away in the middle of deletions, which fill the journal, loses none."""
    scene = start(Place(3000))
    place = scene.place
    for path in list(place.files)[:DELETED]:
        del place.files[path]
    place.breaks_after = 1
    scene.turn(after_s=SCAN_S)
    assert (scene.status.state, place.is_open) == (State.UNAVAILABLE, False)
    assert JOURNAL_CAP < scene.counts()["deleted"] < DELETED
    scene.turn(after_s=BACKOFF_MAX_S)
    assert (scene.status.state, place.is_open) == (State.PAUSED, True)
    scene.store.journal.confirm(scene.store.journal.next_seq - 1)
    scene.turn()
    assert (scene.status.state, scene.counts()) == (State.WATCHING, {"deleted": DELETED})


def test_a_release_of_held_deletions_scans_at_once(start: Callable[..., Scene]) -> None:
    scene = start(Place(200))
    scene.place.files = {}
    scene.turn(after_s=SCAN_S)
    assert (scene.status.held, scene.counts()) == (200, {})
    assert scene.watch.release() == 200
    scene.turn()
    assert (scene.status.held, scene.counts()) == (0, {"deleted": 200})
    assert scene.status.rescans == {"released": 1}
    assert scene.watch.release() == 0
    scene.turn()
    assert scene.status.rescans == {"released": 1}


def test_a_mount_is_released_by_the_next_turn(start: Callable[..., Scene]) -> None:
    """The tree is scanned, and what keeps a mount from being released is reported."""
    scene = start()
    scene.place.part_status = (PartStatus("", "ext4", "notify"), PartStatus("gone", "", "unread"))
    scene.turn()
    assert [part.prefix for part in scene.status.parts] == ["", "gone"]
    done, wrong = scene.watch.release_mount(b"gone"), scene.watch.release_mount(b"other")
    assert not done.done()
    scene.turn()
    assert done.result(0) is None
    with pytest.raises(NotFoundError, match="no mount is missing"):
        wrong.result(0)
    assert scene.status.rescans == {"released": 1}
    assert scene.status.parts == ()


def test_a_mount_is_not_released_while_the_place_cannot_be_read(
    start: Callable[..., Scene],
) -> None:
    scene = start()
    scene.place.error = UnavailableError("gone")
    scene.turn(after_s=SCAN_S)
    away = scene.watch.release_mount(b"gone")
    scene.turn()
    late = scene.watch.release_mount(b"gone")
    scene.runner.close()
    for refused in (away, late):
        with pytest.raises(UnavailableError):
            refused.result(0)
    assert scene.status.rescans == {}


@pytest.mark.parametrize("error", [NotFoundError("no such queue"), DeniedError("not yours")])
def test_hints_that_cannot_arrive_are_the_error_of_a_new_watch_alone(
    start: Callable[..., Scene], error: WatcherError
) -> None:
    """A watch that has worked goes on without them, also after a restart."""

    class Unhinted(Place):
        error_of_hints: WatcherError | None = None

        def verify_hints(self) -> None:
            if self.error_of_hints is not None:
                raise self.error_of_hints

    place = Unhinted()
    place.error_of_hints = error
    with pytest.raises(type(error), match=error.message):
        start(place)
    assert not place.is_open
    place.error_of_hints = None
    start(place).runner.close()
    place.error_of_hints = error
    place.add(b"meanwhile")
    assert start(place).counts() == {"created": 1}


def test_a_restart_continues_with_the_index(start: Callable[..., Scene]) -> None:
    scene = start()
    scene.runner.close()
    assert (scene.status.state, scene.place.is_open) == (State.STOPPED, False)
    scene.place.add(b"meanwhile")
    again = start(scene.place)
    assert (again.counts(), again.status.scans.count) == ({"created": 1}, 1)


def test_digests_are_learnt_once_after_each_opening(start: Callable[..., Scene]) -> None:
    """Unknown ones, once a scan since the opening is complete."""
    place = Place()
    place.contents = dict.fromkeys(place.files, "1")
    scene = start(place, where=DirectorySpec("/data", compare=Compare(is_content=True)))
    for wait_s, asked in ((0.0, 3), (0.0, 0), (SCAN_S, 0), (0.0, 0)):
        scene.turn(after_s=wait_s)
        assert len(place.undigested) == asked
        place.undigested.clear()
    place.error = GONE
    scene.turn(after_s=SCAN_S)
    place.error = None
    scene.turn(after_s=BACKOFF_MAX_S)
    assert (scene.status.state, place.undigested) == (State.WATCHING, [])
    scene.turn()
    assert len(place.undigested) == 3
