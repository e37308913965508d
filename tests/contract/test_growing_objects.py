"""Watches files that grow below a gateway which serves them as objects while they are written."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from support.clock import FakeClock
from support.reconciling import Reconciling
from support.s3.fixtures import RealBucket
from support.state import open_store
from watcher.spec import BucketSpec, Spec

PART = b"x" * 1000
PARTS = 3
QUIET_S = 30.0

Changes: TypeAlias = list[tuple[str, str, int]]
"""Type, key and size of each."""
Poll: TypeAlias = Callable[[], Changes]

AS_IT_GROWS: list[Changes] = [
    [("created", "in/part", len(PART))],
    [("modified", "in/part", 2 * len(PART))],
    [("modified", "in/part", 3 * len(PART))],
    [],
    [],
    [],
]
AT_REST: list[Changes] = [[], [], [], [], [("created", "in/part", 3 * len(PART))], []]

with_files = pytest.mark.parametrize("s3_server", ["versitygw"], indirect=True)


@pytest.fixture
def begin(bucket: RealBucket, tmp_path: Path) -> Iterator[Callable[[float], Poll]]:
    """Return what begins to watch with a ``quiet``, and returns what lists and returns changes."""
    with closing(open_store(tmp_path / "state.db")) as state:

        def begin_it(quiet_s: float) -> Poll:
            clock = FakeClock()
            spec = BucketSpec(bucket.name, quiet_s=quiet_s)
            source = bucket.open_source(bucket.server, spec, clock=clock)
            reconciler = Reconciling(source, state, Spec(spec))
            reconciler.record_existing()
            known = 0

            def poll() -> Changes:
                nonlocal known
                clock.advance(QUIET_S / 2)
                reconciler.scan(is_baseline=False)
                payloads = state.journal.read(known, limit=100, max_bytes=1 << 20)
                known += len(payloads)
                events = [json.loads(payload.data) for payload in payloads]
                return [(event["type"], event["path"], event["size"]) for event in events]

            return poll

        yield begin_it


@with_files
@pytest.mark.parametrize(("quiet_s", "expected"), [(0.0, AS_IT_GROWS), (QUIET_S, AT_REST)])
def test_file_that_is_written_slowly(
    quiet_s: float,
    expected: list[Changes],
    begin: Callable[[float], Poll],
    bucket: RealBucket,
) -> None:
    """With ``quiet`` it is reported once, when it has rested; without, as it grows."""
    assert bucket.server.root is not None
    poll = begin(quiet_s)
    changes = []
    path = bucket.server.root / bucket.name / "in/part"
    path.parent.mkdir()
    with path.open("ab", buffering=0) as file:
        for _ in range(PARTS):
            file.write(PART)
            changes.append(poll())
    changes += [poll() for _ in range(3)]
    assert changes == expected
