"""Finds keys of every kind on real S3 servers, each exactly once, and learns when they are gone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from support.s3.fixtures import RealBucket
from support.s3.listing import paths, read
from support.s3.real_servers import FROM_PYPI, PROVIDED
from watcher.sources.s3 import api, batches
from watcher.sources.s3.deletions import CHECKED_KEYS_MAX
from watcher.sources.s3.strategy import Mode
from watcher.spec import HintKind, Notifications

SMALL_PAGES = (1, 3)
"""Keys a page: so few that pages end after every key of a bucket."""

AWKWARD_KEYS = (
    "plain",
    "with space",
    " space first",
    "space last ",
    "plus+sign",
    "percent%41",
    "a b&c<d>\"e'f",
    "]]>",
    "question?x=1#y;z",
    "uni-é-日本-\N{GRINNING FACE}",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{REPLACEMENT CHARACTER}\N{ZERO WIDTH NO-BREAK SPACE}",
    "~t*(!),@$:",
    ".dot",
    "trailing/",
    "/leading",
    "double//slash",
    "dot/./x",
    "dot/../y",
    "back\\slash",
    "tab\tx",
    "newline\nx",
    "return\rx",
    "control\x01x",
    "delete\x7fx",
    "long" * 256,
    "/".join(["l" * 204] * 5),
)
# What a server does not store under its name: it refuses it (moto: no route; the others: as a path,
# or as longer than the name of a file may be) or rewrites it as a path.
REFUSED = {
    "moto": {"newline\nx"},
    "seaweedfs": {"dot/./x", "dot/../y", "long" * 256},
    "rclone": {"/leading", "double//slash", "dot/./x", "dot/../y", "long" * 256},
    "versitygw": {"long" * 256},
    "ceph": set[str](),
}
REWRITTEN = {
    "moto": {},
    "seaweedfs": {
        "/leading": "leading",
        "double//slash": "double/slash",
        "back\\slash": "back/slash",
    },
    "rclone": {"trailing/": "trailing"},
    "versitygw": {
        "/leading": "leading",
        "double//slash": "double/slash",
        "dot/./x": "dot/x",
        "dot/../y": "y",
    },
    "ceph": {},
}
# rclone lists a control character as it was put, and as a picture of it once it has read the
# directory again. XML has none: VersityGW, which encodes no keys, writes a replacement
# character for one, which is set aside like any. Ceph encodes no tokens, which are keys.
UNSTEADY = {
    "moto": set[str](),
    "seaweedfs": set[str](),
    "rclone": {"tab\tx", "newline\nx", "return\rx", "control\x01x", "delete\x7fx"},
    "versitygw": {"control\x01x", "\N{REPLACEMENT CHARACTER}\N{ZERO WIDTH NO-BREAK SPACE}"},
    "ceph": {"control\x01x"},
}

# Keys around "/", which not every store sorts as a character, and the servers that hold them side
# by side: where a file is "a", SeaweedFS has no directory of its own for "a/", rclone and VersityGW
# none at all.
AROUND_SLASH = {
    ("a-", "a.", "a/b", "a0", "ab"): [*FROM_PYPI, *PROVIDED],
    ("a", "a-", "a.", "a/b", "a0"): ["moto_server", "seaweedfs", "ceph"],
    ("a-", "a.", "a/", "a/b", "a0"): ["moto_server", "seaweedfs", "versitygw", "ceph"],
    ("a", "a-", "a.", "a/", "a/b", "a0"): ["moto_server", "ceph"],
}
around_slash = pytest.mark.parametrize(
    ("s3_server", "keys"),
    [
        pytest.param(server, keys, id=f"{server}-{' '.join(keys)}")
        for keys, servers in AROUND_SLASH.items()
        for server in servers
    ],
    indirect=["s3_server"],
)
# A folder is a key that ends in a slash; rclone cuts the slash off.
with_folders = pytest.mark.parametrize(
    "s3_server", ["moto_server", "seaweedfs", "versitygw", "ceph"], indirect=True
)


@pytest.fixture
def set_pages(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sets the number of keys in a page; batches, where ranges split, are as small."""

    def set_them(page_keys: int) -> None:
        monkeypatch.setattr(api, "KEYS_PER_REQUEST", page_keys)
        monkeypatch.setattr(batches, "BATCH_MIN_OBJECTS", 1)
        monkeypatch.setattr(batches, "BATCH_MAX_OBJECTS", 2)

    return set_them


@pytest.fixture
def assert_listed(
    bucket: RealBucket, set_pages: Callable[[int], None]
) -> Callable[[Sequence[bytes]], None]:
    """Return what proves that exactly these keys are listed in every mode, wherever pages end."""

    def assert_it(expected: Sequence[bytes]) -> None:
        for page_keys in SMALL_PAGES:
            set_pages(page_keys)
            assert paths(read(bucket.open(list_workers=1))) == sorted(expected)
            source = bucket.open()
            for _ in Mode:
                assert {entry.path for entry in read(source)} == set(expected)

    return assert_it


def test_awkward_keys_arrive_exactly(
    bucket: RealBucket, assert_listed: Callable[[Sequence[bytes]], None]
) -> None:
    """Every key that a server stores is listed as its exact bytes until it is deleted."""
    name = bucket.server.name
    kept = [key for key in AWKWARD_KEYS if key not in REFUSED[name] | UNSTEADY[name]]
    bucket.put(*kept)
    expected = sorted(REWRITTEN[name].get(key, key).encode() for key in kept)
    source = bucket.open()
    assert paths(read(source)) == expected
    inspection = source.inspect(expected)
    assert (paths(inspection.entries), inspection.gone) == (expected, [])
    assert_listed(expected)
    bucket.delete(*(path.decode() for path in expected))
    assert read(source) == []
    assert sorted(source.inspect(expected).gone) == expected


def test_no_key_is_found_that_no_listing_has(bucket: RealBucket) -> None:
    """Keys that servers read as those of other objects are those objects, or left to listings."""
    bucket.put("in/a", "in/x/y", "b")
    source = bucket.open(notifications=Notifications(HintKind.WEBHOOK))
    listed = paths(read(source))
    asked = ["in//a", "/b", "//b", "in/./a", "in/../b", "in/x/../a", "in/x//y", "in//x/y", "in//"]
    found = source.inspect([key.encode() for key in [*asked, "in/a"]])
    assert paths(found.entries) == [b"in/a"]
    assert not set(found.gone) & set(listed)


def test_refused_keys(bucket: RealBucket) -> None:
    """The keys that no test reads are those which the server does not take."""
    server = replace(bucket.server, attempts=1)
    # At once, since rclone takes a second for each refusal.
    with closing(server.client()) as client, ThreadPoolExecutor() as pool:
        puts = [
            pool.submit(client.put_object, Bucket=bucket.name, Key=key, Body=b"x")
            for key in REFUSED[server.name]
        ]
    for done in puts:
        assert isinstance(done.exception(), ClientError)


@around_slash
def test_keys_around_slash(
    keys: tuple[str, ...], bucket: RealBucket, assert_listed: Callable[[Sequence[bytes]], None]
) -> None:
    """Keys that sort around a slash are found once each, and exactly the deleted ones are gone."""
    bucket.put(*keys)
    left = sorted(key.encode() for key in keys)
    source = bucket.open()
    for key in reversed(keys):
        assert paths(read(source)) == left
        bucket.delete(key)
        left.remove(key.encode())
        assert source.confirm_deleted([key.encode()]) == [key.encode()]
        assert source.confirm_deleted(left) == []
    bucket.put(*keys)
    assert_listed([key.encode() for key in keys])


@with_folders
def test_folder_that_is_deleted_is_gone(bucket: RealBucket) -> None:
    """A folder's own key is gone when it is deleted, though objects in the folder stay."""
    bucket.put("f/", "f/x")
    source = bucket.open()
    assert paths(read(source)) == [b"f/", b"f/x"]
    bucket.delete("f/")
    assert paths(read(source)) == [b"f/x"]
    assert source.confirm_deleted([b"f/"]) == [b"f/"]


@pytest.mark.parametrize("s3_server", ["seaweedfs"], indirect=True)
def test_listing_that_ends_early(bucket: RealBucket, set_pages: Callable[[int], None]) -> None:
    """SeaweedFS may end a listing behind the key of a folder: no object in the folder is gone."""
    inside = [f"f/{number:03}" for number in range(CHECKED_KEYS_MAX + 1)]
    bucket.server.put_many(bucket.name, ["f/", *inside])
    source = bucket.open()
    set_pages(1)
    assert paths(read(source)) == [b"f/"]
    missing = [key.encode() for key in inside]
    assert source.confirm_deleted(missing[:10]) == []
    assert source.confirm_deleted(missing) == []
    assert "the listing lacks many keys, and some are there" in source.degraded


@pytest.mark.parametrize("prefix", ["in/", "in", "plus+", "a b", "é", "x&y"])
def test_prefix_selects(prefix: str, bucket: RealBucket) -> None:
    """A prefix is a plain beginning of the key, and stays part of the path."""
    bucket.put(f"{prefix}1", f"{prefix}2", "other", f"others/{prefix}1")
    expected = [f"{prefix}1".encode(), f"{prefix}2".encode()]
    assert paths(read(bucket.open(prefix=prefix))) == expected


@around_slash
def test_prefix_that_is_a_key(keys: tuple[str, ...], bucket: RealBucket) -> None:
    """A prefix that is a key, a folder or neither selects the keys that begin with it."""
    bucket.put(*keys)
    for prefix in ("a", "a-", "a/", "a/b", "b"):
        expected = sorted(key.encode() for key in keys if key.startswith(prefix))
        assert paths(read(bucket.open(prefix=prefix))) == expected
