"""The open streams of the server: how many there may be, of all and of one principal, and what ends them. Knows no gRPC and no watch."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from watcher.errors import LimitError, UnauthenticatedError, UnavailableError, WatcherError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.security.policy import Policy
    from watcher.settings import ServerSettings


class Stream:
    """One call, made in its task.

    Args:
        principal: Whose it is.
        authorization: The metadata that said so.

    Attributes:
        principal: Likewise.
        authorization: Likewise.
        changed: Set when there may be something to do.
        ending: What ``end`` was called with.
    """

    def __init__(self, principal: str, authorization: str | None) -> None:
        self.principal = principal
        self.authorization = authorization
        self.changed = asyncio.Event()
        self.ending: WatcherError | None = None
        self._task = asyncio.current_task()

    def end(self, error: WatcherError) -> None:
        """End the call with an error, even if it is blocked in a write."""
        self.ending = error
        if self._task is not None:
            self._task.cancel()


class Streams:
    """The streams that are open.

    Args:
        policy: Who is who.
        settings: Limits.
    """

    def __init__(self, policy: Policy, settings: ServerSettings) -> None:
        self._policy = policy
        self._settings = settings
        self._open: set[Stream] = set()
        self._principals: Counter[str] = Counter()
        self.is_stopping = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._open)

    def of(self, principal: str) -> int:
        """Return how many of them are a principal's."""
        return self._principals[principal]

    def stop(self) -> None:
        """End all of them, and every one that comes, with UNAVAILABLE."""
        self.is_stopping = True
        for stream in self._open:
            stream.changed.set()

    def check_open(self) -> None:
        """Make sure that streams may go on.

        Raises:
            UnavailableError: The server is shutting down.
        """
        if self.is_stopping:
            raise UnavailableError("the server is shutting down", hint="connect again")

    def check_tokens(self) -> None:
        """End those whose tokens have been taken back, or given to another name, with UNAUTHENTICATED."""
        for stream in self._open:
            try:
                is_good = self._policy.principal(stream.authorization) == stream.principal
            except UnauthenticatedError:
                is_good = False
            if not is_good:
                stream.end(
                    UnauthenticatedError(
                        "the token is no longer good", hint="put the new one into authSecret"
                    )
                )

    @contextmanager
    def opened(self, principal: str, authorization: str | None) -> Iterator[Stream]:
        """Take a place among the streams, and provide this one to the end of the block, which is that of its call.

        Raises:
            UnavailableError: See ``check_open``.
            LimitError: There are as many as there may be.
            WatcherError: What ``Stream.end`` was called with.
        """
        self.check_open()
        if len(self._open) >= self._settings.max_streams:
            hint = "use fewer event sources, or start it with a higher --max-streams"
            raise LimitError(
                f"the server has {len(self._open)} streams open, and no more", hint=hint
            )
        if self._principals[principal] >= self._settings.max_token_streams:
            message = f"the server has {self._principals[principal]} streams open for this token, and no more"
            raise LimitError(
                message,
                hint="use fewer event sources, or start it with a higher --max-token-streams",
            )
        stream = Stream(principal, authorization)
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


class Call:
    """Does something in the loop of a stream, called from the thread of a watch.

    Args:
        act: What to do.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> None:
        """Have it done soon."""
        # A loop that is closed has gone with the server, and the stream with it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._act)
