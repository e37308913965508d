"""Public buckets are read without a signature, and without a look at any credentials."""

from contextlib import closing
from pathlib import Path

import pytest

from support.s3.faults import Fault, Kind, always
from support.s3.listing import make_source, read
from support.s3.simulated import BUCKET, Store
from support.s3.watched import KEYS
from watcher.errors import DeniedError
from watcher.spec import BucketSpec


@pytest.mark.parametrize("has_credentials", [False, True])
def test_requests_are_not_signed(
    store: Store, aws_environment: pytest.MonkeyPatch, tmp_path: Path, *, has_credentials: bool
) -> None:
    """Not even the half of a pair, or a process that would fail, is asked for credentials."""
    if has_credentials:
        aws_environment.setenv("AWS_ACCESS_KEY_ID", "half")
        asked = tmp_path / "asked"
        (tmp_path / "config").write_text(f"[default]\ncredential_process = touch {asked}\n")
    spec = BucketSpec(BUCKET, "in/", endpoint_url=store.endpoint_url, anonymous=True)
    with closing(make_source(spec)) as source:
        source.open(lambda: None)
        assert len(read(source)) == len(KEYS)
        assert source.confirm_deleted([b"in/none"]) == [b"in/none"]
    assert {request.kind for request in store.log} == {Kind.LIST, Kind.HEAD}
    assert not any("authorization" in request.headers for request in store.log)
    assert not (tmp_path / "asked").exists()


def test_a_bucket_that_is_not_public(store: Store) -> None:
    store.on_request = always(Fault.DENIED)
    spec = BucketSpec(BUCKET, endpoint_url=store.endpoint_url, anonymous=True)
    text = r"refuses access \(AccessDenied.*; the bucket is not public: leave out anonymous"
    with closing(make_source(spec)) as source, pytest.raises(DeniedError, match=text):
        source.open(lambda: None)
