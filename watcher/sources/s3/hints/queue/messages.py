"""Decides what becomes of a message of a queue: whether it names keys, is deleted, or is left."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from watcher.formatting import printable
from watcher.sources.s3.hints.records import MessageKind, parse_message

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.sources.s3.hints.queue.sqs import QueueMessage
    from watcher.spec import BucketSpec

_REMEMBERED = 1_000
"""Maximum number of messages that are known to be left, so that each is counted once."""
_ALIASES = ("-s3alias", "--ol-s3")
"""Endings of the aliases of access points and of Object Lambda (S3 User Guide)."""
_EXAMPLE_CHARS = 200
_COMPLAINT_MIN_S = 300.0
"""Shortest time in seconds for which a message that was left is reported; it comes again sooner."""


class MessageReader:
    """Reads the messages of the queue of one bucket; for one thread.

    Args:
        spec: The bucket.
        clock: The time.

    Attributes:
        rejected: Number of messages that were left, each counted once.
    """

    def __init__(self, spec: BucketSpec, clock: Clock) -> None:
        self.rejected = 0
        self._spec = spec
        self._clock = clock
        self._left: OrderedDict[str, None] = OrderedDict()
        self._example = ""
        self._left_at_s = float("-inf")

    def read(self, message: QueueMessage) -> tuple[bytes, ...] | None:
        """Return the keys that a message names.

        Returns:
            Keys of the bucket, some of which need not be in the place; none for a message that is
            of no use to anybody; None for one that is to be left to the queue.
        """
        parsed = parse_message(message.body.encode(errors="replace"))
        ours = [hint for hint in parsed.hints if is_about(self._spec, hint.bucket)]
        if ours or parsed.kind is MessageKind.TEST:
            return tuple(key for hint in ours for key in hint.keys)
        if parsed.kind is MessageKind.SUBSCRIPTION:
            self._reject(message, "one of SNS that asks to visit its SubscribeURL")
        elif parsed.hints:
            self._reject(message, f"one about the bucket {parsed.hints[0].bucket!r}")
        elif parsed.kind is MessageKind.RECORDS:
            return ()
        else:
            self._reject(message, f"one that cannot be read ({parsed.problem or parsed.kind})")
        return None

    def complaint(self, visibility_s: float) -> str:
        """Return that messages are left in the queue; empty once none has come for some time.

        Args:
            visibility_s: Seconds after which a message that was left comes again.
        """
        age_s = self._clock.monotonic() - self._left_at_s
        if age_s > max(2 * visibility_s, _COMPLAINT_MIN_S):
            return ""
        if self.rejected == 1:
            left = f"a message is left in the queue, {self._example}"
        else:
            left = f"{self.rejected:,} messages were left in the queue, such as {self._example}"
        return (
            f"{left}: send only notifications of this bucket to it, and give it a dead-letter queue"
        )

    def _reject(self, message: QueueMessage, example: str) -> None:
        message_id = message.receipt.message_id
        self.rejected += message_id not in self._left
        self._left[message_id] = None
        self._left.move_to_end(message_id)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        self._example = printable(example)[:_EXAMPLE_CHARS]
        self._left_at_s = self._clock.monotonic()


def is_about(spec: BucketSpec, bucket: str) -> bool:
    """Return whether a message about a bucket may be about the one of a spec.

    Messages have its name, where a spec may have an alias or the ARN of an access point, from which
    the name cannot be derived; and Ceph leaves out the tenant.

    Args:
        spec: The bucket that is watched.
        bucket: Name of the bucket, as the message has it.
    """
    if spec.bucket.startswith("arn:") or spec.bucket.endswith(_ALIASES):
        return True
    name = spec.bucket.rpartition(":")[2] if spec.has_tenant else spec.bucket
    return bucket in {spec.bucket, name}
