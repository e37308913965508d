"""What a watch does first in a later run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from support.memory_watch import Place, Scene
from watcher.sources.observations import Observation
from watcher.sources.scans import Batch


class Asked(Place):
    """A place that notes the state of its watch whenever it is asked.

    Attributes:
        asked: What was asked, each with the state.
        scene: Its watch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self.scene: Scene

    def observe(self) -> Iterator[Observation]:
        self.asked.append(("hints", self.scene.status.state))
        return super().observe()

    def __iter__(self) -> Iterator[Batch]:
        self.asked.append(("scan", self.scene.status.state))
        return super().__iter__()


def test_a_watch_is_watching_once_it_has_looked(tmp_path: Path) -> None:
    """Until then the status cannot say that what happened while the server was away is known."""
    first = Scene(tmp_path, Place())
    first.runner.open()
    first.turn()
    first.store.close()
    place = Asked()
    place.scene = again = Scene(tmp_path, place, first.clock)
    again.runner.open()
    again.turn()
    assert place.asked[0] == ("scan", "scanning")
    assert again.status.state == "watching"
    again.store.close()
