"""What the program may ask of the journal of a watch; its errors are those of ``port``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from watcher.model import Payload


class Unconfirmed(NamedTuple):
    """The first unconfirmed payloads after a sequence number, up to some number of them.

    Attributes:
        payloads: How many there are.
        last_seq: Sequence number of the last one; 0 if there is none.
    """

    payloads: int
    last_seq: int


class Journal(Protocol):
    """The payloads of one watch from commit to confirmation; ``WatchStore.commit`` appends.

    A payload has the sequence number of its last change. The cursor confirms everything up to it;
    payloads beyond it may be acknowledged one by one. The attributes are read without waiting for
    the disk, from any thread.
    """

    @property
    def next_seq(self) -> int:
        """Sequence number of the next change."""

    @property
    def cursor(self) -> int:
        """Last confirmed sequence number: every change up to it is confirmed."""

    @property
    def acknowledged(self) -> AbstractSet[int]:
        """Sequence numbers of the payloads beyond the cursor that are confirmed."""

    @property
    def depth(self) -> int:
        """Changes beyond the cursor, including those that wait for their batch to fill."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the payloads beyond the cursor."""

    @property
    def oldest_at(self) -> float | None:
        """When the first payload beyond the cursor was committed, seconds since the epoch."""

    def read(self, after_seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads after a sequence number, in order.

        Args:
            after_seq: A sequence number, or 0.
            limit: Maximum number of payloads.
            max_bytes: Maximum size of all but the first, which is returned in any case.
        """

    def read_unconfirmed(self, seqs: range, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads with these sequence numbers that are not confirmed, in order.

        Args:
            seqs: Sequence numbers, with step 1.
            limit: Maximum number of payloads.
            max_bytes: Maximum size of all but the first, which is returned in any case.
        """

    def count_unconfirmed(self, after_seq: int, *, limit: int) -> Unconfirmed:
        """Return the number and the end of the first unconfirmed payloads after a sequence number.

        Args:
            after_seq: A sequence number, or 0.
            limit: Maximum number of payloads, above 0.
        """

    def pending(self) -> list[Payload]:
        """Return the rendered events that wait for their batch to fill, in order."""

    def confirm(self, seq: int, *, keep_s: float = 0.0) -> None:
        """Move the cursor up to ``seq``; a number at or below the cursor does nothing.

        Args:
            seq: Last sequence number to confirm.
            keep_s: Age in seconds at which a confirmed payload is dropped from the journal.
        """

    def acknowledge(self, seqs: Iterable[int], *, keep_s: float = 0.0) -> AbstractSet[int]:
        """Confirm single payloads; the cursor moves up to the first that is not confirmed.

        Args:
            seqs: Sequence numbers of changes; each confirms the whole payload that holds it. A
                number that is confirmed or unknown does nothing.
            keep_s: Age in seconds at which a confirmed payload is dropped from the journal.

        Returns:
            The sequence numbers of the payloads that were not confirmed before.
        """

    def refresh_acknowledged(self, acknowledgements: int, *, keep_s: float = 0.0) -> bool:
        """Take in what other servers have acknowledged, and move the cursor as far as it allows.

        Args:
            acknowledgements: How often payloads were acknowledged, as a survey has it
                (``SurveyedWatch.acknowledgements``). Nothing is done if all of it is known.
            keep_s: Age in seconds at which a confirmed payload is dropped from the journal.

        Returns:
            Whether there was anything to take in.
        """

    def rewind(self, *, seq: int | None = None, time_s: float | None = None) -> int:
        """Revoke confirmations, as far back as payloads are kept, and return the new cursor.

        Args:
            seq: Revoke from the payload that holds this change.
            time_s: Revoke from the first payload committed at or after this time, in seconds since
                the epoch; takes precedence over ``seq``.
        """

    def expire(self, keep_s: float) -> None:
        """Drop the confirmed payloads that are older than ``keep_s`` seconds."""
