"""Lets credentials expire while a bucket is listed."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from component.sources.s3.faults.watched import (
    KEYS,
    continues,
    hit,
    lists,
)
from support.s3.faults import Fault
from watcher.errors import DeniedError
from watcher.sources.s3 import client as s3_client
from watcher.sources.s3 import source as bucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mypy_boto3_s3 import S3Client

    from component.sources.s3.faults.watched import Begin
    from support.s3.simulated import Request
    from support.s3.simulated import Store as Bucket


def signer(request: Request) -> str:
    """Return the access key with which a request is signed."""
    return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def test_credentials_that_expire_in_mid_listing(
    store: Bucket, begin: Begin, credentials: Callable[[str], object]
) -> None:
    """The one page that is refused because the credentials have expired is asked for again with those that are in the file by then."""
    watched = begin(workers=1)
    former = len(lists(store))

    def expire(number: int) -> Fault | None:
        if number != former + 5:
            return None
        credentials("SECOND")
        return Fault.EXPIRED_TOKEN

    store.before_page = expire
    store.put("in/new")
    watched.scan()
    asked = lists(store)[former:]
    assert [signer(request) for request in asked] == ["FIRST"] * 5 + ["SECOND"] * (len(asked) - 5)
    assert asked[4].target == asked[5].target
    assert len({request.target for request in asked}) == len(asked) - 1
    assert watched.told == [("created", "in/new")]


def test_credentials_that_expire_under_several_requests(
    store: Bucket,
    begin: Begin,
    credentials: Callable[[str], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When all that are on their way are refused, each is asked for again, with credentials that are renewed once; every key is listed."""
    watched = begin()
    renewals: list[object] = []

    def make_client(*arguments: Any, **options: Any) -> S3Client:  # noqa: ANN401 - those of the real one
        renewals.append(arguments)
        return s3_client.make_client(*arguments, **options)

    monkeypatch.setattr(bucket, "make_client", make_client)
    former = len(lists(store))
    refused: list[str] = []
    lock = threading.Lock()

    def expire(number: int) -> Fault | None:
        request = lists(store)[number - 1]
        if number < former + 8 or signer(request) == "SECOND":
            return None
        with lock:
            if not refused:
                credentials("SECOND")
            refused.append(request.target)
        return Fault.EXPIRED_TOKEN

    store.before_page = expire
    store.latency_s = 0.01
    assert watched.list_keys() == KEYS
    assert len(renewals) == 1
    asked = lists(store)[former:]
    assert any("start-after" in request.target for request in asked)
    assert refused
    renewed = Counter(request.target for request in asked if signer(request) == "SECOND")
    assert [renewed[target] for target in refused] == [1] * len(refused)


def test_credentials_that_are_not_renewed(store: Bucket, begin: Begin) -> None:
    """Credentials that have expired and have no successors end the listing with an advice, after one more attempt."""
    watched = begin(workers=1)
    refused = hit(store, Fault.EXPIRED_TOKEN, continues)
    with pytest.raises(DeniedError, match=r"have expired \(ExpiredToken.*\); renew them"):
        watched.scan()
    assert len(refused) == 2
    assert refused[0] == refused[1]
    assert watched.told == []
