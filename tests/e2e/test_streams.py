"""A bucket whose store streams its notifications, watched by the process."""

from support.client import Client, wait_until
from support.config import config
from support.events import told
from support.s3.faults import error
from support.s3.listen import ListenStub
from support.s3.simulated import run_store
from support.server import ServerProcess


def test_a_bucket_that_is_streamed(server: ServerProcess, client: Client, name: str) -> None:
    """Changes arrive without a listing; what is wrong with the stream is shown once, everywhere."""
    with run_store() as store:
        stub = ListenStub(store.bucket).attach(store)
        stream = client.watch(name, config(store, prefix="in/", notifications={"stream": True}))
        store.put("in/a")
        stub.wait().announce("in/a")
        assert told(stream.wait_count(1)) == [("created", "in/a")]
        hints = server.watches()[name]["hints"]
        assert (hints["kind"], hints["messages"], hints["keys"]) == ("stream", 1, 1)
        assert (hints["problem"], server.watches()[name]["mode"]) == ("", "notify")
        assert server.metric("watcher_hint_messages_total", kind="stream") >= 1
        assert server.metric("watcher_head_requests_total") >= 1
        stub.answer = error(501, "NotImplemented", "no streams here")
        stub.wait().cut()
        server.wait_reason(name, "degraded", "no hints arrive: the store streams no notifications")
        assert server.metric("watcher_unhinted_watches", kind="stream") == 1
        assert "hints by stream: none arrive now; 1 message with 1 key" in server.get("/")[1]
        wait_until(lambda: bool(server.lines("hints.unavailable", watch=name)), "it is logged")
        (line,) = server.lines("hints.unavailable", watch=name)
        assert "NotImplemented: no streams here" in line["reason"]
        assert server.watches()[name]["mode"] == "poll"
        stream.cancel()
