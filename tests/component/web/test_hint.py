"""``POST /hint`` on the real HTTP port: who may send, what is answered, what watches get."""

import asyncio
import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import hint_messages as sent
from support.logs import captured_logs
from support.s3.cloud import Cloud, run_cloud
from support.s3.faults import Answer
from watcher.clock import Clock
from watcher.limits.fair_queue import FairQueue
from watcher.security.policy import ANONYMOUS, Policy
from watcher.settings import ServerSettings
from watcher.sources.s3 import connections
from watcher.sources.s3.hints.records import Hint
from watcher.telemetry.readiness import Readiness
from watcher.web.endpoint import MAX_BODY_BYTES, HttpEndpoint
from watcher.web.hint import LARGE_BYTES, HintReceiver, Outcome
from watcher.web.subscriptions import Subscriptions

DEADLINE_S = 60.0
S3 = sent.s3_message("landing", "in/a.csv")
TOPIC = "arn:aws:sns:eu-west-1:111122223333:landing"
SNS = "sns.eu-west-1.amazonaws.com"
CONFIRM = f"https://{SNS}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"


class Reply(NamedTuple):
    """An answer, its body read as JSON."""

    status: int
    body: Any
    headers: Message


class Watches:
    """Stands for the registry: one watch of ``landing`` for each principal but bob.

    Attributes:
        hinted: What it got, in order.
    """

    def __init__(self) -> None:
        self.hinted: list[tuple[str, tuple[Hint, ...]]] = []

    async def hint(self, principal: str, hints: Sequence[Hint]) -> int:
        self.hinted.append((principal, tuple(hints)))
        return int(principal != "bob" and any(hint.bucket == "landing" for hint in hints))


class Port:
    """A running HTTP port with this one path.

    Attributes:
        watches: Where hints go.
        receiver: What answers.
    """

    def __init__(self, port: int, watches: Watches, receiver: HintReceiver) -> None:
        self._port = port
        self.watches = watches
        self.receiver = receiver

    def ask(
        self, body: object, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Reply:
        """Send a message, as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = HTTPConnection("127.0.0.1", self._port)
        # No name is resolved, so that it works beside the hosts of a test.
        client.sock = socket.socket()
        client.sock.settimeout(DEADLINE_S)
        client.sock.connect(("127.0.0.1", self._port))
        with closing(client):
            client.request(method, "/hint", data, dict(headers or {}))
            answer = client.getresponse()
            text = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return Reply(answer.status, json.loads(text) if is_json else text, answer.headers)

    def count(self, outcome: Outcome) -> int:
        """Return the number of requests with an outcome."""
        return self.receiver.outcomes[outcome]


@contextmanager
def run_port(policy: Policy, *, may_confirm: bool) -> Iterator[Port]:
    """Serve in a thread of its own to the end of the block."""
    started, ending = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    port: list[Port] = []

    async def serve() -> None:
        watches: Any = Watches()
        subscriptions = Subscriptions(Clock(), may_confirm=may_confirm)
        readiness = Readiness(lambda: None, lambda: False, lambda _: None)
        readiness.withhold("")
        receiver = HintReceiver(watches, policy, FairQueue(), readiness, subscriptions)
        endpoint = HttpEndpoint("127.0.0.1:0", receiver.routes())
        number = int((await endpoint.start()).rpartition(":")[2])
        port.append(Port(number, watches, receiver))
        started.set()
        await ending.wait()
        await endpoint.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(DEADLINE_S)
    yield port[0]
    loop.call_soon_threadsafe(ending.set)
    thread.join(DEADLINE_S)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture
def open_port() -> Iterator[Port]:
    """Serve without tokens."""
    with run_port(Policy(ServerSettings()), may_confirm=False) as port:
        yield port


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    """Serve with a token of alice and one of bob."""
    path = tmp_path / "tokens"
    path.write_text("alice: secret\nbob: a:b\n")
    with run_port(Policy(ServerSettings(token_file=path)), may_confirm=False) as port:
        yield port


@pytest.fixture
def confirming_port() -> Iterator[Port]:
    """Serve without tokens, with ``--confirm-subscriptions``."""
    with run_port(Policy(ServerSettings()), may_confirm=True) as port:
        yield port


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """Serve the hosts of a cloud, SNS among them, in place of the network."""
    with run_cloud(monkeypatch, tmp_path) as cloud:
        cloud.hosts[SNS] = lambda *_: Answer(b"<ConfirmSubscriptionResponse/>")
        yield cloud


def basic(user: str, password: str) -> dict[str, str]:
    """Return what a client sends for a user and a password in a URL."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def test_a_message_reaches_the_watches(open_port: Port) -> None:
    """The answer is 202 with the number of watches; without tokens everyone is one principal."""
    assert open_port.ask(S3)[:2] == (202, {"watches": 1})
    assert open_port.ask(sent.s3_message("other", "a"))[:2] == (202, {"watches": 0})
    assert open_port.watches.hinted == [
        (ANONYMOUS, (Hint("landing", (b"in/a.csv",)),)),
        (ANONYMOUS, (Hint("other", (b"a",)),)),
    ]
    assert (open_port.count(Outcome.ACCEPTED), open_port.count(Outcome.UNWATCHED)) == (1, 1)


@pytest.mark.parametrize(
    ("headers", "principal"),
    [
        ({"Authorization": "Bearer secret"}, "alice"),
        (basic("anyone", "secret"), "alice"),
        (basic("", "a:b"), "bob"),
        ({}, None),
        ({"Authorization": "Bearer secrets"}, None),
        (basic("alice", ""), None),
        (basic("secret", "alice"), None),
        ({"Authorization": "Basic secret"}, None),
        ({"Authorization": "Digest secret"}, None),
    ],
)
def test_who_may_send(port: Port, headers: dict[str, str], principal: str | None) -> None:
    """A token is needed, as a bearer token or as the password of Basic, which the answer offers."""
    reply = port.ask(S3, headers)
    if principal is None:
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert not port.watches.hinted
        assert port.count(Outcome.UNAUTHENTICATED) == 1
    else:
        assert reply[:2] == (202, {"watches": int(principal == "alice")})
        assert [each for each, _ in port.watches.hinted] == [principal]


def test_strangers_learn_nothing(port: Port) -> None:
    """Without a token every message has the same answer, readable or not, watched or not."""
    bodies = [S3, sent.s3_message("other", "a"), b"garbage", [sent.event_grid_validation("c")], {}]
    replies = {json.dumps(port.ask(body)[:2]) for body in bodies}
    assert len(replies) == 1


@pytest.mark.parametrize("body", [sent.s3_test_event(), sent.sns(sent.s3_test_event()), []])
def test_test_events_are_accepted(open_port: Port, body: object) -> None:
    """A message that names no object is no error, or its service would think the way is closed."""
    assert open_port.ask(body)[:2] == (202, {"watches": 0})
    assert open_port.count(Outcome.TEST) == 1


@pytest.mark.parametrize("body", [b"", b"garbage", b"\xff\0", {}, {"bucket": "landing"}])
def test_what_cannot_be_read_is_refused(open_port: Port, body: object) -> None:
    """The error is one line, which names what is wrong and what is read."""
    status, answer, _ = open_port.ask(body)
    assert status == 400
    assert "\n" not in answer["error"]
    assert "what is read: event records of S3" in answer["error"]
    assert open_port.count(Outcome.UNREADABLE) == 1


def test_large_messages(open_port: Port) -> None:
    """A message up to the limit of the port is read, in a thread; a larger one is refused."""
    keys = ["x" * 100 + str(at) for at in range(1000)]
    body = {"bucket": "landing", "keys": keys}
    assert LARGE_BYTES < len(json.dumps(body)) < MAX_BODY_BYTES
    assert open_port.ask(body)[:2] == (202, {"watches": 1})
    assert len(open_port.watches.hinted[0][1]) == 1000
    assert open_port.ask(b" " * (MAX_BODY_BYTES + 1)).status == 413


def test_foreign_host_names_are_refused(open_port: Port) -> None:
    """On loopback without tokens, a page of another name cannot send hints."""
    assert open_port.ask(S3, {"Host": "evil.example"}).status == 421
    assert not open_port.watches.hinted


def test_event_grid_gets_its_code(port: Port) -> None:
    """The code of a validation goes back to a sender that has a token."""
    body, token = [sent.event_grid_validation("512d38b6")], {"Authorization": "Bearer secret"}
    assert port.ask(body, token)[:2] == (200, {"validationResponse": "512d38b6"})
    assert port.count(Outcome.HANDSHAKE) == 1


def test_cloudevents_are_permitted(port: Port) -> None:
    """A sender of CloudEvents that asks by OPTIONS may send, if it has a token."""
    asked = {"WebHook-Request-Origin": "eventgrid.azure.net"}
    assert port.ask(b"", asked, "OPTIONS").status == 401
    reply = port.ask(b"", asked | {"Authorization": "Bearer secret"}, "OPTIONS")
    assert reply.status == 200
    assert reply.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert "WebHook-Allowed-Origin" not in port.ask(b"", basic("", "secret"), "OPTIONS").headers


def test_subscriptions_need_a_flag(open_port: Port, cloud: Cloud) -> None:
    """Without it the answer says what to do, once for each topic in the log; nothing is sent."""
    with captured_logs() as logs:
        for _ in range(2):
            status, answer, _ = open_port.ask(sent.sns_handshake(CONFIRM))
            assert status == 403
            assert "--confirm-subscriptions" in answer["error"]
    assert [(log["event"], log["topic"]) for log in logs] == [("hint.unsubscribed", TOPIC)]
    assert not cloud.visits
    assert open_port.count(Outcome.REFUSED) == 2


def test_the_end_of_a_subscription_needs_nothing(open_port: Port, cloud: Cloud) -> None:
    ended = sent.sns_handshake(CONFIRM, "UnsubscribeConfirmation")
    assert open_port.ask(ended)[:2] == (202, {"watches": 0})
    assert not cloud.visits


def test_subscriptions_are_confirmed(confirming_port: Port, cloud: Cloud) -> None:
    """The address of the message is requested once, with what it needs and nothing else."""
    with captured_logs() as logs:
        reply = confirming_port.ask(sent.sns_handshake(CONFIRM + "&Extra=1"))
    assert reply[:2] == (202, {"watches": 0})
    assert [log["event"] for log in logs] == ["hint.subscribed"]
    (visit,) = cloud.visits
    encoded = TOPIC.replace(":", "%3A")
    target = f"/?Action=ConfirmSubscription&TopicArn={encoded}&Token=2336412f37"
    assert (visit.host, visit.method, visit.target) == (SNS, "GET", target)
    assert "authorization" not in visit.headers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=400), "answers 400"),
        (Answer(status=302, headers={"Location": "https://evil.example/"}), "answers 302"),
        (None, "cannot be reached"),
    ],
)
def test_sns_does_not_confirm(
    confirming_port: Port, cloud: Cloud, answer: Answer | None, error: str
) -> None:
    """The sender learns it by 503, at which SNS tries again; redirects are not followed."""
    if answer is None:
        del cloud.hosts[SNS]
    else:
        cloud.hosts[SNS] = lambda *_: answer
    status, body, _ = confirming_port.ask(sent.sns_handshake(CONFIRM))
    assert status == 503
    assert error in body["error"]
    assert "2336412f37" not in body["error"]
    assert [visit.host for visit in cloud.visits] == [SNS] * (answer is not None)


def test_metadata_addresses_are_not_reached(
    confirming_port: Port, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of SNS that resolves to such an address is connected to, and nothing is sent."""
    monkeypatch.setattr(connections, "is_metadata_address", lambda address: address == "127.0.0.1")
    status, body, _ = confirming_port.ask(sent.sns_handshake(CONFIRM))
    assert status == 503
    assert "metadata address" in body["error"]
    assert not cloud.visits


@pytest.mark.parametrize(
    "url",
    [
        "",
        CONFIRM.replace("https:", "http:"),
        CONFIRM.replace(SNS, "evil.example"),
        CONFIRM.replace(SNS, f"{SNS}.evil.example"),
        CONFIRM.replace(SNS, f"evil.example#{SNS}"),
        CONFIRM.replace(SNS, f"{SNS}@evil.example"),
        CONFIRM.replace(SNS, f"user@{SNS}"),
        CONFIRM.replace(SNS, f"{SNS}:8443"),
        CONFIRM.replace(SNS, "sns.us-east-1.amazonaws.com"),
        CONFIRM.replace(SNS, "sqs.eu-west-1.amazonaws.com"),
        CONFIRM.replace("/?", "/evil?"),
        CONFIRM.replace("ConfirmSubscription", "Unsubscribe"),
        CONFIRM.replace("landing", "other"),
        CONFIRM + "&Action=Unsubscribe",
        CONFIRM + "&Token=1",
        CONFIRM.replace("2336412f37", ""),
        CONFIRM.replace("2336412f37", "%0d%0aX:1"),
        "https://[::1",
        CONFIRM + "&a=1" * 1000,
    ],
)
def test_no_other_address_is_requested(confirming_port: Port, cloud: Cloud, url: str) -> None:
    """Whatever a message names, a server with the flag confirms a subscription or does nothing."""
    reply = confirming_port.ask(sent.sns_handshake(url))
    assert reply.status == (400 if url else 202)
    assert not cloud.visits
    assert not cloud.refused


def test_the_log_of_topics_is_bounded(open_port: Port) -> None:
    """Names that are no ARN are not logged."""
    forged = sent.sns_handshake(CONFIRM) | {"TopicArn": "x\n" * 100}
    with captured_logs() as logs:
        assert open_port.ask(forged).status == 400
    assert not logs
