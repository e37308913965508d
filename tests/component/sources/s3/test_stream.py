"""The stream feed: what MinIO and RustFS stream arrives in the inbox, whatever happens to it."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.certificates import Authority
from support.client import wait_until
from support.clock import LeapingClock
from support.s3.faults import Answer, Fault, Kind, error
from support.s3.listen import REMOVED, ListenStub, line, record
from support.s3.signatures import Signature
from support.s3.simulated import BUCKET, Store, run_store
from watcher.clock import Clock
from watcher.filters.key_window import KeyWindow
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3 import connections, sdk
from watcher.sources.s3.hints import inbox, stream_thread
from watcher.sources.s3.hints.inbox import HintInbox
from watcher.sources.s3.hints.lines import LINE_MAX_BYTES
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.stream import StreamFeed
from watcher.sources.s3.trust import Trust
from watcher.spec import AddressingStyle, BucketSpec

PAUSES = Pauses(first_s=0.01, most_s=0.02, refused_s=0.01)
NEVER = Pauses(first_s=600.0, most_s=600.0, refused_s=600.0)
STABLE_S = 600.0

pytestmark = pytest.mark.usefixtures("credentials")


class Inbox(HintInbox):
    """An inbox of the whole bucket whose keys a test waits for."""

    def __init__(self, prefix: str) -> None:
        super().__init__(KeyWindow(prefix, 0.0, Clock()), lambda: None, Clock())

    def wait(self, *keys: str) -> None:
        """Wait until these keys, and no others, are in it."""
        wait_until(lambda: len(self) >= len(keys), f"{keys} arrive")
        assert sorted(self.waiting()) == sorted(key.encode() for key in keys)


class Listening:
    """A feed on a store, and its inbox."""

    def __init__(self, feed: StreamFeed, prefix: str) -> None:
        self.feed = feed
        self.inbox = Inbox(prefix)
        self.woken = threading.Event()

    def start(self) -> None:
        self.feed.start(self.inbox, self.woken.set)

    def wait_for_stream(self) -> None:
        """Wait until a stream has begun, and take that hints were missed."""
        wait_until(lambda: self.feed.misses_hints, "a stream begins")
        assert self.feed.take_missed()
        assert not self.feed.misses_hints

    def wait_for_problem(self, *texts: str) -> str:
        wait_until(lambda: bool(self.feed.problem), "the feed has a problem")
        for text in texts:
            assert text in self.feed.problem
        return self.feed.problem


def listening_threads() -> list[str]:
    """Return the names of the threads of feeds."""
    return [each.name for each in threading.enumerate() if each.name.startswith("listen ")]


@pytest.fixture
def stub(store: Store) -> ListenStub:
    return ListenStub(store.bucket).attach(store)


@pytest.fixture
def listen(store: Store) -> Iterator[Callable[..., Listening]]:
    """Return what listens to the store of the test."""
    feeds: list[StreamFeed] = []

    def begin(
        prefix: str = "",
        *,
        pauses: Pauses = PAUSES,
        clock: Clock | None = None,
        authorities: EndpointAuthorities | None = None,
        **spec: Any,  # noqa: ANN401 - fields of a spec
    ) -> Listening:
        where = BucketSpec(store.bucket, prefix, **({"endpoint_url": store.endpoint_url} | spec))
        trust = Trust(authorities or EndpointAuthorities())
        feeds.append(
            StreamFeed(where, clock=clock or Clock(), trust=trust, pauses=pauses, stable_s=STABLE_S)
        )
        listening = Listening(feeds[-1], prefix)
        listening.start()
        return listening

    yield begin
    for feed in feeds:
        feed.stop()
    wait_until(lambda: not listening_threads(), "the threads of the feeds end")


@pytest.mark.sampled
@pytest.mark.parametrize("has_prompt_headers", [False, True])
@pytest.mark.parametrize("has_type", [False, True])
@pytest.mark.parametrize("vendor", ["minio", "rustfs"])
def test_what_a_store_streams_arrives(
    store: Store,
    listen: Callable[..., Listening],
    vendor: str,
    has_prompt_headers: bool,  # noqa: FBT001 - parametrized
    has_type: bool,  # noqa: FBT001 - parametrized
) -> None:
    """The keys of records arrive, created or removed, with whatever characters; pings do not."""
    stub = ListenStub(
        store.bucket, vendor, has_prompt_headers=has_prompt_headers, has_type=has_type
    ).attach(store)
    listening = listen("in/")
    listening.wait_for_stream()
    keys = ["in/a.csv", "in/été 1+1=2%20.csv", "in/line\nbreak", 'in/"quoted"']
    stub.wait().announce(*keys)
    stub.wait().announce("in/a.csv", event=REMOVED)
    wait_until(lambda: listening.feed.status.messages == 5, "five messages arrive")
    assert set(listening.inbox.waiting()) >= {key.encode() for key in keys}
    assert listening.feed.status.rejected == listening.feed.status.errors == 0
    assert (listening.feed.problem, listening.feed.misses_hints) == ("", False)


def test_the_request_is_the_one_that_stores_know(
    stub: ListenStub, listen: Callable[..., Listening]
) -> None:
    """It names the bucket, the prefix, the events and a ping, and it is signed."""
    listen("in/été/").wait_for_stream()
    request = stub.wait().request
    assert request.target.partition("?")[0] == f"/{BUCKET}"
    assert stub.wait().query == {
        "prefix": ["in/été/"],
        "events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
        "ping": ["10"],
    }
    signature = Signature.parse(request.headers["authorization"])
    assert (signature.access_key, signature.service) == ("FIRST", "s3")
    assert signature.matches("secret", "GET", request.target, request.headers, b"")


def test_a_public_bucket_is_listened_to_without_a_signature(
    stub: ListenStub, listen: Callable[..., Listening]
) -> None:
    """The credentials of the server go into no request of an anonymous watch."""
    listen(anonymous=True).wait_for_stream()
    assert "authorization" not in stub.wait().request.headers


@pytest.mark.usefixtures("stub")
def test_hosts_of_buckets_are_asked_where_the_store_has_them(
    store: Store, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is addressed like all others of the bucket."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *rest, **named: resolve("127.0.0.1", *rest, **named)
    )
    url = store.endpoint_url.replace("127.0.0.1", "minio.example")
    listen(endpoint_url=url, addressing_style=AddressingStyle.VIRTUAL).wait_for_stream()
    assert store.log[0].headers["host"].startswith(f"{BUCKET}.minio.example:")
    assert store.log[0].target.startswith("/?")


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(lambda data: [data], id="in one chunk"),
        pytest.param(lambda data: [data[:30], data[30:]], id="cut in a line"),
        pytest.param(lambda data: [data[i : i + 1] for i in range(len(data))], id="byte by byte"),
        pytest.param(lambda data: [b"   ", b"\n \r\n", data, b" "], id="among blanks"),
    ],
)
def test_lines_arrive_however_they_are_cut(
    stub: ListenStub,
    listen: Callable[..., Listening],
    parts: Callable[[bytes], list[bytes]],
) -> None:
    """Chunks of HTTP mean nothing: proxies join and cut them."""
    listening = listen()
    data = line(record(BUCKET, "a"), record(BUCKET, "b")) + line(record(BUCKET, "c"))
    stub.wait().fall_silent()
    for part in parts(data):
        stub.wait().send(part)
    listening.inbox.wait("a", "b", "c")


def test_other_places_are_left_out(stub: ListenStub, listen: Callable[..., Listening]) -> None:
    """Records of other buckets are counted; keys outside the prefix are left out."""
    listening = listen("in/")
    stub.wait().send(line(record("other", "in/a"), record(BUCKET, "out/b"), record(BUCKET, "in/c")))
    listening.inbox.wait("in/c")
    status = listening.feed.status
    assert (status.kind, status.messages, status.rejected) == ("stream", 1, 1)


@pytest.mark.parametrize(
    "garbage", [b"?\n", b"{}\n", b'{"Records": 5}\n', b"\xff\xfe\n", b'{"Records": [{"s3": 1}]}\n']
)
def test_a_line_that_cannot_be_read_is_a_missed_hint(
    stub: ListenStub, listen: Callable[..., Listening], garbage: bytes
) -> None:
    """The stream goes on; the place is listed, since the line may have been about it."""
    listening = listen()
    listening.wait_for_stream()
    stub.wait().send(garbage)
    wait_until(lambda: listening.feed.misses_hints, "hints are missed")
    stub.wait().announce("a")
    listening.inbox.wait("a")
    assert listening.feed.status.rejected == 1
    assert len(stub.listeners) == 1


def test_keys_that_find_no_room_cause_a_listing(
    stub: ListenStub, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store does not wait for a slow reader, so the stream is read on with a full inbox."""
    monkeypatch.setattr(inbox, "WAITING_KEYS_MAX", 1)
    listening = listen()
    listening.wait_for_stream()
    stub.wait().announce("a", "b", "c")
    wait_until(lambda: listening.feed.status.messages == 3, "all are read")
    assert listening.inbox.waiting() == [b"a"]
    assert listening.inbox.take_overflow()


ENDS = {
    "ended": lambda listener: listener.end(),
    "cut": lambda listener: listener.cut(),
    "cut in a line": lambda listener: (listener.send(b'{"Records":[{"s3"'), listener.cut()),
    "cut in a chunk": lambda listener: (listener.send_raw(b'ff\r\n{"Records"'), listener.cut()),
    "no chunk": lambda listener: listener.send_raw(b"what?\r\n"),
    "huge line": lambda listener: listener.send(b'{"Records":[' + b" " * (LINE_MAX_BYTES + 1)),
}


@pytest.mark.sampled
@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_a_stream_that_breaks_is_opened_again(
    stub: ListenStub, listen: Callable[..., Listening], end: Callable[[Any], object]
) -> None:
    """What was announced meanwhile is missed, so the place is listed; once is no problem yet."""
    listening = listen()
    listening.wait_for_stream()
    stub.wait().announce("a")
    listening.inbox.wait("a")
    end(stub.wait())
    stub.wait(2).announce("b")
    listening.inbox.wait("a", "b")
    listening.wait_for_stream()
    assert (listening.feed.problem, listening.feed.status.errors) == ("", 1)


@pytest.mark.parametrize("has_prompt_headers", [False, True])
def test_a_silent_stream_is_dead(
    stub: ListenStub,
    listen: Callable[..., Listening],
    monkeypatch: pytest.MonkeyPatch,
    has_prompt_headers: bool,  # noqa: FBT001 - parametrized
) -> None:
    """A store that sends no pings is gone, also before it has sent anything."""
    # Longer than the pauses of a machine that is busy.
    monkeypatch.setattr(sdk, "READ_TIMEOUT_S", 2.0)
    stub.has_prompt_headers = has_prompt_headers
    listening = listen()
    listening.wait_for_stream()
    stub.ping_s = 600.0
    stub.wait().fall_silent()
    stub.wait(2)
    assert listening.feed.problem == ""
    stub.wait(3)
    listening.wait_for_problem("does not answer in time")


def test_a_stream_that_trickles_is_dead(
    stub: ListenStub, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of a line are no life: what has not become a line by the third ping never will."""
    monkeypatch.setattr(stream_thread, "SILENCE_MAX_S", 0.3)
    stub.ping = b"{"
    listening = listen()
    stub.wait(2)
    listening.wait_for_problem("cannot be opened: no line is complete after 0.3 s")
    assert listening.feed.known_until_s() == float("-inf")
    assert not listening.feed.misses_hints


def test_a_server_without_pings_keeps_a_stream_alive_by_blanks(
    stub: ListenStub, listen: Callable[..., Listening]
) -> None:
    """MinIO of before April 2023 sends a blank twice a second, in a line without an end."""
    stub.ping = b" "
    listening = listen()
    listening.wait_for_stream()
    begun_s = Clock().monotonic()
    wait_until(lambda: listening.feed.known_until_s() > begun_s, "blanks arrive")
    stub.wait().announce("a")
    listening.inbox.wait("a")
    assert listening.feed.status.messages == 1


def test_a_stream_is_not_bounded_like_other_responses(
    stub: ListenStub, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the time nor the size of a response that goes on for days is limited."""
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connections, "ANSWER_MAX_BYTES", 1024)
    listening = listen()
    listening.wait_for_stream()
    begun_s = Clock().monotonic()
    stub.wait().announce(*[f"{number:04}" for number in range(100)])
    wait_until(lambda: listening.feed.known_until_s() > begun_s + 1, "pings arrive later")
    assert len(listening.inbox) == 100
    assert len(stub.listeners) == 1


@pytest.mark.parametrize("fault", ["headers", "body"])
def test_what_is_no_stream_is_bounded(
    store: Store,
    stub: ListenStub,
    listen: Callable[..., Listening],
    fault: str,
) -> None:
    """The body of an error and the headers of a stream cannot fill the memory."""
    many = {f"X-{number}": "x" * 60_000 for number in range(200)}
    stub.answer = (
        Answer(headers=many)
        if fault == "headers"
        else Answer(b" " * (connections.ANSWER_MAX_BYTES + 1), 500)
    )
    listen(pauses=NEVER).wait_for_problem("cannot be opened")
    assert store.requests[Kind.LISTEN] == 1


LISTING = b'<?xml version="1.0"?><ListBucketResult><Name>store</Name></ListBucketResult>'
REFUSALS = {
    "listing": (Answer(LISTING), "the answer is a listing"),
    "web page": (Answer(b"\n<!DOCTYPE html><html></html>"), "the answer is a web page"),
    "error with status 200": (Answer(b"<Error><Code>No</Code></Error>"), "the answer is an error"),
    "other JSON": (Answer(b'{"hello": "world"}\n'), "the answer is something else"),
    "list": (Answer(b"[]\n"), "the answer is something else"),
    "gzip": (
        Answer(gzip.compress(line()), headers={"Content-Encoding": "gzip"}),
        "the answer is something else",
    ),
    "301": (Answer(status=301, headers={"Location": "http://127.0.0.1:1/"}), "redirects"),
    "307": (Answer(status=307, headers={"Location": "http://127.0.0.1:1/"}), "redirects"),
    "400": (error(400, "InvalidArgument", "events?"), "InvalidArgument: events?"),
    "403": (error(403, "AccessDenied", "no"), "AccessDenied: no"),
    "403 page": (Answer(b"<html>no</html>", 403), "403"),
    "404": (error(404, "NoSuchKey"), "NoSuchKey"),
    "405": (error(405, "MethodNotAllowed"), "MethodNotAllowed"),
    "501": (error(501, "NotImplemented", "A header"), "NotImplemented: A header"),
}


@pytest.mark.sampled
@pytest.mark.parametrize(("answer", "text"), REFUSALS.values(), ids=list(REFUSALS))
def test_a_store_without_streams_is_not_asked_again_soon(
    store: Store, stub: ListenStub, listen: Callable[..., Listening], answer: Answer, text: str
) -> None:
    """The problem says what the store answered and what to do; a failure would be tried again."""
    stub.answer = answer
    listening = listen(pauses=Pauses(first_s=0.01, most_s=0.01, refused_s=600.0))
    problem = listening.wait_for_problem("streams no notifications", text)
    assert "allow s3:ListenBucketNotification, or leave out notifications" in problem
    assert store.requests[Kind.LISTEN] == 1
    assert not listening.feed.misses_hints
    assert listening.feed.known_until_s() == float("-inf")
    assert listening.feed.status.errors == 1


def test_a_store_that_learns_to_stream_is_noticed(
    stub: ListenStub, listen: Callable[..., Listening]
) -> None:
    """It is asked again, rarely; the problem ends with the stream's first line."""
    stub.answer = error(403, "AccessDenied", "not yet")
    listening = listen()
    listening.wait_for_problem("not yet")
    stub.answer = None
    listening.wait_for_stream()
    assert listening.feed.problem == ""
    listening.woken.clear()
    stub.wait().announce("a")
    listening.inbox.wait("a")


FAILURES = {
    "500": Answer(b"", 500),
    "503": error(503, "SlowDown"),
    "expired": error(400, "ExpiredToken"),
    "clock": error(403, "RequestTimeTooSkewed"),
    "unknown key": error(403, "InvalidAccessKeyId"),
    "reset": Answer(fault=Fault.RESET),
}


@pytest.mark.sampled
@pytest.mark.parametrize("answer", FAILURES.values(), ids=list(FAILURES))
def test_a_store_that_fails_is_tried_again(
    stub: ListenStub, listen: Callable[..., Listening], answer: Answer
) -> None:
    """What may pass is tried again soon, with one request a try and present credentials."""
    stub.answer = answer
    listening = listen(pauses=Pauses(first_s=0.01, most_s=0.01, refused_s=600.0))
    listening.wait_for_problem("cannot be opened")
    wait_until(lambda: stub.asked > 2, "it is tried again")
    stub.answer = None
    listening.wait_for_stream()
    assert listening.feed.problem == ""
    assert stub.asked == listening.feed.status.errors + 1


def test_credentials_are_those_of_the_moment(
    stub: ListenStub, listen: Callable[..., Listening], credentials: Callable[[str], object]
) -> None:
    """A stream that is opened again is signed with what the file has by then."""
    listen().wait_for_stream()
    credentials("SECOND")
    stub.wait().cut()
    assert stub.wait(2).request.access_key == "SECOND"


def test_streams_that_break_again_and_again_are_a_problem(
    stub: ListenStub, listen: Callable[..., Listening]
) -> None:
    """They bring less than polling, however often they begin; one that stays ends the problem."""
    clock = LeapingClock()
    listening = listen(clock=clock)
    for number in (1, 2, 3):
        listening.wait_for_stream()
        stub.wait(number).cut()
    problem = listening.wait_for_problem("breaks again and again")
    stub.wait(4)
    listening.wait_for_stream()
    assert listening.feed.problem == problem
    clock.ahead_s += STABLE_S
    wait_until(lambda: not listening.feed.problem, "the stream is stable")


def test_a_feed_ends_at_once(stub: ListenStub, listen: Callable[..., Listening]) -> None:
    """It ends while it waits for a ping, for the headers, or for the next try, and can begin anew.

    That the threads end, the fixture waits for.
    """
    stub.ping_s = 600.0
    silent = listen()
    stub.wait()
    waiting = listen(pauses=NEVER, endpoint_url="http://127.0.0.1:1")
    waiting.wait_for_problem("cannot be opened: the endpoint cannot be reached")
    for listening in (silent, waiting):
        listening.feed.stop()
        listening.feed.stop()
    assert not silent.feed.misses_hints
    assert silent.feed.known_until_s() == float("-inf")
    stub.ping_s = 0.05
    silent.start()
    silent.wait_for_stream()


def test_a_problem_lasts_until_a_stream_begins(
    stub: ListenStub, listen: Callable[..., Listening]
) -> None:
    """A place that is opened again is not well before its stream shows it."""
    stub.answer = error(403, "AccessDenied", "no")
    listening = listen(pauses=NEVER)
    problem = listening.wait_for_problem("AccessDenied: no")
    listening.feed.stop()
    stub.answer, stub.ping_s = None, 600.0
    listening.start()
    stub.wait()
    assert listening.feed.problem == problem
    stub.wait().announce("a")
    listening.wait_for_stream()
    assert listening.feed.problem == ""


def test_an_authority_of_the_server_is_trusted(
    tmp_path: Path, listen: Callable[..., Listening]
) -> None:
    """TLS is verified as for all other requests; a feed ends while it waits for a line in it."""
    authority = Authority(tmp_path)
    with run_store(tls=authority.issue("store")) as store:
        stub, url = ListenStub(store.bucket).attach(store), store.endpoint_url
        stranger = listen(endpoint_url=url)
        stranger.wait_for_problem("TLS failed", f"--endpoint-ca {url}=FILE")
        authorities = EndpointAuthorities([f"{url}={authority.certificate}"])
        trusting = listen(endpoint_url=url, authorities=authorities)
        stub.wait().announce("a")
        trusting.inbox.wait("a")
        stub.wait().fall_silent()
        trusting.feed.stop()
        stranger.feed.stop()
        wait_until(lambda: not listening_threads(), "the threads end")
