"""Which entries a watch holds back, and the reasons that people read."""

from pathlib import Path

from support.memory_watch import Place, Scene
from watcher.model import Entry
from watcher.spec import BucketSpec, Conditions
from watcher.versioned import join_version
from watcher.watch.held_back import MAX_LISTED, HeldBackEntry


def listed(scene: Scene) -> dict[str, tuple[str, str]]:
    """Return condition and reason of the entries that are held back, by path."""
    entries = scene.watch.list_held_back()
    return {entry.path: (entry.condition, entry.reason) for entry in entries}


def put(scene: Scene, path: bytes, size: int) -> None:
    """Write a file, which the place notifies."""
    scene.place.files[path] = Entry(path, size, size, size, 99)
    scene.place.hints = [path]
    scene.turn()


def test_each_entry_has_its_reason(tmp_path: Path) -> None:
    """An entry is listed with its condition until it satisfies all; markers never are."""
    conditions = Conditions("{stem}.ok", min_size=1024, max_size=2048)
    scene = Scene(tmp_path, Place(0), conditions=conditions)
    scene.runner.open()
    for path, size in {b"a.csv": 1500, b"b.csv": 1, b"d/c.csv": 3000, b"d.csv": 1500}.items():
        scene.place.files[path] = Entry(path, size, 1, 1, size)
    scene.place.files[b"d.ok"] = Entry(b"d.ok", 0, 1, 1, 7)
    scene.turn()
    reasons = {
        "a.csv": ("marker", "waits for a.ok"),
        "b.csv": ("min_size", "is smaller than 1 KiB"),
        "d/c.csv": ("max_size", "is larger than 2 KiB"),
    }
    assert listed(scene) == reasons
    put(scene, b"b.csv", 1500)
    assert listed(scene)["b.csv"] == ("marker", "waits for b.ok")
    put(scene, b"d.csv", 1)
    changed = "has changed since it was reported, and is smaller than 1 KiB"
    assert listed(scene)["d.csv"] == ("min_size", changed)


def test_a_version_is_listed_by_its_key(tmp_path: Path) -> None:
    """The id is among the reasons."""
    place, where = Place(0), BucketSpec("landing", versions=True)
    scene = Scene(tmp_path, place, where=where, conditions=Conditions(min_size=10))
    scene.runner.open()
    path = join_version(b"in/a\0b", "v1")
    place.files[path] = Entry(path, 1, 1, storage_class="STANDARD")
    scene.turn()
    reason = "version v1 is smaller than 10 B"
    assert listed(scene) == {"in/a\0b": ("min_size", reason)}


def test_a_shared_marker_may_be_above(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Place(1), conditions=Conditions("_SUCCESS"))
    scene.runner.open()
    scene.turn()
    assert listed(scene) == {"0000": ("marker", "waits for _SUCCESS beside it or above")}


def test_the_list_is_bounded_and_in_order(tmp_path: Path) -> None:
    """Of many entries the first are listed, whatever number of markers lies between them."""
    scene = Scene(tmp_path, Place(0), conditions=Conditions("{name}.done"))
    scene.place.add(*(b"%04d" % number for number in range(3000)))
    scene.place.add(*(b"%04d.done" % number for number in range(2900)))
    scene.runner.open()
    scene.turn()
    entries = scene.watch.list_held_back()
    assert scene.watch.held_back.total == 100
    assert [entry.path for entry in entries] == [f"{2900 + each}" for each in range(MAX_LISTED)]
    assert entries[0] == HeldBackEntry("2900", "marker", "waits for 2900.done")


def test_without_conditions_nothing_is_read(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Place())
    scene.runner.open()
    scene.turn()
    scene.store.close()
    assert scene.watch.list_held_back() == []
