"""A server whose bucket sends its notifications to a queue."""

from __future__ import annotations

import threading

from grpc import StatusCode

from support.client import DEADLINE_S, wait_until
from support.config import config
from support.events import told
from support.fixtures import Serve
from support.s3.queues import Call, on, record, run_queue, sqs_error
from support.s3.simulated import run_store


def test_a_server_that_is_killed_before_it_deletes_a_message(serve: Serve, name: str) -> None:
    """The event was committed and has left; the message comes again and is no second event.

    What was deleted while no server ran is found by its message. And when the queue can no longer
    be read, the watch is degraded.
    """
    with run_store() as store, run_queue() as queue:
        # What is sent to the connection of the dead server comes again after this time.
        queue.visibility_s = 2.0
        store.put("old")
        asked = config(store, notifications={"queue": queue.url}, poll_interval="1s")
        del asked["s3"]["poll_interval"]
        held, let_go = threading.Event(), threading.Event()

        def hold(call: Call) -> None:
            if call.action == "DeleteMessageBatch":
                held.set()
                let_go.wait(DEADLINE_S)

        server, client = serve("--redelivery-window", "100ms")
        stream = client.watch(name, asked)
        queue.on_call = hold
        store.put("new")
        queue.send(record(store.bucket, "new"))
        stream.wait_path("new")
        assert held.wait(DEADLINE_S)
        server.wait_watch(name, unconfirmed=0, next_seq=2)
        server.kill()
        let_go.set()
        store.delete("old")
        queue.on_call = lambda _: None
        queue.send(record(store.bucket, "new"), record(store.bucket, "old"))
        queue.expire()
        server, client = serve("--redelivery-window", "100ms")
        stream = client.watch(name, asked)
        events = stream.wait_path("old", "deleted")
        wait_until(lambda: not queue.bodies, "the queue is empty")
        assert told(events) == [("deleted", "old")]
        assert [event["seq"] for event in events] == [2]
        queue.on_call = on("ReceiveMessage", sqs_error("QueueDoesNotExist"))
        queue.send("wakes the receiver")
        server.wait_watch(name, state="watching")
        server.wait_reason(name, "degraded", "no hints arrive: there is no such queue")


def test_a_queue_belongs_to_one_watch_and_must_be_there(serve: Serve, name: str) -> None:
    """A new watch is refused by the status that says why; the queue must be allowed, too."""
    with run_store() as store, run_queue() as queue:
        asked = config(store, notifications={"queue": queue.url})
        _, client = serve(
            "--allow-bucket",
            "*",
            "--allow-endpoint",
            store.endpoint_url,
            "--allow-queue",
            queue.url,
        )
        stream = client.watch(name, asked)
        code, text = client.refusal("second", asked)
        assert (code, "another watch reads the queue" in text) == (StatusCode.ALREADY_EXISTS, True)
        stream.cancel()
        gone = config(store, notifications={"queue": f"{queue.url}-2"})
        code, text = client.refusal(name, gone)
        assert (code, "--allow-queue" in text) == (StatusCode.PERMISSION_DENIED, True)
