"""Buckets, endpoints, roles and profiles that the operator's lists allow, and to whom."""

import pytest

from watcher.errors import DeniedError, StateError
from watcher.queue_address import QueueAddress
from watcher.security.allow_list import AllowList
from watcher.settings import ServerSettings
from watcher.spec import AuthorizedSpec, BucketSpec, HintKind, Notifications, Spec

ROLE = "arn:aws:iam::123456789012:role/team/reader"
ACCESS_POINT = "arn:aws:s3:eu-west-9:123456789012:accesspoint/orders-in"
LISTS = ServerSettings(allow_buckets=("landing", "team-*"), allow_endpoints=("http://minio:9000/",))
NAMED = ServerSettings(
    allow_buckets=("orders=orders-*",),
    allow_endpoints=("http://minio:9000", "orders=HTTP://Store/"),
    allow_roles=(f"orders={ROLE}",),
    allow_profiles=("orders=audit-?",),
)


QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/landing"


def with_queue(url: str) -> BucketSpec:
    return BucketSpec("landing", notifications=Notifications(HintKind.QUEUE, url))


def allows(settings: ServerSettings, where: BucketSpec, principal: str = "") -> bool:
    spec = Spec(where)
    try:
        authorized = AllowList(settings).authorize(spec, principal)
    except DeniedError:
        return False
    assert authorized == AuthorizedSpec(spec, within=None)
    return True


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        (BucketSpec("landing"), None),
        (BucketSpec("team-a", endpoint_url="http://minio:9000"), None),
        (BucketSpec("landing2"), "--allow-bucket"),
        (BucketSpec("Landing"), "--allow-bucket"),
        (BucketSpec("landing", endpoint_url="http://minio:9001"), "--allow-endpoint"),
        (BucketSpec("landing", endpoint_url="http://minio.evil:9000"), "--allow-endpoint"),
        (BucketSpec("landing", role_arn=ROLE), "--allow-role"),
        (BucketSpec("landing", profile="audit"), "--allow-profile"),
    ],
)
def test_what_is_not_listed_is_denied_with_the_flag_that_would_allow_it(
    where: BucketSpec, hint: str | None
) -> None:
    if hint is None:
        assert allows(LISTS, where)
    else:
        with pytest.raises(DeniedError, match=hint):
            AllowList(LISTS).authorize(Spec(where), "")


@pytest.mark.parametrize(
    ("where", "principals"),
    [
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
def test_an_entry_with_a_name_is_for_that_principal_alone(
    where: BucketSpec, principals: set[str]
) -> None:
    assert {name for name in ("", "orders", "billing") if allows(NAMED, where, name)} == principals


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
def test_only_a_glob_of_arns_allows_an_access_point(
    glob: str, bucket: str, *, expected: bool
) -> None:
    """An ARN can be of any account, so a glob of bucket names must not allow it."""
    assert allows(ServerSettings(allow_buckets=(glob,)), BucketSpec(bucket)) is expected


@pytest.mark.parametrize(
    ("glob", "bucket", "expected"),
    [
        ("acme:orders-*", "acme:orders-in", True),
        ("acme:*", "acme:orders-in", True),
        (":orders-in", ":orders-in", True),
        ("*", "acme:orders-in", True),
        ("*-in", "acme:orders-in", False),
        ("orders-in", "acme:orders-in", False),
        ("orders-in", ":orders-in", False),
        ("other:*", "acme:orders-in", False),
        ("acme:*", "orders-in", False),
    ],
)
def test_a_glob_without_a_colon_allows_no_tenant(glob: str, bucket: str, *, expected: bool) -> None:
    """The bucket of another tenant is another bucket; one star allows every name."""
    endpoint = "http://rgw:7480"
    lists = ServerSettings(allow_buckets=(glob,), allow_endpoints=(endpoint,))
    assert allows(lists, BucketSpec(bucket, endpoint_url=endpoint)) is expected


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        (QUEUE, True),
        ("*", True),
        ("https://sqs.*.amazonaws.com/123456789012/*", True),
        ("https://sqs.eu-west-1.amazonaws.com/*/land*", True),
        ("https://*/*/*", True),
        ("https://sqs.eu-west-1.amazonaws.com/210987654321/*", False),
        ("https://sqs.eu-west-1.amazonaws.com/*", False),
        ("https://*", False),
        ("http://*/*/*", False),
        (f"{QUEUE}s", False),
        ("landing", False),
        ("", False),
    ],
)
def test_a_glob_of_queues_is_compared_part_by_part(glob: str, *, expected: bool) -> None:
    lists = ServerSettings(allow_buckets=("*",), allow_queues=(glob,) if glob else ())
    assert allows(lists, with_queue(QUEUE)) is expected


@pytest.mark.parametrize(
    "url",
    [
        "https://sqs.evil.example/x.amazonaws.com/123456789012/landing",
        "https://sqs.evil.example:443/.amazonaws.com/123456789012/landing",
    ],
)
def test_a_star_in_the_host_allows_no_foreign_host(url: str) -> None:
    """Requests to a queue are signed with the credentials of the server."""
    glob = "https://sqs.*.amazonaws.com/123456789012/*"
    assert not allows(ServerSettings(allow_buckets=("*",), allow_queues=(glob,)), with_queue(url))


def test_a_queue_is_allowed_by_a_list_of_its_own() -> None:
    """Neither the bucket nor the endpoint that is allowed allows it, and an entry may be named."""
    closed = ServerSettings(allow_buckets=("*",), allow_endpoints=("http://queues",))
    with pytest.raises(
        DeniedError, match="does not allow the queue; ask for it with --allow-queue"
    ):
        AllowList(closed).authorize(Spec(with_queue("http://queues/landing")), "")
    named = ServerSettings(allow_buckets=("*",), allow_queues=(f"orders={QUEUE}",))
    assert [allows(named, with_queue(QUEUE), name) for name in ("orders", "")] == [True, False]


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "0xa9fea9fe"])
def test_a_queue_at_a_metadata_address_must_be_listed(host: str) -> None:
    """A server without lists denies it too, and so does a star in place of the address."""
    where = with_queue(str(QueueAddress.parse(f"http://{host}/queue/landing")))
    assert not allows(ServerSettings(), where)
    assert allows(ServerSettings(), with_queue("http://127.0.0.1/queue/landing"))
    for glob in ("*", "http://*/queue/*", "http://[0-9f]*/queue/*"):
        assert not allows(ServerSettings(allow_buckets=("*",), allow_queues=(glob,)), where)
    listed = ServerSettings(allow_buckets=("*",), allow_queues=(str(where.queue),))
    assert allows(listed, where)


@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254", "http://[fd00:ec2::254]", "http://0xa9fea9fe"]
)
def test_metadata_addresses_must_be_listed(endpoint: str) -> None:
    """A server without lists denies them too, and one that lists the address allows it."""
    where = BucketSpec("bucket", endpoint_url=endpoint)
    listed = ServerSettings(allow_buckets=("*",), allow_endpoints=(f"{endpoint}/",))
    assert [allows(settings, where) for settings in (ServerSettings(), listed)] == [False, True]
    assert allows(ServerSettings(), BucketSpec("bucket", endpoint_url="http://10.0.0.1"))


@pytest.mark.parametrize(("host", "expected"), [("10.1", True), ("10.2", False)])
def test_an_address_is_listed_in_each_of_its_spellings(host: str, *, expected: bool) -> None:
    settings = ServerSettings(allow_buckets=("*",), allow_endpoints=("http://0xa000001:9000",))
    assert allows(settings, BucketSpec("bucket", endpoint_url=f"http://{host}:9000")) is expected


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
def test_an_entry_that_cannot_be_understood_is_repeated_with_its_flag(
    lists: dict[str, tuple[str, ...]], text: str
) -> None:
    with pytest.raises(StateError, match=text):
        AllowList(ServerSettings(**lists))  # type: ignore[arg-type]  # all five have this type
