"""Costly answers: which requests share a rendering, and how much of the loop's time they take."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from watcher.web.shared_rendering import REST, SharedRenderings

DEADLINE_S = 60.0


class Renderings(SharedRenderings):
    """Renderings that begin when they are asked for, and end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str] = []
        self.may_end = asyncio.Event()

    def ask(self, key: str) -> asyncio.Task[bytes]:
        async def render() -> bytes:
            self.begun.append(key)
            number = len(self.begun)
            await self.may_end.wait()
            return await self.paced(f"{key} {number}".encode)

        return asyncio.create_task(self.get(key, render))


class SetTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time the test sets."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s


def run(test: Callable[[Renderings], Awaitable[None]]) -> None:
    async def run_it() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test(Renderings())

    asyncio.run(run_it())


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_requests_that_wait_share_a_rendering() -> None:
    """Those with another key have one of their own, which waits for none of another's reading."""

    async def test(renderings: Renderings) -> None:
        asked = [renderings.ask(key) for key in ("a", "a", "b", "a")]
        await settle()
        assert renderings.begun == ["a", "b"]
        renderings.may_end.set()
        assert await asyncio.gather(*asked) == [b"a 1", b"a 1", b"b 2", b"a 1"]

    run(test)


def test_no_answer_is_older_than_its_request() -> None:
    """A request that arrives while its answer is rendered waits for the next rendering."""

    async def test(renderings: Renderings) -> None:
        early = renderings.ask("a")
        await settle()
        late = [renderings.ask("a"), renderings.ask("a")]
        await settle()
        assert renderings.begun == ["a"]
        renderings.may_end.set()
        assert await asyncio.gather(early, *late) == [b"a 1", b"a 2", b"a 2"]
        assert await renderings.ask("a") == b"a 3"

    run(test)


def test_a_client_that_leaves_takes_no_answer_from_others() -> None:
    async def test(renderings: Renderings) -> None:
        leaving, staying = renderings.ask("a"), renderings.ask("a")
        await settle()
        leaving.cancel()
        await settle()
        renderings.may_end.set()
        assert await staying == b"a 1"

    run(test)


def test_a_failure_is_that_of_all_who_waited_for_it() -> None:
    async def fail() -> bytes:
        raise ZeroDivisionError

    async def test(renderings: Renderings) -> None:
        asked = [renderings.get("a", fail) for _ in range(2)]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(answer, ZeroDivisionError)
        renderings.may_end.set()
        assert await renderings.ask("a") == b"a 1"

    run(test)


@pytest.mark.parametrize("fails", [False, True])
def test_the_loop_has_time_for_all_else(*, fails: bool) -> None:
    """After a rendering, however it ended, the next one begins four times as long after it."""
    begun_s = []
    loop = SetTimeLoop()

    def render() -> bytes:
        begun_s.append(loop.now_s)
        loop.now_s += 0.5
        if fails:
            raise ZeroDivisionError
        return b""

    async def test() -> None:
        renderings = SharedRenderings()
        asked = [asyncio.create_task(renderings.paced(render)) for _ in range(3)]
        while not all(task.done() for task in asked):
            await settle()
            loop.now_s += 0.125
        await asyncio.gather(*asked, return_exceptions=True)

    _run_in(loop, test())
    first_s, second_s, third_s = begun_s
    for pause_s in (second_s - first_s, third_s - second_s):
        assert 0.5 * (1 + REST) <= pause_s <= 0.5 * (1 + REST) + 0.25


def _run_in(loop: asyncio.AbstractEventLoop, main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)
