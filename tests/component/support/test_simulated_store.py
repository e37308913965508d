"""Decides whether the simulated store is one: what it lists, in which order, and how it fails, as boto3 sees it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from functools import cache
from http.client import HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from support.project import TESTS
from support.s3 import simulated
from support.s3.faults import OTHER_REGION, Fault, always, at, randomly
from support.s3.keys import FIRST_PUT_NS, SORT_KEYS, Order
from support.s3.pages import StartAfter
from support.s3.simulated import BUCKET, Kind, Store, run_store
from support.s3.synthetic import SyntheticKeys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mypy_boto3_s3 import S3Client

ODD_KEYS = [
    "a",
    "a b+c",
    "a-b",
    "a/",
    "a/b",
    "a//b",
    "a/../b",
    "a&<b>",
    "a~*'(1)",
    "ä/\u20ac",
    "\x01\x1f",
    "\U0001f600",
    "/",
    " ",
    "%41",
]
SIX_KEYS = ["a-b", "a.c", "a/x", "a/y", "a0", "b"]


@cache
def session() -> boto3.session.Session:
    """Return one session for all: its models of the service take their time to load."""
    return boto3.session.Session()


@contextmanager
def client_of(store: Store) -> Iterator[S3Client]:
    """Provide a client that sends each request once."""
    client = session().client(
        "s3",
        region_name="us-east-1",
        endpoint_url=store.endpoint_url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106 - signatures are not checked
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )
    with closing(client):
        yield client


def list_all(store: Store, **question: Any) -> list[str]:  # noqa: ANN401 - as boto3 takes it
    """List with boto3's paginator; return keys, and common prefixes behind them, in the order told."""
    told = []
    with client_of(store) as client:
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=store.bucket, **question
        ):
            told += [found["Key"] for found in page.get("Contents", ())] + [
                found["Prefix"] for found in page.get("CommonPrefixes", ())
            ]
    return told


def ask_plainly(store: Store, target: str = f"{BUCKET}?list-type=2") -> HTTPResponse:
    """Ask for a page, or something else, without boto3."""
    answer = urllib.request.urlopen(f"{store.endpoint_url}/{target}")  # noqa: S310 - http, as it stands there
    assert isinstance(answer, HTTPResponse)
    return answer


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("page_size", [1, 4, 1000])
def test_pages_add_up(order: Order, page_size: int) -> None:
    """Whatever the order and the size of pages, a listing tells each key once, however odd, and sorted as the store says."""
    with run_store(order=order) as store:
        store.put_many(*ODD_KEYS)
        told = list_all(store, PaginationConfig={"PageSize": page_size})
        assert sorted(told) == sorted(ODD_KEYS)
        if order is not Order.RANDOM:
            assert told == sorted(ODD_KEYS, key=SORT_KEYS[order])


def test_orders_differ() -> None:
    """What sorts around a slash comes before it by bytes and behind it in a tree, and no two random listings are alike."""
    with (
        run_store(order=Order.AWS) as aws,
        run_store(order=Order.TREE) as tree,
        run_store(order=Order.RANDOM) as shuffled,
    ):
        for store in (aws, tree, shuffled):
            store.put_many(*SIX_KEYS)
        assert list_all(aws) == ["a-b", "a.c", "a/x", "a/y", "a0", "b"]
        assert list_all(tree) == ["a/x", "a/y", "a-b", "a.c", "a0", "b"]
        assert len({tuple(list_all(shuffled)) for _ in range(10)}) > 1


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_prefix_and_delimiter(order: Order, page_size: int) -> None:
    """A delimiter rolls keys up, each common prefix is told once, and a prefix narrows the listing."""
    with run_store(order=order) as store:
        store.put_many("a", "a/1", "a/2/3", "a/2/4", "a/5/6", "a/5/7", "a-b/1", "b")
        size = {"PageSize": page_size}
        assert sorted(list_all(store, Delimiter="/", PaginationConfig=size)) == [
            "a",
            "a-b/",
            "a/",
            "b",
        ]
        assert sorted(list_all(store, Delimiter="/", Prefix="a/", PaginationConfig=size)) == [
            "a/1",
            "a/2/",
            "a/5/",
        ]
        assert sorted(list_all(store, Prefix="a/2", PaginationConfig=size)) == ["a/2/3", "a/2/4"]
        assert list_all(store, Prefix="c", PaginationConfig=size) == []


@pytest.mark.parametrize(
    ("order", "start_after", "told"),
    [
        pytest.param(Order.AWS, StartAfter.RIGHT, ["a.c", "a/x", "a/y", "a0", "b"], id="by bytes"),
        pytest.param(Order.TREE, StartAfter.RIGHT, ["a.c", "a0", "b"], id="in a tree"),
        pytest.param(
            Order.TREE,
            StartAfter.WRONG,
            ["a/x", "a/y", "a-b", "a.c", "a0", "b"],
            id="in a tree, by bytes",
        ),
        pytest.param(
            Order.AWS,
            StartAfter.WRONG,
            ["a.c", "a/x", "a/y", "a0", "b"],
            id="by bytes, as in a tree",
        ),
        pytest.param(Order.AWS, StartAfter.IGNORED, SIX_KEYS, id="ignored"),
    ],
)
def test_start_after(order: Order, start_after: StartAfter, told: list[str]) -> None:
    """StartAfter is right in the store's own order, or wrong, or of no effect, and holds for all pages."""
    with run_store(order=order, start_after=start_after) as store:
        store.put_many(*SIX_KEYS)
        for page_size in (1, 1000):
            assert (
                list_all(store, StartAfter="a-b", PaginationConfig={"PageSize": page_size}) == told
            )


def test_wrong_start_after_loses_keys() -> None:
    """A store that lists by bytes and compares as a tree leaves out keys that are asked for."""
    with run_store(start_after=StartAfter.WRONG) as store:
        store.put_many("a!", "a/x", "b")
        assert list_all(store, StartAfter="a!") == ["b"]


def test_start_after_of_a_random_order_is_rejected() -> None:
    """A store without an order refuses StartAfter, and none can be told to do it right."""
    with (
        run_store(order=Order.RANDOM) as store,
        pytest.raises(ClientError, match="InvalidArgument"),
    ):
        list_all(store, StartAfter="a")
    with (
        pytest.raises(ValueError, match="random"),
        run_store(order=Order.RANDOM, start_after=StartAfter.RIGHT),
    ):
        pass


def test_fields_of_an_object() -> None:
    """LIST and HEAD tell of an object what was put, and HEAD of a missing one nothing."""
    with run_store() as store, client_of(store) as client:
        store.put(
            "a b", size=7, etag="e-1", mtime_ns=FIRST_PUT_NS + 123_000_000, storage_class="GLACIER"
        )
        (found,) = client.list_objects_v2(Bucket=BUCKET)["Contents"]
        head = client.head_object(Bucket=BUCKET, Key="a b")
        assert (found["Size"], found["ETag"], found["StorageClass"]) == (7, '"e-1"', "GLACIER")
        assert (head["ContentLength"], head["ETag"], head["StorageClass"]) == (
            7,
            '"e-1"',
            "GLACIER",
        )
        assert found["LastModified"].timestamp() == head["LastModified"].timestamp() + 0.123
        with pytest.raises(ClientError, match="404"):
            client.head_object(Bucket=BUCKET, Key="b")
        client.head_bucket(Bucket=BUCKET)
        with pytest.raises(ClientError, match="404"):
            client.head_bucket(Bucket="other")
        with pytest.raises(ClientError, match="NoSuchBucket"):
            client.list_objects_v2(Bucket="other")
        assert store.requests == {Kind.LIST: 2, Kind.HEAD: 2, Kind.OTHER: 2}


def test_answer_says_what_was_asked_for() -> None:
    """An answer repeats the question, encoded as AWS does, and two tokens of one place are not alike."""
    with run_store() as store, client_of(store) as client:
        store.put_many("~ a/b c", "~ a/d")
        question: Any = {
            "Bucket": BUCKET,
            "Prefix": "~ a",
            "Delimiter": " ",
            "StartAfter": "~ ",
            "EncodingType": "url",
            "MaxKeys": 1,
        }
        first, again = (client.list_objects_v2(**question) for _ in range(2))
        assert {
            name: first[name]
            for name in (
                "Name",
                "Prefix",
                "Delimiter",
                "StartAfter",
                "EncodingType",
                "MaxKeys",
                "KeyCount",
            )
        } == {
            "Name": BUCKET,
            "Prefix": "%7E+a",
            "Delimiter": "+",
            "StartAfter": "%7E+",
            "EncodingType": "url",
            "MaxKeys": 1,
            "KeyCount": 1,
        }
        assert first["CommonPrefixes"] == [{"Prefix": "%7E+a/b+"}]
        assert first["NextContinuationToken"] != again["NextContinuationToken"]
        last = client.list_objects_v2(**question, ContinuationToken=first["NextContinuationToken"])
        assert [found["Key"] for found in last["Contents"]] == ["%7E+a/d"]
        assert not last["IsTruncated"]
        with pytest.raises(ClientError, match="continuation token"):
            client.list_objects_v2(Bucket=BUCKET, ContinuationToken="1")


def test_bucket_changes_in_mid_listing() -> None:
    """A hook changes the bucket between two pages: what comes later in the order is seen, what was passed is not."""
    with run_store() as store:
        store.put_many("b", "d", "f")

        def change(number: int) -> None:
            if number == 2:
                store.put_many("a", "e")
                store.delete("b", "f")

        store.before_page = change
        assert list_all(store, PaginationConfig={"PageSize": 1}) == ["b", "d", "e"]
        assert store.keys == {"a", "d", "e"}


@pytest.mark.parametrize("order", Order)
def test_computed_keys(order: Order) -> None:
    """Computed keys are as many as asked for, in order, found by HEAD, by prefix, by delimiter and by StartAfter."""
    keyspace = SyntheticKeys(3456, order)
    with run_store(keyspace) as store, client_of(store) as client:
        told = list_all(store, PaginationConfig={"PageSize": 700})
        assert len(told) == len(set(told)) == 3456
        prefix = "landing/2026/00001-old/"
        assert set(list_all(store, Prefix=prefix)) == {
            key for key in told if key.startswith(prefix)
        }
        assert set(list_all(store, Prefix="landing/2026/", Delimiter="/")) == {
            key[: key.rindex("/") + 1] for key in told
        }
        assert client.head_object(Bucket=BUCKET, Key=told[1234])["ContentLength"] == 1000 + int(
            told[1234][-9:-4]
        )
        with pytest.raises(ClientError, match="404"):
            client.head_object(Bucket=BUCKET, Key=f"{told[1234]}x")
        if order is not Order.RANDOM:
            assert told == sorted(told, key=SORT_KEYS[order])
            assert list_all(store, StartAfter=told[1500]) == told[1501:]


@pytest.mark.parametrize("order", [Order.AWS, Order.TREE])
def test_arrivals(order: Order) -> None:
    """Keys that arrive stand ahead of the computed ones, which stay as they are."""
    with run_store(SyntheticKeys(1500, order)) as store:
        before = list_all(store)
        for _ in range(2):
            ask_plainly(store, "?arrive").close()
        arrived = ["arrived/00000000.csv", "arrived/00000001.csv"]
        assert (
            list_all(store)
            == list_all(store, PaginationConfig={"PageSize": 300})
            == arrived + before
        )
        with client_of(store) as client:
            heads = [
                client.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
                for key in (arrived[1], before[0], before[1001])
            ]
        assert heads == [1000, 1000, 1001]


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (Fault.DENIED, ClientError, "AccessDenied"),
        (Fault.NO_BUCKET, ClientError, "NoSuchBucket"),
        (Fault.INTERNAL_ERROR, ClientError, "InternalError"),
        (Fault.SLOW_DOWN, ClientError, "SlowDown"),
        (Fault.EXPIRED_TOKEN, ClientError, "ExpiredToken"),
        (Fault.ERROR_IN_200, ClientError, "InternalError"),
        (Fault.TORN_XML, ClientError, "500"),
        (Fault.CUT_BODY, ClientError, "500"),
        (Fault.RESET, HTTPClientError, "was closed"),
    ],
)
def test_failing_page(fault: Fault, kind: type[Exception], text: str) -> None:
    """A fault of the second page ends the listing, with 500 where boto3 cannot read the answer, and only that request is hit."""
    with run_store() as store:
        store.put_many("a", "b", "c")
        store.before_page = at({2: fault})
        with pytest.raises(kind, match=text):
            list_all(store, PaginationConfig={"PageSize": 1})
        assert store.requests[Kind.LIST] == 2
        assert list_all(store) == ["a", "b", "c"]


def test_headers_of_refusals() -> None:
    """A 503 says when to come again, and a redirect where the bucket is."""
    with run_store() as store, client_of(store) as client:
        headers = []
        # boto3 goes where a redirect points, once.
        for fault in (Fault.SLOW_DOWN, Fault.REDIRECT):
            store.before_page = always(fault)
            with pytest.raises(ClientError) as caught:
                client.list_objects_v2(Bucket=BUCKET)
            headers.append(caught.value.response["ResponseMetadata"]["HTTPHeaders"])
        assert headers[0]["retry-after"] == "1"
        assert headers[1]["x-amz-bucket-region"] == OTHER_REGION


def test_broken_answers() -> None:
    """Torn XML is all that HTTP announced, a body that is cut is not, and a reset is no regular end."""
    with run_store() as store:
        store.put_many("a", "b", "c")
        store.before_page = at({1: Fault.TORN_XML, 2: Fault.CUT_BODY, 3: Fault.RESET})
        with ask_plainly(store) as answer:
            assert b"</ListBucketResult>" not in answer.read()
        with ask_plainly(store) as answer, pytest.raises(IncompleteRead):
            answer.read()
        with pytest.raises(ConnectionResetError):
            ask_plainly(store)


def test_lying_pages() -> None:
    """Each page that is well-formed and wrong is wrong in the way that its name says."""
    with run_store() as store, client_of(store) as client:
        store.put_many("a", "b", "c")

        def ask(fault: Fault, max_keys: int = 1, **question: Any) -> Any:  # noqa: ANN401 - as boto3 takes and returns it
            store.before_page = always(fault)
            return client.list_objects_v2(Bucket=BUCKET, MaxKeys=max_keys, **question)

        page = ask(Fault.NO_TOKEN, 3)
        assert page["IsTruncated"]
        assert "NextContinuationToken" not in page
        first = ask(Fault.REPEATED_TOKEN)
        again = ask(Fault.REPEATED_TOKEN, ContinuationToken=first["NextContinuationToken"])
        assert again["NextContinuationToken"] == first["NextContinuationToken"]
        assert ask(Fault.OTHER_BUCKET)["Name"] == "other"
        page = ask(Fault.OTHER_PREFIX, Prefix="a")
        assert (page["Prefix"], page["Contents"][0]["Key"]) == ("other/a", "other/a")
        page = ask(Fault.EMPTY)
        assert not page["IsTruncated"]
        assert "Contents" not in page


def test_endless_listing() -> None:
    """An endless listing begins again under new tokens."""
    with run_store() as store:
        store.put_many("a", "b", "c")
        store.before_page = always(Fault.ENDLESS)
        told = list_all(store, PaginationConfig={"PageSize": 2, "MaxItems": 10})
        assert told == ["a", "b", "c", "a", "b", "c", "a", "b", "c", "a"]


def test_trickle() -> None:
    """A trickle takes as long as its rate says, and arrives; the end of the block does not wait for one."""
    with run_store() as store:
        store.put("a")
        store.trickle_bytes_per_s = 2000
        store.before_page = always(Fault.TRICKLE)
        start_s = time.monotonic()
        with ask_plainly(store) as answer:
            length_bytes = len(answer.read())
        assert time.monotonic() - start_s >= length_bytes / 2000
        store.trickle_bytes_per_s = 10
        answer = ask_plainly(store)
        start_s = time.monotonic()
    answer.close()
    assert time.monotonic() - start_s < length_bytes / 10 / 2


def test_faults_of_heads() -> None:
    """HEAD requests fail on their own count."""
    with run_store() as store, client_of(store) as client:
        store.put("a")
        store.before_head = at({1: Fault.DENIED, 2: Fault.RESET})
        with pytest.raises(ClientError, match="403"):
            client.head_object(Bucket=BUCKET, Key="a")
        with pytest.raises(HTTPClientError):
            client.head_object(Bucket=BUCKET, Key="a")
        client.head_object(Bucket=BUCKET, Key="a")


def test_random_faults_are_repeatable() -> None:
    """The same seed picks the same faults for the same requests."""
    hooks = [randomly(random.Random(7), 0.3) for _ in range(2)]  # noqa: S311 - a repeatable test
    first, again = ([hook(number) for number in range(100)] for hook in hooks)
    assert first == again
    assert 10 < sum(fault is not None for fault in first) < 50


def test_requester_pays() -> None:
    """A bucket whose requester pays refuses who does not say so."""
    with run_store() as store, client_of(store) as client:
        store.requester_pays = True
        with pytest.raises(ClientError, match="AccessDenied"):
            client.list_objects_v2(Bucket=BUCKET)
        client.list_objects_v2(Bucket=BUCKET, RequestPayer="requester")
        assert [request.headers.get("x-amz-request-payer") for request in store.log] == [
            None,
            "requester",
        ]


def test_process_of_its_own() -> None:
    """As a program it serves computed keys at the URL that it prints, and ends with its standard input."""
    command = [sys.executable, "-m", simulated.__name__, "--keys", "2500", "--latency-ms", "1"]
    with subprocess.Popen(
        command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        store = Store(SyntheticKeys(0), StartAfter.RIGHT, BUCKET)
        store.endpoint_url = process.stdout.readline().strip()
        assert len(list_all(store)) == 2500
        with ask_plainly(store, "?counts") as answer:
            assert answer.read() == b'{"list": 3}'
        process.communicate()
        assert process.returncode == 0
