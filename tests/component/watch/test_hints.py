"""Which watches a message about a bucket reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from support.memory_watch import Place
from watcher.clock import Clock
from watcher.delivery.audience import Subscriber
from watcher.limits.fair_queue import FairQueue
from watcher.model import Identity
from watcher.settings import ServerSettings
from watcher.sources.factory import Sources
from watcher.sources.s3.hints.records import Hint
from watcher.spec import AuthorizedSpec, BucketSpec, DirectorySpec, HintKind, Notifications, Spec
from watcher.state.sqlite.directory import StateDirectory
from watcher.watch.documents import Documents
from watcher.watch.registry import WatchRegistry
from watcher.watch.requests import WatchRequests

WEBHOOK = Notifications(HintKind.WEBHOOK)
ALIAS = "arn:aws:s3:eu-west-1:123456789012:accesspoint/landing"


class HintedPlace(Place):
    """A place that notes what it was hinted."""

    def __init__(self) -> None:
        super().__init__(1)
        self.hinted: list[bytes] = []

    def hint(self, paths: Sequence[bytes]) -> None:
        self.hinted += paths


class HintedPlaces:
    """Makes sources as ``Sources`` does; notes them by their places."""

    descriptors = 0

    def __init__(self) -> None:
        self.made: dict[str, HintedPlace] = {}

    def make(self, authorized: AuthorizedSpec, _should_stop: Callable[[], bool]) -> HintedPlace:
        place = HintedPlace()
        self.made[authorized.spec.where.place] = place
        return place


WATCHES: dict[str, tuple[str, BucketSpec | DirectorySpec]] = {
    "landing": ("team", BucketSpec("landing", notifications=WEBHOOK)),
    "its part": ("team", BucketSpec("landing", "in/", notifications=WEBHOOK)),
    "other store": (
        "team",
        BucketSpec("landing", endpoint_url="http://minio:9000", notifications=WEBHOOK),
    ),
    "tenant": (
        "team",
        BucketSpec("ours:landing", endpoint_url="http://ceph:8000", notifications=WEBHOOK),
    ),
    "access point": ("team", BucketSpec(ALIAS, notifications=WEBHOOK)),
    "other case": ("team", BucketSpec("landing2", notifications=WEBHOOK)),
    "streamed": ("team", BucketSpec("landing", "s/", notifications=Notifications(HintKind.STREAM))),
    "polled": ("team", BucketSpec("landing", "p/")),
    "directory": ("team", DirectorySpec("/landing")),
    "other team": ("others", BucketSpec("landing", "o/", notifications=WEBHOOK)),
}
OF_LANDING = {"landing", "its part", "other store", "tenant"}


@pytest.mark.parametrize(
    ("principal", "buckets", "expected"),
    [
        ("team", ["landing"], OF_LANDING),
        ("team", ["landing", "landing"], OF_LANDING),
        ("others", ["landing"], {"other team"}),
        ("team", [ALIAS], {"access point"}),
        ("team", ["landing", "landing2"], OF_LANDING | {"other case"}),
        ("team", ["Landing"], set()),
        ("team", ["ours:landing"], set()),
        ("", ["landing"], set()),
    ],
)
def test_a_message_reaches_the_webhooks_of_its_bucket(
    principal: str, buckets: list[str], expected: set[str], tmp_path: Path
) -> None:
    """Those of the sender, each once, and nothing else; all readings of a key are passed on."""
    places = HintedPlaces()
    hints = [Hint(bucket, (b"in/a b", b"in/a+b")) for bucket in buckets]

    async def act(state: StateDirectory) -> int:
        registry = WatchRegistry(
            ServerSettings(), state, cast("Sources", places), FairQueue(), Clock()
        )
        await registry.open()
        try:
            for name, (owner, where) in WATCHES.items():
                await registry.join(
                    Identity(owner, name, where.place),
                    AuthorizedSpec(Spec(where), within=None),
                    Subscriber(lambda: None),
                )
            requests = WatchRequests(registry, state, cast("Documents", None))
            return await requests.hint(principal, hints)
        finally:
            await registry.close()

    with StateDirectory(tmp_path / "state", Clock()) as state:
        watches = asyncio.run(act(state))
    found = {
        name: places.made[where.place].hinted
        for name, (_, where) in WATCHES.items()
        if places.made[where.place].hinted
    }
    assert (watches, set(found)) == (len(expected), expected)
    assert {tuple(sorted(set(keys))) for keys in found.values()} <= {(b"in/a b", b"in/a+b")}
