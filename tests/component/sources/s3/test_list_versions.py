"""Stores that know ListObjects only, or give no token: every change is reported, once."""

from dataclasses import replace

import pytest

from support.logs import captured_logs
from support.s3.dialects import Dialect
from support.s3.faults import Answer, Kind, always, edited, error
from support.s3.keys import Order
from support.s3.listing import OpenSource
from support.s3.pages import StartAfter
from support.s3.simulated import BUCKET, Store, run_store
from support.s3.watched import KEYS, PAGE_KEYS, Begin, Watched
from watcher.errors import UnavailableError, WatcherError
from watcher.spec import BucketSpec

SPEC = BucketSpec(BUCKET, "in/", list_workers=1)
PAGES = len(KEYS) // PAGE_KEYS
XML_V1 = Dialect(has_only_version_1=True)
REFUSED = Dialect(refusal=error(501, "NotImplemented", "list-type=2"))
VERSION_1 = {
    "501": REFUSED,
    "501 without a body": Dialect(refusal=Answer(status=501)),
    "400 InvalidArgument": Dialect(refusal=error(400, "InvalidArgument")),
    "400 InvalidRequest": Dialect(refusal=error(400, "InvalidRequest")),
    "405": Dialect(refusal=error(405, "MethodNotAllowed")),
    "answered as version 1": XML_V1,
    "with a marker on each page": replace(XML_V1, has_markers=True),
    "plain keys": replace(REFUSED, is_encoded=False, names_encoding=False),
}
NO_TOKEN = {
    "no token": Dialect(has_tokens=False),
    "no token, says True": Dialect(has_tokens=False, true="True"),
    "does not say that more follow": Dialect(has_tokens=False, without=frozenset({"IsTruncated"})),
    "no token and no count": Dialect(has_tokens=False, without=frozenset({"KeyCount", "Name"})),
}


def change_and_scan(store: Store, watched: Watched, round_: int) -> list[tuple[str, str]]:
    """Create, modify and delete keys, list the bucket, and return what happened."""
    created, modified, deleted = f"in/{round_}-new", KEYS[50 + round_], KEYS[90 + round_]
    store.put_many(created, modified)
    store.delete(deleted)
    watched.scan()
    return [("created", created), ("modified", modified), ("deleted", deleted)]


@pytest.mark.sampled
@pytest.mark.parametrize(("number", "name"), list(enumerate(VERSION_1)))
def test_version_1(store: Store, begin: Begin, number: int, name: str) -> None:
    """A store of version 1 is found out with one request, said once, and watched like any other."""
    workers = 1 if number % 2 else None
    store.dialect = VERSION_1[name]
    with captured_logs() as log:
        watched = begin(workers=workers)
        expected = [
            change for round_ in range(3) for change in change_and_scan(store, watched, round_)
        ]
    assert watched.reported == sorted(expected)
    assert [request.version for request in store.lists].count(2) == 1
    assert watched.source.requests == store.requests[Kind.LIST]
    assert [line["event"] for line in log] == ["scan.list_version_1"]
    assert len(watched.asked) <= PAGES + 2 or workers is None
    # A server that starts on the state finds out again, and what happened meanwhile.
    store.put("in/meanwhile")
    watched = begin(workers=workers)
    watched.scan()
    assert watched.reported == sorted(expected)
    assert watched.entries == len(store.keys)


@pytest.mark.parametrize(("number", "name"), list(enumerate(NO_TOKEN)))
def test_no_token(store: Store, begin: Begin, number: int, name: str) -> None:
    """Where version 2 gives no token, the last key leads on; version 1 is not asked for."""
    store.dialect = NO_TOKEN[name]
    watched = begin(workers=1 if number % 2 else None)
    expected = [change for round_ in range(3) for change in change_and_scan(store, watched, round_)]
    assert watched.reported == sorted(expected)
    assert {request.version for request in store.lists} == {2}


@pytest.mark.parametrize(
    ("dialect", "list_version", "versions"),
    [
        (Dialect(), None, {2}),
        (Dialect(), 1, {1}),
        (Dialect(), 2, {2}),
        (XML_V1, 1, {1}),
        (REFUSED, 1, {1}),
    ],
)
def test_a_version_may_be_demanded(
    store: Store, begin: Begin, dialect: Dialect, list_version: int | None, versions: set[int]
) -> None:
    """``list_version`` asks for one version only; ``auto`` stays with version 2 where it can."""
    store.dialect = dialect
    watched = begin(workers=1, list_version=list_version)
    expected = change_and_scan(store, watched, 0)
    assert watched.reported == sorted(expected)
    assert {request.version for request in store.lists} == versions
    assert watched.source.requests == store.requests[Kind.LIST]


@pytest.mark.parametrize("dialect", [REFUSED, XML_V1])
def test_version_2_never_falls_back(
    store: Store, open_source: OpenSource, dialect: Dialect
) -> None:
    """With ``list_version: 2`` a store without it is an error that says what happened."""
    store.dialect = dialect
    with pytest.raises(UnavailableError, match=r"NotImplemented: list-type=2|runs in a circle"):
        list(open_source(store, replace(SPEC, list_version=2)).scan())
    assert {request.version for request in store.lists} == {2}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (error(403, "AccessDenied"), "refuses access"),
        (error(400, "ExpiredToken"), "expired"),
        (error(400, "AuthorizationHeaderMalformed"), "another region"),
        (error(503, "SlowDown"), "wants fewer requests"),
        (Answer(status=404), "not one of S3"),
    ],
)
def test_another_refusal_is_none_of_the_version(
    store: Store, open_source: OpenSource, answer: Answer, text: str
) -> None:
    """What has another reason is not asked for once more as version 1."""
    store.on_list = always(answer)
    with pytest.raises(WatcherError, match=text):
        open_source(store, SPEC)
    assert {request.version for request in store.lists} == {2}


def test_a_store_that_knows_version_2_is_not_asked_for_the_other(
    store: Store, open_source: OpenSource
) -> None:
    """A refusal of one request, once version 2 was answered, is the error of this request."""
    source = open_source(store, SPEC)
    store.on_list = always(error(400, "InvalidArgument"))
    with pytest.raises(UnavailableError, match="InvalidArgument"):
        list(source.scan())
    assert {request.version for request in store.lists} == {2}


@pytest.mark.parametrize("dialect", [XML_V1, REFUSED, Dialect(has_tokens=False)])
@pytest.mark.parametrize("store", [StartAfter.IGNORED], indirect=True)
def test_a_circle_is_an_error(store: Store, open_source: OpenSource, dialect: Dialect) -> None:
    """A store that returns the same page again ends the scan after one further request."""
    store.dialect = dialect
    source = open_source(store, SPEC)
    before = len(store.lists)
    with pytest.raises(UnavailableError, match=r"in a circle.*'in/0009'"):
        list(source.scan())
    assert len(store.lists) - before == 2


def test_a_marker_that_leads_to_itself(store: Store, open_source: OpenSource) -> None:
    """A marker that does not advance is an error that names it."""
    store.dialect = replace(XML_V1, has_markers=True)
    source = open_source(store, SPEC)
    store.on_list = lambda request: (
        edited("<NextMarker>in/0019", "<NextMarker>in/0009")
        if request.query.get("marker") == "in/0009"
        else None
    )
    with pytest.raises(UnavailableError, match="the marker 'in/0009' leads to itself"):
        list(source.scan())


@pytest.mark.parametrize("order", [Order.TREE, Order.RANDOM])
@pytest.mark.parametrize("dialect", [XML_V1, Dialect(has_tokens=False)])
def test_without_order_the_last_key_does_not_lead_on(
    order: Order, dialect: Dialect, open_source: OpenSource
) -> None:
    """Where keys do not ascend, a page without token or marker is an error, and no end."""
    with run_store(order=order, start_after=StartAfter.IGNORED) as store:
        store.put_many("in/a/b", "in/a-b", "in/a/c", "in/a-c", "in/b/a", "in/b-a", "in/b/b")
        store.page_keys = 3
        store.dialect = dialect
        source = open_source(store, SPEC)
        for _ in range(3):
            with pytest.raises(UnavailableError, match=r"do not ascend|in a circle"):
                [batch.entries for batch in source.scan()]


@pytest.mark.parametrize("dialect", [REFUSED, XML_V1, Dialect(has_tokens=False)])
def test_parameters_go_with_either_version(
    store: Store, open_source: OpenSource, dialect: Dialect
) -> None:
    """Prefix, payer and encoding are sent, and each page begins where the one before ended."""
    store.put_many("in/z +%é", "in/zz")
    store.dialect = dialect
    source = open_source(store, replace(SPEC, request_payer=True))
    keys = [entry.path.decode() for batch in source.scan() for entry in batch.entries]
    assert keys == [*KEYS, "in/z +%é", "in/zz"]
    for request in store.lists:
        assert request.query["prefix"] == "in/"
        assert request.query["encoding-type"] == "url"
        assert request.headers["x-amz-request-payer"] == "requester"
