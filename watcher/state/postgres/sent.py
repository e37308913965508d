"""A statement that was sent: the process goes on while the server carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack


class Sent:
    """A statement whose answer is taken later; it keeps a connection until then.

    Args:
        receive: Waits for the answer.
        close: Closes the connection.
        kept: What to give back.
    """

    def __init__(
        self, receive: Callable[[], None], close: Callable[[], None], kept: ExitStack
    ) -> None:
        self._receive = receive
        self._close = close
        self._kept = kept

    def receive(self) -> None:
        """Wait for the answer; called once.

        Raises:
            StateError: See ``Database.fetch``.
        """
        with self._kept:
            self._receive()

    def drop(self) -> None:
        """Close the connection: the server carries out the statement all the same."""
        with self._kept:
            self._close()
