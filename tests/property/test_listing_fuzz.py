"""Whatever a store answers becomes a complete page, an entry, or an error of the watcher."""

from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.s3.faults import Answer, always
from support.s3.fixtures import aws_environment
from support.s3.keys import ObjectTable, Order
from support.s3.listing import make_source
from support.s3.pages import Question, StartAfter, list_page, render
from support.s3.simulated import run_store
from support.s3.watched import Watched
from support.state import open_store
from watcher.errors import UnavailableError
from watcher.model import Entry
from watcher.sources.s3 import client
from watcher.sources.s3.envelopes import is_failure
from watcher.sources.s3.pages import read_head, read_page
from watcher.spec import BucketSpec

__all__ = ["aws_environment"]

SPEC = BucketSpec("landing", prefix="in/")
KEYS = ["in/a b.csv", "in/é", "in/deep/er/x&y", "in/100%", "in/z"]
LAST_MODIFIED = "Mon, 23 Nov 2026 12:00:00 GMT"
DEPTH = 100_000
NAMESPACE = b'<x:ListBucketResult xmlns:x="urn:x">'
HEAD = b"<Name>landing</Name><Prefix>in/</Prefix><IsTruncated>false</IsTruncated>"
TOKENS = [
    *(b"<", b">", b"</", b"/>", b"<Contents>", b"</Contents>", b"</Contents><Contents>", b"<Key>"),
    *(b"</Key>", b"<Key/>", b"in/", b"%", b"%ff", b"&e;", b"&#0;", b"&#xD800;", b"<![CDATA["),
    *(b"]]>", b"<?x?>", b"<!--", b"-->", b"\0", b"\xff", b"<!DOCTYPE x [<!ENTITY e 'eeee'>]>"),
    *(b"<IsTruncated>true</IsTruncated>", b"<NextContinuationToken/>", b" encoding='utf-16'"),
    *(b" encoding='idna'", b'xmlns="x"', b"9" * 30, b"<ListBucketResult>", b"</ListBucketResult>"),
    *(b"<Error>", b"<EncodingType>url</EncodingType>", b"<CommonPrefixes><Prefix>x</Prefix>"),
]


def real_page(question: Question) -> bytes:
    """Return a page as a store renders it."""
    table = ObjectTable(Order.AWS)
    for key in KEYS:
        table.put(key, 5, "abc", 1_795_435_200_000_000_000, "STANDARD")
    page = list_page(table, question, StartAfter.RIGHT)
    return render(page, SPEC.bucket, question, None).encode()


WATCHED_KEYS = [*KEYS, *(f"in/n{number}" for number in range(10))]
SLICES = st.tuples(
    st.floats(0, 1), st.integers(0, 40), st.sampled_from([b"", *TOKENS]) | st.binary(max_size=4)
)
"""Places in a page, with the number of bytes that are replaced, and by what."""
ENCODED = Question(prefix="in/", is_url=True)
PAGES = [
    real_page(ENCODED),
    real_page(Question(prefix="in/")),
    real_page(replace(ENCODED, max_keys=2)),
    real_page(replace(ENCODED, delimiter="/")),
    real_page(ENCODED).replace(b"<Contents>", b'<Contents xmlns="urn:x">'),
]


def entries(body: bytes) -> list[Entry] | None:
    """Return the entries of a page, or None where it is refused; nothing else may be raised."""
    try:
        page = read_page(body, SPEC)
        found, odd = page.reader.read(page.objects)
    except UnavailableError as error:
        line = str(error)
        assert line.startswith(f"{SPEC.place}: the listing cannot be trusted: ")
        return None
    for entry in found:
        assert entry.path.startswith(b"in/")
        assert entry.path.decode()
        assert entry.size >= 0
    assert all(prefix.startswith("in/") for prefix in page.prefixes)
    assert all(each.problem and (not each.key or each.key.startswith(b"in/")) for each in odd)
    texts = [*(entry.path.decode() + entry.etag for entry in found), *page.prefixes]
    assert sum(map(len, texts)) <= len(body)
    return found


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real page in which some slices were cut out, doubled or replaced."""
    body = draw(st.sampled_from(PAGES))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 40)))
        pieces = st.sampled_from([b"", body[start:end] * 2, *TOKENS]) | st.binary(max_size=4)
        body = body[:start] + draw(pieces) + body[end:]
    return body


def growing() -> bytes:
    """Return a page with a key of nested entities, ten thousand characters when expanded."""
    declared = "".join(
        f"<!ENTITY {name} '{other * 10}'>"
        for name, other in (("a", "x"), ("b", "&a;"), ("c", "&b;"), ("d", "&c;"))
    )
    page = PAGES[1].replace(b"in/z", b"in/&d;").replace(b"Contents>", b"Contents >")
    head = f"<!DOCTYPE ListBucketResult [{declared}]>"
    return head.encode() + page.partition(b"?>")[2]


def nested(before: bytes, after: bytes) -> bytes:
    """Return a page with something that is nested very deep."""
    inner = before + b"<a>" * DEPTH + b"</a>" * DEPTH + after
    return NAMESPACE + HEAD + inner + b"</x:ListBucketResult>"


@settings(max_examples=examples(300))
@given(damaged())
@example(nested(b"", b""))
@example(nested(b"<Contents>", b"</Contents>"))
@example(nested(b"<Contents a='1'>", b"</Contents>"))
@example(growing())
@example(growing().decode().encode("utf-16"))
def test_damaged_pages_are_read_or_refused(body: bytes) -> None:
    """A damaged page is refused with one error, or read; nothing is read that is not there."""
    entries(body)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(TOKENS), max_size=30).map(b"".join))
def test_any_bytes_are_refused(body: bytes) -> None:
    """Other bytes are never taken for a page, nor for a bucket without keys."""
    assert entries(body) is None
    is_failure(body)


@pytest.mark.parametrize("body", PAGES)
def test_a_page_counts_only_when_it_is_whole(body: bytes) -> None:
    """A page is believed in full, and cut off anywhere before its end not at all."""
    assert entries(body)
    assert [end for end in range(len(body)) if entries(body[:end]) is not None] == []


def test_damaged_pages_delete_nothing(tmp_path: Path, aws_environment: pytest.MonkeyPatch) -> None:
    """However a page is damaged, no key that is there is reported as deleted."""
    aws_environment.setattr(client, "ATTEMPTS", 1)
    with run_store() as store, closing(open_store(tmp_path / "state.db")) as state:
        for name, value in store.environment().items():
            aws_environment.setenv(name, value)
        store.put_many(*WATCHED_KEYS)
        store.page_keys = len(WATCHED_KEYS) // 2 + 1
        spec = BucketSpec(store.bucket, "in/", endpoint_url=store.endpoint_url)
        with closing(make_source(spec)) as source:
            source.open(lambda: None)
            watched = Watched(store, source, state)

            @settings(max_examples=examples(60), deadline=None)
            @given(st.lists(SLICES, min_size=1, max_size=4))
            def damage(slices: list[tuple[float, int, bytes]]) -> None:
                store.on_list = always(partial(damaged_answer, slices))
                with suppress(UnavailableError):
                    watched.scan()
                store.on_list = None
                watched.scan()
                assert (watched.entries, source.degraded) == (len(WATCHED_KEYS), "")
                deleted = {path for type_, path in watched.reported if type_ == "deleted"}
                assert not deleted & set(WATCHED_KEYS)

            damage()


def damaged_answer(slices: list[tuple[float, int, bytes]], answer: Answer) -> Answer:
    """Return an answer in which slices, each given by place, length and text, are replaced."""
    body = answer.body
    for place, length, piece in slices:
        start = int(place * len(body))
        body = body[:start] + piece + body[start + length :]
    return replace(answer, body=body)


DATES = [
    *("Mon", ",", " ", "23", "Nov", "2026", "12:00:00", "GMT", "+9999", "-0000", "9" * 20, ":"),
    *("-", "("),
]
header_dates = st.lists(st.sampled_from(DATES) | st.text(max_size=3), max_size=8).map("".join)


@settings(max_examples=examples(300))
@given(modified=header_dates, size=st.integers(-(2**64), 2**64), etag=st.text(max_size=8))
@example(modified=LAST_MODIFIED, size=-1, etag="")
@example(modified=LAST_MODIFIED, size=10**18, etag="")
@example(modified=LAST_MODIFIED, size=2**63, etag="")
@example(modified=LAST_MODIFIED.replace("2026", "9" * 20), size=1, etag="")
@example(modified=LAST_MODIFIED.replace("GMT", "+" + "9" * 20), size=1, etag="")
def test_any_headers_are_read_or_refused(modified: str, size: int, etag: str) -> None:
    """Any headers of HEAD become an entry of that key, or the error that they cannot be read."""
    headers = {"ContentLength": size, "LastModified": modified, "ETag": etag}
    try:
        entry = read_head(b"in/a", headers, SPEC)
    except UnavailableError as error:
        line = str(error)
        assert "unreadable headers" in line
    else:
        assert (entry.path, entry.size) == (b"in/a", size)
        assert 0 <= size < 2**63
        assert -(2**63) <= entry.mtime_ns < 2**63
