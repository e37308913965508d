"""Lists a bucket in parts on stores where that cannot be done, or not to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from component.sources.s3.faults.watched import (
    KEYS,
    PAGE_KEYS,
    Watched,
    begins_listing,
    begins_part,
    hit,
    lists,
)
from support.s3.faults import Fault
from support.s3.pages import StartAfter
from watcher.errors import UnavailableError
from watcher.sources.s3.strategy import MAX_FAILURES

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from component.sources.s3.faults.watched import Begin
    from support.s3.simulated import Store as Bucket


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault.ENDLESS, "runs in a circle"),
        (Fault.REPEATED_TOKEN, "runs in a circle"),
        (Fault.NO_TOKEN, "has no token for the next"),
    ],
)
def test_parts_that_do_not_end(fault: Fault, text: str, store: Bucket, begin: Begin) -> None:
    """A part whose pages lead nowhere, or back, ends soon and with an error that says so; no fewer keys are believed for it."""
    watched = begin()
    hit(store, fault, lambda question: not begins_listing(question))
    with pytest.raises(UnavailableError, match=text):
        watched.scan()
    assert any(map(begins_part, watched.asked))
    assert len(watched.asked) < 5 * len(KEYS) / PAGE_KEYS
    assert (watched.told, watched.entries) == ([], len(KEYS))


# StartAfter


def assert_read_in_one_chain(
    watched: Watched, log: list[MutableMapping[str, Any]], text: str
) -> None:
    """Check that the last scan turned to one chain of pages, and said why."""
    assert [(line["event"], text in line["reason"]) for line in log] == [
        ("scan.in_one_chain", True)
    ]
    assert any(map(begins_part, watched.asked))
    assert sum(map(begins_listing, watched.asked)) == 2


@pytest.mark.parametrize("store", [StartAfter.REJECTED], indirect=True)
def test_start_after_is_rejected(store: Bucket, begin: Begin) -> None:
    """A store that does not take StartAfter is read in one chain, at once and with a warning; soon it is not tried any more."""
    watched = begin()
    for number in range(MAX_FAILURES):
        store.put(f"in/{number}-new")
        with capture_logs() as log:
            watched.scan()
        assert_read_in_one_chain(watched, log, "StartAfter is not supported")
    with capture_logs() as log:
        watched.scan()
    assert not any(map(begins_part, watched.asked))
    assert (log, watched.told) == (
        [],
        [("created", f"in/{number}-new") for number in range(MAX_FAILURES)],
    )


@pytest.mark.usefixtures("_once")
def test_start_after_fails(store: Bucket, begin: Begin) -> None:
    """Where only requests with StartAfter fail, the listing is read in one chain, and told exactly."""
    watched = begin()
    hit(store, Fault.INTERNAL_ERROR, begins_part)
    store.put("in/new")
    store.delete("in/0100")
    with capture_logs() as log:
        watched.scan()
    assert_read_in_one_chain(watched, log, "StartAfter is not answered")
    assert watched.told == [("created", "in/new"), ("deleted", "in/0100")]


@pytest.mark.parametrize("store", [StartAfter.WRONG, StartAfter.IGNORED], indirect=True)
def test_start_after_is_not_what_it_should_be(store: Bucket, begin: Begin) -> None:
    """A store that begins elsewhere than after StartAfter is noticed: every key is met all the same, and what is told happened."""
    store.delete(*KEYS)
    # As a tree, `07/` comes before `07-a/`: who begins behind the end of that passes over the first, which is next by bytes.
    # A batch has ten keys, and with two ahead each ends there.
    names = [
        f"in/{number:02}{tail}"
        for number in range(12)
        for tail in (*(f"-a/{file}" for file in range(8)), "/0", "/1")
    ]
    names += ["in/!0", "in/!1"]
    store.put_many(*names)
    watched = begin()
    for number in range(MAX_FAILURES):
        assert set(watched.list_keys()) == set(names)
        store.put(f"in/{number}-new")
        store.delete(names.pop(3))
        watched.scan()
        names.append(f"in/{number}-new")
    assert any("start-after=" in request.target for request in lists(store))
    created = [("created", f"in/{number}-new") for number in range(MAX_FAILURES)]
    assert watched.told == [
        *created,
        *(("deleted", name) for name in ("in/00-a/3", "in/00-a/4", "in/00-a/5")),
    ]
    assert watched.entries == len(store.keys)
