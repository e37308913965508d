"""Lets a store fail in the middle of a listing: the listing goes on or is not believed, no deletion is invented, and no change is lost."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pytest
from structlog.testing import capture_logs

from s3_store import Kind, run_store
from s3_store_faults import RETRY_AFTER_S, Fault, always
from s3_store_pages import StartAfter
from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.model import ChangeType
from watcher.outbox import Outbox
from watcher.patterns import PathFilter
from watcher.reconciler import Reconciler
from watcher.sources import bucket, s3_answers, s3_client, s3_objects, s3_scan
from watcher.sources.bucket import BucketSource
from watcher.sources.s3_plan import AUTO_WORKERS, STRIKES
from watcher.spec import BucketSpec, Filter, Spec
from watcher.store import Store
from watcher.tracker import Appearance, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping
    from pathlib import Path
    from typing import Any, TypeAlias

    from mypy_boto3_s3 import S3Client

    from s3_store import Request
    from s3_store import Store as Bucket
    from s3_store_keys import StoredObject

    Question: TypeAlias = dict[str, str]
    IsMeant: TypeAlias = Callable[[Question], bool]
    Begin: TypeAlias = "Callable[..., Watched]"

PAGE_KEYS = 10
KEYS = [f"in/{number:04}" for number in range(12 * PAGE_KEYS)]
"""So many pages that a listing is read in parts."""
AT_ONCE = 4
"""So many requests a scan begins with, however busy the machine is."""
DEADLINE_S = 10.0
MANY = 10_000
CONFIRMED_KEYS = 10
"""So few keys are asked for one by one, among so few."""
SOME = KEYS[-40:-5]
"""More keys than are asked for one by one, and less than half of all."""


class Watched:
    """A bucket that is watched, listing by listing, and what is told of it.

    Args:
        store: The bucket.
        source: Reads it; open.
        state: Where the index is.
    """

    def __init__(self, store: Bucket, source: BucketSource, state: Store) -> None:
        self._store = store
        self.source = source
        self._state = state
        spec = Spec(BucketSpec(store.bucket, "in/", endpoint_url=store.endpoint_url))
        outbox = Outbox(spec, state, time_ns=lambda: 0, clock=lambda: 0.0, committed=lambda: None)
        tracker = Tracker(frozenset(ChangeType), state.new_row)
        self._reconciler = Reconciler(source, state, tracker, outbox, lambda _count: None)
        self._since = 0
        tracker.appearance = lambda _path: Appearance.ADOPTED
        self._reconciler.scan(is_baseline=True)
        tracker.appearance = lambda _path: Appearance.NEW

    def scan(self) -> None:
        """List the bucket once and compare it with the index."""
        self._since = len(questions(self._store))
        self.source._throttle._wanted = AT_ONCE
        self._reconciler.scan(is_baseline=False)

    def list_keys(self) -> list[str]:
        """List the bucket once and return all keys, sorted, each as often as it is met."""
        self._since = len(questions(self._store))
        self.source._throttle._wanted = AT_ONCE
        return sorted(entry.path.decode() for batch in self.source.scan() for entry in batch.entries)

    @property
    def told(self) -> list[tuple[str, str]]:
        """The changes so far, sorted: type and key."""
        events = [json.loads(payload.data) for payload in self._state.read(0, limit=10_000, max_bytes=1 << 30)]
        return sorted((event["type"], event["path"]) for event in events)

    @property
    def entries(self) -> int:
        """How many keys the index has."""
        return self._state.entries

    @property
    def asked(self) -> list[Question]:
        """The questions of the last scan."""
        return questions(self._store)[self._since :]


def questions(store: Bucket) -> list[Question]:
    """Return the queries of all LIST requests so far, in order."""
    return [read_query(request) for request in lists(store)]


def read_query(request: Request) -> Question:
    """Return what a request asks."""
    return dict(parse_qsl(request.target.partition("?")[2]))


def lists(store: Bucket) -> list[Request]:
    """Return all LIST requests so far, in order."""
    return [request for request in list(store.log) if request.kind is Kind.LIST]


def begins_listing(question: Question) -> bool:
    """Tell whether a listing, or its first part, begins with this question."""
    return not {"start-after", "continuation-token"} & question.keys()


def begins_part(question: Question) -> bool:
    """Tell whether a further part of a listing begins with this question."""
    return "start-after" in question


def continues(question: Question) -> bool:
    """Tell whether this question is for another page than the first of a part."""
    return "continuation-token" in question


def hit(store: Bucket, fault: Fault, is_meant: IsMeant, most: int = MANY) -> list[Question]:
    """Let requests fail from now on.

    Args:
        store: Where.
        fault: How.
        is_meant: Which.
        most: How many of them.

    Returns:
        Those that did; more are added.
    """
    done: list[Question] = []
    lock = threading.Lock()

    def choose(number: int) -> Fault | None:
        question = read_query(lists(store)[number - 1])
        with lock:
            if len(done) < most and is_meant(question):
                done.append(question)
                return fault
        return None

    store.before_page = choose
    return done


def restore(store: Bucket, objects: Mapping[str, StoredObject | None]) -> None:
    """Put objects that were deleted, as they were."""
    for key, found in objects.items():
        assert found is not None
        store.put(key, size=found.size, etag=found.etag, mtime_ns=found.mtime_ns)


def wait_until(is_met: Callable[[], bool], what: str) -> None:
    """Return when a condition is met that nobody signals; fail at the deadline."""
    patience = threading.Event()
    end_s = time.monotonic() + DEADLINE_S
    while not is_met():
        assert time.monotonic() < end_s, f"waited {DEADLINE_S} s until {what}"
        patience.wait(0.01)


def threads(name: str) -> list[threading.Thread]:
    """Return the threads in whose name this stands."""
    return [thread for thread in threading.enumerate() if name in thread.name]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """Run a store with enough keys for parts; the parameter says what it makes of StartAfter."""
    with run_store(start_after=getattr(request, "param", None)) as store:
        store.put_many(*KEYS)
        yield store


@pytest.fixture
def credentials(tmp_path: Path, aws_environment: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Return what writes an access key into the shared file, where one is already."""
    aws_environment.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def write(access_key: str) -> None:
        (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = secret\n")

    write("FIRST")
    return write


@pytest.fixture
def begin(store: Bucket, credentials: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Return what begins to watch the store; its pages and batches are small, and what is listed next is listed in parts."""
    assert credentials
    monkeypatch.setattr(bucket, "BATCH_ENTRIES", PAGE_KEYS)
    for module in (bucket, s3_scan):
        monkeypatch.setattr(module, "CONFIRMED_KEYS", CONFIRMED_KEYS)
    monkeypatch.setattr(s3_objects, "LEAST_OBJECTS", PAGE_KEYS // 2)
    monkeypatch.setattr(s3_objects, "MOST_OBJECTS", PAGE_KEYS)
    state = Store(tmp_path / "state.db")
    sources: list[BucketSource] = []

    def begin_it(*, workers: int | None = None) -> Watched:
        spec = BucketSpec(store.bucket, "in/", endpoint_url=store.endpoint_url, list_workers=workers)
        sources.append(BucketSource(spec, PathFilter(Filter()), should_stop=lambda: False))
        sources[-1].open(lambda: None)
        return Watched(store, sources[-1], state)

    state._db.execute("PRAGMA synchronous = OFF")
    with closing(state):
        yield begin_it
        for source in sources:
            source.close()


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests sent once, so that each fault counts."""
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)


# Any fault, anywhere


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.TRICKLE])
def test_a_fault_in_a_listing_in_parts(fault: Fault, store: Bucket, begin: Begin) -> None:
    """Whatever goes wrong with any page of a part, nothing is told but what happened; once the store is well again all of it is, once."""
    watched = begin()
    changes: set[tuple[str, str]] = set()
    for number, (is_meant, most) in enumerate([(begins_part, MANY), (continues, 1), (continues, MANY)]):
        created, modified, deleted = f"in/{number}-new", KEYS[50 + number], KEYS[90 + number]
        store.put_many(created, modified)
        store.delete(deleted)
        changes |= {("created", created), ("modified", modified), ("deleted", deleted)}
        hits = hit(store, fault, is_meant, most)
        with suppress(WatcherError):
            watched.scan()
        assert hits
        # A store that asked for less in the last round is asked for one page at a time in this one.
        assert fault is Fault.SLOW_DOWN or any(map(begins_part, watched.asked))
        assert set(watched.told) <= changes
        store.before_page = None
        watched.scan()
        assert watched.told == sorted(changes)
    assert watched.entries == len(store.keys)


def test_passing_faults_are_overcome(store: Bucket, begin: Begin) -> None:
    """Where pages fail once, each in another way, the listing goes on: it is complete, in parts, and each page is asked for once more."""
    watched = begin()
    former = len(lists(store))
    faults = [Fault.INTERNAL_ERROR, Fault.RESET, Fault.ERROR_IN_200, Fault.CUT_BODY, Fault.TORN_XML]
    failed: list[str] = []
    lock = threading.Lock()

    def fail_once(number: int) -> Fault | None:
        target = lists(store)[number - 1].target
        with lock:
            if target in failed or len(failed) == len(faults):
                return None
            failed.append(target)
            return faults[len(failed) - 1]

    store.before_page = fail_once
    store.put("in/new")
    with capture_logs() as log:
        watched.scan()
    assert (watched.told, log) == ([("created", "in/new")], [])
    assert any(map(begins_part, watched.asked))
    times = Counter(request.target for request in lists(store)[former:])
    assert [times[target] for target in failed] == [2] * len(faults)


# Servers that are slow, or ask for less


@pytest.mark.usefixtures("_once")
def test_a_trickle_is_left(store: Bucket, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that trickle for ever are left when their time is over: the scan ends with an error, and no connection or thread stays."""
    watched = begin()
    monkeypatch.setattr(s3_answers, "ANSWER_TIMEOUT_S", 0.3)
    store.trickle_bytes_per_s = 10
    store.before_page = always(Fault.TRICKLE)
    start_s = time.monotonic()
    with pytest.raises(UnavailableError, match="does not answer in time"):
        watched.scan()
    assert time.monotonic() - start_s < 5
    assert len(watched.asked) <= AT_ONCE + 1
    wait_until(lambda: not threads("s3 worker"), "no thread reads any more")
    # What is not in use is closed with the source; what a trickle comes through would stay open for minutes.
    watched.source.close()
    wait_until(lambda: not threads("process_request"), "no connection is open")
    assert watched.told == []


@pytest.mark.usefixtures("_once")
def test_a_slow_answer_is_waited_for(store: Bucket, begin: Begin) -> None:
    """An answer that takes long, but arrives in time, is taken."""
    watched = begin()
    store.trickle_bytes_per_s = 20_000
    store.put("in/new")
    slow = hit(store, Fault.TRICKLE, begins_part, 2)
    watched.scan()
    assert len(slow) == 2
    assert sum(map(begins_listing, watched.asked)) == 1
    assert watched.told == [("created", "in/new")]


def test_a_store_that_asks_for_less_gets_less(store: Bucket, begin: Begin) -> None:
    """After a 503 with Retry-After nothing is asked before that time is over, and then less at once; the listing goes on where it was."""
    store.put_many(*(f"in/more/{number:03}" for number in range(20 * PAGE_KEYS)))
    watched = begin()
    times_s: dict[int, float] = {}
    allowed: dict[int, int] = {}
    lock = threading.Lock()

    def refuse_one(number: int) -> Fault | None:
        with lock:
            times_s[number] = time.monotonic()
            allowed[number] = watched.source._throttle._allowed
            if refused or not begins_part(read_query(lists(store)[number - 1])):
                return None
            refused.append(number)
            return Fault.SLOW_DOWN

    refused: list[int] = []
    store.put("in/new")
    store.before_page = refuse_one
    watched.scan()
    again_s = times_s[refused[0]] + RETRY_AFTER_S
    targets = [request.target for request in lists(store)]
    first, retry = (number for number in times_s if targets[number - 1] == targets[refused[0] - 1])
    assert (first, times_s[retry] >= again_s) == (refused[0], True)
    # Meanwhile arrives what was sent before it was known, and nothing of the many pages that are left.
    assert sum(number > first and moment_s < again_s for number, moment_s in times_s.items()) <= 2 * AT_ONCE
    assert allowed[retry] < allowed[refused[0]] == AUTO_WORKERS
    assert watched.told == [("created", "in/new")]


@pytest.mark.usefixtures("_once")
def test_a_store_that_always_asks_for_less_is_unavailable(store: Bucket, begin: Begin) -> None:
    """A store that goes on to ask for less is unavailable, with its own words, and what it told before is no listing."""
    watched = begin()
    hit(store, Fault.SLOW_DOWN, continues)
    with pytest.raises(UnavailableError, match="SlowDown: Please reduce your request rate"):
        watched.scan()
    assert watched.source._throttle._allowed <= AUTO_WORKERS // 2
    assert watched.told == []


# Credentials


def signer(request: Request) -> str:
    """Return the access key with which a request is signed."""
    return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def test_credentials_that_expire_in_mid_listing(store: Bucket, begin: Begin, credentials: Callable[[str], object]) -> None:
    """The one page that is refused because the credentials have expired is asked for again with those that are in the file by then."""
    watched = begin(workers=1)
    former = len(lists(store))

    def expire(number: int) -> Fault | None:
        if number != former + 5:
            return None
        credentials("SECOND")
        return Fault.EXPIRED_TOKEN

    store.before_page = expire
    store.put("in/new")
    watched.scan()
    asked = lists(store)[former:]
    assert [signer(request) for request in asked] == ["FIRST"] * 5 + ["SECOND"] * (len(asked) - 5)
    assert asked[4].target == asked[5].target
    assert len({request.target for request in asked}) == len(asked) - 1
    assert watched.told == [("created", "in/new")]


def test_credentials_that_expire_under_several_requests(
    store: Bucket, begin: Begin, credentials: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all that are on their way are refused, each is asked for again, with credentials that are renewed once; every key is listed."""
    watched = begin()
    renewals: list[object] = []

    def make_client(*arguments: Any, **options: Any) -> S3Client:  # noqa: ANN401 - those of the real one
        renewals.append(arguments)
        return s3_client.make_client(*arguments, **options)

    monkeypatch.setattr(bucket, "make_client", make_client)
    former = len(lists(store))
    refused: list[str] = []
    lock = threading.Lock()

    def expire(number: int) -> Fault | None:
        request = lists(store)[number - 1]
        if number < former + 8 or signer(request) == "SECOND":
            return None
        with lock:
            if not refused:
                credentials("SECOND")
            refused.append(request.target)
        return Fault.EXPIRED_TOKEN

    store.before_page = expire
    store.latency_s = 0.01
    assert watched.list_keys() == KEYS
    assert len(renewals) == 1
    asked = lists(store)[former:]
    assert any("start-after" in request.target for request in asked)
    assert refused
    renewed = Counter(request.target for request in asked if signer(request) == "SECOND")
    assert [renewed[target] for target in refused] == [1] * len(refused)


def test_credentials_that_are_not_renewed(store: Bucket, begin: Begin) -> None:
    """Credentials that have expired and have no successors end the listing with an advice, after one more attempt."""
    watched = begin(workers=1)
    refused = hit(store, Fault.EXPIRED_TOKEN, continues)
    with pytest.raises(DeniedError, match=r"have expired \(ExpiredToken.*\); renew them"):
        watched.scan()
    assert len(refused) == 2
    assert refused[0] == refused[1]
    assert watched.told == []


# Listings that do not end, or not where they should


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("fault", "text"),
    [(Fault.ENDLESS, "runs in a circle"), (Fault.REPEATED_TOKEN, "runs in a circle"), (Fault.NO_TOKEN, "has no token for the next")],
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


def assert_read_in_one_chain(watched: Watched, log: list[MutableMapping[str, Any]], text: str) -> None:
    """Check that the last scan turned to one chain of pages, and said why."""
    assert [(line["event"], text in line["reason"]) for line in log] == [("scan.in_one_chain", True)]
    assert any(map(begins_part, watched.asked))
    assert sum(map(begins_listing, watched.asked)) == 2


@pytest.mark.parametrize("store", [StartAfter.REJECTED], indirect=True)
def test_start_after_is_rejected(store: Bucket, begin: Begin) -> None:
    """A store that does not take StartAfter is read in one chain, at once and with a warning; soon it is not tried any more."""
    watched = begin()
    for number in range(STRIKES):
        store.put(f"in/{number}-new")
        with capture_logs() as log:
            watched.scan()
        assert_read_in_one_chain(watched, log, "StartAfter is not supported")
    with capture_logs() as log:
        watched.scan()
    assert not any(map(begins_part, watched.asked))
    assert (log, watched.told) == ([], [("created", f"in/{number}-new") for number in range(STRIKES)])


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
    names = [f"in/{number:02}{tail}" for number in range(12) for tail in (*(f"-a/{file}" for file in range(8)), "/0", "/1")]
    names += ["in/!0", "in/!1"]
    store.put_many(*names)
    watched = begin()
    for number in range(STRIKES):
        assert set(watched.list_keys()) == set(names)
        store.put(f"in/{number}-new")
        store.delete(names.pop(3))
        watched.scan()
        names.append(f"in/{number}-new")
    assert any("start-after=" in request.target for request in lists(store))
    created = [("created", f"in/{number}-new") for number in range(STRIKES)]
    assert watched.told == [*created, *(("deleted", name) for name in ("in/00-a/3", "in/00-a/4", "in/00-a/5"))]
    assert watched.entries == len(store.keys)


# Parts that lack keys


def test_keys_that_only_the_parts_lack(store: Bucket, begin: Begin) -> None:
    """Many keys that a listing in parts lacks are looked for in one chain before they are told as deleted; soon parts are not tried."""
    watched = begin()
    hidden = {key: store._table.get(key) for key in SOME}
    for _ in range(STRIKES):
        begun: list[Question] = []

        def show(number: int, begun: list[Question] = begun) -> None:
            question = read_query(lists(store)[number - 1])
            if begins_listing(question):
                begun.append(question)
                if len(begun) == 2:
                    restore(store, hidden)

        store.before_page = show
        store.delete(*SOME)
        watched.scan()
        assert len(begun) == 2
        assert any(map(begins_part, watched.asked))
        assert watched.told == []
        # The next one is read in one chain anyway, since so many would be looked for twice again.
        watched.scan()
        assert not any(map(begins_part, watched.asked))
    store.before_page = None
    watched.scan()
    assert not any(map(begins_part, watched.asked))
    assert (watched.told, watched.entries) == ([], len(KEYS))


def test_keys_that_every_listing_lacks(store: Bucket, begin: Begin) -> None:
    """Where the listing in one chain lacks them too, but the store has them when it is asked for one, no listing is believed."""
    watched = begin()
    hidden = {key: store._table.get(key) for key in SOME}

    def show(_: int) -> None:
        restore(store, hidden)

    store.delete(*SOME)
    store.before_head = show
    with pytest.raises(UnavailableError, match=f"lacks keys that are there, such as b'{SOME[0]}'"):
        watched.scan()
    assert sum(map(begins_listing, watched.asked)) == 2
    watched.scan()
    assert (watched.told, watched.entries) == ([], len(KEYS))


@pytest.mark.parametrize(("count", "listings"), [(CONFIRMED_KEYS, 1), (CONFIRMED_KEYS + 1, 2)])
def test_deletions_are_told_once(count: int, listings: int, store: Bucket, begin: Begin) -> None:
    """Keys that are deleted are told so after one listing in parts and a request for each; many of them after one more, in one chain."""
    watched = begin()
    deleted = KEYS[40 : 40 + count]
    store.delete(*deleted)
    watched.scan()
    assert any(map(begins_part, watched.asked))
    assert sum(map(begins_listing, watched.asked)) == listings
    assert watched.told == [("deleted", key) for key in deleted]
    assert CONFIRMED_KEYS <= store.requests[Kind.HEAD] <= count
    watched.scan()
    assert (sum(map(begins_listing, watched.asked)), len(watched.told)) == (1, count)


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("fault", [Fault.INTERNAL_ERROR, Fault.SLOW_DOWN, Fault.EXPIRED_TOKEN, Fault.REDIRECT])
def test_a_deletion_that_cannot_be_confirmed(fault: Fault, store: Bucket, begin: Begin) -> None:
    """A key that a listing lacks is not told as deleted before the store answers the question for it."""
    watched = begin()
    store.delete("in/0042")
    store.before_head = always(fault)
    with pytest.raises(UnavailableError):
        watched.scan()
    assert watched.told == []
    store.before_head = None
    watched.scan()
    assert watched.told == [("deleted", "in/0042")]
