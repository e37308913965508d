"""Open streams: how they wait and how they end; limits are part of the tests of the server."""

import asyncio
from collections.abc import Callable

import pytest

from watcher.errors import UnavailableError
from watcher.rpc.streams import Streams, loop_callback
from watcher.security.policy import Policy
from watcher.settings import ServerSettings


@pytest.fixture
def streams() -> Streams:
    settings = ServerSettings()
    return Streams(Policy(settings), settings)


def test_a_stream_ends_with_the_error_that_it_is_ended_with(streams: Streams) -> None:
    """Even while it waits for something that never comes."""

    async def serve() -> None:
        with streams.opened("", None) as stream:
            asyncio.get_running_loop().call_soon(stream.end, UnavailableError("the end"))
            await asyncio.Event().wait()

    with pytest.raises(UnavailableError, match="the end"):
        asyncio.run(serve())
    assert (len(streams), streams.of("")) == (0, 0)


def test_a_cancelled_stream_stays_cancelled(streams: Streams) -> None:
    """A client that goes away is no error."""

    async def serve() -> None:
        with streams.opened("", None):
            await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert len(streams) == 0


def test_streams_that_wait_are_woken_when_all_are_closed(streams: Streams) -> None:
    """A wait ends with its timeout, too."""

    async def serve() -> None:
        with streams.opened("", None) as stream:
            await stream.wait(0.0)
            assert not stream.changed.is_set()
            asyncio.get_running_loop().call_soon(streams.close, UnavailableError("the end"))
            await stream.wait(None)
            streams.check_open()

    with pytest.raises(UnavailableError, match="the end"):
        asyncio.run(serve())
    assert streams.is_closed
    streams.open()
    streams.check_open()


def test_a_callback_of_a_closed_loop_does_nothing() -> None:
    called: list[str] = []

    async def make() -> Callable[[], None]:
        callback = loop_callback(lambda: called.append("in the loop"))
        callback()
        await asyncio.sleep(0)
        return callback

    asyncio.run(make())()
    assert called == ["in the loop"]


def test_the_end_of_calls_is_waited_for(streams: Streams) -> None:
    """A call may have something to do after its stream has left."""

    async def run() -> None:
        may_end = asyncio.Event()

        async def call() -> None:
            with streams.opened("", None):
                pass
            await may_end.wait()

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        await streams.ended(0.0)
        assert not task.done()
        asyncio.get_running_loop().call_soon(may_end.set)
        await streams.ended(30.0)
        assert task.done()
        await streams.ended(30.0)

    asyncio.run(run())
