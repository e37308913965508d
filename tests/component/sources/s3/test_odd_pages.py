"""One object or field that cannot be read hides nothing else, and deletes nothing."""

import re
from dataclasses import replace
from http import HTTPStatus
from itertools import cycle

import pytest

from support.s3.dialects import Dialect
from support.s3.faults import Answer, Edit, Effect, Failing, Kind, always, edited
from support.s3.listing import OpenSource, paths, read
from support.s3.simulated import BUCKET, Store
from support.s3.watched import KEYS, Begin, Watched
from watcher.errors import UnavailableError
from watcher.spec import BucketSpec

SPEC = BucketSpec(BUCKET, "in/")
ODD = {
    "time": ("<LastModified>20", "<LastModified>yesterday 20", True),
    "empty time": ("<LastModified>[^<]*", "<LastModified>", True),
    "no time": ("<LastModified>[^<]*</LastModified>", "", True),
    "size": ("<Size>1", "<Size>many", True),
    "negative size": ("<Size>1", "<Size>-1", True),
    "no size": ("<Size>1</Size>", "", True),
    "control character in the etag": ("<ETag>", "<ETag>\x01", True),
    "control character": ("</Key>", "\x01</Key>", False),
    "reference to a control character": ("</Key>", "&#x1;</Key>", False),
    "invalid UTF-8": ("</Key>", "%FF</Key>", False),
    "replacement character": ("</Key>", "\N{REPLACEMENT CHARACTER}</Key>", False),
    "no key": ("<Key>[^<]*</Key>", "", False),
    "empty key": ("<Key>[^<]*", "<Key>", False),
}
"""Pattern in an object, what stands there instead, and whether its key can still be read."""
LONG_PAGE_KEYS = len(KEYS) // 2
PLACES = {"first": 0, "end of a page": LONG_PAGE_KEYS - 1, "middle": 54, "last": len(KEYS) - 1}


def odd_object(key: str, pattern: str, replacement: str) -> Edit:
    """Return what makes one object of a listing odd, on whatever page it is."""

    def edit(answer: Answer) -> Answer:
        start = answer.body.find(f"<Contents><Key>{key}<".encode())
        if start < 0:
            return answer
        end = answer.body.index(b"</Contents>", start)
        row = re.sub(pattern.encode(), replacement.encode(), answer.body[start:end])
        assert row != answer.body[start:end]
        return replace(answer, body=answer.body[:start] + row + answer.body[end:])

    return edit


def is_set_aside(watched: Watched) -> bool:
    return "cannot be read and is set aside" in watched.source.degraded


CASES = [
    pytest.param(*odd, PLACES[place], id=f"{name}, {place}")
    for (name, odd), place in zip(ODD.items(), cycle(PLACES), strict=False)
]


@pytest.mark.sampled
@pytest.mark.parametrize(("old", "new", "has_key", "place"), CASES)
def test_one_odd_object(  # noqa: PLR0913 - the table
    store: Store, begin: Begin, old: str, new: str, place: int, *, has_key: bool
) -> None:
    """It is counted, named and kept; all others go on; and it is compared again once it reads."""
    store.page_keys = LONG_PAGE_KEYS
    watched, odd = begin(), KEYS[place]
    others = [key for key in KEYS if key != odd]
    store.on_list = always(odd_object(odd, old, new))
    store.on_head = always(Answer(status=HTTPStatus.NOT_FOUND))
    store.put_many("in/0060-new", others[70], odd)
    watched.scan()
    expected = [("created", "in/0060-new"), ("modified", others[70])]
    assert watched.reported == expected
    assert watched.source.degraded.startswith("1 object cannot be read and is set aside, such as ")
    assert odd in watched.source.degraded or "key" in old.lower()
    assert watched.entries == len(KEYS) + 1
    # An unchanged listing is read again as far as that, and says the same.
    watched.scan()
    assert (watched.reported, is_set_aside(watched)) == (expected, True)
    # A deletion elsewhere is reported.
    gone = others[5]
    store.delete(gone)
    watched.scan()
    expected = sorted([*expected, ("deleted", gone)])
    assert (watched.reported, is_set_aside(watched)) == (expected, True)
    # The object itself may go while it is odd or after.
    store.on_list = store.on_head = None
    watched.scan()
    assert watched.reported == sorted([*expected, ("modified", odd)])
    assert watched.source.degraded == ""
    assert has_key or watched.entries == len(store.keys)
    store.delete(odd)
    watched.scan()
    assert watched.reported == sorted([*expected, ("modified", odd), ("deleted", odd)])


def test_a_new_object_that_is_odd_is_created_once_it_reads(store: Store, begin: Begin) -> None:
    """An object without a row is reported when it can be read, as it is then."""
    watched = begin()
    store.put("in/new")
    store.on_list = always(odd_object("in/new", "<Size>1", "<Size>x"))
    watched.scan()
    assert (watched.reported, is_set_aside(watched)) == ([], True)
    store.on_list = None
    watched.scan()
    assert (watched.reported, watched.source.degraded) == ([("created", "in/new")], "")


@pytest.mark.parametrize(
    ("old", "new"),
    [("<Size>1<", "<Size><"), ("<Key>in/", "<Key>in/%FF")],
    ids=["all sizes", "all keys"],
)
def test_all_objects_odd(store: Store, begin: Begin, old: str, new: str) -> None:
    """Where no object can be read, all are kept, also when most of them seem to be gone."""
    watched = begin()
    store.on_list = always(edited(old, new))
    store.on_head = always(Answer(status=HTTPStatus.NOT_FOUND))
    for _ in range(3):
        watched.scan()
    count = f"{len(KEYS)} objects cannot be read and are set aside"
    assert watched.source.degraded.startswith(count)
    assert (watched.reported, watched.entries) == ([], len(KEYS))
    store.on_list = store.on_head = None
    watched.scan()
    assert (watched.reported, watched.source.degraded) == ([], "")


def test_an_odd_object_outside_of_the_filter_is_of_no_interest(
    store: Store, open_source: OpenSource
) -> None:
    """It is one odd object for a watch of all keys; a probe of the bucket does not mind it."""
    store.on_list = always(odd_object(KEYS[0], "<Size>1", "<Size>x"))
    source = open_source(store, SPEC)
    assert paths(read(source)) == [key.encode() for key in KEYS[1:]]
    assert KEYS[0] in source.degraded


ACCEPTED = {
    "no name": Dialect(without=frozenset({"Name"})),
    "no prefix": Dialect(without=frozenset({"Prefix"})),
    "neither name nor prefix": Dialect(without=frozenset({"Name", "Prefix"})),
    "no count": Dialect(without=frozenset({"KeyCount"})),
    "no maximum": Dialect(without=frozenset({"MaxKeys"})),
    "no IsTruncated": Dialect(without=frozenset({"IsTruncated"})),
    "True": Dialect(true="True"),
    "TRUE with spaces": Dialect(true=" TRUE\n"),
    "no namespace": Dialect(root="<ListBucketResult"),
    "another namespace": Dialect(root='<ListBucketResult xmlns="urn:other"'),
    "a namespace with a prefix": Dialect(root='<x:ListBucketResult xmlns:x="urn:x"'),
    "plain and not named": Dialect(is_encoded=False, names_encoding=False),
    "plain and named": Dialect(is_encoded=False, names_encoding=True),
    "encoded and not named": Dialect(is_encoded=True, names_encoding=False),
}
SPECIAL = ["in/a b", "in/a+b", "in/a%20b", "in/100%", "in/é", "in/x&y", "in/<z>"]


ENCODINGS = [name for name in ACCEPTED if "named" in name]
ACCEPTED_CASES = [
    *((name, SPECIAL) for name in ACCEPTED),
    *((name, [key]) for name in ENCODINGS for key in ("in/a+b", "in/a%20b")),
]


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "special"), ACCEPTED_CASES)
def test_pages_that_are_accepted(store: Store, begin: Begin, name: str, special: list[str]) -> None:
    """Fields that are missing or written otherwise, and either encoding, make no difference."""
    store.put_many(*special)
    store.dialect, store.page_keys = ACCEPTED[name], LONG_PAGE_KEYS
    watched = begin()
    store.put_many("in/new", "in/new +%é")
    store.delete(KEYS[3], *special[:1])
    watched.scan()
    expected = [("created", "in/new"), ("created", "in/new +%é"), ("deleted", KEYS[3])]
    expected += [("deleted", key) for key in special[:1]]
    assert watched.reported == sorted(expected)
    assert (watched.source.degraded, watched.entries) == ("", len(store.keys))


@pytest.mark.sampled
@pytest.mark.parametrize("special", [SPECIAL, ["in/a+b"], ["in/a%20b"]])
@pytest.mark.parametrize(
    ("is_encoded", "names_encoding"), [(False, False), (False, True), (True, False), (True, True)]
)
def test_an_encoding_that_only_the_page_can_show(
    store: Store,
    open_source: OpenSource,
    special: list[str],
    *,
    is_encoded: bool,
    names_encoding: bool,
) -> None:
    """Where HEAD is refused, keys are read right or set aside, never as other keys.

    But a page that says it is encoded, and looks like it, is believed.
    """
    store.put_many(*special)
    store.dialect = Dialect(is_encoded=is_encoded, names_encoding=names_encoding)
    store.on_head = always(Answer(status=HTTPStatus.FORBIDDEN))
    store.page_keys = 1000
    source = open_source(store, SPEC)
    wrong = set(paths(read(source))) - {key.encode() for key in store.keys}
    is_believed = names_encoding and not is_encoded and len(special) == 1
    assert bool(wrong) is is_believed
    assert not is_encoded or not names_encoding or not source.degraded


def test_the_encoding_is_asked_for_once(store: Store, begin: Begin) -> None:
    """HEAD decides about the encoding in the first listing, and is not asked again."""
    store.put_many("in/a+b", "in/z+b")
    watched = begin()
    watched.scan()
    # The key that is asked for to learn of refusals is longer.
    heads = [request.key for request in store.log if request.kind is Kind.HEAD]
    assert [key for key in heads if len(key) < len("in/0123456789")] == ["in/a%2Bb", "in/a+b"]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (edited("<Name>store<", "<Name>other<"), "a page of bucket 'other'"),
        (edited("<Prefix>in/<", "<Prefix>out/<"), "a page of prefix 'out/'"),
        (edited("<Key>in/", "<Key>out/"), "not asked for: b'out/"),
        (edited("ListBucketResult", "ListAllMyBucketsResult"), "of the kind 'ListAllMyBuckets"),
        (Answer(b"<ListBucketResult></ListBucketResult>"), "names neither bucket nor prefix"),
        (
            edited('encoding="UTF-8"', 'encoding="ISO-8859-1"'),
            "not XML in UTF-8, as it declares",
        ),
    ],
)
def test_pages_that_are_refused(store: Store, begin: Begin, effect: Effect, text: str) -> None:
    """A page that cannot be this bucket's is an error that says so, and no event."""
    watched = begin()
    store.on_list = Failing(effect)
    with pytest.raises(UnavailableError, match=text):
        watched.scan()
    assert (watched.reported, watched.entries) == ([], len(KEYS))
