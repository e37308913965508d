"""The feed of a store that streams its notifications: MinIO and RustFS.

A stream cannot be resumed, and a store drops what a slow reader leaves waiting (MinIO above 4,000,
without a word). So each stream that begins is preceded by hints that were missed, and a line that
cannot be read is one.

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

from watcher.errors import WatcherError
from watcher.model import HintStatus
from watcher.sources.s3.hints.lines import LINE_MAX_BYTES, LineBuffer, LongLineError
from watcher.sources.s3.hints.listening import Listening, NoStreamError, describe_answer
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.records import MessageKind, parse_message
from watcher.spec import HintKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.sources.s3.hints.inbox import HintInbox
    from watcher.sources.s3.hints.records import Message
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec

STABLE_S = 60.0
"""Seconds for which a stream must live, so that its end is no repeated failure."""

_REMEDY = "allow s3:ListenBucketNotification, or leave out notifications"


@dataclass(slots=True)
class _Counts:
    """What has arrived since the feed was made; written by one thread at a time."""

    messages: int = 0
    rejected: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class _Listener:
    """What each thread of one feed is given; see ``StreamFeed``."""

    spec: BucketSpec
    clock: Clock
    trust: Trust
    pauses: Pauses
    stable_s: float
    counts: _Counts = field(default_factory=_Counts)


class StreamFeed:
    """Brings the notifications of one bucket, as a ``HintFeed``.

    Args:
        spec: The bucket.
        clock: The clock of the server.
        trust: The authorities for the certificate of the store.
        pauses: Between two tries to open a stream.
        stable_s: See ``STABLE_S``.
    """

    def __init__(
        self,
        spec: BucketSpec,
        *,
        clock: Clock,
        trust: Trust,
        pauses: Pauses | None = None,
        stable_s: float = STABLE_S,
    ) -> None:
        self._listener = _Listener(spec, clock, trust, pauses or Pauses(), stable_s)
        self._run: _Run | None = None

    @property
    def status(self) -> HintStatus:
        """What has arrived; pings are no messages."""
        counts = self._listener.counts
        return HintStatus(
            HintKind.STREAM.value,
            problem=self.problem,
            messages=counts.messages,
            rejected=counts.rejected,
            errors=counts.errors,
        )

    @property
    def problem(self) -> str:
        """Why there is no stream; empty until a try to open one has failed."""
        run = self._run
        return "" if run is None else run.problem

    @property
    def complaint(self) -> str:
        """Nothing: what cannot be read is listed."""
        return ""

    @property
    def misses_hints(self) -> bool:
        """Whether a stream has begun, or hints could not be read, and no listing followed."""
        run = self._run
        return run is not None and run.misses_hints

    def take_missed(self) -> bool:
        """Return ``misses_hints`` and begin anew."""
        run = self._run
        return run is not None and run.take_missed()

    def known_until_s(self) -> float:
        """Return when the stream was last heard of; minus infinity while there is none."""
        run = self._run
        return float("-inf") if run is None else run.heard_s

    def verify(self) -> None:
        """Do nothing: a store that streams nothing is polled."""

    def start(self, inbox: HintInbox, wake: Callable[[], None]) -> None:
        """Begin to listen, in a thread that ends with ``stop``."""
        self.stop()
        # What was wrong before is so until a stream begins.
        self._run = _Run(self._listener, inbox, wake, self.problem)
        self._run.start()

    def stop(self) -> None:
        """End soon, and return at once."""
        if self._run is not None:
            self._run.stop()


class _Run:
    """Listens from one ``start`` to the next ``stop``, in a thread of its own.

    Attributes:
        problem: Why there is no stream; empty until a try to open one has failed.
        misses_hints: See ``StreamFeed``.
        heard_s: When bytes of the stream last arrived, on the monotonic clock; minus infinity while
            there is none.
    """

    def __init__(
        self, listener: _Listener, inbox: HintInbox, wake: Callable[[], None], problem: str
    ) -> None:
        self.problem = problem
        self.misses_hints = False
        self.heard_s = float("-inf")
        self._listener = listener
        self._inbox = inbox
        self._wake = wake
        self._lock = threading.Lock()
        self._listening: Listening | None = None
        self._stopping = threading.Event()
        self._failures = 0
        self._short_lives = 0
        self._begun_s: float | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"listen {listener.spec.bucket}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._lock:
            self._stopping.set()
            self.misses_hints, self.heard_s = False, float("-inf")
            if self._listening is not None:
                self._listening.interrupt()

    def take_missed(self) -> bool:
        with self._lock:
            missed, self.misses_hints = self.misses_hints, False
        return missed

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = self._listen()
            except Exception:  # noqa: BLE001 - without its thread, a feed would be silent for ever
                structlog.get_logger("watcher").exception(
                    "hints.failed", place=self._listener.spec.place
                )
                pause_s = self._fail("an error of the program, see the log")
            self._stopping.wait(pause_s)

    def _listen(self) -> float:
        """Open a stream, receive it until it ends, and return the pause until the next one."""
        listener = self._listener
        listening = Listening(listener.spec, clock=listener.clock, trust=listener.trust)
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
            WatcherError: The connection broke.
        """
        lines, is_blank, is_first = LineBuffer(), True, True
        while data := listening.read():
            if is_blank and (head := data.lstrip()):
                is_blank = False
                if not head.startswith(b"{"):
                    raise NoStreamError(describe_answer(head))
            if listening.is_announced:
                self._hear()
            for line in lines.add(data):
                message = parse_message(line)
                if is_first and message.kind is MessageKind.UNREADABLE:
                    raise NoStreamError("the answer is something else")
                is_first = False
                self._hear()
                self._take(message)

    def _hear(self) -> None:
        """Note that the stream lives."""
        self.heard_s = now_s = self._listener.clock.monotonic()
        if self._begun_s is None:
            self._begun_s = now_s
            self._miss()
            if self._short_lives <= 1:
                self._set_problem("")
        elif self._failures and now_s - self._begun_s >= self._listener.stable_s:
            self._failures = self._short_lives = 0
            self._set_problem("")

    def _take(self, message: Message) -> None:
        spec, counts = self._listener.spec, self._listener.counts
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
        self._listener.counts.errors += 1
        self._set_problem(f"the store streams no notifications: {reason}; {_REMEDY}")
        return self._listener.pauses.after_refusal()

    def _fail(self, reason: str) -> float:
        """Note that the stream has ended, or has not begun, and return the pause until the next."""
        if self._stopping.is_set():
            return 0.0
        lived_s = 0.0 if self._begun_s is None else self._listener.clock.monotonic() - self._begun_s
        self._listener.counts.errors += 1
        if lived_s >= self._listener.stable_s:
            self._failures = self._short_lives = 0
        self._failures += 1
        if self._begun_s is None:
            self._set_problem(f"the stream of notifications cannot be opened: {reason}")
        else:
            self._short_lives += 1
            if self._short_lives > 1:
                self._set_problem(f"the stream of notifications breaks again and again: {reason}")
        return self._listener.pauses.after_failures(self._failures)

    def _set_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._wake()
