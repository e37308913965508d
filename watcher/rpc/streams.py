"""The open streams of the server: how many are admitted, and what ends them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from watcher.errors import LimitError, UnauthenticatedError, UnavailableError, WatcherError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.security.policy import Policy
    from watcher.settings import ServerSettings


class Stream:
    """One stream, made in the task of its call.

    Args:
        principal: Its owner.
        authorization: The metadata that named the owner.

    Attributes:
        principal: The same.
        authorization: The same.
        changed: Set when there may be something to do.
        ending: The error that ``end`` was called with; None before.
        is_announced: Whether initial metadata were sent.
    """

    def __init__(self, principal: str, authorization: str | None) -> None:
        self.principal = principal
        self.authorization = authorization
        self.changed = asyncio.Event()
        self.ending: WatcherError | None = None
        self.is_announced = False
        self._task = asyncio.current_task()

    async def wait(self, timeout_s: float | None) -> None:
        """Wait until ``changed`` is set, but no longer than a timeout in seconds; None for none."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.changed.wait()

    def end(self, error: WatcherError) -> None:
        """End the stream with an error, even while it is blocked in a write."""
        self.ending = error
        if self._task is not None:
            self._task.cancel()


class Streams:
    """The open streams of the server.

    Args:
        policy: Names the principal of a token.
        settings: Maximum numbers of streams.
        count_elsewhere: Returns the number of a principal's streams on other servers.

    Attributes:
        errors: Streams that the server refused or ended, by cause.
    """

    def __init__(
        self,
        policy: Policy,
        settings: ServerSettings,
        count_elsewhere: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self.errors: Counter[str] = Counter()
        self._closed: UnavailableError | None = None
        self._policy = policy
        self._settings = settings
        self._count_elsewhere = count_elsewhere
        self._open: set[Stream] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._principals: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return the number of open streams."""
        return len(self._open)

    def of(self, principal: str) -> int:
        """Return the number of a principal's open streams."""
        return self._principals[principal]

    @property
    def is_closed(self) -> bool:
        """Whether the server ends all streams, and admits none."""
        return self._closed is not None

    def open(self) -> None:
        """Admit streams again."""
        self._closed = None

    def close(self, reason: UnavailableError) -> None:
        """End all streams with an error, and refuse new ones."""
        self._closed = reason
        for stream in self._open:
            stream.changed.set()

    async def ended(self, timeout_s: float) -> None:
        """Wait until the calls of all streams are over, also those whose clients are gone.

        A loop that ends before them would cancel them, for which gRPC prints a traceback.

        Args:
            timeout_s: Seconds after which it no longer waits.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def check_open(self) -> None:
        """Check that streams may go on.

        Raises:
            UnavailableError: The reason that ``close`` was called with.
        """
        if self._closed is not None:
            raise UnavailableError(self._closed.message, hint=self._closed.hint)

    def check_tokens(self) -> None:
        """End the streams whose tokens were removed or renamed, with UNAUTHENTICATED."""
        for stream in self._open:
            try:
                is_valid = self._policy.principal(stream.authorization) == stream.principal
            except UnauthenticatedError:
                is_valid = False
            if not is_valid:
                hint = "put the new one into authSecret"
                stream.end(UnauthenticatedError("the token is no longer good", hint=hint))

    @contextmanager
    def opened(self, principal: str, authorization: str | None) -> Iterator[Stream]:
        """Admit a stream, which is open until the end of the block.

        Args:
            principal: Its owner.
            authorization: The metadata that named the owner.

        Raises:
            UnavailableError: The streams are closed.
            LimitError: The maximum number of streams is open, of all or of the principal.
            WatcherError: The error that ``Stream.end`` was called with.
        """
        self.check_open()
        self._check_limits(principal)
        stream = Stream(principal, authorization)
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._open.add(stream)
        self._principals[principal] += 1
        try:
            yield stream
        except asyncio.CancelledError:
            if stream.ending is None:
                raise
            raise stream.ending from None
        finally:
            self._open.remove(stream)
            self._principals[principal] -= 1

    def _check_limits(self, principal: str) -> None:
        of_principal = self._principals[principal] + self._count_elsewhere(principal)
        if len(self._open) >= self._settings.max_streams:
            message = f"the server has {len(self._open)} streams open, and no more"
            hint = "use fewer event sources, or start it with a higher --max-streams"
            raise LimitError(message, hint=hint)
        if of_principal >= self._settings.max_token_streams:
            message = f"the server has {of_principal} streams open for this token, and no more"
            hint = "use fewer event sources, or start it with a higher --max-token-streams"
            raise LimitError(message, hint=hint)


def loop_callback(act: Callable[[], object]) -> Callable[[], None]:
    """Return a function, for any thread, that runs another one in the current event loop soon."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        # A closed loop has ended with the server, and so has the stream.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(act)

    return call
