"""The thread of the feed of a stream: opens streams one after the other, and reads them.

A stream that breaks is opened again, ever more rarely while that fails. Streams that live shorter
than ``STABLE_S``, one after the other, are a failure as well: they bring less than polling does. A
store that answers with something else is asked again after an hour, or when the place is opened
again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from watcher.errors import UnavailableError, WatcherError
from watcher.sources.s3.hints.lines import LINE_MAX_BYTES, LineBuffer, LongLineError
from watcher.sources.s3.hints.listening import (
    PING_S,
    Listening,
    NoStreamError,
    describe_answer,
)
from watcher.sources.s3.hints.records import MessageKind, parse_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.sources.s3.hints.inbox import HintInbox
    from watcher.sources.s3.hints.pauses import Pauses
    from watcher.sources.s3.hints.records import Message
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec

SILENCE_MAX_S = 3.0 * PING_S
"""Seconds without a line, or a blank that stands for one, after which a stream is dead, whatever
parts of a line have arrived."""
STABLE_S = 60.0
"""Seconds for which a stream must live, so that its end is no repeated failure."""

_REMEDY = "allow s3:ListenBucketNotification, or leave out notifications"


@dataclass(slots=True)
class StreamCounts:
    """What has arrived since the feed was made; written by one thread at a time."""

    messages: int = 0
    rejected: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What each thread of one feed is given; see ``StreamFeed``."""

    spec: BucketSpec
    clock: Clock
    trust: Trust
    pauses: Pauses
    stable_s: float
    counts: StreamCounts = field(default_factory=StreamCounts)


class StreamThread:
    """Listens from one ``start`` to the next ``stop``, in a thread of its own.

    Attributes:
        problem: Why there is no stream; empty until a try to open one has failed.
        misses_hints: See ``StreamFeed``.
        heard_s: When bytes of the stream last arrived, on the monotonic clock; minus infinity while
            there is none.
    """

    def __init__(
        self, settings: StreamSettings, inbox: HintInbox, wake: Callable[[], None], problem: str
    ) -> None:
        self.problem = problem
        self.misses_hints = False
        self.heard_s = float("-inf")
        self._settings = settings
        self._inbox = inbox
        self._wake = wake
        self._lock = threading.Lock()
        self._listening: Listening | None = None
        self._stopping = threading.Event()
        self._failures = 0
        self._short_lives = 0
        self._begun_s: float | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"listen {settings.spec.bucket}", daemon=True
        )

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End soon, and return at once."""
        with self._lock:
            self._stopping.set()
            self.misses_hints, self.heard_s = False, float("-inf")
            if self._listening is not None:
                self._listening.interrupt()

    def take_missed(self) -> bool:
        """Return ``misses_hints`` and begin anew."""
        with self._lock:
            missed, self.misses_hints = self.misses_hints, False
        return missed

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = self._listen()
            except Exception:  # noqa: BLE001 - without its thread, a feed would be silent for ever
                structlog.get_logger("watcher").exception(
                    "hints.failed", place=self._settings.spec.place
                )
                pause_s = self._fail("an error of the program, see the log")
            self._stopping.wait(pause_s)

    def _listen(self) -> float:
        """Open a stream, receive it until it ends, and return the pause until the next one."""
        settings = self._settings
        listening = Listening(settings.spec, clock=settings.clock, trust=settings.trust)
        with self._lock:
            if self._stopping.is_set():
                return 0.0
            self._listening = listening
        try:
            listening.open()
            self._receive(listening)
            return self._fail("the store has ended it")
        except NoStreamError as error:
            return self._give_up(str(error))
        except LongLineError:
            return self._fail(f"a line of it has more than {LINE_MAX_BYTES >> 20} MiB")
        except WatcherError as error:
            return self._fail(f"{error.message}; {error.hint}" if error.hint else error.message)
        finally:
            self.heard_s, self._begun_s = float("-inf"), None
            listening.close()

    def _receive(self, listening: Listening) -> None:
        """Take what arrives until the stream ends.

        Raises:
            NoStreamError: What arrives is something else.
            LongLineError: A line is too long.
            UnavailableError: The connection broke, or brings no lines.
        """
        lines, is_blank, is_first = LineBuffer(), True, True
        quiet_since_s = self._settings.clock.monotonic()
        while data := listening.read():
            if is_blank and (head := data.lstrip()):
                is_blank = False
                if not head.startswith(b"{"):
                    raise NoStreamError(describe_answer(head))
            found = lines.add(data)
            now_s = self._settings.clock.monotonic()
            if found or data.isspace():
                quiet_since_s = now_s
            elif now_s - quiet_since_s > SILENCE_MAX_S:
                raise UnavailableError(f"no line is complete after {SILENCE_MAX_S:g} s")
            if listening.is_announced and data.isspace():
                self._hear()
            for line in found:
                message = parse_message(line)
                if is_first and message.kind is MessageKind.UNREADABLE:
                    raise NoStreamError("the answer is something else")
                is_first = False
                self._hear()
                self._take(message)

    def _hear(self) -> None:
        """Note that the stream lives."""
        self.heard_s = now_s = self._settings.clock.monotonic()
        if self._begun_s is None:
            self._begun_s = now_s
            self._miss()
            if self._short_lives <= 1:
                self._set_problem("")
        elif self._failures and now_s - self._begun_s >= self._settings.stable_s:
            self._failures = self._short_lives = 0
            self._set_problem("")

    def _take(self, message: Message) -> None:
        spec, counts = self._settings.spec, self._settings.counts
        if message.kind is MessageKind.RECORDS and not message.hints and not message.problem:
            # A ping.
            return
        counts.messages += 1
        ours = [hint for hint in message.hints if hint.bucket == spec.bucket]
        if message.problem or len(ours) < len(message.hints):
            counts.rejected += 1
        self._inbox.put_or_list([key for hint in ours for key in hint.keys])
        if message.problem:
            self._miss()

    def _miss(self) -> None:
        """Note that the place must be listed."""
        with self._lock:
            self.misses_hints = not self._stopping.is_set()
        self._wake()

    def _give_up(self, reason: str) -> float:
        """Note that the store streams nothing, and return the pause until it is asked again."""
        self._settings.counts.errors += 1
        self._set_problem(f"the store streams no notifications: {reason}; {_REMEDY}")
        return self._settings.pauses.after_refusal()

    def _fail(self, reason: str) -> float:
        """Note that the stream has ended, or has not begun, and return the pause until the next."""
        if self._stopping.is_set():
            return 0.0
        lived_s = 0.0 if self._begun_s is None else self._settings.clock.monotonic() - self._begun_s
        self._settings.counts.errors += 1
        if lived_s >= self._settings.stable_s:
            self._failures = self._short_lives = 0
        self._failures += 1
        if self._begun_s is None:
            self._set_problem(f"the stream of notifications cannot be opened: {reason}")
        else:
            self._short_lives += 1
            if self._short_lives > 1:
                self._set_problem(f"the stream of notifications breaks again and again: {reason}")
        return self._settings.pauses.after_failures(self._failures)

    def _set_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._wake()
