"""What a bucket offers as a source before it is open, and what it never offers."""

import pytest

from support.s3.listing import make_source
from watcher.spec import BucketSpec


def test_a_bucket_is_read_as_a_whole() -> None:
    """To scan a part of a bucket is a mistake of the caller, and so is to scan before open."""
    source = make_source(BucketSpec("landing", prefix="in/"))
    with pytest.raises(ValueError, match="as a whole"):
        source.scan(b"in/")
    with pytest.raises(RuntimeError, match="not open"):
        list(source.scan())
    assert (list(source.observe()), source.due_in_s(), source.mode) == ([], None, "poll")
    assert (source.scan_interval_s, source.cost, source.degraded) == (30.0, None, "")
    source.close()
    source.close()
