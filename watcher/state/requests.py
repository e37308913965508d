"""Requests: what a server asks the owner of a watch to do, and the answers.

A request outlives the server that has sent it, and the owner that has taken it: the next owner
takes it again. So it may be done more than once, and doing it again must do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from watcher.errors import WatcherError

ANSWER_S = 8.0
"""Seconds to wait for the answer to a request: longer than it takes to replace a dead owner."""

KEEP_S = 60.0
"""Seconds after which a request is forgotten, whether or not it was answered."""


class RequestKind(StrEnum):
    """What an owner can be asked to do."""

    REPLAY = "replay"
    """Write confirmed events again. Argument: ``seq`` or ``time_s``; answer: ``start`` and
    ``stop``, the range of sequence numbers that are written again."""
    RELEASE = "release"
    """Let go of deletions that are held."""
    RELEASE_MOUNT = "release_mount"
    """Accept that a mount is gone for good. Argument: ``prefix``."""
    RENEW_IDS = "renew_ids"
    """Give the next events new ids."""
    HINT = "hint"
    """Look at keys of a bucket. Argument: ``keys``."""
    CHECK = "check"
    """Look at the document of the watch, which was replaced."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the owner has to carry out.

    Attributes:
        id: Of the request.
        watch: Number of the watch.
        kind: What to do; may be unknown to this version.
        argument: What of it, as JSON has it.
    """

    id: int
    watch: int
    kind: str
    argument: Mapping[str, Any]


class Requests(Protocol):
    """The requests of the servers that share a state. Any thread may use it."""

    def ask(
        self, watch: int, kind: RequestKind, argument: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Have the owner of a watch do something, and wait for its answer up to ``ANSWER_S``.

        A request that no owner has taken by then is withdrawn, and is never done. Another one may
        be done later, which the error says.

        Args:
            watch: Number of the watch.
            kind: What to do.
            argument: What of it, as JSON has it.

        Returns:
            The answer, as JSON has it.

        Raises:
            WatcherError: The owner has refused it with an error of this class.
            UnavailableError: There was no answer.
            StateError: The database cannot be used.
        """

    def post(
        self, watches: Iterable[int], kind: RequestKind, argument: Mapping[str, Any] | None = None
    ) -> None:
        """Have the owners of watches do something, without waiting for it.

        Raises:
            StateError: The database cannot be written.
        """

    def take(self) -> Sequence[Request]:
        """Return the requests for watches that this server owns, in order.

        A request is returned once by each server that owns the watch, unless it was answered.

        Raises:
            StateError: The database cannot be used.
        """

    def answer(self, request: Request, answer: Mapping[str, Any] | None = None) -> None:
        """Answer a request that was carried out.

        Raises:
            StateError: The database cannot be written; the answer is written by the next ``take``.
        """

    def refuse(self, request: Request, error: WatcherError) -> None:
        """Answer a request that cannot be carried out.

        Raises:
            StateError: The database cannot be written; the answer is written by the next ``take``.
        """


class SoleRequests:
    """The requests of a server that no other one is beside: there are none; see ``Requests``."""

    def ask(
        self,
        watch: int,
        kind: RequestKind,
        argument: Mapping[str, Any] | None = None,  # noqa: ARG002 - as the port has it
    ) -> Mapping[str, Any]:
        """Refuse: this server owns all watches."""
        raise StateError(f"no other server owns watch {watch}, which is asked to {kind}")

    def post(
        self,
        watches: Iterable[int],
        kind: RequestKind,
        argument: Mapping[str, Any] | None = None,
    ) -> None:
        """Do nothing: there is nobody else."""

    def take(self) -> Sequence[Request]:
        """Return nothing."""
        return ()

    def answer(self, request: Request, answer: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""

    def refuse(self, request: Request, error: WatcherError) -> None:
        """Do nothing."""
