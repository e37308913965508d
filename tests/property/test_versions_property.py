"""Random histories of a bucket with versions, polled while it changes and fails.

Whatever happens in between (faults, crashes, pages of any size, deletions for good): each version
and each delete marker that stays is reported once, in the order in which those of its key were
made, and none is reported twice.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from support.examples import examples
from support.s3.faults import Fault, Request
from support.s3.fixtures import aws_environment
from support.s3.versioned import StoredVersion, VersionedStore, run_versioned
from support.s3.watched_versions import WatchedVersions
from support.wiring import FallibleOutbox, PowerFailure
from watcher.errors import WatcherError
from watcher.sources.s3 import client, hooks, version_batches

__all__ = ["aws_environment"]

Operation: TypeAlias = tuple[str, str, int]

EXAMPLES = examples(25)
STEPS = 20
KEYS = ["in/a", "in/a/b", "in/a!", "in/ +%é", "in/\x01", "in/x.tmp", "out/a"]
FAULTS = [fault for fault in Fault if fault is not Fault.TRICKLE] + [Fault.EMPTY] * 5

operations = st.tuples(
    st.sampled_from(["put", "put", "put", "delete", "remove", "transition"]),
    st.sampled_from(KEYS),
    st.integers(0, 3),
)
interruptions = st.lists(st.none() | st.sampled_from(FAULTS) | operations, max_size=6)


class Polling(RuleBasedStateMachine):
    """A bucket, its watch scan by scan, and what was reported.

    Args:
        bucket: The store.
    """

    def __init__(self, bucket: VersionedStore) -> None:
        super().__init__()
        self._bucket = bucket
        bucket.reset()
        self._directory = tempfile.TemporaryDirectory()
        self._interruptions: list[Fault | Operation | None] = []
        self._removed: set[tuple[str, str]] = set()
        self._reported: dict[str, list[str]] = defaultdict(list)
        self._types: dict[tuple[str, str], str] = {}
        bucket.on_request = self._interrupt

    def teardown(self) -> None:
        """Compare once more, then remove everything."""
        try:
            self.compare()
        finally:
            self._watched.close()
            self._directory.cleanup()

    def _interrupt(self, _: Request) -> Fault | None:
        """Take one interruption for each request: a fault, or a change just before the answer."""
        interruption = self._interruptions.pop(0) if self._interruptions else None
        if isinstance(interruption, tuple):
            self._do(interruption)
            return None
        return interruption

    def _do(self, operation: Operation) -> None:
        kind, key, number = operation
        versions = self._bucket.versions(key)
        if kind == "put":
            self._bucket.put(key, number)
        elif kind == "delete":
            self._bucket.delete(key)
        elif versions:
            version = versions[number % len(versions)]
            if kind == "remove":
                self._bucket.delete_version(key, version.version_id)
                self._removed.add((key, version.version_id))
            elif not version.is_marker:
                self._bucket.transition(key, version.version_id, "GLACIER")

    @property
    def _wanted(self) -> list[StoredVersion]:
        """Everything that was made and counts, in order."""
        return [
            each
            for each in self._bucket.history
            if each.key.startswith("in/") and not each.key.endswith(".tmp")
        ]

    def _take(self) -> None:
        """Take what is reported since; each version once, and in order."""
        numbers = {(each.key, each.version_id): each.number for each in self._wanted}
        for kind, key, version_id in self._watched.reported():
            reported = self._reported[key]
            assert (key, version_id) not in self._existing
            assert version_id not in reported
            assert not reported or numbers[key, reported[-1]] < numbers[key, version_id]
            reported.append(version_id)
            self._types[key, version_id] = kind

    @initialize(
        operations=st.lists(operations, max_size=10),
        page_keys=st.integers(1, 5),
        is_grouped=st.booleans(),
    )
    def begin(self, operations: list[Operation], page_keys: int, *, is_grouped: bool) -> None:
        """Record what is there."""
        self._bucket.page_keys, self._bucket.is_grouped = page_keys, is_grouped
        for operation in operations:
            self._do(operation)
        self._watched = WatchedVersions(
            self._bucket,
            self._bucket.bucket,
            Path(self._directory.name, "state.db"),
            make_outbox=FallibleOutbox,
            exclude=("*.tmp",),
        )
        assert self._watched.begin() == []
        self._existing = {(each.key, each.version_id) for each in self._wanted}

    @rule(operations=st.lists(operations, min_size=1, max_size=5))
    def operate(self, operations: list[Operation]) -> None:
        """Put, delete, and remove versions for good."""
        for operation in operations:
            self._do(operation)

    @rule(interruptions=interruptions, commits=st.none() | st.none() | st.integers(0, 3))
    def scan(self, interruptions: list[Fault | Operation | None], commits: int | None) -> None:
        """List the bucket while it changes or fails, or power does."""
        self._interruptions = list(interruptions)
        outbox = self._watched.reconciler.outbox
        assert isinstance(outbox, FallibleOutbox)
        outbox.commits_left = commits
        try:
            self._watched.reconciler.scan(is_baseline=False)
        except WatcherError:
            pass
        except PowerFailure:
            self.crash()
        self._interruptions = []
        outbox.commits_left = None
        self._take()

    @rule()
    def crash(self) -> None:
        """Lose everything but the state file."""
        self._watched.end()
        self._watched.start()

    @rule()
    def compare(self) -> None:
        """After a listing in peace, what stays was reported, each with the type that it has."""
        self._watched.reconciler.scan(is_baseline=False)
        self._take()
        before: dict[str, StoredVersion | None] = {}
        for version in self._wanted:
            name, former = (version.key, version.version_id), before.get(version.key)
            before[version.key] = version
            if name in self._existing:
                continue
            if name not in self._types:
                # It was gone for good before a listing could have it.
                assert name in self._removed
                continue
            is_after = former is not None and not former.is_marker
            kind = "deleted" if version.is_marker else "modified" if is_after else "created"
            is_known = former is None or (former.key, former.version_id) not in self._removed
            assert self._types[name] == kind or not is_known
        for _ in range(2):
            self._watched.reconciler.scan(is_baseline=False)
        assert self._watched.reported() == []
        there = {
            f"{each.key}\0{each.version_id}".encode()
            for each in self._bucket.all_versions
            if each in self._wanted or each.storage_class == "GLACIER"
        }
        counts = {path for path in there if path.startswith(b"in/") and b".tmp\0" not in path}
        assert self._watched.rows == counts


@pytest.fixture
def bucket(
    monkeypatch: pytest.MonkeyPatch, aws_environment: pytest.MonkeyPatch
) -> Iterator[VersionedStore]:
    """Run a store; requests are sent once, and batches and portions of keys are small."""
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    monkeypatch.setattr(hooks, "RETRY_AFTER_MAX_S", 0.0)
    monkeypatch.setattr(version_batches, "BATCH_MIN_VERSIONS", 1)
    monkeypatch.setattr(version_batches, "BATCH_MAX_VERSIONS", 3)
    with run_versioned() as store:
        for name, value in store.environment().items():
            aws_environment.setenv(name, value)
        yield store


def test_each_version_is_one_event(bucket: VersionedStore) -> None:
    """In any history, and with any pages."""
    run_state_machine_as_test(
        # Whatever makes a machine will do, although the annotation asks for a class.
        partial(Polling, bucket),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
