"""Fixtures of the tests of versions: a simulated bucket, and what watches it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from support.s3.versioned import StoredVersion, VersionedStore, run_versioned
from support.s3.watched_versions import Reported, WatchedVersions
from watcher.changes.detector import Appearance
from watcher.sources.s3 import client, hooks
from watcher.spec import Conditions

Begin: TypeAlias = Callable[..., WatchedVersions]


@pytest.fixture
def store(aws_environment: pytest.MonkeyPatch) -> Iterator[VersionedStore]:
    """Run an empty bucket with versioning."""
    with run_versioned() as store:
        for name, value in store.environment().items():
            aws_environment.setenv(name, value)
        yield store


@pytest.fixture
def begin(store: VersionedStore, tmp_path: Path) -> Iterator[Begin]:
    """Return what begins to watch the bucket, and records silently what is there."""
    with ExitStack() as stack:

        def begin_it(
            conditions: Conditions | None = None,
            existing: Appearance = Appearance.IGNORED_EXISTING,
            **options: Any,  # noqa: ANN401 - of a watch
        ) -> WatchedVersions:
            path = tmp_path / "state.db"
            watched = WatchedVersions(store, store.bucket, path, conditions=conditions, **options)
            stack.callback(watched.close)
            watched.existing = watched.begin(existing)
            return watched

        yield begin_it


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests sent once, so that each fault counts."""
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    monkeypatch.setattr(hooks, "RETRY_AFTER_MAX_S", 0.0)


def as_event(kind: str, version: StoredVersion | None) -> Reported:
    assert version is not None
    return kind, version.key, version.version_id
