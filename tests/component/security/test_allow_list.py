"""Decides whether the operator's lists allow what they name to whom they name, and nothing else to anybody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.wiring import find
from watcher.errors import DeniedError, StateError
from watcher.security.allow_list import AllowList
from watcher.settings import ServerSettings
from watcher.spec import BucketSpec, DirectorySpec, Spec

if TYPE_CHECKING:
    from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/team/reader"
ACCESS_POINT = "arn:aws:s3:eu-west-9:123456789012:accesspoint/orders-in"


def admits(
    settings: ServerSettings, where: DirectorySpec | BucketSpec, principal: str = ""
) -> bool:
    """Tell whether a place may be watched."""
    try:
        find(AllowList(settings).admit(Spec(where), principal))
    except DeniedError:
        return False
    return True


NAMED = ServerSettings(
    allow_directories=("/srv/shared", "orders=/srv/orders", "ns/billing=/srv/billing"),
    allow_buckets=("orders=orders-*",),
    allow_endpoints=("http://minio:9000", "orders=HTTP://Store/"),
    allow_roles=(f"orders={ROLE}",),
    allow_profiles=("orders=audit-?",),
)


@pytest.mark.parametrize(
    ("where", "principals"),
    [
        (DirectorySpec("/srv/shared/in"), {"", "orders", "ns/billing"}),
        (DirectorySpec("/srv/orders"), {"orders"}),
        (DirectorySpec("/srv/billing/in"), {"ns/billing"}),
        (DirectorySpec("/srv"), set()),
        (BucketSpec("orders-in"), {"orders"}),
        (BucketSpec("orders-in", endpoint_url="http://minio:9000"), {"orders"}),
        (BucketSpec("orders-in", endpoint_url="http://store:80"), {"orders"}),
        (BucketSpec("orders-in", endpoint_url="https://store"), set()),
        (BucketSpec("orders-in", role_arn=ROLE), {"orders"}),
        (BucketSpec("orders-in", role_arn=f"{ROLE}-admin"), set()),
        (BucketSpec("orders-in", profile="audit-1"), {"orders"}),
        (BucketSpec("orders-in", profile="default"), set()),
    ],
)
def test_an_entry_with_a_name_is_for_that_name(
    where: DirectorySpec | BucketSpec, principals: set[str]
) -> None:
    """What has no name is allowed to everyone, what has one to its principal alone; roles and profiles have lists like places."""
    assert {
        name for name in ("", "orders", "ns/billing") if admits(NAMED, where, name)
    } == principals


@pytest.mark.parametrize(
    ("glob", "bucket", "expected"),
    [
        ("*", ACCESS_POINT, False),
        ("*/orders-in", ACCESS_POINT, False),
        ("[a]rn:*", ACCESS_POINT, False),
        ("arn:*", ACCESS_POINT, True),
        ("arn:aws:s3:*:123456789012:accesspoint/orders-*", ACCESS_POINT, True),
        ("arn:aws:s3:*:210987654321:accesspoint/orders-*", ACCESS_POINT, False),
        ("*", "orders-in", True),
        ("*-in", "orders-in", True),
    ],
)
def test_an_arn_is_allowed_by_globs_of_arns(glob: str, bucket: str, *, expected: bool) -> None:
    """A glob of names allows no access point, whose ARN can be of any account; one that begins as an ARN does."""
    assert admits(ServerSettings(allow_buckets=(glob,)), BucketSpec(bucket)) is expected


@pytest.mark.parametrize(
    "field",
    ["allow_directories", "allow_buckets", "allow_endpoints", "allow_roles", "allow_profiles"],
)
def test_one_entry_closes_all_lists(field: str) -> None:
    """As soon as one list has an entry, even for one principal, what is on no list is denied to everyone."""
    entry = {field: ("name=http://x",)}
    settings: ServerSettings = replace(ServerSettings(), **entry)  # type: ignore[arg-type]  # each has the same type
    assert not AllowList(settings).is_empty
    assert not any(
        admits(settings, where)
        for where in (DirectorySpec("/"), BucketSpec("bucket"), BucketSpec("bucket", profile="p"))
    )


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("/data/a=b", ""),
        ("./a=b", ""),
        ("../a=b", ""),
        ("a=/b", "a"),
        (" a = /b ", "a"),
        ("n/s=/b", "n/s"),
        ("a=b=c", "a"),
    ],
)
def test_paths_are_not_taken_for_names(entry: str, name: str) -> None:
    """A path that begins with a slash or a dot is one, whatever it holds; else a name ends at the first equals sign."""
    rules = AllowList(ServerSettings(allow_directories=(entry,)))
    rules.check_principals(["a", "n/s"])
    if name:
        with pytest.raises(StateError, match=f"no '{name}'"):
            rules.check_principals(["other"])
    else:
        rules.check_principals([])


@pytest.mark.parametrize(
    ("lists", "text"),
    [
        ({"allow_directories": ("=/data",)}, "--allow-directory =/data: an entry is"),
        ({"allow_directories": ("orders=",)}, "--allow-directory orders=: an entry is"),
        ({"allow_buckets": ("",)}, "--allow-bucket : an entry is"),
        ({"allow_endpoints": ("minio:9000",)}, "--allow-endpoint minio:9000: must be http"),
        ({"allow_endpoints": ("orders=http://a:b@minio",)}, "--allow-endpoint .*: must be http"),
        ({"allow_endpoints": ("http://minio?a=b",)}, "--allow-endpoint .*: must be http"),
    ],
)
def test_an_entry_is_right_or_refused(lists: dict[str, Any], text: str) -> None:
    """An entry that cannot be understood stops the server, and the error repeats flag and entry."""
    with pytest.raises(StateError, match=text):
        AllowList(ServerSettings(**lists))


@pytest.mark.parametrize(
    ("endpoint", "is_open_to"),
    [
        ("http://169.254.169.254", False),
        ("http://[::ffff:a9fe:a9fe]:80", False),
        ("http://[fd00:ec2::254]", False),
        ("http://2852039166:80", False),
        ("http://0xa9fea9fe", False),
        ("http://0251.0376.0251.0376", False),
        ("http://169.254.43518", False),
        ("http://[64:ff9b::a9fe:a9fe]", False),
        ("http://10.0.0.1", True),
    ],
)
def test_privileged_addresses_must_be_listed(endpoint: str, *, is_open_to: bool) -> None:
    """An address where clouds keep their secrets is denied also by a server without lists, and allowed by one that lists it."""
    where = BucketSpec("bucket", endpoint_url=endpoint)
    assert admits(ServerSettings(), where) is is_open_to
    assert admits(ServerSettings(allow_buckets=("*",), allow_endpoints=(endpoint + "/",)), where)


def test_an_address_is_listed_however_it_is_written() -> None:
    """An endpoint that is an address is on the list in each of its spellings, and another address is not."""
    settings = ServerSettings(allow_buckets=("*",), allow_endpoints=("http://0xa000001:9000",))
    for host, expected in (
        ("10.0.0.1", True),
        ("10.1", True),
        ("[::ffff:10.0.0.1]", True),
        ("10.2", False),
        ("[64:ff9b::a00:1]", False),
    ):
        assert (
            admits(settings, BucketSpec("bucket", endpoint_url=f"http://{host}:9000")) is expected
        )


def test_a_spec_carries_what_it_must_keep_to(tmp_path: Path) -> None:
    """A directory is admitted with all that its principal may read, links resolved when the server started; without lists with nothing."""
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    spec = Spec(DirectorySpec(str(tmp_path / "real")))
    rules = AllowList(ServerSettings(allow_directories=(str(tmp_path / "alias"), "a=/a", "b=/b")))
    (tmp_path / "alias").unlink()
    (tmp_path / "alias").symlink_to("/")
    admitted = rules.admit(spec, "a").where
    assert isinstance(admitted, DirectorySpec)
    assert admitted.within == (str(tmp_path / "real"), "/a")
    assert AllowList(ServerSettings()).admit(spec, "a") is spec
