"""Fixtures of the tests of buckets: a store with small pages, and what watches it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from support.s3.fixtures import aws_environment, open_source
from support.s3.listing import make_source
from support.s3.recipes import amazon, trial
from support.s3.simulated import REGION, Store, run_store
from support.s3.watched import BACKSTOP_S, CHECKED_KEYS_MAX, KEYS, PAGE_KEYS, Begin, Watched
from support.state import open_store
from watcher.changes.detector import Appearance
from watcher.clock import Clock
from watcher.sources.s3 import batches, deletions
from watcher.sources.s3 import client as s3_client
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Conditions, Notifications

__all__ = ["amazon", "aws_environment", "open_source", "trial"]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Run a store with enough keys for ranges; the parameter is what it makes of StartAfter."""
    with run_store(start_after=getattr(request, "param", None)) as store:
        store.put_many(*KEYS)
        store.page_keys = PAGE_KEYS
        yield store


@pytest.fixture
def credentials(tmp_path: Path, aws_environment: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Return what writes an access key into the shared file, where one is already."""
    aws_environment.setenv("AWS_DEFAULT_REGION", REGION)

    def write(access_key: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = secret\n"
        )

    write("FIRST")
    return write


@pytest.fixture
def begin_on(
    credentials: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Watched]]:
    """Return what begins to watch a store; batches are small, the next listing is parallel."""
    assert credentials
    monkeypatch.setattr(deletions, "CHECKED_KEYS_MAX", CHECKED_KEYS_MAX)
    monkeypatch.setattr(batches, "BATCH_MIN_OBJECTS", PAGE_KEYS // 2)
    monkeypatch.setattr(batches, "BATCH_MAX_OBJECTS", PAGE_KEYS)
    monkeypatch.setattr(batches, "PART_MIN_OBJECTS", 1)
    state = open_store(tmp_path / "state.db")
    sources: list[BucketSource] = []

    def begin_it(  # noqa: PLR0913 - what tests of buckets vary
        store: Store,
        *,
        workers: int | None = None,
        list_version: int | None = None,
        quiet_s: float = 0.0,
        clock: Clock | None = None,
        existing: Appearance = Appearance.IGNORED_EXISTING,
        notifications: Notifications | None = None,
        conditions: Conditions | None = None,
    ) -> Watched:
        spec = BucketSpec(
            store.bucket,
            "in/",
            endpoint_url=store.endpoint_url,
            list_workers=workers,
            quiet_s=quiet_s,
            list_version=list_version,
            notifications=notifications,
            backstop_interval_s=BACKSTOP_S if notifications else None,
        )
        sources.append(make_source(spec, clock=clock, conditions=conditions))
        return Watched(store, sources[-1], state, existing, conditions)

    state._db.execute("PRAGMA synchronous = OFF")
    with closing(state):
        yield begin_it
        for source in sources:
            source.close()


@pytest.fixture
def begin(store: Store, begin_on: Callable[..., Watched]) -> Begin:
    """Return what begins to watch the store of the test; see ``begin_on``."""
    return partial(begin_on, store)


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests sent once, so that each fault counts."""
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
