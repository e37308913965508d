"""HEAD and LIST write the same object differently: neither after the other is a change."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from support.s3.faults import Answer, Request
from support.s3.simulated import Store
from support.s3.watched import KEYS, Begin
from watcher.spec import HintKind, Notifications

NEW, OLD = "in/0042-new", KEYS[42]
WEBHOOK = Notifications(HintKind.WEBHOOK)
MTIME_NS = 1_760_000_000_123_456_000

Edit = Callable[[Answer], Answer]


def listed(pattern: str, text: str) -> Edit:
    """Return what rewrites a listing."""
    return lambda answer: replace(answer, body=re.sub(pattern.encode(), text.encode(), answer.body))


def headed(**headers: str | None) -> Edit:
    """Return what sets headers of the answer to HEAD, or removes those that are None."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def edit(answer: Answer) -> Answer:
        merged = {**answer.headers, **named}
        return replace(
            answer, headers={name: value for name, value in merged.items() if value is not None}
        )

    return edit


def in_time_zone(zone: str) -> Edit:
    """Return what writes the time of HEAD otherwise."""

    def edit(answer: Answer) -> Answer:
        time = answer.headers["Last-Modified"]
        return headed(Last_Modified=time.replace("GMT", zone))(answer)

    return edit


PAIRS: dict[str, tuple[Edit | None, Edit | None]] = {
    "seconds and milliseconds": (None, None),
    "microseconds": (listed(r"\.\d+Z", ".123456Z"), None),
    "nanoseconds": (listed(r"\.\d+Z", ".123456789Z"), None),
    "whole seconds": (listed(r"\.\d+Z", "Z"), None),
    "an offset": (listed(r"\.\d+Z", ".123+00:00"), None),
    "+0000": (None, in_time_zone("+0000")),
    "UTC": (None, in_time_zone("UTC")),
    "plain etags in LIST": (listed("&quot;", ""), None),
    "plain etags in HEAD": (
        None,
        lambda answer: headed(ETag=answer.headers["ETag"].strip('"'))(answer),
    ),
    "no storage class in LIST": (listed("<StorageClass>.*?</StorageClass>", ""), None),
    "a storage class in HEAD": (None, headed(x_amz_storage_class="STANDARD")),
}


@pytest.mark.sampled
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
@pytest.mark.parametrize("etag", [None, "0123456789abcdef0123456789abcdef-12"])
def test_an_object_is_reported_once_however_it_is_met_next(
    pair: tuple[Edit | None, Edit | None], etag: str | None, store: Store, begin: Begin
) -> None:
    """First by HEAD, then by LIST, and the reverse; also the object of a multipart upload."""
    in_list, in_head = pair

    def edit_list(_: Request) -> Edit | None:
        return in_list

    def edit_head(request: Request) -> Edit | None:
        return in_head if store.get(request.key) else None

    store.on_list, store.on_head = edit_list, edit_head
    store.put(OLD, etag=etag and f"old{etag}", mtime_ns=MTIME_NS)
    watched = begin(notifications=WEBHOOK)
    store.put(NEW, etag=etag, mtime_ns=MTIME_NS)
    watched.hint(NEW, OLD)
    assert watched.reported == [("created", NEW)]
    watched.scan()
    watched.hint(NEW, OLD)
    watched.scan()
    assert watched.reported == [("created", NEW)]
