"""Lets credentials expire while a bucket is listed."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from support.s3.faults import Failing, Fault, Request
from support.s3.simulated import Store
from support.s3.watched import KEYS, Begin
from watcher.errors import DeniedError
from watcher.sources.s3 import api, client


def test_credentials_that_expire_in_mid_listing(
    store: Store, begin: Begin, credentials: Callable[[str], object]
) -> None:
    """The one page that is refused is requested again with the credentials of that moment."""
    watched = begin(workers=1)
    fifth = len(store.lists) + 5

    def expire(request: Request) -> Fault | None:
        if request.number != fifth:
            return None
        credentials("SECOND")
        return Fault.EXPIRED_TOKEN

    store.on_list = expire
    store.put("in/new")
    watched.scan()
    asked = watched.asked
    signers = [request.access_key for request in asked]
    assert signers == ["FIRST"] * 5 + ["SECOND"] * (len(asked) - 5)
    assert asked[4].target == asked[5].target
    assert len({request.target for request in asked}) == len(asked) - 1
    assert watched.reported == [("created", "in/new")]


def test_credentials_that_expire_under_several_requests(
    store: Store,
    begin: Begin,
    credentials: Callable[[str], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All requests in flight are refused: each is sent again, with credentials renewed once."""
    watched = begin()
    renewals: list[object] = []

    def make_client(*arguments: Any, **options: Any) -> S3Client:  # noqa: ANN401 - passed on
        renewals.append(arguments)
        return client.make_client(*arguments, **options)

    monkeypatch.setattr(api, "make_client", make_client)
    eighth = len(store.lists) + 8
    refused: list[str] = []
    lock = threading.Lock()

    def expire(request: Request) -> Fault | None:
        if request.number < eighth or request.access_key == "SECOND":
            return None
        with lock:
            if not refused:
                credentials("SECOND")
            refused.append(request.target)
        return Fault.EXPIRED_TOKEN

    store.on_list = expire
    store.latency_s = 0.01
    assert watched.list_keys() == KEYS
    assert len(renewals) == 1
    assert watched.is_parallel
    assert refused
    renewed = Counter(r.target for r in watched.asked if r.access_key == "SECOND")
    assert [renewed[target] for target in refused] == [1] * len(refused)


def test_credentials_that_are_not_renewed(store: Store, begin: Begin) -> None:
    """Expired credentials without successors end the listing with a hint, after one retry."""
    watched = begin(workers=1)
    store.on_list = failing = Failing(Fault.EXPIRED_TOKEN, lambda request: request.continues)
    with pytest.raises(DeniedError, match=r"have expired \(ExpiredToken.*\); renew them"):
        watched.scan()
    assert len(failing.hits) == 2
    assert failing.hits[0].target == failing.hits[1].target
    assert watched.reported == []
