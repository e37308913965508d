"""Buckets of tenants are addressed by path, with their colon encoded."""

from dataclasses import replace

import pytest

from support.s3.faults import Answer, Kind
from support.s3.listing import OpenSource, paths, read
from support.s3.simulated import Store
from watcher.errors import NotFoundError
from watcher.spec import BucketSpec


@pytest.mark.parametrize("bucket", ["acme:landing", ":landing"])
def test_a_tenant(store: Store, open_source: OpenSource, bucket: str) -> None:
    """LIST and HEAD work as for any bucket; a page has the name of the bucket alone (Ceph)."""

    def named_alone(answer: Answer) -> Answer:
        body = answer.body.replace(f"<Name>{bucket}<".encode(), b"<Name>landing<")
        return replace(answer, body=body)

    store.bucket = bucket
    store.on_list = lambda _: named_alone
    source = open_source(store, BucketSpec(bucket, "in/"))
    first = paths(read(source))[0]
    assert source.confirm_deleted([first]) == []
    encoded = bucket.replace(":", "%3A")
    assert {request.kind for request in store.log} == {Kind.LIST, Kind.HEAD}
    assert all(request.target.startswith(f"/{encoded}") for request in store.log)


def test_another_tenant(store: Store, open_source: OpenSource) -> None:
    with pytest.raises(NotFoundError, match=r"^s3://acme:store/\?endpoint=.*no such bucket"):
        open_source(store, BucketSpec("acme:store"))
