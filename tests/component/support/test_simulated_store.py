"""Decides whether the simulated store is one: what it lists and in which order, as boto3 sees it.

That hooks and faults are what their names say is proven by what bucket sources report of them.
"""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from http.client import HTTPResponse
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from support.project import TESTS
from support.s3 import simulated
from support.s3.faults import Kind
from support.s3.keys import FIRST_PUT_NS, Order
from support.s3.pages import StartAfter
from support.s3.simulated import BUCKET, Store, run_store
from support.s3.synthetic import SyntheticKeys

ODD_KEYS = [
    *("a", "a b+c", "a-b", "a/", "a/b", "a//b", "a/../b", "a&<b>", "a~*'(1)"),
    *("ä/\u20ac", "\x01\x1f", "\U0001f600", "/", " ", "%41"),
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


def list_all(store: Store, page_size: int = 1000, **question: Any) -> list[str]:  # noqa: ANN401 - as boto3
    """List with boto3's paginator; return the keys, and each page's common prefixes behind them."""
    listed = []
    question["PaginationConfig"] = {"PageSize": page_size, "MaxItems": 10_000}
    with client_of(store) as client:
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=store.bucket, **question
        ):
            listed += [found["Key"] for found in page.get("Contents", ())]
            listed += [found["Prefix"] for found in page.get("CommonPrefixes", ())]
    return listed


def ask_plainly(store: Store, query: str) -> bytes:
    """Send a request without boto3, and return the body of the answer."""
    with urllib.request.urlopen(f"{store.endpoint_url}/{query}") as answer:  # noqa: S310 - http
        assert isinstance(answer, HTTPResponse)
        return answer.read()


@pytest.mark.sampled
@pytest.mark.parametrize("page_size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.AWS, SIX_KEYS),
        (Order.TREE, ["a/x", "a/y", "a-b", "a.c", "a0", "b"]),
        (Order.RANDOM, None),
    ],
)
def test_pages_add_up(order: Order, expected: list[str] | None, page_size: int) -> None:
    """Each key is listed once, however odd, in the order of the store; a page may be capped."""
    with run_store(order=order) as store:
        store.put_many(*SIX_KEYS)
        listings = {tuple(list_all(store, page_size)) for _ in range(10 if not expected else 1)}
        assert listings == {tuple(expected)} if expected else len(listings) > 1
        store.put_many(*ODD_KEYS)
        store.page_keys = 2
        former = len(store.lists)
        listed = list_all(store, page_size)
        assert sorted(listed) == sorted({*ODD_KEYS, *SIX_KEYS})
        assert len(store.lists) == former + -(-len(listed) // min(page_size, 2))


@pytest.mark.sampled
@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_prefix_and_delimiter(order: Order, page_size: int) -> None:
    """A delimiter rolls keys up, each common prefix comes once, a prefix narrows the listing."""
    with run_store(order=order) as store:
        store.put_many("a", "a/1", "a/2/3", "a/2/4", "a/5/6", "a/5/7", "a-b/1", "b")
        for question, expected in [
            ({"Delimiter": "/"}, ["a", "a-b/", "a/", "b"]),
            ({"Delimiter": "/", "Prefix": "a/"}, ["a/1", "a/2/", "a/5/"]),
            ({"Prefix": "a/2"}, ["a/2/3", "a/2/4"]),
            ({"Prefix": "c"}, []),
        ]:
            assert sorted(list_all(store, page_size, **question)) == expected


@pytest.mark.parametrize(
    ("order", "start_after", "key", "expected"),
    [
        (Order.AWS, StartAfter.RIGHT, "a-b", ["a.c", "a/x", "a/y", "a0", "b"]),
        (Order.TREE, StartAfter.RIGHT, "a-b", ["a.c", "a0", "b"]),
        (Order.TREE, StartAfter.WRONG, "a-b", ["a/x", "a/y", "a-b", "a.c", "a0", "b"]),
        (Order.AWS, StartAfter.WRONG, "a.c", ["a0", "b"]),
        (Order.AWS, StartAfter.IGNORED, "a-b", SIX_KEYS),
    ],
)
def test_start_after(order: Order, start_after: StartAfter, key: str, expected: list[str]) -> None:
    """StartAfter is right in the store's own order, or wrong, or ignored, on pages of any size."""
    with run_store(order=order, start_after=start_after) as store:
        store.put_many(*SIX_KEYS)
        for page_size in (1, 1000):
            assert list_all(store, page_size, StartAfter=key) == expected


def test_start_after_of_a_random_order_is_rejected() -> None:
    with (
        run_store(order=Order.RANDOM) as store,
        pytest.raises(ClientError, match="InvalidArgument"),
    ):
        list_all(store, StartAfter="a")


def test_fields_of_an_object() -> None:
    """LIST and HEAD return what was put; a missing object or bucket is missing."""
    with run_store() as store, client_of(store) as client:
        mtime_ns = FIRST_PUT_NS + 123_000_000
        store.put("a b", size=7, etag="e-1", mtime_ns=mtime_ns, storage_class="GLACIER")
        (found,) = client.list_objects_v2(Bucket=BUCKET)["Contents"]
        head = client.head_object(Bucket=BUCKET, Key="a b")
        assert (found["Size"], found["ETag"], found["StorageClass"]) == (7, '"e-1"', "GLACIER")
        assert (head["ContentLength"], head["ETag"]) == (7, '"e-1"')
        assert head["StorageClass"] == "GLACIER"
        assert found["LastModified"].timestamp() == head["LastModified"].timestamp() + 0.123
        deleted = store.delete("a b", "b")
        with pytest.raises(ClientError, match="404"):
            client.head_object(Bucket=BUCKET, Key="a b")
        store.restore(deleted)
        assert client.list_objects_v2(Bucket=BUCKET)["Contents"] == [found]
        client.head_bucket(Bucket=BUCKET)
        with pytest.raises(ClientError, match="404"):
            client.head_bucket(Bucket="other")
        with pytest.raises(ClientError, match="NoSuchBucket"):
            client.list_objects_v2(Bucket="other")
        assert store.requests == {Kind.LIST: 3, Kind.HEAD: 2, Kind.OTHER: 2}


def test_an_answer_repeats_the_question() -> None:
    """An answer repeats the question, encoded as AWS does, and no two tokens are alike."""
    with run_store() as store, client_of(store) as client:
        store.put_many("~ a/b c", "~ a/d")
        question: Any = {"Prefix": "~ a", "Delimiter": " ", "StartAfter": "~ ", "MaxKeys": 1}
        question |= {"Bucket": BUCKET, "EncodingType": "url"}
        first, again = (client.list_objects_v2(**question) for _ in range(2))
        expected = {"Prefix": "%7E+a", "Delimiter": "+", "StartAfter": "%7E+", "MaxKeys": 1}
        expected |= {"Name": BUCKET, "EncodingType": "url", "KeyCount": 1}
        assert expected.items() <= first.items()
        assert first["CommonPrefixes"] == [{"Prefix": "%7E+a/b+"}]
        assert first["NextContinuationToken"] != again["NextContinuationToken"]
        last = client.list_objects_v2(**question, ContinuationToken=first["NextContinuationToken"])
        assert [found["Key"] for found in last["Contents"]] == ["%7E+a/d"]
        assert not last["IsTruncated"]
        with pytest.raises(ClientError, match="continuation token"):
            client.list_objects_v2(Bucket=BUCKET, ContinuationToken="1")


def test_computed_keys() -> None:
    """Computed keys are found by LIST, HEAD, prefix, delimiter and StartAfter; new ones arrive."""
    keyspace = SyntheticKeys(3456)
    with run_store(keyspace) as store, client_of(store) as client:
        listed = list_all(store, 700)
        assert len(listed) == len(set(listed)) == 3456
        prefix = "landing/2026/00001-old/"
        below = {key for key in listed if key.startswith(prefix)}
        assert set(list_all(store, Prefix=prefix)) == below
        directories = {key[: key.rindex("/") + 1] for key in listed}
        assert set(list_all(store, Prefix="landing/2026/", Delimiter="/")) == directories
        size = client.head_object(Bucket=BUCKET, Key=listed[1234])["ContentLength"]
        assert size == 1000 + int(listed[1234][-9:-4])
        with pytest.raises(ClientError, match="404"):
            client.head_object(Bucket=BUCKET, Key=f"{listed[1234]}x")
        assert listed == sorted(listed)
        assert list_all(store, StartAfter=listed[1500]) == listed[1501:]
        for _ in range(2):
            ask_plainly(store, "?arrive")
        arrived = ["arrived/00000000.csv", "arrived/00000001.csv"]
        assert list_all(store) == list_all(store, 300) == arrived + listed
        for key, size in ((arrived[1], 1000), (listed[0], 1000), (listed[1001], 1001)):
            assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == size


def test_a_process_of_its_own() -> None:
    """As a program it serves computed keys at the URL that it prints, until its input ends."""
    command = [sys.executable, "-m", simulated.__name__, "--keys", "2500", "--latency-ms", "1"]
    with subprocess.Popen(
        command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        store = Store(SyntheticKeys(0), StartAfter.RIGHT)
        store.endpoint_url = process.stdout.readline().strip()
        assert len(list_all(store)) == 2500
        assert ask_plainly(store, "?counts") == b'{"list": 3}'
        process.communicate()
        assert process.returncode == 0
