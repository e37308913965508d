"""Fixtures of the tests of faults: a store, and what watches it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from component.sources.s3.faults.watched import (
    CONFIRMED_KEYS,
    KEYS,
    PAGE_KEYS,
    Watched,
)
from support.s3.simulated import run_store
from support.state import open_store
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3 import client as s3_client
from watcher.sources.s3 import objects as s3_objects
from watcher.sources.s3 import scan as s3_scan
from watcher.sources.s3 import source as bucket
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from component.sources.s3.faults.watched import Begin
    from support.s3.simulated import Store as Bucket


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """Run a store with enough keys for parts; the parameter says what it makes of StartAfter."""
    with run_store(start_after=getattr(request, "param", None)) as store:
        store.put_many(*KEYS)
        yield store


@pytest.fixture
def credentials(tmp_path: Path, aws_environment: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Return what writes an access key into the shared file, where one is already."""
    aws_environment.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def write(access_key: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = secret\n"
        )

    write("FIRST")
    return write


@pytest.fixture
def begin(
    store: Bucket, credentials: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Begin]:
    """Return what begins to watch the store; its pages and batches are small, and what is listed next is listed in parts."""
    assert credentials
    monkeypatch.setattr(bucket, "BATCH_ENTRIES", PAGE_KEYS)
    for module in (bucket, s3_scan):
        monkeypatch.setattr(module, "CONFIRMED_KEYS", CONFIRMED_KEYS)
    monkeypatch.setattr(s3_objects, "LEAST_OBJECTS", PAGE_KEYS // 2)
    monkeypatch.setattr(s3_objects, "MOST_OBJECTS", PAGE_KEYS)
    state = open_store(tmp_path / "state.db")
    sources: list[BucketSource] = []

    def begin_it(*, workers: int | None = None) -> Watched:
        spec = BucketSpec(
            store.bucket, "in/", endpoint_url=store.endpoint_url, list_workers=workers
        )
        sources.append(BucketSource(spec, PathFilter(Filter()), should_stop=lambda: False))
        sources[-1].open(lambda: None)
        return Watched(store, sources[-1], state)

    state._db.execute("PRAGMA synchronous = OFF")
    with closing(state):
        yield begin_it
        for source in sources:
            source.close()


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests sent once, so that each fault counts."""
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
